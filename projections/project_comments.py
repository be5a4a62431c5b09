"""Fills the table `comments`: present comments only, each with its present text."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from msgspec.structs import replace

from domain.aggregate import DomainEvent
from domain.ticket import TicketCommented, TicketCommentEdited, TicketCommentRemoved
from infrastructure.storage.postgres import Connection, named_queries
from projections.folding import write_rows
from projections.rows import CommentRow, columns_of, compose, shared_values

_sql = {
    name: compose(statement, comments=columns_of(CommentRow))
    for name, statement in named_queries(Path(__file__).parent / "sql" / "project_comments.sql").items()
}


def project_comments(conn: Connection, events: Sequence[DomainEvent]) -> None:
    """Write the comments as they are after the events."""
    added: dict[str, CommentRow] = {}
    edited: dict[str, TicketCommentEdited] = {}
    removed: list[str] = []
    for event in events:
        if isinstance(event, TicketCommented):
            added[event.comment_id] = _row(event)
        elif isinstance(event, TicketCommentEdited):
            if row := added.get(event.comment_id):
                added[event.comment_id] = replace(row, **_changed(event))
            else:
                edited[event.comment_id] = event
        elif isinstance(event, TicketCommentRemoved) and added.pop(event.comment_id, None) is None:
            removed.append(event.comment_id)
    write_rows(conn, _sql["insert_comments"], list(added.values()))
    changes = [{"id": comment_id, **_changed(event)} for comment_id, event in edited.items()]
    write_rows(conn, _sql["update_comments"], changes)
    if removed:
        conn.execute(_sql["delete_comments"], {"ids": removed})


def _row(event: TicketCommented) -> CommentRow:
    return CommentRow(
        id=event.comment_id,
        ticket_id=event.originator_id,
        ticket_version=event.originator_version,
        created_at=event.occurred_at,
        text_version=event.originator_version,
        edited_at=None,
        **shared_values(event, CommentRow),
    )


def _changed(event: TicketCommentEdited) -> dict[str, object]:
    """The columns that an edit changes."""
    return {
        "text": event.text,
        "text_version": event.originator_version,
        "edited_at": event.occurred_at,
    }
