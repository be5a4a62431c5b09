"""Waiting until the read tables show what was written."""

from __future__ import annotations

import threading
import time

import psycopg
import structlog

from infrastructure.deadlines import spend
from infrastructure.postgres import Connection, Pool, connect
from infrastructure.threads import start_watched
from projections.batch import sql
from projections.runner import LEADER_KEY, catch_up, connect_projector
from projections.schema import LIVE

WAIT_SECONDS = 0.25
HELP_SECONDS = 0.25
LOOK_SECONDS = 1.0  # how often the position is read although no notification came
LISTEN_LIMIT_SECONDS = 5.0  # what the listener asks is answered at once or not at all
RECONNECT_SECONDS = 1.0
BUSY_PAUSE_SECONDS = 0.01  # when another process is projecting
CHANNEL = "ticketing_projected"

log = structlog.get_logger()


class Visibility:
    """Knows how far the read tables are. One a process; it starts at its first use, after the fork.

    A thread listens on a connection of its own for the notification that comes with each projected
    batch. It is a hint: the position is also read after every (re)connection and once a second.
    """

    def __init__(self, dsn: str, pool: Pool) -> None:
        self._dsn = dsn
        self._pool = pool
        self._changed = threading.Condition()
        self._position = 0
        self._is_projector_there = True
        self._waiters = 0
        self._is_wanted = threading.Event()  # set while anyone waits
        self._listener: threading.Thread | None = None
        self._closing = threading.Event()
        self._helping = threading.Lock()
        self._helper: Connection | None = None

    def wait_for(self, position: int) -> bool:
        """Return whether the read tables have reached `position`, waiting up to WAIT_SECONDS.

        No database connection is held meanwhile. When the wait was in vain, or no projector runs, this
        thread projects what is missing itself, if no other process is just doing so.
        """
        if self._position >= position:
            return True
        self._start()
        began = time.monotonic()
        with self._changed:
            self._waiters += 1
            self._is_wanted.set()
            self._changed.wait_for(
                lambda: self._position >= position or not self._is_projector_there, WAIT_SECONDS
            )
            self._waiters -= 1
            if not self._waiters and not self._closing.is_set():
                self._is_wanted.clear()
        spend(time.monotonic() - began)
        return self._position >= position or self._help(position)

    def close(self) -> None:
        """Stop listening."""
        self._closing.set()
        self._is_wanted.set()
        if self._listener is not None:
            self._listener.join(LOOK_SECONDS)
        with self._helping:
            if self._helper is not None:
                self._helper.close()

    def _start(self) -> None:
        if self._listener is not None:
            return
        with self._changed:
            if self._listener is None:
                self._listener = start_watched(self._listen, name="visibility")

    def _listen(self) -> None:
        while not self._closing.is_set():
            try:
                options = f"-c search_path={LIVE}"
                with connect(
                    self._dsn,
                    application="ticketing-visibility",
                    limit_seconds=LISTEN_LIMIT_SECONDS,
                    options=options,
                ) as conn:
                    conn.execute(f"LISTEN {CHANNEL}")
                    self._position = 0  # the server was gone: what stands in for it may not be as far
                    while not self._closing.is_set():
                        self._look(conn)
                        self._follow(conn, until=time.monotonic() + LOOK_SECONDS)
            except Exception as error:  # whatever it is, those who wait need this thread
                log.warning("visibility_disconnected", error=type(error).__name__)
                self._closing.wait(RECONNECT_SECONDS)

    def _look(self, conn: Connection) -> None:
        row = conn.execute(sql["read_progress"], {"key": LEADER_KEY}).fetchone()
        if row is not None:
            self._note(row[0], is_projector_there=row[1])

    def _follow(self, conn: Connection, *, until: float) -> None:
        """Take in notifications. While nobody waits they are left to pile up for a moment: a wake-up for
        each batch in each worker would cost more than the batch."""
        while (remaining := until - time.monotonic()) > 0 and not self._closing.is_set():
            if not self._is_wanted.wait(remaining):
                break
            newest = 0
            for notification in conn.notifies(timeout=min(remaining, WAIT_SECONDS), stop_after=1):
                newest = int(notification.payload)
            if newest:
                self._note(newest)

    def _note(self, position: int, *, is_projector_there: bool | None = None) -> None:
        with self._changed:
            self._position = max(self._position, position)
            if is_projector_there is not None:
                self._is_projector_there = is_projector_there
            self._changed.notify_all()

    def _help(self, position: int) -> bool:
        """Project in this thread until `position` is reached, by whomever, or time is up."""
        began = time.monotonic()
        deadline = began + HELP_SECONDS
        if not self._helping.acquire(timeout=HELP_SECONDS):
            return self._position >= position
        spend(time.monotonic() - began)
        try:
            if self._helper is None or self._helper.closed:
                self._helper = connect_projector(self._dsn)
            while self._position < position and time.monotonic() < deadline:
                if not catch_up(self._helper, wait=False):
                    self._closing.wait(BUSY_PAUSE_SECONDS)
                self._look(self._helper)
        except psycopg.Error as error:
            log.warning("visibility_could_not_help", error=type(error).__name__)
        finally:
            self._helping.release()
        return self._position >= position
