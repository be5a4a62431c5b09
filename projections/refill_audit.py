"""Fills the table `audit_events` of a copy alone, beside whoever fills the others: it depends on none."""

from __future__ import annotations

import threading
from collections.abc import Sequence

import msgspec
import psycopg

from infrastructure.event_store import decode
from infrastructure.postgres import Connection
from infrastructure.recorder import read_log
from projections import project_audit

BATCH_SIZE = 5_000


class AuditFiller:
    """Goes on from where it was, up to a position. `conn` comes from `connect_projector` for the copy."""

    def __init__(self, conn: Connection) -> None:
        self._conn = conn
        self._position = 0
        self.stopping = threading.Event()

    def fill(self, up_to: int) -> None:
        """Return when the table has every event up to that position, or soon after `stopping` is set."""
        while self._position < up_to and not self.stopping.is_set():
            rows = [row for row in read_log(self._conn, self._position, BATCH_SIZE) if row[0] <= up_to]
            if not rows:
                return
            self._write([(row[0], row[4]) for row in rows])
            self._position = rows[-1][0]

    def _write(self, entries: Sequence[tuple[int, bytes]]) -> None:
        """Where one cannot be projected, the others are; as the projector does with what it parks."""
        try:
            with self._conn.transaction():
                events = [(position, decode(state)) for position, state in entries]
                project_audit.project(self._conn, events, project_audit.select_rows(self._conn, events))
        except (msgspec.DecodeError, psycopg.DataError):
            if len(entries) > 1:
                for entry in entries:
                    self._write([entry])
