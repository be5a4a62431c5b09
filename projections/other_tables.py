"""The read tables of another version, which processes of that version serve during an upgrade.

A change that one version has answered must be shown by the other too: a read waits until its own tables have
reached the position of the others, and a write waits until the others have reached its position.
"""

from __future__ import annotations

import threading
import time

import psycopg
from psycopg import sql as composing

from infrastructure.process.deadlines import spend
from infrastructure.storage.postgres import Connection, Pool
from projections.live_tables import leader_key_of, other_tables, sql

LOOK_SECONDS = 1.0  # how long an upgrade may go unnoticed; filling the new tables takes longer
POLL_SECONDS = 0.005
NEAR = 1_000  # events; a write does not wait for tables that are further behind


class OtherTables:
    """One for each process. Without an upgrade it costs one statement in LOOK_SECONDS."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._lock = threading.Lock()
        self._look_at = 0.0
        self._schemas: list[str] = []

    def position(self) -> int:
        """The highest position of the read tables of other versions; 0 if there are none."""
        if not self._may_exist():
            return 0
        with self._pool.connection() as conn:
            return max(self._positions(conn, self._find(conn)), default=0)

    def wait_for(self, position: int, seconds: float) -> bool:
        """Return whether the tables of other versions that a projector follows have reached the position."""
        if not self._may_exist():
            return True
        deadline = time.monotonic() + seconds
        with self._pool.connection() as conn:
            followed = [one for one in self._find(conn) if self._is_followed(conn, one)]
            while behind := [at for at in self._positions(conn, followed) if at < position]:
                if time.monotonic() > deadline:
                    return False
                if min(behind) < position - NEAR:
                    return True  # they are being filled, and serve nobody yet
                time.sleep(POLL_SECONDS)
                spend(POLL_SECONDS)
        return True

    def _may_exist(self) -> bool:
        return bool(self._schemas) or time.monotonic() >= self._look_at

    def _find(self, conn: Connection) -> list[str]:
        with self._lock:
            if time.monotonic() < self._look_at:
                return self._schemas
            self._look_at = time.monotonic() + LOOK_SECONDS
        self._schemas = other_tables(conn)
        return self._schemas

    def _is_followed(self, conn: Connection, schema: str) -> bool:
        ((is_followed,),) = conn.execute(sql["is_followed"], {"key": leader_key_of(schema)}).fetchall()
        return bool(is_followed)

    def _positions(self, conn: Connection, schemas: list[str]) -> list[int]:
        """Their positions; none of tables that have just been dropped."""
        found = []
        for schema in schemas:
            table = composing.Identifier(schema, "projector_position")  # quoted, so that it is not replaced
            try:
                rows = conn.execute(composing.SQL("SELECT position FROM {}").format(table)).fetchall()
            except (psycopg.errors.UndefinedTable, psycopg.errors.InvalidSchemaName):
                self._look_at = 0.0
                continue
            found += [position for (position,) in rows]
        return found
