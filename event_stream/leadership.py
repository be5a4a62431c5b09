"""Leadership of the relay: the leader is the relay whose session holds an advisory lock.

Kafka accepts records only from the relay that has started last.
"""

from __future__ import annotations

import threading
import time
from typing import NamedTuple

import structlog

from event_stream.position import sql
from infrastructure.process.following import take_leadership, wait_for_leadership
from infrastructure.process.loops import Loop
from infrastructure.storage.postgres import Connection

LEADER_KEY = 7_305_874  # the session advisory lock of the relay that leads
TAKEOVER_SECONDS = 10.0
HUNG_AFTER_SECONDS = 120.0  # longer than the time limits after which a relay ends itself

log = structlog.get_logger()


class Leader(NamedTuple):
    """The session that leads, its position, and whether the log has events after that position."""

    pid: int
    position: int
    has_backlog: bool


def stand_by(conn: Connection, stop: threading.Event, loop: Loop, *, hung_after_seconds: float) -> bool:
    """Return True when this relay leads, False when `stop` is set before.

    Ends the session of a leader that has had events to publish for `hung_after_seconds` and has published
    none. If that relay resumes, its session has ended, and Kafka refuses its records.
    """
    seen: Leader | None = None
    since = time.monotonic()

    def end_hung_leader() -> None:
        nonlocal seen, since
        loop.turn()
        found = _read_leader(conn)
        if found != seen or found is None or not found.has_backlog:
            seen, since = found, time.monotonic()
        elif time.monotonic() - since > hung_after_seconds:
            log.warning("relay_leader_hangs", pid=found.pid, position=found.position)
            conn.execute(sql["end_session"], {"pid": found.pid})
            seen = None

    return wait_for_leadership(conn, LEADER_KEY, stop, between_tries=end_hung_leader)


def take_leadership_soon(conn: Connection) -> bool:
    """Take the lock within TAKEOVER_SECONDS; return whether it was free. A relay that refuses to start holds
    the lock for a moment each time its supervisor restarts it."""
    deadline = time.monotonic() + TAKEOVER_SECONDS
    while not take_leadership(conn, LEADER_KEY):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def _read_leader(conn: Connection) -> Leader | None:
    row = conn.execute(sql["read_leader"], {"key": LEADER_KEY}).fetchone()
    return Leader(*row) if row else None
