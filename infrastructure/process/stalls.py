"""Logs the sessions that stall the followers of the log.

Followers read up to the watermark, so a transaction that has appended to the log and stays open delays all of
them: lists are stale, and nothing is published or posted. A session that holds a lock for which a follower
waits has the same effect. Every process that follows the log runs this watch; one of them, elected by an
advisory lock, writes the log lines.
"""

from __future__ import annotations

import threading
import time
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

import psycopg
import structlog

from infrastructure.process.following import Pause, take_leadership
from infrastructure.storage.postgres import NOTICE_LOST_CLIENTS, Connection, connect, named_queries

WATCH_KEY = 7_305_882  # the session advisory lock of the process that writes the log lines
CHECK_SECONDS = 2.0
STALL_SECONDS = 10.0
FIRST_REPEAT_SECONDS, LAST_REPEAT_SECONDS = 20.0, 600.0
FIRST_RETRY_SECONDS, LAST_RETRY_SECONDS = 5.0, 300.0
FOLLOWERS = [
    *("ticketing-projector", "ticketing-relay", "ticketing-notary"),
    *("ticketing-webhook-consumer", "ticketing-webhook-deliveries"),
]
# The server ends the session of a process that is frozen or lost, so that another one writes the log lines.
_OPTIONS = f"-c statement_timeout=5s -c idle_session_timeout=30s {NOTICE_LOST_CLIENTS}"

_sql = named_queries(Path(__file__).parent / "sql" / "stalls.sql")
log = structlog.get_logger()


class Session(NamedTuple):
    """A session, or a prepared transaction, that stalls followers (migrations/0020_stream.sql)."""

    after: int | None
    waits: str | None
    pid: int | None
    prepared: str | None
    application: str | None
    role: str | None
    client: str | None
    state: str | None
    since: datetime | None

    @property
    def identity(self) -> tuple[object, ...]:
        """Equal in two checks if they have found the same transaction with the same effect."""
        return (self.waits, self.pid, self.prepared, self.since or self.after)

    @property
    def advice(self) -> str:
        """What the session does to the followers, and how to end that."""
        if self.prepared is not None:
            name = self.prepared.replace("'", "''")
            end = f"Commit it (COMMIT PREPARED '{name}') or roll it back (ROLLBACK PREPARED '{name}')."
        elif not self.pid:  # PostgreSQL reports the locks of prepared transactions without their name
            end = "It is a prepared transaction: find it in pg_prepared_xacts and end it."
        else:
            end = (
                "Commit or roll it back in its application, or end the session:"
                f" SELECT pg_terminate_backend({self.pid})"
            )
        if self.waits is not None:
            return f"{self.waits} waits for a lock of this transaction. {end}"
        return (
            f"This transaction has appended to the log and has not ended: nothing after position {self.after}"
            f" is projected, published or posted. {end}"
        )


class _Seen:
    """A session that an earlier check has found."""

    def __init__(self, now: float) -> None:
        self.first_at = now
        self.log_at = now + STALL_SECONDS
        self.is_logged = False
        self._repeat = Pause(FIRST_REPEAT_SECONDS, LAST_REPEAT_SECONDS)

    def log(self, session: Session, now: float) -> None:
        log.error(
            "followers_stalled",
            seconds=round(now - self.first_at),
            since=session.since,
            pid=session.pid,
            prepared=session.prepared,
            application=session.application,
            user=session.role,
            client_address=session.client or ("local" if session.pid else None),
            state=session.state or ("not visible" if session.pid else "prepared"),
            advice=session.advice,
        )
        self.is_logged = True
        self.log_at = now + self._repeat.next_seconds()


class StallWatch:
    """Logs each session that has stalled followers for STALL_SECONDS, again with back-off, and its end."""

    def __init__(self) -> None:
        self._seen: dict[tuple[object, ...], _Seen] = {}

    def check(self, conn: Connection, now: float) -> None:
        """`now` is a time of the monotonic clock."""
        found = {session.identity: session for session in stalling_sessions(conn)}
        for identity in self._seen.keys() - found.keys():
            seen = self._seen.pop(identity)
            if seen.is_logged:
                log.info("followers_continue", after_seconds=round(now - seen.first_at))
        for identity, session in found.items():
            seen = self._seen.setdefault(identity, _Seen(now))
            if now >= seen.log_at:
                seen.log(session, now)


def stalling_sessions(conn: Connection) -> list[Session]:
    """The sessions that stall followers now, also for a moment."""
    rows = conn.execute(_sql["read_stalling_sessions"], {"followers": FOLLOWERS})
    return [Session(*row) for row in rows]


def watch_stalls(dsn: str, stop: threading.Event) -> None:
    """Run until `stop` is set. An error of PostgreSQL is logged and does not end the watch."""
    retry = Pause(FIRST_RETRY_SECONDS, LAST_RETRY_SECONDS)
    while not stop.is_set():
        try:
            with connect(dsn, application="ticketing-stalls", options=_OPTIONS) as conn:
                _watch(conn, stop, retry)
        except psycopg.Error as error:
            seconds = retry.next_seconds()
            log.error("stall_watch_failed", error=str(error)[:500], retry_in_seconds=seconds)
            stop.wait(seconds)


def _watch(conn: Connection, stop: threading.Event, retry: Pause) -> None:
    watch = StallWatch()
    leads = False
    while not stop.is_set():
        leads = leads or take_leadership(conn, WATCH_KEY)
        if leads:
            watch.check(conn, time.monotonic())
        retry.reset()
        stop.wait(CHECK_SECONDS)
