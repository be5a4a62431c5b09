"""Fills the table `users`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from domain.user import User, UserErased, UserEvent, UserNameChanged, UserRegistered
from infrastructure.storage.postgres import Connection, named_queries
from projections.folding import (
    Cursor,
    PositionedEvent,
    by_aggregate,
    fold,
    ids_with_rows,
    kinds_of,
    name_positions,
    write_rows,
)
from projections.name_words import search_text
from projections.rows import UserRow, assignments, columns_of, compose, shared_values

KINDS = kinds_of(UserEvent)
_NAMING = kinds_of(UserRegistered | UserNameChanged | UserErased)
_CHANGES = tuple(name for name in UserRow.__struct_fields__ if name not in {"id", "created_at"})
_sql = {
    name: compose(statement, columns=columns_of(UserRow), changes=assignments(_CHANGES, "excluded"))
    for name, statement in named_queries(Path(__file__).parent / "sql" / "project_users.sql").items()
}


def select_rows(conn: Connection, events: Sequence[PositionedEvent]) -> Cursor | None:
    """Select the rows that these events change; None when every user is new."""
    ids = ids_with_rows(User, by_aggregate(event for _, event in events))
    return conn.execute(_sql["select_users"], {"ids": ids}) if ids else None


def project(conn: Connection, events: Sequence[PositionedEvent], existing: Cursor | None) -> None:
    """Write the state of the users after the events."""
    known = {row.id: row for row in (UserRow(*values) for values in existing or ())}
    named_at = name_positions(events, _NAMING)
    last_positions = {event.originator_id: position for position, event in events}
    rows = []
    for key, changes in by_aggregate(event for _, event in events).items():
        row = known.get(key)
        user = fold(User, _read_user(row) if row else None, changes)
        user.position = last_positions[key]
        rows.append(_row_values(user, named_at.get(key) or (row.name_position if row else 0)))
    write_rows(conn, _sql["save_users"], rows)


def _row_values(user: User, name_position: int) -> dict[str, Any]:
    added = {"search": search_text(user.name, user.email), "name_position": name_position}
    return {**shared_values(user, UserRow), **added, "external_ids": user.external_ids or None}


def _read_user(row: UserRow) -> User:
    values = shared_values(row, User)
    values |= {"property_ids": tuple(row.property_ids), "preferences": row.read_preferences()}
    return User(**{**values, "external_ids": row.external_ids or {}})
