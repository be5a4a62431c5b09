"""The projector: follows the log and keeps the read tables up to date."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import structlog

from infrastructure.keys.vault import Vault
from infrastructure.process import tracing
from infrastructure.process.following import Pause, keep_running, process_some, wait_for_leadership
from infrastructure.process.loops import Loop, Loops
from infrastructure.storage.postgres import NOTICE_LOST_CLIENTS, Connection, LimitedConnection, connect
from infrastructure.storage.read_schema import read_tables
from projections.batch import Batch, Overtaken, park_batch, project_batch, read_batch, sql
from projections.live_tables import leader_key_of
from projections.project_past_tickets import PastTickets

BATCH_SIZE = 500
BACKLOG_BATCH_SIZE = 4_000  # after a full batch: fewer batches change the same rows
SHORTEST_PAUSE_SECONDS = 0.001
LONGEST_PAUSE_SECONDS = 0.02
LONGEST_REST_SECONDS = 0.004  # between two batches; writers wait until the read tables show their event
SLOW_BATCH_SECONDS = 0.4  # the next batch is smaller
STATEMENT_LIMIT = "60s"

log = structlog.get_logger()


def connect_projector(dsn: str, schema: str | None = None, *, has_replica: bool = False) -> LimitedConnection:
    """Open a connection for `catch_up` on the read tables of this process, or in another schema.

    Commits do not wait for the disk: after a crash position and rows are equally old, and the projector
    continues from that position. With `has_replica` they do, because PostgreSQL sends a replica only what is
    on the disk. With a synchronous standby they wait for it: what was shown is then shown after a promotion.
    """
    commit = "local" if has_replica else "off"
    options = (
        f"-c search_path={schema or read_tables.schema} -c synchronous_commit={commit}"
        f" -c statement_timeout={STATEMENT_LIMIT} -c TimeZone=UTC {NOTICE_LOST_CLIENTS}"
    )
    conn = connect(dsn, application="ticketing-projector", options=options, prepare_threshold=0)
    conn.execute(sql["wait_for_standby"])
    return conn


def catch_up(
    conn: Connection,
    vault: Vault,
    limit: int = BATCH_SIZE,
    wait: bool = True,
    *,
    up_to: int | None = None,
    keep_past: Callable[[PastTickets], None] | None = None,
) -> int:
    """Project the next events, at most `limit`. Returns their number: 0 at the end of the log or at `up_to`.

    `conn` comes from `connect_projector`. With `wait=False` it also returns 0 while another process
    projects. A batch that fails is halved until the event that cannot be projected is alone; that event is
    parked. With `keep_past` the tables `past_tickets` and `audit_events` are not written: `keep_past`
    receives the rows for `past_tickets` instead.
    """
    while True:
        try:
            return _project_next(conn, vault, limit, wait, up_to, keep_past)
        except Overtaken:
            if not wait:
                return 0


def project_everything(conn: Connection, vault: Vault) -> None:
    """Project until the end of the log is reached, or another process projects."""
    while catch_up(conn, vault, BACKLOG_BATCH_SIZE, wait=False):
        pass


def _project_next(
    conn: Connection,
    vault: Vault,
    limit: int,
    wait: bool,
    up_to: int | None,
    keep_past: Callable[[PastTickets], None] | None,
) -> int:
    began_at = tracing.now()
    batch = read_batch(conn, limit, up_to)
    if not batch.entries:
        return 0
    history = keep_past is None
    count, past = process_some(
        batch.entries,
        lambda entries: project_batch(
            conn, vault, Batch(batch.position, entries), wait=wait, history=history
        ),
        lambda entry, error: park_batch(conn, Batch(batch.position, [entry]), error, history=history),
    )
    if keep_past and past is not None:
        keep_past(past)
    tracing.note_handled(conn, "project", (entry.state for entry in batch.entries[:count]), began_at)
    return count


class Projector:
    """Projects while it leads; otherwise waits to take over."""

    def __init__(
        self, dsn: str, vault: Vault, loop: Loop | None = None, *, has_replica: bool = False
    ) -> None:
        self._dsn = dsn
        self._loop = loop or Loops().add("projector")
        self._vault = vault
        self._has_replica = has_replica
        self._limit = BATCH_SIZE  # of events in the next batch

    def run(self, stop: threading.Event) -> None:
        """Run until `stop` is set. Reconnects after a restart of PostgreSQL."""
        keep_running(
            lambda: self._connect_and_follow(stop), stop, failure="projector_failed", loop=self._loop
        )

    def _connect_and_follow(self, stop: threading.Event) -> None:
        with connect_projector(self._dsn, has_replica=self._has_replica) as conn:
            leader_key = leader_key_of(read_tables.schema)
            if wait_for_leadership(conn, leader_key, stop, between_tries=self._loop.turn):
                log.info("projector_leads")
                with self._loop.leading():
                    self._follow(conn, stop)

    def _follow(self, conn: Connection, stop: threading.Event) -> None:
        """Project batch after batch.

        After a batch it waits as long as the batch took: the events stored meanwhile form one batch, which
        costs little more than one event. At the end of the log each wait is twice as long as the one before.
        After a batch that was slow or failed, for example at the time limit of statements, the next one is
        half as long.
        """
        idle = Pause(SHORTEST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS)
        while not stop.is_set():
            self._loop.turn()
            began, limit = time.monotonic(), self._limit
            self._limit = max(limit // 2, 1)
            projected = catch_up(conn, self._vault, limit)
            seconds = time.monotonic() - began
            if seconds < SLOW_BATCH_SECONDS:
                self._limit = min(limit * 2, BACKLOG_BATCH_SIZE if projected == limit else BATCH_SIZE)
            if projected:
                self._loop.count_batch(projected, seconds)
            if projected == limit:
                continue
            if projected:
                idle.reset()
                stop.wait(min(seconds, LONGEST_REST_SECONDS))
            else:
                stop.wait(idle.next_seconds())
