"""Connections to PostgreSQL, and SQL files.

Every wait for PostgreSQL has a limit (infrastructure/process/deadlines.py).
"""

from __future__ import annotations

import math
import re
import select
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, LiteralString, TypeVar, cast

import psycopg
from psycopg import sql
from psycopg.abc import PQGen
from psycopg.conninfo import make_conninfo
from psycopg.rows import TupleRow
from psycopg_pool import ConnectionPool, PoolTimeout

from infrastructure.process.deadlines import (
    REQUEST_SECONDS,
    STATEMENT_SECONDS,
    Breaker,
    DeadlineExceeded,
    seconds_left,
    spend,
    this_thread,
)
from infrastructure.process.observers import observers
from infrastructure.storage.addresses import address, connect_seconds
from infrastructure.storage.read_schema import ReadTablesAsyncCursor, ReadTablesCursor
from infrastructure.storage.session_settings import REQUEST_LIMITS, as_options, late_settings

_NAME = re.compile(r"^-- name: (\w+)\n", re.MULTILINE)

Connection = psycopg.Connection[TupleRow]
Query = LiteralString | sql.Composed
Statement = tuple[LiteralString, Sequence[Any] | Mapping[str, Any]]
T = TypeVar("T")

_WAKE_SECONDS = 0.1  # psycopg's default: how often a wait checks for Ctrl-C
COUNTED_WAIT_SECONDS = 0.001  # taking a free connection takes less
READ_ONLY_SECONDS = 1.0  # how long a pool uses a read-only session before it tries a new one
_OVERDUE = "PostgreSQL did not answer in time; the connection is closed"


class InRecovery(psycopg.errors.ReadOnlySqlTransaction):
    """PostgreSQL is a standby or is starting. It refuses changes, and all access to unlogged tables."""


class LimitedConnection(psycopg.Connection[TupleRow]):
    """A connection on which each wait for the server has a limit: `limit_seconds`, or the time left to the
    request if that is less. A wait that exceeds it closes the connection, because a late answer would be read
    as the answer to the next statement."""

    limit_seconds = STATEMENT_SECONDS
    is_overdue = False

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.cursor_factory = ReadTablesCursor

    def wait(self, gen: PQGen[T], interval: float = _WAKE_SECONDS, timeout: float | None = None) -> T:
        if timeout is not None:  # a limit of the caller, such as for notifications
            return super().wait(gen, interval, timeout)
        # This runs at each statement, so it avoids function calls.
        left, limit = this_thread.seconds_left, self.limit_seconds
        began = time.monotonic()
        try:
            return super().wait(gen, interval, limit if left is None or left > limit else left)
        except psycopg.errors._WaitTimeout:
            self.is_overdue = True
            self.close()
            raise DeadlineExceeded(_OVERDUE) from None
        finally:
            if left is not None:
                this_thread.seconds_left = left - (time.monotonic() - began)


class LimitedAsyncConnection(psycopg.AsyncConnection[TupleRow]):
    """LimitedConnection for asyncio."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.cursor_factory = ReadTablesAsyncCursor

    async def wait(self, gen: PQGen[T], interval: float = _WAKE_SECONDS, timeout: float | None = None) -> T:
        if timeout is not None:
            return await super().wait(gen, interval, timeout)
        try:
            return await super().wait(gen, interval, STATEMENT_SECONDS)
        except psycopg.errors._WaitTimeout:
            await self.close()
            raise DeadlineExceeded(_OVERDUE) from None


class PooledConnection(LimitedConnection):
    """A connection that reuses one cursor: creating one takes a quarter of the time of a short statement."""

    limit_seconds = REQUEST_SECONDS
    opened_at = 0.0
    _cursor: psycopg.Cursor[TupleRow] | None = None

    def fetch(
        self, statement: Query, parameters: Sequence[Any] | Mapping[str, Any] | None = None
    ) -> list[TupleRow]:
        """All rows of a statement, received in binary format."""
        if self._cursor is None:
            self._cursor = self.cursor(binary=True)
        return self._cursor.execute(statement, parameters).fetchall()

    def close_if_ended(self) -> bool:
        """Close this idle connection if the server has closed it; return whether it is closed. Checks the
        socket without a round trip: it is readable only if the server has closed it or sent a notice."""
        waiting = select.poll()
        try:
            waiting.register(self.pgconn.socket, select.POLLIN)
            while waiting.poll(0):
                self.pgconn.consume_input()
        except psycopg.OperationalError:
            self.close()
        return self.closed

    def close_if_read_only(self) -> bool:
        """Close this idle connection if its session is read-only and not new; return whether it is closed. A
        new session may have another setting, or another server. The server has reported both values."""
        status = self.pgconn.parameter_status
        if b"on" in (status(b"default_transaction_read_only"), status(b"in_hot_standby")):
            self.close_unless_new()
        return self.closed

    def close_unless_new(self) -> None:
        if time.monotonic() - self.opened_at > READ_ONLY_SECONDS:
            self.close()


class Pool(ConnectionPool[PooledConnection]):
    """psycopg's pool for autocommitting connections; returning a connection does not commit.

    While PostgreSQL does not answer, `connection` raises PoolTimeout immediately.
    """

    def __init__(self, conninfo: str, **options: Any) -> None:
        self._breaker = Breaker(self._probe)
        super().__init__(conninfo, connection_class=PooledConnection, **options)

    def fetch(self, statement: Query, parameters: Mapping[str, Any] | None = None) -> list[TupleRow]:
        """All rows of a statement, on a connection of the pool."""
        with self.connection() as conn:
            return conn.fetch(statement, parameters)

    @contextmanager
    def connection(self, timeout: float | None = None) -> Iterator[PooledConnection]:
        if self._breaker.is_open:
            self._breaker.require_answers()
        conn = self._open_connection(timeout)
        try:
            yield conn
        except psycopg.errors.FeatureNotSupported as error:
            if conn.info.parameter_status("in_hot_standby") != "on":
                raise
            raise InRecovery("PostgreSQL is in recovery, in which unlogged tables cannot be read") from error
        except psycopg.errors.ReadOnlySqlTransaction:
            conn.close_unless_new()  # another session may have a server that can write
            raise
        finally:
            self.putconn(conn)
            if conn.is_overdue:
                self._breaker.suspect()

    def _open_connection(self, timeout: float | None) -> PooledConnection:
        """A connection that the server has not closed (a restart closes all idle ones), and that can write if
        the database can be written."""
        for _ in range(self.max_size):
            conn = self._take_connection(timeout)
            if not conn.close_if_ended() and not conn.close_if_read_only():
                return conn
            self.putconn(conn)
        return self._take_connection(timeout)

    def _take_connection(self, timeout: float | None) -> PooledConnection:
        began = time.monotonic()
        try:
            return self.getconn(seconds_left(self.timeout if timeout is None else timeout))
        except PoolTimeout:
            observers.on_pool_timeout()
            self._breaker.suspect()
            raise
        finally:
            waited_seconds = time.monotonic() - began
            spend(waited_seconds)
            if waited_seconds >= COUNTED_WAIT_SECONDS:
                observers.on_pool_wait(waited_seconds)

    def _probe(self) -> None:
        """Raise an error unless PostgreSQL answers on a connection of the pool."""
        conn = self.getconn()
        try:
            conn.execute("SELECT 1")
        finally:
            self.putconn(conn)


# For connections that hold a lock: if the host of the client is lost, the server soon closes the connection,
# which releases the lock.
NOTICE_LOST_CLIENTS = "-c tcp_keepalives_idle=5 -c tcp_keepalives_interval=2 -c tcp_keepalives_count=3"


def named_queries(path: Path) -> dict[str, LiteralString]:
    """The statements of a .sql file by name; each follows a line `-- name: some_name`."""
    _, *parts = _NAME.split(path.read_text())
    return {
        name: cast(LiteralString, body.strip()) for name, body in zip(parts[::2], parts[1::2], strict=True)
    }


def connect(
    dsn: str,
    *,
    application: str,
    limit_seconds: float = STATEMENT_SECONDS,
    options: str = "",
    is_pooled: bool = False,
    **others: Any,
) -> LimitedConnection:
    """Open one autocommitting connection, for leaders, listeners and one-off commands.

    `options` are session settings that differ from the base settings. With `is_pooled`, `dsn` leads to a
    connection pooler, and the session has the settings that are stored for its role. A wait longer than
    `limit_seconds` raises DeadlineExceeded. In a request, connecting may take only the time that is left to
    the request.
    """
    began = time.monotonic()
    complete = address(dsn, application=application, options=options, is_pooled=is_pooled)
    conninfo = make_conninfo(complete, connect_timeout=connect_seconds(dsn))
    if is_pooled:
        others["prepare_threshold"] = None
    try:
        conn = LimitedConnection.connect(conninfo, autocommit=True, **others)
    finally:
        spend(time.monotonic() - began)
    conn.limit_seconds = limit_seconds
    complete_settings(conn, options=options, is_pooled=is_pooled)
    return conn


def complete_settings(conn: Connection, *, options: str = "", is_pooled: bool = False) -> None:
    """Set what startup options cannot set; `options` are those of the caller. Closes the connection if that
    fails."""
    if late := late_settings(conn.info, options=options, is_pooled=is_pooled):
        try:
            conn.execute(late, prepare=False)
        except BaseException:
            conn.close()
            raise


def fetch_value(
    conn: Connection,
    statement: Query,
    parameters: Sequence[Any] | Mapping[str, Any] | None = None,
    *,
    default: T,
) -> T:
    """The value that a statement with one column returns; `default` without a row, or if it is NULL."""
    (value,) = conn.execute(statement, parameters).fetchone() or (None,)
    return default if value is None else cast(T, value)


def _begin(conn: PooledConnection) -> None:
    complete_settings(conn)
    conn.opened_at = time.monotonic()


def _begin_pooled(conn: PooledConnection) -> None:
    """Never take the session for read-only: a pooler gives other sessions than the one it has reported."""
    complete_settings(conn, is_pooled=True)
    conn.opened_at = math.inf


async def connect_async(
    dsn: str, *, application: str, options: str = "", **others: Any
) -> LimitedAsyncConnection:
    """`connect` for asyncio."""
    conninfo = address(dsn, application=application, options=options)
    conn = await LimitedAsyncConnection.connect(conninfo, autocommit=True, **others)
    if late := late_settings(conn.info, options=options):
        try:
            await conn.execute(late, prepare=False)
        except BaseException:
            await conn.close()
            raise
    return conn


def make_pool(
    dsn: str, *, application: str, max_size: int, min_size: int = 1, is_pooled: bool = False
) -> Pool:
    """Open a pool of autocommitting connections.

    With `is_pooled`, `dsn` leads to a connection pooler. It may give each transaction another session, so no
    statement is prepared, because a prepared statement belongs to its session.

    Call it after the fork. With `timeout=1` a request fails within its deadline if PostgreSQL is not
    available; with `reconnect_timeout=5` the pool works again within seconds after its return. The pool
    probes with one of its connections, so `max_size` must exceed the number of threads that use the pool.
    """
    return Pool(
        address(dsn, application=application, options=as_options(REQUEST_LIMITS), is_pooled=is_pooled),
        kwargs={"autocommit": True, "prepare_threshold": None if is_pooled else 1},
        configure=_begin_pooled if is_pooled else _begin,
        min_size=min_size,
        max_size=max_size,
        timeout=1.0,
        reconnect_timeout=5.0,
        max_idle=600.0,
        open=True,
    )
