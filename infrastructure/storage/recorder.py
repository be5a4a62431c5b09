"""The library's application recorder without its table lock.

Appends are one INSERT on an autocommitting connection; followers read up to a watermark (the
protocol is told in migrations/0001_event_log.sql). docs/decisions/0002-event-log.md says why.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, LiteralString

import psycopg
from eventsourcing.persistence import IntegrityError, Notification, StoredEvent
from eventsourcing.popo import POPOApplicationRecorder
from eventsourcing.postgres import PostgresApplicationRecorder, PostgresDatastore
from psycopg_pool import PoolTimeout

from infrastructure.storage.postgres import Connection, Pool, PooledConnection, Statement

LastStates = Sequence[tuple[str, bytes]]  # aggregate ids, each with the stored bytes of its last event

_INSERT_ONE: LiteralString = (
    "INSERT INTO es.stored_events (originator_id, originator_version, topic, state) "
    "VALUES (%b, %b, %b, %b) RETURNING notification_id"
)
_INSERT_MANY: LiteralString = (
    "INSERT INTO es.stored_events (originator_id, originator_version, topic, state) "
    "SELECT * FROM unnest(%b::text[], %b::bigint[], %b::text[], %b::bytea[]) RETURNING notification_id"
)
# Appends unless one of the given aggregates has gone on from, or never had, its given last event.
_INSERT_ONE_IF: LiteralString = (
    "INSERT INTO es.stored_events (originator_id, originator_version, topic, state) "
    "SELECT %b::text, %b::bigint, %b::text, %b::bytea WHERE NOT EXISTS ("
    " SELECT FROM unnest(%b::text[], %b::bytea[]) AS known (id, state)"
    "  WHERE known.state IS DISTINCT FROM ("
    "   SELECT state FROM es.stored_events"
    "    WHERE originator_id = known.id ORDER BY originator_version DESC LIMIT 1)"
    ") RETURNING notification_id"
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
_SELECT_RECORDED: LiteralString = (
    "SELECT notification_id, state FROM es.stored_events "
    "WHERE originator_id = %b AND originator_version BETWEEN %b AND %b ORDER BY originator_version"
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
# The watermark may be a number that no event has, where an append was rolled back or lost in a crash.
_LOG_END: LiteralString = """
SELECT least(es.stored_events_watermark(), coalesce(max(notification_id), 0)) FROM es.stored_events
"""

# Two int4 keys: another key space than the watermark's bigint keys.
_LOCK_AGGREGATE: LiteralString = "SELECT pg_advisory_lock(17747, hashtext(%b))"
_UNLOCK_AGGREGATE: LiteralString = "SELECT pg_advisory_unlock(17747, hashtext(%b))"
_TRIGGER: LiteralString = (
    "SELECT count(*) FROM pg_trigger WHERE tgrelid = 'es.stored_events'::regclass"
    "   AND tgname IN ('stored_events_enter', 'stored_events_append_only') AND tgenabled = 'A'"
)


class WatermarkMissing(Exception):
    """The triggers that make the log safe to follow and append-only are absent or disabled."""


class OutOfDate(Exception):
    """What an append was decided on is no longer so. Nothing was stored: read again and decide again."""


class _PoolDatastore(PostgresDatastore):
    """The library's datastore on our own pool, whose time limits it has no settings for."""

    def __init__(self, pool: Pool) -> None:
        super().__init__("", "", "", "", "", schema="es", originator_id_type="text")
        self.pool = pool  # type: ignore[assignment]

    def register_type_adapters(self) -> None:
        """Nothing: our statements use no composite types, and a store must open with PostgreSQL away."""

    def close(self) -> None:
        """The pool belongs to whoever made it."""


def verify_triggers(conn: Connection) -> None:
    """Raise WatermarkMissing unless both triggers of the log are enabled, for every kind of session."""
    row = conn.execute(_TRIGGER).fetchone()
    if row is None or row[0] != 2:
        raise WatermarkMissing(
            "A trigger of es.stored_events is disabled; readers would miss events. Its owner says:"
            " ALTER TABLE es.stored_events ENABLE ALWAYS TRIGGER stored_events_enter,"
            " ENABLE ALWAYS TRIGGER stored_events_append_only"
        )


class WatermarkRecorder(PostgresApplicationRecorder):
    """Stores events in `es.stored_events`.

    `lock="table"` takes the stock EXCLUSIVE lock around each append instead: the fallback, should the
    watermark ever be in doubt. Readers work the same way under both.
    """

    def __init__(self, pool: Pool, *, lock: str = "watermark") -> None:
        super().__init__(_PoolDatastore(pool), events_table_name="stored_events")
        self._pool = pool
        self._locks_table = lock == "table"
        self._held = threading.local()

    @contextmanager
    def exclusive(self, originator_id: str) -> Iterator[None]:
        """Let this thread alone, of all processes, work on one aggregate under this same lock.

        What the thread does meanwhile runs on the connection that holds the lock, so that a full pool
        cannot make the holder wait for those who wait for it. Waits for the lock up to the connection's
        lock_timeout (psycopg.errors.LockNotAvailable).
        """
        with self._pool.connection() as conn:
            conn.execute(_LOCK_AGGREGATE, (originator_id,))
            self._held.connection = conn
            try:
                yield
            finally:
                self._held.connection = None
                _unlock(conn, originator_id)

    @contextmanager
    def connection(self) -> Iterator[PooledConnection]:
        """A connection of the pool, or the one this thread holds under `exclusive`."""
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
        also: Sequence[Statement] = (),
        given: LastStates = (),
        **_: Any,
    ) -> Sequence[int]:
        """Append the events in one commit and return their positions.

        `also` holds statements that commit with them, run first so that the log's ids are drawn last. One
        event alone, without statements, may be appended on the condition that the aggregates in `given` still
        end with those events, or else OutOfDate. Raises IntegrityError when a version, or a row of `also`,
        is there already. Not retried: of a psycopg.OperationalError `outcome_is_unknown` tells whether the
        commit may have happened.
        """
        if not stored_events:
            return []
        try:
            with self.connection() as conn:
                if given:
                    (event,), () = stored_events, also
                    return _insert_if(conn, event, given)
                if not also and not self._locks_table:
                    return _insert(conn, stored_events)
                with conn.transaction():
                    for statement, parameters in also:
                        conn.execute(statement, parameters)
                    if self._locks_table:
                        conn.execute("SELECT es.stored_events_lock()")
                    return _insert(conn, stored_events)
        except psycopg.errors.UniqueViolation as error:
            raise IntegrityError(str(error)) from error

    def select_states(self, originator_id: str, after: int) -> list[bytes]:
        """The stored bytes of one aggregate's events past version `after`, in order."""
        with self.connection() as conn:
            rows = conn.fetch(_SELECT_STATES, (originator_id, after))
        return [state for (state,) in rows]

    def select_states_of_both(
        self, first: tuple[str, int], second: tuple[str, int]
    ) -> tuple[list[bytes], list[bytes]]:
        """As select_states, of two aggregates (id, after) in one round trip."""
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
                id=row[0], originator_id=row[1], originator_version=row[2], topic=row[3], state=row[4]
            )
            for row in rows
            if stop is None or row[0] <= stop
        ]

    def max_notification_id(self) -> int | None:
        """Where the log ends: every event up to there can be read now, and none will appear below it."""
        with self.connection() as conn:
            row = conn.execute(_LOG_END).fetchone()
        return (row[0] if row else None) or None

    def subscribe(self, gt: int | None = None, topics: Sequence[str] = ()) -> Any:
        """Appends send no NOTIFY: follow the log by polling `read_log`."""
        raise NotImplementedError("Follow the log with read_log.")


class InMemoryRecorder(POPOApplicationRecorder):
    """The library's in-memory recorder, for tests of commands that need no server."""

    @contextmanager
    def exclusive(self, originator_id: str) -> Iterator[None]:
        """Nothing to wait for: only one test works here."""
        yield

    def insert_events(
        self, stored_events: Sequence[StoredEvent], *, given: LastStates = (), **kwargs: Any
    ) -> Sequence[int] | None:
        for originator_id, state in given:
            if self.select_states(originator_id, 0)[-1:] != [state]:
                raise OutOfDate(originator_id)
        return super().insert_events(stored_events, **kwargs)

    def select_states(self, originator_id: str, after: int) -> list[bytes]:
        return [event.state for event in self.select_events(originator_id, gt=after)]

    def select_states_of_both(
        self, first: tuple[str, int], second: tuple[str, int]
    ) -> tuple[list[bytes], list[bytes]]:
        return self.select_states(*first), self.select_states(*second)

    def select_recorded(self, originator_id: str, first: int, last: int) -> list[tuple[int, bytes]]:
        """As in PostgreSQL, but with 0 for the positions, which this recorder does not know."""
        events = self.select_events(originator_id, gt=first - 1, lte=last)
        return [(0, event.state) for event in events]


def read_log(
    conn: Connection, after: int, limit: int, topics: Sequence[str] = ()
) -> list[tuple[int, str, int, str, bytes]]:
    """Up to `limit` rows (position, aggregate id, version, topic, state) past `after`, complete and in
    order up to the watermark. The connection must be at READ COMMITTED."""
    with conn.cursor(binary=True) as cur:
        return cur.execute(_READ, (after, limit, list(topics) or None)).fetchall()


def outcome_is_unknown(error: psycopg.OperationalError) -> bool:
    """Whether an append may have been stored all the same: the connection died before the answer.

    The server's farewell (class 57P: shut down, killed, crashed) can follow a commit; a statement
    it refused, or a pool that had no connection to give, stored nothing.
    """
    if isinstance(error, PoolTimeout):
        return False
    return error.sqlstate is None or error.sqlstate.startswith("57P")


def _insert(conn: PooledConnection, events: Sequence[StoredEvent]) -> list[int]:
    if len(events) == 1:
        event = events[0]
        rows = conn.fetch(
            _INSERT_ONE, (event.originator_id, event.originator_version, event.topic, event.state)
        )
    else:
        columns = (
            [event.originator_id for event in events],
            [event.originator_version for event in events],
            [event.topic for event in events],
            [event.state for event in events],
        )
        rows = conn.fetch(_INSERT_MANY, columns)
    return [position for (position,) in rows]


def _insert_if(conn: PooledConnection, event: StoredEvent, given: LastStates) -> list[int]:
    ids, states = zip(*given, strict=True)
    rows = conn.fetch(
        _INSERT_ONE_IF,
        (event.originator_id, event.originator_version, event.topic, event.state, list(ids), list(states)),
    )
    positions = [position for (position,) in rows]
    if not positions:
        raise OutOfDate(event.originator_id)
    return positions


def _unlock(conn: Connection, originator_id: str) -> None:
    """Never fails, as the work under the lock is done by now: what cannot be unlocked is closed."""
    try:
        conn.execute(_UNLOCK_AGGREGATE, (originator_id,))
    except psycopg.Error:
        conn.close()
