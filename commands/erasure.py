"""Forgetting a person: what they were called is gone, what they did stays under their id."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec

from commands.users import visible_user
from domain.access import Context
from domain.user import User
from infrastructure.storage.event_store import EventStore, decide
from infrastructure.storage.postgres import Statement, named_queries

_sql = named_queries(Path(__file__).parent / "sql" / "erasure.sql")
_encode = msgspec.json.Encoder().encode


class EraseUser(msgspec.Struct, frozen=True, kw_only=True):
    user_id: str


def erase_user(store: EventStore, command: EraseUser, context: Context) -> User:
    """Erase a person; one who is erased already is left as they are.

    In one commit the log is told, the key of their personal fields is destroyed, their API keys stop, and
    copies of what they were called are scrubbed. The read tables follow the log.
    """

    def attempt() -> User:
        user = visible_user(store, context.caller, command.user_id)
        context.caller.require("admin", "erase people")
        context.caller.require_rights(user.rights, "erase this person")
        user.erase(context)
        if user.pending:
            store.save(user, also=_traces(store, user.id, context))
        return user

    return decide(store, command.user_id, attempt)


def _traces(store: EventStore, user_id: str, context: Context) -> list[Statement]:
    literals = _literals(store, user_id)
    parameters = {
        "user_id": user_id,
        "at": context.at,
        "given": list(literals),
        "instead": list(literals.values()),
    }
    return [(statement, parameters) for statement in _sql.values()]


def _literals(store: EventStore, user_id: str) -> dict[str, str]:
    """Every personal value the log holds of them, in JSON, with the JSON of its placeholder."""
    literals: dict[str, str] = {}
    for event in store.history(User, user_id):
        for field, placeholder in event.personal.items():
            value: Any = getattr(event, field)
            if value is not None:
                literals[_encode(value).decode()] = _encode(placeholder).decode()
    return literals
