"""The rights of a caller at a position of the log, and how they have changed."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from domain.access import Caller, EffectiveRights, Rights, Role, effective_rights
from domain.user import User
from infrastructure.storage.event_store import decode
from infrastructure.storage.postgres import PooledConnection, named_queries

_sql = named_queries(Path(__file__).parent / "sql" / "changes.sql")


class State(NamedTuple):
    """The columns of read_state. `changed_at` is the position of the last event of the caller's person; 0 for
    a credential of no person, whose rights never change."""

    position: int
    tables: int
    role: Role | None
    property_ids: list[str] | None
    changed_at: int
    key_role: Role
    key_property_ids: list[str]


class RightsHistory:
    """The rights of the caller now, in the snapshot of the transaction, and earlier."""

    def __init__(self, conn: PooledConnection, caller: Caller, state: State) -> None:
        self._conn = conn
        self._user_id = caller.user_id
        self._credential = state.key_role, state.key_property_ids
        self.changed_at = state.changed_at
        self.now = self._effective(state.role, state.property_ids)

    def as_of(self, position: int) -> EffectiveRights:
        """The rights after the events up to that position; none at all before the person was registered."""
        if position >= self.changed_at:
            return self.now
        rows = self._conn.fetch(_sql["user_events"], {"user_id": self._user_id, "position": position})
        user = User.fold(None, [decode(bytes(state)) for (state,) in rows])
        return self._effective(user.role if user else "guest", list(user.property_ids) if user else [])

    def _effective(self, role: Role | None, property_ids: list[str] | None) -> EffectiveRights:
        person = None if self._user_id is None else (role or "guest", property_ids or [])
        return effective_rights(person, self._credential)


def are_equal(one: Rights, other: Rights) -> bool:
    """Whether both allow the same: the rights of the person may have changed where the key does not allow
    them."""
    return (one.role, one.property_ids) == (other.role, other.property_ids)


class ReachChange(NamedTuple):
    """The properties that a change of rights has added and removed, sorted. A client removes the objects of
    the latter, and gets those of the former. `is_whole`: it gets everything that it may see."""

    gained: list[str]
    lost: list[str]
    is_whole: bool

    @classmethod
    def between(cls, conn: PooledConnection, before: EffectiveRights, after: EffectiveRights) -> ReachChange:
        """A guest sees tickets as their requester, in any property. So a change from or to guest removes
        everything, and a guest gains no property."""
        every = frozenset(key for (key,) in conn.fetch(_sql["property_ids"]))
        had = every if before.property_ids is None else before.property_ids
        has = every if after.property_ids is None else after.property_ids
        if "guest" not in (before.role, after.role):
            return cls(sorted(has - had), sorted(had - has), is_whole=False)
        if before.role == after.role:
            return cls(sorted(has - had), sorted(had - has), is_whole=True)
        lost = every if before.role == "guest" else had
        return cls([] if after.role == "guest" else sorted(has), sorted(lost), is_whole=True)
