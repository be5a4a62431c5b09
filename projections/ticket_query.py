"""The statement for a list of tickets: of present ones (ticket_list.py), or as of a time."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any, LiteralString

from psycopg import sql

from domain.access import Caller
from domain.errors import Invalid
from domain.text import NO_WORDS
from infrastructure.storage.postgres import named_queries
from projections.rows import TicketRow, compose
from projections.search_query import parse_search, ticket_number
from projections.ticket_filters import FILTERS, PUBLIC, Sort, TicketQuery, filters_of, shown_columns
from projections.ticket_list import build_present_list
from projections.ticket_list_as_of import FEW, Shape, compose_list_as_of

_sql = {
    **named_queries(Path(__file__).parent / "sql" / "tickets.sql"),
    **named_queries(Path(__file__).parent / "sql" / "ticket_search.sql"),
}

_FOUND = compose(_sql["found"], ids=sql.SQL(_sql["find_as_of"]).format(in_force=sql.SQL(_sql["in_force"])))
NO_RELEVANCE = "The order by relevance needs the parameter q, and cannot be combined with as_of."
_BY_REQUESTER = frozenset(("requester", "requester_id", "requester_id_any"))


class NamedTicketRow(TicketRow, frozen=True):
    """A ticket with the names that it shows, in the order of the statement shown_names, and with what is
    included (projections/included.py)."""

    property_name: str
    unit_name: str | None
    requester_name: str
    assignee_name: str | None
    included: str | None


class RankedTicketRow(NamedTicketRow, frozen=True):
    """A ticket in the order by relevance, with the value for a cursor."""

    relevance: str


def build_list(caller: Caller, query: TicketQuery, *, few: int = FEW) -> tuple[LiteralString, dict[str, Any]]:
    """The statement, composed of fixed fragments, and its parameters, which contain all values of the client.

    It returns up to one ticket more than the limit. For `few` see projections/ticket_list_as_of.py. Searches
    of present tickets are composed by projections/found_tickets.py.
    """
    if query.sort == "relevance":
        raise Invalid({"sort": [NO_RELEVANCE]})
    if query.as_of is None:
        return build_present_list(caller, query)
    parameters = filters_of(caller, query)
    search = None
    if query.q is not None:
        search = parse_search(query.q, weight=PUBLIC if caller.role == "guest" else "")
        if not search.has_words:
            raise Invalid({"q": [NO_WORDS]})
        parameters["q"] = search.whole
    names = tuple(parameters)
    if search is not None:
        parameters |= search._asdict()
        parameters |= {"all_required": search.all_required, "any_required": search.any_required}
        parameters["number"] = ticket_number(query.q or "")
        parameters["visibilities"] = ["public"] if caller.role == "guest" else ["public", "internal"]
    parameters["as_of"] = query.as_of
    if query.after:
        parameters["after_value"], parameters["after_id"] = query.after
    parameters["limit"] = query.limit + 1  # the last one shows whether there is a next page
    parameters["offset"] = query.offset
    shape = Shape(query.sort, query.order, query.after is not None, query.count, few)
    return _statement_as_of(names, shape, shown_columns(caller, query), caller.is_auditor), parameters


@lru_cache(maxsize=512)
def _statement_as_of(
    names: tuple[str, ...], shape: Shape, shown: LiteralString, is_auditor: bool
) -> LiteralString:
    """The statement as of an earlier time. Only auditors see the past of a ticket that is deleted now."""
    return compose_list_as_of(
        shape,
        [FILTERS[name] for name in names],
        shown=shown,
        kept=not is_auditor,
        by_requester=not _BY_REQUESTER.isdisjoint(names),
        found=sql.SQL(_FOUND if "q" in names else ""),
    )


def sort_key(sort: Sort, row: TicketRow) -> str | int:
    """The value of the sort column for a cursor; times to the microsecond."""
    if isinstance(row, RankedTicketRow):
        return row.relevance
    if sort == "priority":
        return row.priority_rank
    return (row.created_at if sort == "created_at" else row.updated_at).isoformat()
