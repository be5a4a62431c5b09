"""Deactivating people who leave, and reactivating them.

A row of `access.deactivated_people` commits with the event, so that every process refuses the person's keys,
tokens and sessions from the commit on. They are not revoked: reactivation makes keys and tokens valid again.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from commands.deciding import Change
from commands.link_statements import void_link
from domain.access import Caller, Context
from domain.errors import Conflict, Forbidden
from domain.user import User
from infrastructure.storage.event_store import EventStore
from infrastructure.storage.postgres import Statement, named_queries
from infrastructure.storage.snapshots import Snapshot

_sql = named_queries(Path(__file__).parent / "sql" / "activity.sql")


class LastAdmin(Conflict):
    def __init__(self) -> None:
        message = "This is the last active admin. Register or reactivate another admin first."
        super().__init__(message, details={"active": [message]})


def require_other_person(caller: Caller, user: User) -> None:
    """Raise Forbidden if the person is the caller: nobody locks themselves out."""
    if user.id == caller.user_id:
        raise Forbidden("You may not deactivate yourself. Ask another manager or admin.")


def change_activity(store: EventStore, user: User, context: Context, *, was_admin: bool) -> Change:
    """What commits with the events of a person who has just been deactivated or reactivated.

    Raises LastAdmin for an admin if no other admin is active. The change commits only if that other admin has
    not changed.
    """
    parameters = {"user_id": user.id, "at": context.at}
    if user.is_active:
        return Change([(_sql["reactivate"], parameters), (_sql["delete_sessions"], parameters)])
    statements: list[Statement] = [
        (_sql["deactivate"], parameters),
        (_sql["delete_sessions"], parameters),
        *void_link(user.id),
    ]
    if not was_admin:
        return Change(statements)
    return Change([(_sql["take_turns"], ()), *statements], [_other_admin(store, user.id)])


def _other_admin(store: EventStore, user_id: str) -> Snapshot[Any]:
    """Another active admin. The read tables, which may be out of date, name the candidates."""
    for (other_id,) in store.select(_sql["other_admins"], {"user_id": user_id}):
        other = store.find(User, other_id)
        if other is not None and other.role == "admin" and other.is_active:
            snapshot = store.recall(User, other_id)
            if snapshot is not None and snapshot.aggregate.version == other.version:
                return snapshot
    raise LastAdmin
