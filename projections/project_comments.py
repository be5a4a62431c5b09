"""Fills the table `comments`: present comments only, each with its present text; and their search terms."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

from msgspec.structs import replace

from domain.aggregate import DomainEvent
from domain.ticket import TicketCommented, TicketCommentEdited, TicketCommentRemoved
from infrastructure.storage.postgres import Connection, named_queries
from projections.folding import insert_rows, kinds_of, write_rows
from projections.project_search import SearchChanges
from projections.rows import CommentRow, columns_of, compose

_KINDS = kinds_of(TicketCommented | TicketCommentEdited | TicketCommentRemoved)
_sql = {
    name: compose(statement, comments=columns_of(CommentRow))
    for name, statement in named_queries(Path(__file__).parent / "sql" / "project_comments.sql").items()
}


def project_comments(conn: Connection, events: Sequence[DomainEvent], search: SearchChanges) -> None:
    """Write the comments as they are after the events. Adds their texts to `search`."""
    added: dict[str, CommentRow] = {}
    edited: dict[str, TicketCommentEdited] = {}
    removed: list[str] = []
    for event in events:
        if type(event) not in _KINDS:  # much faster than isinstance
            continue
        if isinstance(event, TicketCommented):
            added[event.comment_id] = _row(event)
            _put(search, event, event.occurred_at)
        elif isinstance(event, TicketCommentEdited):
            _put(search, event, event.commented_at)
            if row := added.get(event.comment_id):
                added[event.comment_id] = replace(row, **_changed(event))
            else:
                edited[event.comment_id] = event
        elif isinstance(event, TicketCommentRemoved):
            search.remove_comment(event.originator_id, event.comment_id)
            if added.pop(event.comment_id, None) is None:
                removed.append(event.comment_id)
    insert_rows(conn, "comments", _sql["insert_comments"], list(added.values()))
    changes = [{"id": comment_id, **_changed(event)} for comment_id, event in edited.items()]
    write_rows(conn, _sql["update_comments"], changes)
    if removed:
        conn.execute(_sql["delete_comments"], {"ids": removed})


def _put(search: SearchChanges, event: TicketCommented | TicketCommentEdited, since: datetime) -> None:
    search.put_comment(event.originator_id, event.comment_id, event.text, event.visibility, since)


def _row(event: TicketCommented) -> CommentRow:
    return CommentRow(
        id=event.comment_id,
        ticket_id=event.originator_id,
        ticket_version=event.originator_version,
        created_at=event.occurred_at,
        text=event.text,
        visibility=event.visibility,
        author_id=event.author_id,
        text_version=event.originator_version,
        edited_at=None,
    )


def _changed(event: TicketCommentEdited) -> dict[str, object]:
    """The columns that an edit changes."""
    return {
        "text": event.text,
        "text_version": event.originator_version,
        "edited_at": event.occurred_at,
    }
