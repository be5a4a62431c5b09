"""The projector: follows the log and keeps the read tables up to date."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import structlog

from infrastructure.keys.vault import Vault
from infrastructure.storage.postgres import NOTICE_LOST_CLIENTS, Connection, LimitedConnection, connect
from projections.batch import Overtaken, is_transient, park_batch, project_batch, read_batch, sql
from projections.project_past_tickets import PastTickets
from projections.schema import LIVE

BATCH_SIZE = 500
LEADER_KEY = 7_305_873  # the session advisory lock of the projector that leads
SHORTEST_PAUSE_SECONDS = 0.001
LONGEST_PAUSE_SECONDS = 0.02
LONGEST_REST_SECONDS = 0.004  # between two batches; writers wait until the read tables show their event
STANDBY_SECONDS = 0.5
LONGEST_BACKOFF_SECONDS = 5.0

log = structlog.get_logger()


def connect_projector(dsn: str, schema: str = LIVE) -> LimitedConnection:
    """Open a connection for `catch_up` on the read tables in `schema`.

    Commits do not wait for the disk: after a crash position and rows are equally old, and the projector
    continues from that position.
    """
    options = (
        f"-c search_path={schema} -c synchronous_commit=off -c statement_timeout=60s -c TimeZone=UTC"
        f" {NOTICE_LOST_CLIENTS}"
    )
    return connect(dsn, application="ticketing-projector", options=options, prepare_threshold=0)


def catch_up(
    conn: Connection,
    vault: Vault,
    limit: int = BATCH_SIZE,
    wait: bool = True,
    *,
    up_to: int | None = None,
    keep_past: Callable[[PastTickets], None] | None = None,
) -> int:
    """Project the next events, at most `limit`, and return how many; 0 at the end of the log or at `up_to`.

    `conn` comes from `connect_projector`. With `wait=False` it also returns 0 while another process
    projects. A batch that fails is halved until the event that cannot be projected is alone; that event is
    parked. With `keep_past` the tables `past_tickets` and `audit_events` are not written: `keep_past`
    receives the rows for `past_tickets` instead.
    """
    while True:
        batch = read_batch(conn, limit, up_to)
        if not batch.entries:
            return 0
        try:
            past = project_batch(conn, vault, batch, wait=wait, history=keep_past is None)
        except Overtaken:
            if not wait:
                return 0
        except Exception as error:  # an event may fail anywhere; the events after it must not wait
            if conn.closed or is_transient(error):
                raise
            if len(batch.entries) == 1:
                park_batch(conn, batch, error, history=keep_past is None)
                return 1
            limit = len(batch.entries) // 2
        else:
            if keep_past:
                keep_past(past)
            return len(batch.entries)


class Projector:
    """Projects for as long as it leads; one that does not lead stands by to take over."""

    def __init__(self, dsn: str, vault: Vault) -> None:
        self._dsn = dsn
        self._vault = vault

    def run(self, stop: threading.Event) -> None:
        """Work until `stop` is set, through restarts of PostgreSQL."""
        backoff = SHORTEST_PAUSE_SECONDS
        while not stop.is_set():
            try:
                with connect_projector(self._dsn) as conn:
                    if not self._stand_by(conn, stop):
                        return
                    log.info("projector_leads")
                    backoff = SHORTEST_PAUSE_SECONDS
                    self._lead(conn, stop)
            except Exception as error:
                log.error("projector_failed", error=type(error).__name__, retry_in_seconds=backoff)
                stop.wait(backoff)
                backoff = min(max(backoff * 2, 0.1), LONGEST_BACKOFF_SECONDS)

    def _stand_by(self, conn: Connection, stop: threading.Event) -> bool:
        """Return True when we lead, False when asked to stop before that. Leadership is a lock of this very
        session: it ends with it."""
        while not stop.is_set():
            row = conn.execute(sql["take_leadership"], {"key": LEADER_KEY}).fetchone()
            if row and row[0]:
                return True
            stop.wait(STANDBY_SECONDS)
        return False

    def _lead(self, conn: Connection, stop: threading.Event) -> None:
        """After a page, rest for as long as it took: what is written meanwhile makes one page, which costs
        little more than one event would. After nothing, rest twice as long as before."""
        pause = SHORTEST_PAUSE_SECONDS
        while not stop.is_set():
            began = time.monotonic()
            projected = catch_up(conn, self._vault)
            if projected < BATCH_SIZE:
                if projected:
                    pause = min(time.monotonic() - began, LONGEST_REST_SECONDS)
                else:
                    pause = min(max(pause * 2, SHORTEST_PAUSE_SECONDS), LONGEST_PAUSE_SECONDS)
                stop.wait(pause)
