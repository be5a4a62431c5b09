"""Fills the table `users`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from domain.aggregate import DomainEvent
from domain.user import Preferences, User, UserErased, UserEvent, UserNameChanged
from infrastructure.storage.postgres import Connection, named_queries
from projections.folding import Cursor, already_there, by_aggregate, fold, kinds_of, write_rows

KINDS = kinds_of(UserEvent)
_sql = named_queries(Path(__file__).parent / "sql" / "project_users.sql")
_preferences = msgspec.json.Decoder(Preferences)


def select_rows(conn: Connection, events: Sequence[DomainEvent]) -> Cursor | None:
    """Ask for the rows these events change; None when they are all new."""
    ids = already_there(User, by_aggregate(events))
    return conn.execute(_sql["select_users"], {"ids": ids}) if ids else None


def project(conn: Connection, events: Sequence[DomainEvent], existing: Cursor | None) -> None:
    """Write what the events made of the users, and the new names into the tickets that show them."""
    known = _read(existing)
    users = [fold(User, known.get(key), changes) for key, changes in by_aggregate(events).items()]
    write_rows(conn, _sql["save_users"], [_row(user) for user in users])
    renamed = [event.originator_id for event in events if isinstance(event, UserNameChanged | UserErased)]
    if renamed:
        conn.execute(_sql["rename_requesters"], {"ids": renamed})
        conn.execute(_sql["rename_assignees"], {"ids": renamed})
        conn.execute(_sql["mark_tickets_of_authors"], {"ids": renamed})


def _read(existing: Cursor | None) -> dict[str, User]:
    users: dict[str, User] = {}
    for key, version, name, email, phone, role, property_ids, preferences, *times in existing or ():
        created_at, updated_at = times
        users[key] = User(
            id=key,
            version=version,
            name=name,
            email=email,
            phone=phone,
            role=role,
            property_ids=tuple(property_ids),
            preferences=_preferences.decode(preferences),
            created_at=created_at,
            updated_at=updated_at,
        )
    return users


def _row(user: User) -> dict[str, Any]:
    return {
        "id": user.id,
        "version": user.version,
        "name": user.name,
        "email": user.email,
        "phone": user.phone,
        "role": user.role,
        "property_ids": user.property_ids,
        "preferences": user.preferences,
        "created_at": user.created_at,
        "updated_at": user.updated_at,
    }
