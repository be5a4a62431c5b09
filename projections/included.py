"""What a list of tickets shows with each of them if it is asked to: files, comments and history.

All of it is one column of the statement that selects the page: a list is one statement whatever it includes.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal, LiteralString

import msgspec
from msgspec import UNSET, UnsetType
from psycopg import sql

from domain.access import Caller
from domain.changes import ticket_steps
from domain.events import StoredDomainEvent
from domain.ticket import Ticket, TicketCommentEdited, TicketCommentRemoved
from infrastructure.storage.postgres import named_queries
from infrastructure.storage.stored_snapshots import shape_of
from projections.history_entries import Present, hide_removed, view_entries
from projections.rows import compose
from projections.views import AttachmentView, CommentView, HistoryEntry

Include = Literal["attachments", "comments", "history"]
FindState = Callable[[str, int], Ticket | None]

ENTRIES_SHOWN = 100  # the newest ones, with a ticket
COMMENTS_SHOWN = 100  # the newest ones, with a ticket
BYTES_OF_EACH = 262_144  # of the comments and of the events of a ticket in a list, which may have 100 tickets
VISIBLE = {True: sql.SQL("true"), False: sql.SQL("visibility = 'public'")}  # by `include_internal`
_REPLACING = [str(kind.__struct_config__.tag) for kind in (TicketCommentEdited, TicketCommentRemoved)]
_sql = named_queries(Path(__file__).parent / "sql" / "included.sql")

FILES = sql.SQL(_sql["files"])


class _Stored(msgspec.Struct, frozen=True):
    """The column `history`; see sql/included.sql. Aggregates of no rows are null."""

    first: int
    before: Ticket | None
    events: list[StoredDomainEvent]
    names: dict[str, str] | None
    files: list[str] | None
    texts: list[int] | None
    replaced: list[StoredDomainEvent] | None


class _Column(msgspec.Struct, frozen=True):
    """What is included with a ticket; a field is null if there is none of it."""

    attachments: list[AttachmentView] | UnsetType | None = UNSET
    comments: list[CommentView] | UnsetType | None = UNSET
    history: _Stored | UnsetType = UNSET


_decode = msgspec.json.Decoder(_Column).decode


def comments_column(*, include_internal: bool, limit: int) -> sql.Composed:
    """The statement that selects the newest comments of the ticket `t`, and the position of their names."""
    return sql.SQL(_sql["comments"]).format(newest=_newest(include_internal, limit))


def included_column(caller: Caller, include: tuple[Include, ...]) -> LiteralString:
    """The expression of the column `included` for the ticket `t`."""
    return _column(tuple(sorted(set(include))), caller.role != "guest", caller.is_auditor)


def included_parameters(include: tuple[Include, ...]) -> dict[str, Any]:
    """The parameters of the expression."""
    if "history" not in include:
        return {}
    return {"snapshot_shape": shape_of(Ticket), "replacing_topics": _REPLACING}


def read_included(
    ticket_id: str, column: str | None, *, is_auditor: bool, find_state: FindState
) -> dict[str, Any]:
    """The fields of TicketSummary that the column contains. Only auditors see former texts of comments.

    `find_state` returns the ticket at a version. It is called for a ticket with many events that has no
    stored snapshot.
    """
    if column is None:
        return {}
    found = _decode(column)
    fields: dict[str, Any] = {
        name: value or []
        for name in ("attachments", "comments")
        if (value := getattr(found, name)) is not UNSET
    }
    if isinstance(found.history, _Stored):
        fields["history"] = _entries(ticket_id, found.history, is_auditor, find_state)
    return fields


@lru_cache(maxsize=32)
def _column(include: tuple[Include, ...], include_internal: bool, is_auditor: bool) -> LiteralString:
    if not include:
        return "NULL::text"
    limited = sql.SQL(_sql["within_bytes"]).format(
        newest=_newest(include_internal, COMMENTS_SHOWN), bytes=sql.Literal(BYTES_OF_EACH)
    )
    parts = {
        "attachments": FILES,
        "comments": sql.SQL("SELECT comments FROM ({}) c").format(
            sql.SQL(_sql["comments"]).format(newest=limited)
        ),
        "history": sql.SQL(_sql["history"]).format(
            is_auditor=sql.SQL("true" if is_auditor else "false"),
            limit=sql.Literal(ENTRIES_SHOWN),
            bytes=sql.Literal(BYTES_OF_EACH),
        ),
    }
    pairs = [sql.SQL("{}, ({})").format(sql.Literal(name), parts[name]) for name in include]
    return compose("json_build_object({pairs})::text", pairs=sql.SQL(", ").join(pairs))


def _newest(include_internal: bool, limit: int) -> sql.Composed:
    return sql.SQL(_sql["newest_comments"]).format(
        visible=VISIBLE[include_internal], limit=sql.Literal(limit)
    )


def _entries(ticket_id: str, stored: _Stored, is_auditor: bool, find_state: FindState) -> list[HistoryEntry]:
    before = stored.before
    if before is None and stored.first > 1:
        before = find_state(ticket_id, stored.first - 1)
    texts = {event.originator_version: getattr(event, "text", "") for event in stored.replaced or ()}
    steps = [
        step
        for step in ticket_steps(stored.events, before, texts)
        if step[0].originator_version >= stored.first
    ]
    if not is_auditor:
        hide_removed(steps, Present(texts=set(stored.texts or ()), files=set(stored.files or ())))
    return view_entries(steps, stored.names or {})
