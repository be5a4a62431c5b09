"""Erasing a person: personal values are removed; what the person did stays recorded under their id."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec

from commands.deciding import change
from commands.users import visible_user
from domain.access import Context
from domain.user import User
from infrastructure.storage.event_store import EventStore
from infrastructure.storage.postgres import Statement, named_queries

_sql = named_queries(Path(__file__).parent / "sql" / "erasure.sql")
_encode = msgspec.json.Encoder().encode


def erase_user(store: EventStore, user_id: str, context: Context) -> User:
    """Erase a person; do nothing if the person is erased already.

    One commit records the event, deletes the key of the personal fields, revokes the person's API keys, and
    replaces copies of the personal values. The read tables follow the log.
    """

    def decide(user: User) -> list[Statement]:
        context.caller.require("admin", "erase people")
        context.caller.require_rights(user.rights, "erase this person")
        user.erase(context)
        return _remove_traces(store, user.id, context) if user.pending else []

    return change(store, user_id, context, lambda: visible_user(store, context.caller, user_id), decide)


def _remove_traces(store: EventStore, user_id: str, context: Context) -> list[Statement]:
    literals = _literals(store, user_id)
    parameters = {
        "user_id": user_id,
        "at": context.at,
        "literals": list(literals),
        "replacements": list(literals.values()),
    }
    return [(statement, parameters) for statement in _sql.values()]


def _literals(store: EventStore, user_id: str) -> dict[str, str]:
    """The JSON of every personal value of this person in the log, each with the JSON of its placeholder."""
    literals: dict[str, str] = {}
    for event in store.history(User, user_id):
        for field, placeholder in event.personal.items():
            value: Any = getattr(event, field)
            if value is not None:
                literals[_encode(value).decode()] = _encode(placeholder).decode()
    return literals
