"""Connections to PostgreSQL, SQL files, and migrations."""

from __future__ import annotations

import re
import select
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, LiteralString, cast

import psycopg
from psycopg import sql
from psycopg.conninfo import make_conninfo
from psycopg.rows import TupleRow
from psycopg_pool import ConnectionPool

MIGRATIONS = Path(__file__).parent.parent / "migrations"
_MIGRATION_LOCK = 7_305_871  # any constant: one migration at a time over the whole cluster
_NAME = re.compile(r"^-- name: (\w+)\n", re.MULTILINE)

Connection = psycopg.Connection[TupleRow]
Query = LiteralString | sql.Composed
Statement = tuple[LiteralString, Sequence[Any] | Mapping[str, Any]]


class PooledConnection(psycopg.Connection[TupleRow]):
    """A connection that keeps a cursor: making one takes a quarter of the time of a short statement."""

    _kept: psycopg.Cursor[TupleRow] | None = None

    def fetch(
        self, statement: Query, parameters: Sequence[Any] | Mapping[str, Any] | None = None
    ) -> list[TupleRow]:
        """All rows of a statement, sent in binary."""
        if self._kept is None:
            self._kept = self.cursor(binary=True)
        return self._kept.execute(statement, parameters).fetchall()

    def was_ended(self) -> bool:
        """Whether the server has closed this idle connection, which is closed then here too. It is a look at
        the socket without a round trip: nothing comes on an idle connection but its end."""
        waiting = select.poll()
        try:
            waiting.register(self.pgconn.socket, select.POLLIN)
            while waiting.poll(0):
                self.pgconn.consume_input()
        except psycopg.OperationalError:
            self.close()
        return self.closed


class Pool(ConnectionPool[PooledConnection]):
    """The library's pool for connections that commit by themselves: nothing is committed on return."""

    def fetch(self, statement: Query, parameters: Mapping[str, Any] | None = None) -> list[TupleRow]:
        """As PooledConnection.fetch, on a connection that is free."""
        with self.connection() as conn:
            return conn.fetch(statement, parameters)

    @contextmanager
    def connection(self, timeout: float | None = None) -> Iterator[PooledConnection]:
        conn = self._open_connection(timeout)
        try:
            yield conn
        finally:
            self.putconn(conn)

    def _open_connection(self, timeout: float | None) -> PooledConnection:
        """One that the server has not ended meanwhile: after a restart it has ended all that lay idle."""
        for _ in range(self.max_size):
            conn = self.getconn(timeout)
            if not conn.was_ended():
                return conn
            self.putconn(conn)
        return self.getconn(timeout)


# A request never waits for the database longer than this in any one statement.
REQUEST_TIMEOUTS = "-c statement_timeout=5s -c lock_timeout=2s -c idle_in_transaction_session_timeout=2s"
# For those who hold a lock as long as they are connected: when their host has vanished, it is free soon.
NOTICE_LOST_CLIENTS = "-c tcp_keepalives_idle=5 -c tcp_keepalives_interval=2 -c tcp_keepalives_count=3"
# And the other way: no thread waits longer than some twenty seconds for a server that has vanished.
_NOTICE_LOST_SERVERS = {
    "connect_timeout": 3,
    "keepalives_idle": 5,
    "keepalives_interval": 2,
    "keepalives_count": 3,
    "tcp_user_timeout": 20_000,
}


def named_queries(path: Path) -> dict[str, LiteralString]:
    """Read a .sql file of statements that each start with `-- name: some_name`."""
    _, *parts = _NAME.split(path.read_text())
    return {
        name: cast(LiteralString, body.strip()) for name, body in zip(parts[::2], parts[1::2], strict=True)
    }


def connect(dsn: str, *, application: str, **options: Any) -> Connection:
    """Open one direct, autocommitting connection, for leaders, listeners and one-off commands."""
    return psycopg.connect(address(dsn, application=application), autocommit=True, **options)


def address(dsn: str, *, application: str, options: str = "") -> str:
    """The address with what every connection of ours asks for. `options` are settings of the session."""
    given = {"options": options} if options else {}
    return make_conninfo(dsn, application_name=application, **_NOTICE_LOST_SERVERS, **given)


def make_pool(dsn: str, *, application: str, max_size: int, timeouts: str = REQUEST_TIMEOUTS) -> Pool:
    """Open a pool of autocommitting connections.

    Call it after the fork. `timeout=1` and `reconnect_timeout=5` (seconds) make a request that finds
    PostgreSQL away fail within its deadline, and a pool that recovers within seconds of its return.
    """
    return Pool(
        address(dsn, application=application, options=timeouts),
        connection_class=PooledConnection,
        kwargs={"autocommit": True, "prepare_threshold": 1},
        min_size=1,
        max_size=max_size,
        timeout=1.0,
        reconnect_timeout=5.0,
        max_idle=600.0,
        open=True,
    )


def migrate(dsn: str) -> list[str]:
    """Apply the migrations not yet applied, in order, and return their names.

    An advisory lock makes concurrent calls wait for one another; each migration and its record are
    one transaction.
    """
    applied: list[str] = []
    with connect(dsn, application="ticketing-migrate") as conn:
        conn.execute("SELECT pg_advisory_lock(%s)", [_MIGRATION_LOCK])
        conn.execute(
            "CREATE TABLE IF NOT EXISTS public.ticketing_migrations ("
            "name text PRIMARY KEY, applied_at timestamptz NOT NULL DEFAULT now())"
        )
        done = {name for (name,) in conn.execute("SELECT name FROM public.ticketing_migrations")}
        for path in sorted(MIGRATIONS.glob("*.sql")):
            if path.name in done:
                continue
            with conn.transaction():
                conn.execute(path.read_text())
                conn.execute("INSERT INTO public.ticketing_migrations (name) VALUES (%s)", [path.name])
            applied.append(path.name)
    return applied


def pending_migrations(conn: Connection) -> list[str]:
    """Names of the migrations this version of the program needs and the database lacks."""
    known = {path.name for path in MIGRATIONS.glob("*.sql")}
    row = conn.execute("SELECT to_regclass('public.ticketing_migrations')").fetchone()
    if row is None or row[0] is None:
        return sorted(known)
    done = {name for (name,) in conn.execute("SELECT name FROM public.ticketing_migrations")}
    return sorted(known - done)
