"""A pool of connections to a replica of PostgreSQL, from which requests read what the primary has shown.

A request reads from the replica only after `allow_replica`, with the position that its answer must show.
Before each statement the replica's own copy of the projector's position is read; the statement then sees at
least that much, because a replica only moves forward. If the replica lags behind for longer than
WAIT_SECONDS, or fails, the statement and the rest of the request go to the primary.
docs/decisions/0032-clusters.md has the reasons.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
from psycopg.rows import TupleRow

from infrastructure.process.deadlines import seconds_left, spend
from infrastructure.process.failures import FailureLog
from infrastructure.process.observers import observers
from infrastructure.storage.addresses import address
from infrastructure.storage.postgres import (
    Pool,
    PooledConnection,
    Query,
    complete_settings,
    fetch_value,
    named_queries,
)
from infrastructure.storage.server_checks import identity
from infrastructure.storage.session_settings import REQUEST_LIMITS, as_options

CONNECTION_SECONDS = 0.1  # the longest wait for a free connection
WAIT_SECONDS = 0.1  # the longest wait for the position
BEHIND_SECONDS = 1.0  # after such a wait, requests do not wait for this time
POSITION_SECONDS = 0.5  # the time limit of reading the position; it also detects a server that hangs
STATEMENT_SECONDS = 3.0  # the time limit of a statement; the primary has the rest of the request's time
SHORTEST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 0.001, 0.016

_sql = named_queries(Path(__file__).parent / "sql" / "replica.sql")


class ReplicaBehind(Exception):
    """The replica does not have the position that the answer must show."""


class ReplicaRefused(psycopg.OperationalError):
    """The server of READ_DATABASE_URL is not a replica of this primary."""


class _Thread(threading.local):
    """`position` is what the answer to the request of this thread must show; None while it must be read from
    the primary."""

    position: int | None = None


_this_thread = _Thread()


def require_primary() -> None:
    """Make the reads of this thread go to the primary."""
    _this_thread.position = None


def allow_replica(position: int | None) -> None:
    """Let the reads of this thread go to a replica that has reached the position; None stands for none."""
    _this_thread.position = position


def require_position(position: int) -> None:
    """Raise the position that a replica must have reached, if this thread may read from one."""
    if _this_thread.position is not None:
        _this_thread.position = max(_this_thread.position, position)


class ReplicaPool(Pool):
    """Reads from the replica, or else from `primary`. `connection` always returns one of the primary."""

    def __init__(self, conninfo: str, primary: Pool, **options: Any) -> None:
        self._primary = primary
        self._behind_until = 0.0
        self._failures = FailureLog("replica_not_used")
        super().__init__(conninfo, configure=self._begin, **options)

    def fetch(self, statement: Query, parameters: Mapping[str, Any] | None = None) -> list[TupleRow]:
        position = _this_thread.position
        if position is None:
            return self._primary.fetch(statement, parameters)
        try:
            with super().connection(CONNECTION_SECONDS) as conn:
                self._wait_for(conn, position)
                rows = conn.fetch(statement, parameters)
        except ReplicaBehind as error:
            self._turn_to_primary("behind", error)
        except psycopg.Error as error:  # also one of the statement itself, which the primary raises again
            self._turn_to_primary("failed", error)
        else:
            observers.on_replica_read("answered")
            return rows
        return self._primary.fetch(statement, parameters)

    @contextmanager
    def connection(self, timeout: float | None = None) -> Iterator[PooledConnection]:
        with self._primary.connection(timeout) as conn:
            yield conn

    def _turn_to_primary(self, outcome: str, error: Exception) -> None:
        """Let the rest of the request read from the primary too, which may be ahead of the replica."""
        require_primary()
        observers.on_replica_read(outcome)
        self._failures.add(error)

    def _wait_for(self, conn: PooledConnection, position: int) -> None:
        """Return when the replica has reached the position. Raises ReplicaBehind."""
        began = time.monotonic()
        wait_seconds = 0.0 if began < self._behind_until else seconds_left(WAIT_SECONDS)
        pause = SHORTEST_PAUSE_SECONDS
        while (reached := _read_position(conn)) < position:
            if time.monotonic() - began >= wait_seconds:
                self._behind_until = time.monotonic() + BEHIND_SECONDS
                raise ReplicaBehind(f"The replica has reached position {reached} of {position}.")
            time.sleep(pause)
            spend(pause)
            pause = min(2 * pause, LONGEST_PAUSE_SECONDS)

    def _begin(self, conn: PooledConnection) -> None:
        """Prepare a new connection. Raises ReplicaRefused unless its server is a copy of the primary."""
        complete_settings(conn)
        conn.opened_at = math.inf  # its session is read-only, and the pool must not close it for that
        conn.limit_seconds = STATEMENT_SECONDS
        with self._primary.connection() as primary:
            require_same_history(conn, primary)


def make_replica_pool(dsn: str, primary: Pool, *, max_size: int) -> ReplicaPool:
    """Open a pool of connections to the replica at `dsn`, beside the pool of its primary."""
    return ReplicaPool(
        address(dsn, application="ticketing-api-reads", options=as_options(REQUEST_LIMITS)),
        primary,
        kwargs={"autocommit": True, "prepare_threshold": 1},
        min_size=1,
        max_size=max_size,
        timeout=1.0,
        reconnect_timeout=5.0,
        max_idle=600.0,
        open=True,
    )


def require_same_history(replica: psycopg.Connection[Any], primary: psycopg.Connection[Any]) -> None:
    """Raise ReplicaRefused unless the replica is a copy of the primary, without events that the primary
    lacks. A former primary that went on alone has such events, and would show them until it is rebuilt."""
    if identity(replica) != identity(primary):
        raise ReplicaRefused("READ_DATABASE_URL is the address of another database than DATABASE_URL.")
    for position, event in replica.execute(_sql["read_last_event"]):
        if fetch_value(primary, _sql["read_event_at"], {"position": position}, default="") != event:
            raise ReplicaRefused(
                f"The server of READ_DATABASE_URL has another event at position {position} than the primary:"
                " it has gone on without it. Make it a replica again, with pg_rewind or pg_basebackup."
            )


def _read_position(conn: PooledConnection) -> int:
    """The position up to which the read tables of this server are filled."""
    conn.limit_seconds = POSITION_SECONDS
    try:
        rows = conn.fetch(_sql["read_position"])
    finally:
        conn.limit_seconds = STATEMENT_SECONDS
    return int(rows[0][0]) if rows else -1
