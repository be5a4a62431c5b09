"""Read tables that are no longer used: they are renamed at once, and dropped when no session reads them.

Renaming a schema waits for no reader; dropping its tables waits for every transaction that has read them,
such as one of pg_dump.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import LiteralString

import psycopg
import structlog
from psycopg import sql as composing

from infrastructure.storage.postgres import Connection, fetch_value, named_queries
from projections.schema import drop_read_schema

DROP_SECONDS = 1.0  # for readers that are about to end
WAIT_SECONDS = 40.0  # for readers that prevent a step
PAUSE_SECONDS = 1.0
ATTEMPT: LiteralString = "250ms"  # for a lock; short, because other sessions wait behind the attempt
_REBUILD_KEY = 7_305_878  # session advisory lock; one rebuild or verification runs at a time
_LOCKED = (psycopg.errors.LockNotAvailable, psycopg.errors.DeadlockDetected)

sql = named_queries(Path(__file__).parent / "sql" / "old_tables.sql")
log = structlog.get_logger()


class TablesInUse(Exception):
    """Sessions hold locks that the work needs. Nothing has changed; the message names the sessions."""


def take_rebuild_lock(conn: Connection) -> bool:
    """Take the lock that one rebuild or verification at a time holds. Returns False if another has it."""
    return fetch_value(conn, sql["take_rebuild_lock"], {"key": _REBUILD_KEY}, default=False)


def release_rebuild_lock(conn: Connection) -> None:
    """Release it explicitly: the server does so only a moment after the connection is closed."""
    conn.execute(sql["release_rebuild_lock"], {"key": _REBUILD_KEY})


def set_aside(conn: Connection, schema: str) -> None:
    """Rename the schema, if it exists, to a free name that `drop_old_tables` finds."""
    if not fetch_value(conn, sql["schema_exists"], {"schema": schema}, default=False):
        return
    name = fetch_value(conn, sql["next_old_schema"], default="")
    renaming = composing.SQL("ALTER SCHEMA {} RENAME TO {}")
    conn.execute(renaming.format(composing.Identifier(schema), composing.Identifier(name)))


def drop_old_tables(conn: Connection, seconds: float = DROP_SECONDS) -> str:
    """Drop the schemas that were set aside, trying again for some seconds if sessions still read them.

    Returns the sessions because of which tables are left, or an empty text. The caller holds the rebuild
    lock.
    """
    deadline = time.monotonic() + seconds
    while left := [schema for schema in find_old_schemas(conn) if not _is_dropped(conn, schema)]:
        if time.monotonic() >= deadline:
            return find_sessions(conn, left)
    return ""


def drop_tables_left_behind(conn: Connection) -> None:
    """Drop what earlier rebuilds could not drop, if it is not in use and no rebuild is running."""
    if find_old_schemas(conn) and take_rebuild_lock(conn):
        try:
            drop_old_tables(conn, seconds=0)
        finally:
            release_rebuild_lock(conn)


def find_old_schemas(conn: Connection) -> list[str]:
    return [name for (name,) in conn.execute(sql["find_old_schemas"])]


def find_sessions(conn: Connection, schemas: Sequence[str]) -> str:
    """The sessions that hold locks on tables of the schemas, as a text for people."""
    found = [session for (session,) in conn.execute(sql["find_sessions"], {"schemas": list(schemas)})]
    return ", ".join(found) or "a session that has ended meanwhile"


def wait_for_readers(conn: Connection, schema: str, step: Callable[[], None]) -> None:
    """Run a step that locks tables of the schema, again and again until no session prevents it. The step sets
    a `lock_timeout` of ATTEMPT. Raises TablesInUse after WAIT_SECONDS."""
    deadline = time.monotonic() + WAIT_SECONDS
    is_reported = False
    while True:
        try:
            step()
            return
        except _LOCKED:
            sessions = find_sessions(conn, [schema])
            if time.monotonic() >= deadline:
                raise TablesInUse(
                    f"Nothing was changed, because {sessions} held a lock on tables of the schema {schema}"
                    f" for {WAIT_SECONDS:.0f} s. Run this command again when that session has ended."
                ) from None
            if not is_reported:
                log.warning("rebuild_waits_for_sessions", schema=schema, in_use_by=sessions)
                is_reported = True
            time.sleep(PAUSE_SECONDS)


def _is_dropped(conn: Connection, schema: str) -> bool:
    try:
        with conn.transaction():
            conn.execute(f"SET LOCAL lock_timeout TO '{ATTEMPT}'")
            drop_read_schema(conn, schema)
    except _LOCKED:
        return False
    return True
