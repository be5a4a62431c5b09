"""Which relay leads: the one whose session holds an advisory lock. Who may write is decided by Kafka."""

from __future__ import annotations

import threading
import time
from typing import NamedTuple

import structlog

from event_stream.position import sql
from infrastructure.storage.postgres import Connection

LEADER_KEY = 7_305_874  # the session advisory lock of the relay that leads
LOOK_SECONDS = 0.5
TAKEOVER_SECONDS = 10.0
HUNG_AFTER_SECONDS = 120.0  # a relay that is alive publishes or dies of its own time limits sooner


class Leader(NamedTuple):
    """The session that leads, how far it has come, and whether there is anything for it to do."""

    pid: int
    position: int
    has_backlog: bool


log = structlog.get_logger()


def stand_by(conn: Connection, stop: threading.Event, *, hung_after_seconds: float) -> bool:
    """Return True when we lead, False when asked to stop before that.

    A leader that has had events to publish for `hung_after_seconds` and has published none is frozen: its
    session is ended. Should it wake up, it finds its session gone, and Kafka refuses what it sends.
    """
    seen: Leader | None = None
    since = time.monotonic()
    while not stop.is_set():
        if take_leadership(conn):
            return True
        found = _leader(conn)
        if found != seen or found is None or not found.has_backlog:
            seen, since = found, time.monotonic()
        elif time.monotonic() - since > hung_after_seconds:
            log.warning("relay_leader_hangs", pid=found.pid, position=found.position)
            conn.execute(sql["end_session"], {"pid": found.pid})
            seen = None
        stop.wait(LOOK_SECONDS)
    return False


def take_leadership(conn: Connection) -> bool:
    """Take the lock if it is free, until this connection closes."""
    row = conn.execute(sql["take_leadership"], {"key": LEADER_KEY}).fetchone()
    return bool(row and row[0])


def take_leadership_soon(conn: Connection) -> bool:
    """As take_leadership, but with patience for a relay that refuses to start: that one holds the lock for
    a moment each time its supervisor starts it."""
    deadline = time.monotonic() + TAKEOVER_SECONDS
    while not take_leadership(conn):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def _leader(conn: Connection) -> Leader | None:
    row = conn.execute(sql["read_leader"], {"key": LEADER_KEY}).fetchone()
    return Leader(*row) if row else None
