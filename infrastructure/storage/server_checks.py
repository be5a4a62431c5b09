"""Checks of a database before it is used: version, encoding, and what kind of connection an address gives."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import NamedTuple

import psycopg

from infrastructure.process.deadlines import STATEMENT_SECONDS
from infrastructure.storage.postgres import Connection, LimitedConnection, connect, fetch_value
from infrastructure.storage.session_settings import COMMIT, DURABLE_COMMITS, OF_POOLER, newer_settings

OLDEST_VERSION = 150_000
MAX_OLD_SESSIONS = 200  # of a pooler; PgBouncer's default_pool_size is 20
_REFUSED_BY_POOLER = "unsupported startup parameter"  # PgBouncer's message about session settings
_IDENTITY = (
    "SELECT (SELECT system_identifier FROM pg_control_system()), oid FROM pg_database"
    " WHERE datname = current_database()"
)
_END_IF_OLDER = (
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
    " WHERE pid = pg_backend_pid() AND backend_start < %s"
)
_SETTINGS = "SELECT name, current_setting(name, true) FROM unnest(%s::text[]) AS s (name)"


class UnsuitableDatabase(Exception):
    """A database or an address that cannot be used; the message names it and the remedy."""


class Identity(NamedTuple):
    """The server and the database that a connection has reached."""

    system: int
    database: int


@contextmanager
def direct_connection(
    dsn: str, variable: str, *, application: str, limit_seconds: float = STATEMENT_SECONDS
) -> Iterator[LimitedConnection]:
    """A connection to a database that is suitable, and not through a connection pooler.

    `variable` is the name of the setting that has the address. Raises UnsuitableDatabase.
    """
    try:
        conn = connect(dsn, application=application, limit_seconds=limit_seconds)
    except psycopg.OperationalError as error:
        if _REFUSED_BY_POOLER in str(error):
            raise UnsuitableDatabase(_pooler_at(variable)) from None
        raise
    with conn:
        if fetch_value(conn, "SELECT pg_backend_pid()", default=0) != conn.info.backend_pid:
            raise UnsuitableDatabase(_pooler_at(variable))
        require_suitable(conn, variable)
        yield conn


def require_suitable(conn: Connection, variable: str) -> None:
    """Raise UnsuitableDatabase unless the server is recent enough and the database is encoded in UTF-8."""
    if conn.info.server_version < OLDEST_VERSION:
        found = conn.info.server_version // 10_000
        raise UnsuitableDatabase(f"{variable} is a PostgreSQL {found} server. Use PostgreSQL 15 or later.")
    encoding = conn.info.parameter_status("server_encoding")
    if encoding != "UTF8":
        raise UnsuitableDatabase(
            f"The database {conn.info.dbname} of {variable} has the encoding {encoding}; it must be UTF8."
            " The encoding of a database cannot be changed. Create another one with"
            " CREATE DATABASE name ENCODING 'UTF8' TEMPLATE template0, and set its address."
        )


def require_writable(conn: Connection, variable: str) -> None:
    """Raise UnsuitableDatabase if transactions are read-only."""
    if fetch_value(conn, "SHOW transaction_read_only", default="") == "on":
        raise UnsuitableDatabase(
            f"The database of {variable} is read-only: it is a standby, or default_transaction_read_only is"
            " on. Set the address of the primary, or the setting to off for the server, database or role."
        )


def require_pooler(dsn: str, direct: Connection) -> None:
    """Raise UnsuitableDatabase unless the sessions of DATABASE_URL, which leads to a connection pooler, are
    in the same database as `direct` and have the settings that requests need.

    A session that the pooler opened before `ticketing migrate` stored the settings has others. Such sessions
    are ended while they are free, so that the pooler opens new ones.
    """
    now = fetch_value(direct, "SELECT clock_timestamp()", default=None)
    for _ in range(MAX_OLD_SESSIONS):
        with connect(dsn, application="ticketing-cli", is_pooled=True) as conn:
            require_same_database(direct, "DIRECT_DATABASE_URL", conn, "DATABASE_URL")
            with suppress(psycopg.OperationalError), conn.transaction():  # in one session of the pooler
                wrong = wrong_settings(conn)
                if not wrong:
                    return
                conn.execute(_END_IF_OLDER, [now])  # then this fails
                break
    raise UnsuitableDatabase(describe_wrong_settings(wrong))


def require_same_database(first: Connection, variable: str, second: Connection, other_variable: str) -> None:
    """Raise UnsuitableDatabase unless both connections have reached the same database."""
    if identity(first) != identity(second):
        raise UnsuitableDatabase(
            f"{variable} and {other_variable} are addresses of different databases. Set both to the same one."
        )


def identity(conn: Connection) -> Identity:
    (row,) = conn.execute(_IDENTITY).fetchall()
    return Identity(*row)


def wrong_settings(conn: Connection) -> Mapping[str, str | None]:
    """The settings of a session of a pooler that differ from those that requests need, with their values."""
    needed = OF_POOLER | newer_settings(conn.info.server_version)
    found: dict[str, str | None] = dict(conn.execute(_SETTINGS, [list(needed)]).fetchall())
    if found[COMMIT] in DURABLE_COMMITS:
        del needed[COMMIT]
    return {name: found[name] for name in needed if found[name] != needed[name]}


def describe_wrong_settings(wrong: Mapping[str, str | None]) -> str:
    listed = ", ".join(f"{name} = {value!r}" for name, value in wrong.items())
    return (
        f"The sessions of DATABASE_URL have settings with which requests would fail: {listed}. Run"
        " `ticketing migrate`, which stores the right ones for the role, and then close the old sessions of"
        " the pooler (in PgBouncer: RECONNECT)."
    )


def _pooler_at(variable: str) -> str:
    remedy = (
        "Set DIRECT_DATABASE_URL to the address of PostgreSQL itself; DATABASE_URL can then keep this one."
        if variable == "DATABASE_URL"
        else "Set it to the address of PostgreSQL itself."
    )
    return (
        f"{variable} leads to a connection pooler such as PgBouncer. Its sessions do not keep the locks,"
        f" notifications and settings that the processes need. {remedy}"
    )
