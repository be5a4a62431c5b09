"""Stores events in PostgreSQL behind the library's recorder interface, without a table lock.

An append is one INSERT on an autocommitting connection; followers read up to a watermark (the protocol is
described in migrations/0001_event_log.sql). docs/decisions/0002-event-log.md gives the reasons.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from typing import Any, LiteralString, NamedTuple

import psycopg
from eventsourcing.persistence import ApplicationRecorder, IntegrityError, Notification, StoredEvent
from eventsourcing.popo import POPOApplicationRecorder

from infrastructure.process.observers import observers
from infrastructure.storage.outcomes import making_change
from infrastructure.storage.postgres import Connection, Pool, PooledConnection, Statement, fetch_value

LastStates = Sequence[tuple[str, bytes]]  # aggregate ids, each with the stored bytes of its last event

_INSERT_ONE: LiteralString = (
    "INSERT INTO es.stored_events (originator_id, originator_version, topic, state) "
    "VALUES (%b, %b, %b, %b) RETURNING notification_id"
)
_INSERT_MANY: LiteralString = (
    "INSERT INTO es.stored_events (originator_id, originator_version, topic, state) "
    "SELECT * FROM unnest(%b::text[], %b::bigint[], %b::text[], %b::bytea[]) RETURNING notification_id"
)
# Appends only if each known aggregate has that state as its last event.
_IF_UNCHANGED: LiteralString = (
    " WHERE NOT EXISTS ("
    " SELECT FROM unnest(%b::text[], %b::bytea[]) AS known (id, state)"
    "  WHERE known.state IS DISTINCT FROM ("
    "   SELECT state FROM es.stored_events"
    "    WHERE originator_id = known.id ORDER BY originator_version DESC LIMIT 1)"
    ") RETURNING notification_id"
)
_INSERT_ONE_IF: LiteralString = (
    "INSERT INTO es.stored_events (originator_id, originator_version, topic, state) "
    "SELECT %b::text, %b::bigint, %b::text, %b::bytea" + _IF_UNCHANGED
)
_INSERT_MANY_IF: LiteralString = (
    "INSERT INTO es.stored_events (originator_id, originator_version, topic, state) "
    "SELECT * FROM unnest(%b::text[], %b::bigint[], %b::text[], %b::bytea[])" + _IF_UNCHANGED
)
_SELECT_STATES: LiteralString = (
    "SELECT state FROM es.stored_events "
    "WHERE originator_id = %b AND originator_version > %b ORDER BY originator_version"
)
_SELECT_STATES_OF_BOTH: LiteralString = (
    "(SELECT true, state FROM es.stored_events"
    "  WHERE originator_id = %b AND originator_version > %b ORDER BY originator_version)"
    " UNION ALL "
    "(SELECT false, state FROM es.stored_events"
    "  WHERE originator_id = %b AND originator_version > %b ORDER BY originator_version)"
)
_SELECT_RECORDED: LiteralString = """
SELECT notification_id, state FROM es.stored_events
 WHERE originator_id = %b AND originator_version BETWEEN %b AND %b ORDER BY originator_version
"""
_SELECT_BACKWARDS: LiteralString = (
    "SELECT originator_version, state FROM es.stored_events "
    "WHERE originator_id = %b AND originator_version > %b AND originator_version <= %b"
    "  AND topic = ANY(coalesce(%b::text[], ARRAY[topic])) "
    "ORDER BY originator_version DESC LIMIT %b"
)
_SELECT_EVENTS: LiteralString = (
    "SELECT originator_id, originator_version, topic, state FROM es.stored_events "
    "WHERE originator_id = %(id)s"
    "  AND (%(gt)s::bigint IS NULL OR originator_version > %(gt)s)"
    "  AND (%(lte)s::bigint IS NULL OR originator_version <= %(lte)s)"
    " ORDER BY CASE WHEN %(desc)s THEN -originator_version ELSE originator_version END LIMIT %(limit)s"
)
_READ: LiteralString = (
    "SELECT notification_id, originator_id, originator_version, topic, state"
    "  FROM es.stored_events_read(%b, %b, %b)"
)
# The watermark may be above the last event, when an append was rolled back or lost in a crash.
_LOG_END: LiteralString = """
SELECT least(es.stored_events_watermark(), coalesce(max(notification_id), 0)) FROM es.stored_events
"""

# Two int4 keys: a different key space from the bigint keys of the watermark.
_LOCK_AGGREGATE: LiteralString = "SELECT pg_advisory_lock(17747, hashtext(%b))"
_UNLOCK_AGGREGATE: LiteralString = "SELECT pg_advisory_unlock(17747, hashtext(%b))"


class StoredRow(NamedTuple):
    """A row of the log."""

    position: int
    aggregate_id: str
    version: int
    event_type: str
    state: bytes


class RowExists(IntegrityError):
    """A row of the statements that commit with the events exists already in `table`. Nothing was stored."""

    def __init__(self, message: str, table: str) -> None:
        super().__init__(message)
        self.table = table


class OutOfDate(Exception):
    """An aggregate that the decision relied on has changed. Nothing was stored: load and decide again."""


class WatermarkRecorder(ApplicationRecorder):
    """Stores events in `es.stored_events`.

    `locks` is the pool of connections for `exclusive`, if the sessions of `pool` keep no state. With
    `lock="table"` each append also takes an EXCLUSIVE lock on the table, as the library does. This is a
    fallback in case the watermark has a fault; readers do the same with both.
    """

    def __init__(self, pool: Pool, *, lock: str = "watermark", locks: Pool | None = None) -> None:
        self._pool = pool
        self._locks = locks or pool
        self._locks_table = lock == "table"
        self._held = threading.local()

    @contextmanager
    def exclusive(self, originator_id: str) -> Iterator[None]:
        """Run the block under an advisory lock of this aggregate, which excludes other processes too.

        If the lock is held on a connection of the same pool, this thread uses that connection in the block.
        Otherwise it could wait for a connection while the threads that wait for the lock occupy all of them.
        Raises psycopg.errors.LockNotAvailable after the connection's lock_timeout.
        """
        with self._locks.connection() as conn:
            conn.execute(_LOCK_AGGREGATE, (originator_id,))
            self._held.connection = conn if self._locks is self._pool else None
            try:
                yield
            finally:
                self._held.connection = None
                _unlock(conn, originator_id)

    @contextmanager
    def connection(self) -> Iterator[PooledConnection]:
        """A connection of the pool, or the one that this thread holds under `exclusive`."""
        held: PooledConnection | None = getattr(self._held, "connection", None)
        if held is not None and not held.closed:
            yield held
            return
        with self._pool.connection() as conn:
            yield conn

    def insert_events(
        self,
        stored_events: Sequence[StoredEvent],
        *,
        statements: Sequence[Statement] = (),
        unless_changed: LastStates = (),
        **_: Any,
    ) -> Sequence[int]:
        """Append the events in one commit and return their positions.

        `statements` run first in the same commit, so that positions are assigned as late as possible. Raises
        OutOfDate, and stores nothing, if an aggregate in `unless_changed` has another last event. Raises
        IntegrityError when a version exists already, and RowExists when a row of `statements` does. Does not
        retry: after a psycopg.OperationalError, `outcome_is_unknown` returns whether the commit may have
        happened.
        """
        if not stored_events:
            return []
        began = time.monotonic()
        try:
            with self.connection() as conn, making_change(), self._beginning_with(conn, statements):
                positions = _insert(conn, stored_events, unless_changed)
        except psycopg.errors.UniqueViolation as error:
            if error.diag.schema_name == "es":
                raise IntegrityError(str(error)) from error
            raise RowExists(str(error), error.diag.table_name or "") from error
        observers.on_append(time.monotonic() - began, len(positions))
        return positions

    @contextmanager
    def _beginning_with(self, conn: PooledConnection, statements: Sequence[Statement]) -> Iterator[None]:
        """Run the block in a transaction that begins with the statements; in none if there are none."""
        with conn.transaction() if statements or self._locks_table else nullcontext():
            for statement, parameters in statements:
                conn.execute(statement, parameters)
            if self._locks_table:
                conn.execute("SELECT es.stored_events_lock()")
            yield

    def select_states(self, originator_id: str, after: int) -> list[bytes]:
        """The stored bytes of one aggregate's events past version `after`, in order."""
        with self.connection() as conn:
            rows = conn.fetch(_SELECT_STATES, (originator_id, after))
        return [state for (state,) in rows]

    def select_states_of_both(
        self, first: tuple[str, int], second: tuple[str, int]
    ) -> tuple[list[bytes], list[bytes]]:
        """Return what two calls of select_states return, in one round trip. Each aggregate is given as (id,
        after)."""
        with self.connection() as conn:
            rows = conn.fetch(_SELECT_STATES_OF_BOTH, (*first, *second))
        return (
            [state for is_first, state in rows if is_first],
            [state for is_first, state in rows if not is_first],
        )

    def select_recorded(self, originator_id: str, first: int, last: int) -> list[tuple[int, bytes]]:
        """Position and stored bytes of one aggregate's versions `first` to `last`, in order."""
        with self.connection() as conn:
            return conn.fetch(_SELECT_RECORDED, (originator_id, first, last))

    def select_backwards(
        self, originator_id: str, after: int, last: int, limit: int, topics: Sequence[str] | None
    ) -> list[tuple[int, bytes]]:
        """Version and stored bytes of at most `limit` events after the version `after` and up to `last`, the
        newest first."""
        parameters = (originator_id, after, last, list(topics or ()) or None, limit)
        with self.connection() as conn:
            return conn.fetch(_SELECT_BACKWARDS, parameters)

    def select_events(
        self,
        originator_id: Any,
        *,
        gt: int | None = None,
        lte: int | None = None,
        desc: bool = False,
        limit: int | None = None,
    ) -> Sequence[StoredEvent]:
        parameters = {"id": originator_id, "gt": gt, "lte": lte, "desc": desc, "limit": limit}
        with self.connection() as conn, conn.cursor(binary=True) as cur:
            return [StoredEvent(*row) for row in cur.execute(_SELECT_EVENTS, parameters)]

    def select_notifications(
        self,
        start: int | None,
        limit: int,
        stop: int | None = None,
        topics: Sequence[str] = (),
        *,
        inclusive_of_start: bool = True,
    ) -> Sequence[Notification]:
        after = (start or 0) - int(inclusive_of_start and start is not None)
        with self.connection() as conn:
            rows = read_log(conn, after, limit, topics)
        return [
            Notification(
                id=row.position,
                originator_id=row.aggregate_id,
                originator_version=row.version,
                topic=row.event_type,
                state=row.state,
            )
            for row in rows
            if stop is None or row.position <= stop
        ]

    def max_notification_id(self) -> int | None:
        """The end of the log. All events up to it can be read now, and none will be added at or below it."""
        with self.connection() as conn:
            return fetch_value(conn, _LOG_END, default=0) or None

    def subscribe(self, gt: int | None = None, topics: Sequence[str] = ()) -> Any:
        """The library's interface requires this method. Appends send no NOTIFY: poll `read_log` instead."""
        raise NotImplementedError("Follow the log with read_log.")


class InMemoryRecorder(POPOApplicationRecorder):
    """The library's in-memory recorder, for tests of commands that need no server."""

    @contextmanager
    def exclusive(self, originator_id: str) -> Iterator[None]:
        """Run the block without a lock, because only one thread uses a store in memory."""
        yield

    def insert_events(
        self,
        stored_events: Sequence[StoredEvent],
        *,
        statements: Sequence[Statement] = (),
        unless_changed: LastStates = (),
        **_: Any,
    ) -> Sequence[int]:
        """Append the events as PostgreSQL does; `statements` are not run."""
        for originator_id, state in unless_changed:
            if self.select_states(originator_id, 0)[-1:] != [state]:
                raise OutOfDate(originator_id)
        return super().insert_events(stored_events) or []

    def select_states(self, originator_id: str, after: int) -> list[bytes]:
        return [event.state for event in self.select_events(originator_id, gt=after)]

    def select_states_of_both(
        self, first: tuple[str, int], second: tuple[str, int]
    ) -> tuple[list[bytes], list[bytes]]:
        return self.select_states(*first), self.select_states(*second)

    def select_backwards(
        self, originator_id: str, after: int, last: int, limit: int, topics: Sequence[str] | None
    ) -> list[tuple[int, bytes]]:
        """Return version and stored bytes, as in PostgreSQL."""
        events = self.select_events(originator_id, gt=after, lte=last, desc=True)
        wanted = [event for event in events if topics is None or event.topic in topics]
        return [(event.originator_version, event.state) for event in wanted[:limit]]

    def select_recorded(self, originator_id: str, first: int, last: int) -> list[tuple[int, bytes]]:
        """Return position and stored bytes, as in PostgreSQL; every position is 0."""
        events = self.select_events(originator_id, gt=first - 1, lte=last)
        return [(0, event.state) for event in events]


def read_log(conn: Connection, after: int, limit: int, topics: Sequence[str] = ()) -> list[StoredRow]:
    """Up to `limit` rows after the position `after`, in order and complete up to the watermark.

    The connection must use READ COMMITTED.
    """
    with conn.cursor(binary=True) as cur:
        rows = cur.execute(_READ, (after, limit, list(topics) or None)).fetchall()
    return [StoredRow._make(row) for row in rows]


def _insert(conn: PooledConnection, events: Sequence[StoredEvent], unless_changed: LastStates) -> list[int]:
    rows_in = [(event.originator_id, event.originator_version, event.topic, event.state) for event in events]
    known = [list(column) for column in zip(*unless_changed, strict=True)]
    if len(events) == 1:
        statement = _INSERT_ONE_IF if unless_changed else _INSERT_ONE
        (values,) = rows_in
        rows = conn.fetch(statement, (*values, *known))
    else:
        statement = _INSERT_MANY_IF if unless_changed else _INSERT_MANY
        columns = [list(column) for column in zip(*rows_in, strict=True)]
        rows = conn.fetch(statement, (*columns, *known))
    if not rows:
        raise OutOfDate(events[0].originator_id)
    return [position for (position,) in rows]


def _unlock(conn: Connection, originator_id: str) -> None:
    """Release the lock, by closing the connection if necessary. Never raises: the work under it is done."""
    try:
        conn.execute(_UNLOCK_AGGREGATE, (originator_id,))
    except psycopg.Error:
        conn.close()
