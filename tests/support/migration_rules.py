"""Observes what a migration does to the tables before it, to find what would stop requests on large ones."""

from __future__ import annotations

from typing import NamedTuple

from infrastructure.storage.postgres import Connection

# The files of each table of the system, and how often this transaction has read it as a whole.
_TABLES = """
SELECT c.oid::regclass::text, c.relfilenode, pg_stat_get_xact_numscans(c.oid)
  FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
 WHERE c.relkind = 'r' AND n.nspname !~ '^(pg_|information_schema$)' AND c.oid = ANY(%s::oid[])
"""
_EXISTING = "SELECT array_agg(oid) FROM pg_class WHERE relkind = 'r' AND relnamespace > 16383"
# Modes for which other sessions wait, or with which this transaction changes rows.
_LOCKED = """
SELECT DISTINCT relation::regclass::text FROM pg_locks
 WHERE pid = pg_backend_pid() AND locktype = 'relation' AND granted
   AND mode IN ('RowExclusiveLock', 'ShareLock', 'ShareRowExclusiveLock', 'ExclusiveLock',
                'AccessExclusiveLock')
"""
_FOREIGN_KEYS = """
SELECT oid, conrelid::regclass::text FROM pg_constraint
 WHERE contype = 'f' AND convalidated AND conrelid = ANY(%s::oid[])
"""


class _Table(NamedTuple):
    name: str
    file: int
    scans: int


def find_violations(conn: Connection, statements: str) -> list[str]:
    """Try a migration and roll it back; return what it does that takes time in proportion to a table that
    existed before, while requests wait."""
    with conn.transaction(force_rollback=True):
        conn.execute("SET LOCAL enable_seqscan TO off")  # as on large tables
        ((existing,),) = conn.execute(_EXISTING).fetchall()
        before = _read(conn, existing)
        keys = dict(conn.execute(_FOREIGN_KEYS, [existing]).fetchall())
        conn.execute(statements)
        after = _read(conn, existing)
        locked = {name for (name,) in conn.execute(_LOCKED)}
        new_keys = [table for oid, table in conn.execute(_FOREIGN_KEYS, [existing]) if oid not in keys]
    found = [f"reads {name} as a whole for a foreign key" for name in new_keys]
    for name, table in after.items():
        if table.file != before[name].file:
            found.append(f"rewrites {name}")
        elif table.scans > before[name].scans and name in locked:
            found.append(f"reads {name} as a whole while requests wait")
    return found


def _read(conn: Connection, existing: list[int]) -> dict[str, _Table]:
    rows = [_Table(*row) for row in conn.execute(_TABLES, [existing])]
    return {table.name: table for table in rows}
