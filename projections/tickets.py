"""Reads the tables `tickets` and `attachments`, and the newest comments of a ticket."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, LiteralString

import msgspec
from msgspec.structs import replace

from domain.access import Caller
from domain.ticket import Ticket
from domain.times import whole_seconds
from infrastructure.storage.postgres import Pool, named_queries
from projections.found_tickets import build_search
from projections.included import COMMENTS_SHOWN, FILES, FindState, comments_column, read_included
from projections.name_search import find_names
from projections.rows import AttachmentRow, TicketRow, columns_of, compose, split_total
from projections.ticket_filters import TicketQuery
from projections.ticket_query import NamedTicketRow, RankedTicketRow, build_list, sort_key
from projections.views import (
    AttachmentView,
    CommentView,
    Names,
    Page,
    Reference,
    TicketDetail,
    TicketFields,
    TicketSummary,
    shown_values,
)

_sql = named_queries(Path(__file__).parent / "sql" / "tickets.sql")
_LIST_ATTACHMENTS = compose(_sql["list_attachments"], columns=columns_of(AttachmentRow, "a"))
_GET_ATTACHMENT = compose(_sql["get_attachment"], columns=columns_of(AttachmentRow, "a"))
_GET_TICKET = {
    (include_internal, limit): compose(
        _sql["get_ticket"],
        columns=columns_of(TicketRow, "t"),
        comments=comments_column(include_internal=include_internal, limit=limit),
        files=FILES,
    )
    for include_internal in (False, True)
    for limit in (0, COMMENTS_SHOWN)
}
_comments = msgspec.json.Decoder(list[CommentView])
_attachments = msgspec.json.Decoder(list[AttachmentView])


class NotYetProjected(Exception):
    """The log has this ticket; the read tables will have it when they have reached `position`."""

    def __init__(self, position: int) -> None:
        super().__init__(f"not projected yet: {position}")
        self.position = position


class FoundTicket(msgspec.Struct, frozen=True, kw_only=True):
    """A ticket, deleted or not, before the check whether the caller may see it.

    `detail` has the requested comments, and the number of all comments that the caller may read.
    `is_current`: the log has no newer version; if it has, the read tables will have it at `log_position`.
    `names_changed`: a name has changed since `version`.
    """

    version: int
    names_changed: bool
    is_deleted: bool
    is_current: bool
    log_position: int
    detail: TicketDetail

    @property
    def property_id(self) -> str:
        return self.detail.property.id

    @property
    def requester_id(self) -> str:
        return self.detail.requester.id

    @property
    def version_can_be_etag(self) -> bool:
        """Whether every answer with this version is the same.

        False if a name has changed since, or if there are files, because their URLs expire.
        """
        return not self.names_changed and not self.detail.attachments


def _no_state(ticket_id: str, version: int) -> Ticket | None:
    raise LookupError("A list that includes the history needs the states of its tickets.")


class _TicketInLog(NamedTicketRow, frozen=True):
    """The columns of get_ticket: the row with its names, the ticket's last event in the log, and its lists as
    JSON."""

    names_changed: bool
    newest_version: int
    log_position: int
    topic: str
    comments: str | None
    attachments: str | None


def list_tickets(
    pool: Pool, caller: Caller, query: TicketQuery, find_state: FindState = _no_state
) -> Page[TicketSummary]:
    """The tickets in the caller's reach that match, without the deleted ones. For `find_state`, which lists
    that include the history need, see projections/included.py."""
    statement, parameters = _build(pool, caller, query)
    kind = RankedTicketRow if query.sort == "relevance" else NamedTicketRow
    found, total = split_total(kind, pool.fetch(statement, parameters))
    rows = found[: query.limit]
    last_key = (sort_key(query.sort, rows[-1]), rows[-1].id) if len(found) > len(rows) else None
    items = [_summary(caller, row, find_state) for row in rows]
    return Page(items=items, total=total, last_key=last_key)


def summary_of(row: NamedTicketRow) -> TicketSummary:
    """The ticket as lists show it, without what is only included on request."""
    return TicketSummary(**_summary_values(row))


def count_tickets(pool: Pool, caller: Caller, query: TicketQuery) -> int:
    """The number of tickets that a list with these filters has."""
    statement, parameters = _build(pool, caller, query)
    ((total, *_),) = pool.fetch(statement, {**parameters, "limit": 0})  # an empty page is one row
    return int(total)


def get_ticket(
    pool: Pool, ticket_id: str, *, include_internal: bool, comments: int = COMMENTS_SHOWN
) -> FoundTicket | None:
    """The ticket with its newest comments, or None if there is none. `comments` is COMMENTS_SHOWN or 0.

    Raises NotYetProjected if only the log has it.
    """
    rows = pool.fetch(_GET_TICKET[include_internal, comments], {"id": ticket_id})
    row = next((_TicketInLog(*values) for values in rows), None)
    if row is None or not row.topic.startswith("ticket."):
        return None
    if row.version is None:  # the read tables have no row of it yet
        raise NotYetProjected(row.log_position)
    return FoundTicket(
        version=row.version,
        names_changed=row.names_changed,
        is_deleted=row.is_deleted,
        is_current=row.version == row.newest_version,
        log_position=row.log_position,
        detail=TicketDetail(
            **_summary_values(row),
            attachments=_attachments.decode(row.attachments) if row.attachments else [],
            comments=_comments.decode(row.comments) if row.comments else [],
            comments_count=shown_comments_count(row, include_internal),
            allowed_statuses=[],  # the API knows the caller
        ),
    )


def shown_comments_count(ticket: TicketRow | Ticket, include_internal: bool) -> int:
    """The number of the ticket's comments that a reader sees."""
    return ticket.comments_count - (0 if include_internal else ticket.internal_comments_count)


def list_attachments(pool: Pool, ticket_id: str) -> list[AttachmentRow]:
    """The files of a ticket, oldest first. A limit on their number makes pages unnecessary."""
    rows = pool.fetch(_LIST_ATTACHMENTS, {"ticket_id": ticket_id})
    files = [AttachmentRow(*values) for values in rows]
    return [replace(file, created_at=whole_seconds(file.created_at)) for file in files]


def get_attachment(pool: Pool, attachment_id: str) -> AttachmentRow | None:
    """A file of a ticket that is not deleted, or None."""
    return next(
        (AttachmentRow(*values) for values in pool.fetch(_GET_ATTACHMENT, {"id": attachment_id})), None
    )


def names_of(pool: Pool, ticket: Ticket) -> Names:
    """The number of a stored ticket, and the current names of its ids. An id without a known name is used as
    the name."""
    property_id, unit_id = ticket.property_id, ticket.unit_id
    requester_id, assignee_id = ticket.requester_id, ticket.assignee_id
    parameters = {
        "ticket_id": ticket.id,
        "property_id": property_id,
        "unit_id": unit_id,
        "requester_id": requester_id,
        "assignee_id": assignee_id,
    }
    (names,) = pool.fetch(_sql["names_of"], parameters)
    number, property_name, unit_name, requester_name, assignee_name = names
    return Names(
        number=number,
        property=Reference(property_id, property_name or property_id),
        unit=Reference(unit_id, unit_name or unit_id) if unit_id else None,
        requester=Reference(requester_id, requester_name or requester_id),
        assigned_to=Reference(assignee_id, assignee_name or assignee_id) if assignee_id else None,
    )


def numbers_of(pool: Pool, ticket_ids: Sequence[str]) -> dict[str, int]:
    """The numbers of stored tickets, by id."""
    return dict(pool.fetch(_sql["numbers_of"], {"ids": list(ticket_ids)})) if ticket_ids else {}


def author_names(pool: Pool, author_ids: Sequence[str]) -> dict[str, str]:
    """The names of people and service keys, by id."""
    if not author_ids:
        return {}
    return dict(pool.fetch(_sql["author_names"], {"ids": list(author_ids)}))


def _build(pool: Pool, caller: Caller, query: TicketQuery) -> tuple[LiteralString, dict[str, Any]]:
    if query.q is None or query.as_of is not None:
        return build_list(caller, query)
    return build_search(caller, query, names=find_names(pool, caller, query.q) if query.finds_names else None)


def _summary(caller: Caller, row: NamedTicketRow, find_state: FindState) -> TicketSummary:
    included = read_included(row.id, row.included, is_auditor=caller.is_auditor, find_state=find_state)
    if "comments" in included:
        included["comments_count"] = shown_comments_count(row, caller.role != "guest")
    return TicketSummary(**_summary_values(row), **included)


def _summary_values(row: NamedTicketRow) -> dict[str, Any]:
    """The fields of TicketFields."""
    values = shown_values(row, TicketFields)
    values["property"] = Reference(row.property_id, row.property_name)
    values["unit"] = _reference(row.unit_id, row.unit_name)
    values["requester"] = Reference(row.requester_id, row.requester_name)
    values["assigned_to"] = _reference(row.assignee_id, row.assignee_name)
    values["tags"] = tuple(row.tags or ())
    values["external_ids"] = row.external_ids or {}
    return values


def _reference(key: str | None, name: str | None) -> Reference | None:
    return None if key is None else Reference(key, name or key)
