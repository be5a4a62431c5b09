"""Fills the tables `tickets`, `comments` and `attachments`, and counts the active tickets of properties.

projections/project_past_tickets.py fills the tables of earlier versions, projections/project_search.py those
of the search.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from domain.aggregate import DomainEvent
from domain.ticket import (
    Ticket,
    TicketDescriptionChanged,
    TicketEvent,
    TicketFileAttached,
    TicketFileRemoved,
    TicketOpened,
    TicketTitleChanged,
)
from infrastructure.storage.postgres import Connection, named_queries
from projections.folding import (
    Cursor,
    PositionedEvent,
    by_aggregate,
    ids_with_rows,
    insert_rows,
    kinds_of,
    write_rows,
)
from projections.project_comments import project_comments
from projections.project_counts import TicketCounts, counted_values
from projections.project_past_tickets import PRIORITY_RANK, REWORDING, PastTickets
from projections.project_search import SearchChanges, copied_values, values_in_terms
from projections.rows import (
    AttachmentRow,
    TicketRow,
    assignments,
    columns,
    columns_of,
    compose,
    shared_fields,
    shared_values,
)

KINDS = kinds_of(TicketEvent)
_FILE_KINDS = kinds_of(TicketFileAttached | TicketFileRemoved)
_TEXTS = ("title", "description")
_COPIED = shared_fields(Ticket, TicketRow)
_KEPT = tuple(name for name in _COPIED if name not in _TEXTS)
_STORED = (*_COPIED, "priority_rank", "number")
_CHANGES = tuple(n for n in _STORED if n not in {"id", "number", "created_at", *_TEXTS})
_sql = {
    name: compose(
        statement,
        kept=columns(_KEPT),
        stored=columns(_STORED),
        changes=assignments(_CHANGES, "r"),
        attachments=columns_of(AttachmentRow),
    )
    for name, statement in named_queries(Path(__file__).parent / "sql" / "project_tickets.sql").items()
}


def select_rows(conn: Connection, events: Sequence[PositionedEvent]) -> Cursor | None:
    """Select the rows that these events change; None when every ticket is new."""
    ids = ids_with_rows(Ticket, by_aggregate(event for _, event in events))
    reworded = [event.originator_id for _, event in events if type(event) in REWORDING]
    return conn.execute(_sql["select_tickets"], {"ids": ids, "reworded": reworded}) if ids else None


def project(
    conn: Connection,
    positioned: Sequence[PositionedEvent],
    existing: Cursor | None,
    past: PastTickets,
    counts: TicketCounts,
    search: SearchChanges,
    late_at: int | None = None,
) -> None:
    """Write the state of the tickets after the events. Adds their earlier states to `past`, their changes to
    `counts`, and the texts to search for to `search`. The rows get the position `late_at`, if given, instead
    of that of their last event.
    """
    events = [event for _, event in positioned]
    numbers = {event.originator_id: at for at, event in positioned if type(event) is TicketOpened}
    last_positions = {event.originator_id: late_at or position for position, event in positioned}
    known = _read_tickets(existing)
    opened: list[dict[str, Any]] = []
    changed: list[dict[str, Any]] = []
    texts: list[dict[str, Any]] = []
    for key, changes in by_aggregate(events).items():
        is_new = key not in known
        copied, in_terms = (
            (None, None) if is_new else (copied_values(known[key]), values_in_terms(known[key]))
        )
        before = counted_values(known.get(key))
        ticket = past.advance(known.get(key), changes)
        ticket.position = last_positions[key]
        counts.change(before, counted_values(ticket))
        if is_new:
            opened.append({**_ticket_values(ticket), "number": numbers[key]})
            search.put_texts(ticket, is_new=True)
            continue
        changed.append(_ticket_values(ticket))
        if copied_values(ticket) != copied:
            search.copy_columns(key)
        if values_in_terms(ticket) != in_terms:
            search.refresh(key)
        if text := _changed_texts(changes):
            texts.append({"id": key, **text})
            search.put_texts(ticket, is_new=False)
    insert_rows(conn, "tickets", _sql["insert_tickets"], opened)
    write_rows(conn, _sql["update_tickets"], changed)
    write_rows(conn, _sql["update_texts"], texts)
    project_comments(conn, events, search)
    _project_attachments(conn, events)


def _read_tickets(existing: Cursor | None) -> dict[str, Ticket]:
    """The stored tickets by id, with the columns of select_tickets: no comments or attachments, few texts."""
    tickets: dict[str, Ticket] = {}
    for row in existing or ():
        values = dict(zip((*_KEPT, *_TEXTS), row, strict=True))
        values["tags"] = tuple(values["tags"] or ())
        values["external_ids"] = values["external_ids"] or {}
        tickets[values["id"]] = Ticket(**values)
    return tickets


def _ticket_values(ticket: Ticket) -> dict[str, Any]:
    return {
        **shared_values(ticket, TicketRow),
        "tags": list(ticket.tags) or None,
        "external_ids": ticket.external_ids or None,
        "priority_rank": PRIORITY_RANK[ticket.priority],
    }


def _changed_texts(events: Sequence[DomainEvent]) -> dict[str, str]:
    texts: dict[str, str] = {}
    for event in events:
        if type(event) not in REWORDING:  # much faster than isinstance
            continue
        if isinstance(event, TicketTitleChanged):
            texts["title"] = event.title
        if isinstance(event, TicketDescriptionChanged):
            texts["description"] = event.description
    return texts


def _project_attachments(conn: Connection, events: Sequence[DomainEvent]) -> None:
    changes = [event for event in events if type(event) in _FILE_KINDS]
    removed = [event.attachment_id for event in changes if isinstance(event, TicketFileRemoved)]
    attached = [_attachment_row(event) for event in changes if isinstance(event, TicketFileAttached)]
    write_rows(conn, _sql["insert_attachments"], attached)
    if removed:
        conn.execute(_sql["delete_attachments"], {"ids": removed})


def _attachment_row(event: TicketFileAttached) -> AttachmentRow:
    return AttachmentRow(
        id=event.attachment_id,
        ticket_id=event.originator_id,
        ticket_version=event.originator_version,
        created_at=event.occurred_at,
        **shared_values(event, AttachmentRow),
    )
