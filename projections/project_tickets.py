"""Fills the tables `tickets`, `comments` and `attachments`, and the properties' active tickets.

What the tickets were before goes into the tables of projections/project_past_tickets.py.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from domain.aggregate import DomainEvent
from domain.ticket import (
    Ticket,
    TicketCommented,
    TicketDescriptionChanged,
    TicketEvent,
    TicketFileAttached,
    TicketTitleChanged,
)
from infrastructure.storage.postgres import Connection, named_queries
from projections.folding import Cursor, already_there, by_aggregate, kinds_of, write_rows
from projections.project_past_tickets import PRIORITY_RANK, PastTickets

_COLUMNS = (
    *("id", "version", "status", "priority", "category", "property_id", "unit_id"),
    *("requester_id", "assignee_id", "is_deleted", "created_at", "updated_at", "title", "description"),
)  # as select_tickets returns them
KINDS = kinds_of(TicketEvent)
_sql = named_queries(Path(__file__).parent / "sql" / "project_tickets.sql")


def select_rows(conn: Connection, events: Sequence[DomainEvent]) -> Cursor | None:
    """Ask for the rows these events change; None when they are all new."""
    ids = already_there(Ticket, by_aggregate(events))
    reworded = [
        e.originator_id for e in events if isinstance(e, TicketTitleChanged | TicketDescriptionChanged)
    ]
    return conn.execute(_sql["select_tickets"], {"ids": ids, "reworded": reworded}) if ids else None


def project(
    conn: Connection, events: Sequence[DomainEvent], existing: Cursor | None, past: PastTickets
) -> None:
    """Write what the events made of the tickets, and have `past` keep what they were before.

    Names are looked up by the statements, so properties and users come first.
    """
    known = _read(existing)
    active: Counter[str] = Counter()
    for ticket in known.values():
        active[ticket.property_id] -= _is_active(ticket)
    opened: list[dict[str, Any]] = []
    changed: list[dict[str, Any]] = []
    texts: list[dict[str, Any]] = []
    for key, changes in by_aggregate(events).items():
        is_new = key not in known
        ticket = past.fold(known.get(key), changes)
        active[ticket.property_id] += _is_active(ticket)
        (opened if is_new else changed).append(_row(ticket))
        if not is_new and (text := _changed_texts(changes)):
            texts.append({"id": key, **text})
    write_rows(conn, _sql["insert_tickets"], opened)
    write_rows(conn, _sql["update_tickets"], changed)
    write_rows(conn, _sql["update_texts"], texts)
    comments = [_comment_row(event) for event in events if isinstance(event, TicketCommented)]
    write_rows(conn, _sql["insert_comments"], comments)
    attachments = [_attachment_row(event) for event in events if isinstance(event, TicketFileAttached)]
    write_rows(conn, _sql["insert_attachments"], attachments)
    _count_active(conn, active)


def _read(existing: Cursor | None) -> dict[str, Ticket]:
    """The stored tickets, without comments, attachments and, mostly, texts: their new values come from the
    events themselves."""
    return {row[0]: Ticket(**dict(zip(_COLUMNS, row, strict=True))) for row in existing or ()}


def _is_active(ticket: Ticket) -> bool:
    return ticket.status != "closed" and not ticket.is_deleted


def _row(ticket: Ticket) -> dict[str, Any]:
    return {
        "id": ticket.id,
        "version": ticket.version,
        "title": ticket.title,
        "description": ticket.description,
        "status": ticket.status,
        "priority": ticket.priority,
        "priority_rank": PRIORITY_RANK[ticket.priority],
        "category": ticket.category,
        "property_id": ticket.property_id,
        "unit_id": ticket.unit_id,
        "requester_id": ticket.requester_id,
        "assignee_id": ticket.assignee_id,
        "is_deleted": ticket.is_deleted,
        "created_at": ticket.created_at,
        "updated_at": ticket.updated_at,
    }


def _changed_texts(events: Sequence[DomainEvent]) -> dict[str, str]:
    texts: dict[str, str] = {}
    for event in events:
        if isinstance(event, TicketTitleChanged):
            texts["title"] = event.title
        elif isinstance(event, TicketDescriptionChanged):
            texts["description"] = event.description
    return texts


def _comment_row(event: TicketCommented) -> dict[str, Any]:
    return {
        "id": event.comment_id,
        "ticket_id": event.originator_id,
        "ticket_version": event.originator_version,
        "text": event.text,
        "visibility": event.visibility,
        "author_id": event.author_id,
        "created_at": event.occurred_at,
    }


def _attachment_row(event: TicketFileAttached) -> dict[str, Any]:
    return {
        "id": event.attachment_id,
        "ticket_id": event.originator_id,
        "ticket_version": event.originator_version,
        "filename": event.filename,
        "content_type": event.content_type,
        "size_bytes": event.size_bytes,
        "sha256": event.sha256,
        "created_at": event.occurred_at,
    }


def _count_active(conn: Connection, active: Counter[str]) -> None:
    changes = {property_id: change for property_id, change in active.items() if change}
    if changes:
        arrays = {"property_ids": list(changes), "changes": list(changes.values())}
        conn.execute(_sql["count_active_tickets"], arrays)
