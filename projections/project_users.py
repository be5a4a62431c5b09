"""Fills the table `users`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from domain.aggregate import DomainEvent
from domain.user import User, UserErased, UserEvent, UserNameChanged
from infrastructure.storage.postgres import Connection, named_queries
from projections.folding import Cursor, by_aggregate, fold, ids_with_rows, kinds_of, write_rows
from projections.people_search import search_text
from projections.rows import UserRow, assignments, columns_of, compose, shared_values

KINDS = kinds_of(UserEvent)
_CHANGES = tuple(name for name in UserRow.__struct_fields__ if name not in {"id", "created_at"})
_sql = {
    name: compose(statement, columns=columns_of(UserRow), changes=assignments(_CHANGES, "excluded"))
    for name, statement in named_queries(Path(__file__).parent / "sql" / "project_users.sql").items()
}


def select_rows(conn: Connection, events: Sequence[DomainEvent]) -> Cursor | None:
    """Select the rows that these events change; None when every user is new."""
    ids = ids_with_rows(User, by_aggregate(events))
    return conn.execute(_sql["select_users"], {"ids": ids}) if ids else None


def project(conn: Connection, events: Sequence[DomainEvent], existing: Cursor | None) -> None:
    """Write the state of the users after the events, and new names into the tickets that show them."""
    known = {row.id: _read_user(row) for row in (UserRow(*values) for values in existing or ())}
    users = [fold(User, known.get(key), changes) for key, changes in by_aggregate(events).items()]
    write_rows(conn, _sql["save_users"], [_row_values(user) for user in users])
    renamed = [event.originator_id for event in events if isinstance(event, UserNameChanged | UserErased)]
    if renamed:
        conn.execute(_sql["rename_requesters"], {"ids": renamed})
        conn.execute(_sql["rename_assignees"], {"ids": renamed})
        conn.execute(_sql["mark_tickets_of_authors"], {"ids": renamed})


def _row_values(user: User) -> dict[str, Any]:
    return {**shared_values(user, UserRow), "search": search_text(user.name, user.email)}


def _read_user(row: UserRow) -> User:
    values = shared_values(row, User)
    return User(**{**values, "property_ids": tuple(row.property_ids), "preferences": row.read_preferences()})
