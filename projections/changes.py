"""Reads what has changed after a position of the log, of all that a caller may see.

Each object is at the position of its last event (the column `position` of the read tables), so a client reads
it once, in its newest state, also from the beginning. An object that has left the caller's reach is found by
the event with which it left (`left_ids` in the table audit_events). docs/decisions/0028-changes.md has the
reasons.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import msgspec

from domain.access import Caller, EffectiveRights
from domain.errors import Invalid
from infrastructure.storage.postgres import Pool, PooledConnection, named_queries
from projections.change_items import ChangeItem, read_items
from projections.change_position import ChangePosition, Gained
from projections.change_rights import ReachChange, RightsHistory, State, are_equal
from projections.change_scope import Followed, Scope

MAX_ATTEMPTS = 3
_sql = named_queries(Path(__file__).parent / "sql" / "changes.sql")


class ChangesQuery(msgspec.Struct, frozen=True, kw_only=True):
    """One page of changes. Without `full` the items have no objects, only their ids and versions."""

    after: ChangePosition = ChangePosition()
    limit: int = 100
    of: tuple[Followed, ...] = ("tickets",)
    full: bool = True


class ChangesPage(NamedTuple):
    """`position` is where the next page begins. `has_more`: it can be read now. `seen` is the position of the
    log that the page shows, and `scope` what the caller may see there."""

    items: list[ChangeItem]
    position: ChangePosition
    has_more: bool
    seen: int
    scope: Scope


def read_changes(pool: Pool, caller: Caller, query: ChangesQuery) -> ChangesPage:
    """The changes after the position, from one snapshot of the read tables.

    Raises Invalid when the position is beyond the end of the log.
    """
    for _ in range(MAX_ATTEMPTS):
        with pool.connection() as conn, _snapshot(conn):
            ids = {"user_id": caller.user_id, "credential_id": caller.credential_id}
            state = State(*conn.fetch(_sql["read_state"], ids)[0])
            page = _Reader(conn, caller, query, state).read()
            ((tables,),) = conn.fetch(_sql["read_tables"])
            if tables == state.tables:
                return page
        # A rebuild has exchanged the tables. The snapshot is older than the rows of the new ones.
    raise RuntimeError("the read tables were exchanged in each attempt to read them")


@contextmanager
def _snapshot(conn: PooledConnection) -> Iterator[None]:
    """A transaction whose statements all see the same state."""
    with conn.transaction():
        conn.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        yield


class _Reader:
    """Reads one page in a transaction."""

    def __init__(self, conn: PooledConnection, caller: Caller, query: ChangesQuery, state: State) -> None:
        self._conn = conn
        self._caller = caller
        self._query = query
        self._end = state.position
        self._rights = RightsHistory(conn, caller, state)
        self._visible = self._scope_of(self._rights.now)

    def read(self) -> ChangesPage:
        after = self._query.after
        if after.position > self._end:
            self._require_known(after.position)
            return self._page([], after, has_more=False)
        changed_at, now = self._rights.changed_at, self._rights.now
        known_at = changed_at if after.rights_at is None else after.rights_at
        known = self._rights.as_of(known_at)
        if not are_equal(known, now):
            return self._announce(after, known, known_at)
        known_at = max(known_at, changed_at)
        if after.gained is not None:
            return self._read_gained(after.position, known_at, after.gained)
        items, reached = self._read(self._visible, after.position, self._end)
        return self._page(items, ChangePosition.at(reached, known_at), has_more=reached < self._end)

    def _announce(self, after: ChangePosition, known: EffectiveRights, known_at: int) -> ChangesPage:
        """A page that says that the rights have changed. Nothing is returned before it: a change in a lost
        property could not be shown, and would be missing if the property is gained again."""
        change = ReachChange.between(self._conn, known, self._rights.now)
        item = ChangeItem(
            position=after.position,
            kind="reach_changed",
            role=self._rights.now.role,
            gained=change.gained,
            lost=change.lost,
        )
        rights_at = self._rights.changed_at
        if after.gained is not None:  # some of the objects of the change before are missing: begin again
            then = ChangePosition(0, rights_at)
        elif change.gained or change.is_whole:
            then = ChangePosition(after.position, rights_at, Gained(known_at, 0))
        else:
            then = ChangePosition.at(after.position, rights_at)
        return self._page([item], then, has_more=True)

    def _read_gained(self, position: int, known_at: int, gained: Gained) -> ChangesPage:
        """Objects of the properties that a change of the rights has added, up to the position of the client.
        For the client they change at this position."""
        before = self._rights.as_of(gained.rights_before)
        change = ReachChange.between(self._conn, before, self._rights.now)
        scope = self._visible if change.is_whole else self._visible.limited_to(set(change.gained))
        items, reached = self._read(scope, gained.sent_up_to, position, with_moved=False)
        for item in items:
            item.position = position
        if reached < position:
            then = ChangePosition(position, known_at, Gained(gained.rights_before, reached))
            return self._page(items, then, has_more=True)
        return self._page(items, ChangePosition.at(position, known_at), has_more=position < self._end)

    def _read(
        self, scope: Scope, after: int, end: int, *, with_moved: bool = True
    ) -> tuple[list[ChangeItem], int]:
        return read_items(
            self._conn,
            scope,
            after,
            end,
            limit=self._query.limit,
            of=self._query.of,
            full=self._query.full,
            with_moved=with_moved,
            visible=self._visible,
        )

    def _scope_of(self, rights: EffectiveRights) -> Scope:
        return Scope.of(rights, self._caller.principal_id)

    def _page(self, items: list[ChangeItem], position: ChangePosition, *, has_more: bool) -> ChangesPage:
        return ChangesPage(items, position, has_more, self._end, self._visible)

    def _require_known(self, position: int) -> None:
        """Raise Invalid if the log does not have that position yet."""
        ((end,),) = self._conn.fetch(_sql["read_end"])
        if position > end:
            raise Invalid({"after": [f"The after parameter is past the end of the log, {end}."]})
