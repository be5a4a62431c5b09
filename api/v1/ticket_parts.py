"""The parameters `fields` and `include` of tickets: which parts of a ticket an answer has."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from api.http.selected_fields import name_of_field
from api.v1.past_tickets import MomentQuery
from domain.errors import Invalid
from projections.included import BYTES_OF_EACH, COMMENTS_SHOWN, ENTRIES_SHOWN, Include
from projections.views import TicketDetail, TicketSummary

_SELECTION = Meta(description="Leaves out the other fields, except `id` and what `include` names")
_SUMMARY_FIELD = name_of_field(TicketSummary)
_DETAIL_FIELD = name_of_field(TicketDetail)
SummaryFields = Annotated[tuple[Annotated[str, _SUMMARY_FIELD], ...], _SELECTION]
DetailFields = Annotated[tuple[Annotated[str, _DETAIL_FIELD], ...], _SELECTION]
ListIncludes = Annotated[
    tuple[Include, ...],
    Meta(
        description=f"Adds to each ticket its files, its newest {COMMENTS_SHOWN} comments or the newest"
        f" {ENTRIES_SHOWN} entries of its history, the oldest of them first. A ticket with long texts has"
        f" fewer: those with at most {BYTES_OF_EACH:,} bytes together. `history` is for staff and above."
        " Cannot be combined with `as_of`."
    ),
]
DetailIncludes = Annotated[
    tuple[Include, ...],
    Meta(
        description=f"`history` adds the newest {ENTRIES_SHOWN} entries of the history, the oldest of them"
        " first. It is for staff and above, and cannot be combined with `as_of` or `version`. Comments and"
        " files are always there."
    ),
]

# The fields that an answer has only with `include`, and the item that it must have.
_INCLUDED_BY: dict[str, Include] = {
    "attachments": "attachments",
    "comments": "comments",
    "comments_count": "comments",
    "history": "history",
}


class TicketItemQuery(MomentQuery, frozen=True, kw_only=True, forbid_unknown_fields=True):
    fields: DetailFields = ()
    include: DetailIncludes = ()


def require_included(fields: tuple[str, ...], include: tuple[Include, ...]) -> None:
    """Raise Invalid for a field that the answer does not have without another `include`."""
    for name in fields:
        item = _INCLUDED_BY.get(name)
        if item is not None and item not in include:
            raise Invalid({"fields": [f"The {name} field is present only with include={item}."]})


def shown_by(include: tuple[Include, ...]) -> list[str]:
    """The fields that `include` adds."""
    return [name for name, item in _INCLUDED_BY.items() if item in include]
