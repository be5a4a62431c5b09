"""Reads the tables `tickets`, `comments` and `attachments`."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from domain.access import Caller
from infrastructure.storage.postgres import Pool, named_queries
from projections.ticket_query import TicketQuery, build_list, sort_key
from projections.views import (
    AttachmentView,
    CommentView,
    Page,
    Reference,
    TicketDetail,
    TicketSummary,
    whole_seconds,
)

__all__ = [
    "TicketQuery",
    "author_names",
    "get_attachment",
    "get_ticket",
    "list_attachments",
    "list_comments",
    "list_tickets",
    "names_of",
]

_sql = named_queries(Path(__file__).parent / "sql" / "tickets.sql")
_comments = msgspec.json.Decoder(list[CommentView])
_attachments = msgspec.json.Decoder(list[AttachmentView])


class NotYetProjected(Exception):
    """The log has this ticket, the read tables will have it once they have reached `position`."""

    def __init__(self, position: int) -> None:
        super().__init__(f"not projected yet: {position}")
        self.position = position


class TicketRow(msgspec.Struct, frozen=True, kw_only=True):
    """A ticket, deleted or not, whoever may see it. `detail` holds all its comments, internal ones too.

    `is_current` says that the log holds nothing newer; otherwise the tables catch up at `log_position`.
    `names_changed`: a name in it changed after its version began, so that `version` is no ETag.
    """

    version: int
    names_changed: bool
    is_deleted: bool
    is_current: bool
    log_position: int
    property_id: str
    requester_id: str
    detail: TicketDetail

    @property
    def stands_for_its_version(self) -> bool:
        """Whether every answer of this version looks the same: no name in it has changed meanwhile, and it
        has no files, whose addresses expire."""
        return not self.names_changed and not self.detail.attachments


class AttachmentRow(msgspec.Struct, frozen=True, kw_only=True):
    """A file of a ticket; its bytes are stored under `sha256`."""

    id: str
    ticket_id: str
    filename: str
    content_type: str
    size_bytes: int
    sha256: str
    created_at: datetime


class Names(NamedTuple):
    """The references of one ticket, ready to be shown."""

    property: Reference
    unit: Reference | None
    requester: Reference
    assigned_to: Reference | None


def list_tickets(pool: Pool, caller: Caller, query: TicketQuery) -> Page[TicketSummary]:
    """The tickets in the caller's reach that match, without the deleted ones."""
    statement, parameters = build_list(caller, query)
    rows = pool.fetch(statement, parameters)
    total = rows[0][0]
    found = [row for row in rows if row[1] is not None]
    last_key = None
    if len(found) == query.limit:
        last = found[-1]
        value = sort_key(query.sort, created_at=last[7], updated_at=last[8], priority_rank=last[17])
        last_key = (value, last[1])
    return Page(items=[_summary(row) for row in found], total=total, last_key=last_key)


def get_ticket(pool: Pool, ticket_id: str) -> TicketRow | None:
    """The ticket, or None when there is none; NotYetProjected when only the log has it."""
    rows = pool.fetch(_sql["get_ticket"], {"id": ticket_id})
    if not rows or not rows[0][2].startswith("ticket."):
        return None
    newest, log_position, _, version, names_changed, is_deleted, created_at, updated_at, *rest = rows[0]
    if version is None:
        raise NotYetProjected(log_position)
    key, title, description, status, priority, category, *references, comments, attachments = rest
    place, unit, requester, assignee = _references(references)
    detail = TicketDetail(
        id=key,
        title=title,
        description=description,
        status=status,
        priority=priority,
        category=category,
        created_at=whole_seconds(created_at),
        updated_at=whole_seconds(updated_at),
        property=place,
        unit=unit,
        requester=requester,
        assigned_to=assignee,
        attachments=_attachments.decode(attachments) if attachments else [],
        comments=_comments.decode(comments) if comments else [],
    )
    return TicketRow(
        version=version,
        names_changed=names_changed,
        is_deleted=is_deleted,
        is_current=version == newest,
        log_position=log_position,
        property_id=place.id,
        requester_id=requester.id,
        detail=detail,
    )


def list_comments(
    pool: Pool, ticket_id: str, include_internal: bool, limit: int, offset: int
) -> Page[CommentView]:
    """The comments of a ticket, oldest first. Whether the caller may see the ticket was asked before."""
    parameters = {
        "ticket_id": ticket_id,
        "visibilities": ["public", "internal"] if include_internal else ["public"],
        "limit": limit,
        "offset": offset,
    }
    rows = pool.fetch(_sql["list_comments"], parameters)
    comments = [
        CommentView(
            id=key,
            text=text,
            user=Reference(author_id, author_name),
            visibility=visibility,
            created_at=whole_seconds(created_at),
        )
        for _, key, text, author_id, author_name, visibility, created_at in rows
        if key is not None
    ]
    return Page(items=comments, total=rows[0][0])


def list_attachments(pool: Pool, ticket_id: str) -> list[AttachmentRow]:
    """The files of a ticket, oldest first; a ticket holds few enough for one page."""
    return [_attachment(row) for row in pool.fetch(_sql["list_attachments"], {"ticket_id": ticket_id})]


def get_attachment(pool: Pool, attachment_id: str) -> AttachmentRow | None:
    """A file of a ticket that is not deleted, or None."""
    rows = pool.fetch(_sql["get_attachment"], {"id": attachment_id})
    return _attachment(rows[0]) if rows else None


def names_of(
    pool: Pool, *, property_id: str, unit_id: str | None, requester_id: str, assignee_id: str | None
) -> Names:
    """What a ticket's ids are called now; an id without a name stands for itself."""
    parameters = {
        "property_id": property_id,
        "unit_id": unit_id,
        "requester_id": requester_id,
        "assignee_id": assignee_id,
    }
    property_name, unit_name, requester_name, assignee_name = pool.fetch(_sql["names_of"], parameters)[0]
    return Names(
        property=Reference(property_id, property_name or property_id),
        unit=Reference(unit_id, unit_name or unit_id) if unit_id else None,
        requester=Reference(requester_id, requester_name or requester_id),
        assigned_to=Reference(assignee_id, assignee_name or assignee_id) if assignee_id else None,
    )


def author_names(pool: Pool, author_ids: Sequence[str]) -> dict[str, str]:
    """The names of those who commented, people and service keys, by id."""
    if not author_ids:
        return {}
    return dict(pool.fetch(_sql["author_names"], {"ids": list(author_ids)}))


def _summary(row: Sequence[Any]) -> TicketSummary:
    _, key, title, description, status, priority, category, created_at, updated_at, *rest = row
    place, unit, requester, assignee = _references(rest[:8])
    return TicketSummary(
        id=key,
        title=title,
        description=description,
        status=status,
        priority=priority,
        category=category,
        created_at=whole_seconds(created_at),
        updated_at=whole_seconds(updated_at),
        property=place,
        unit=unit,
        requester=requester,
        assigned_to=assignee,
    )


def _references(columns: Sequence[Any]) -> tuple[Reference, Reference | None, Reference, Reference | None]:
    place, place_name, unit, unit_name, requester, requester_name, assignee, assignee_name = columns
    return (
        Reference(place, place_name),
        Reference(unit, unit_name) if unit is not None else None,
        Reference(requester, requester_name),
        Reference(assignee, assignee_name) if assignee is not None else None,
    )


def _attachment(row: Sequence[Any]) -> AttachmentRow:
    key, ticket_id, filename, content_type, size_bytes, sha256, created_at = row
    return AttachmentRow(
        id=key,
        ticket_id=ticket_id,
        filename=filename,
        content_type=content_type,
        size_bytes=size_bytes,
        sha256=sha256,
        created_at=whole_seconds(created_at),
    )
