"""Waits until the read tables contain a change."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import psycopg
import structlog
from psycopg_pool import PoolTimeout

from infrastructure.keys.vault import Vault
from infrastructure.process import tracing
from infrastructure.process.deadlines import seconds_left, spend
from infrastructure.process.failures import FailureLog
from infrastructure.process.following import Pause
from infrastructure.process.threads import start_watched
from infrastructure.storage.postgres import Connection, Pool, connect
from infrastructure.storage.read_schema import read_tables
from projections.batch import sql
from projections.live_tables import leader_key_of
from projections.other_tables import OtherTables
from projections.runner import catch_up, connect_projector
from projections.schema import LIVE

WAIT_SECONDS = 0.25  # for the projector; then the waiting thread projects the events
LONGEST_WAIT_SECONDS = 2.0  # in total; a busy machine may take that long for one batch
STUCK_WAIT_SECONDS = 0.5  # in total, when nothing was projected during the last full wait
OTHERS_WAIT_SECONDS = 0.5  # for the read tables of another version
READ_WAIT_SECONDS = 0.5  # of a read, in total
STUCK_READ_WAIT_SECONDS = 0.05  # of a read after such a wait; enough to project if nobody else does
RESERVED_SECONDS = 1.0  # of the request's time, for the work after the wait; at most half of it
POLL_SECONDS = 1.0  # how often the position is read without a notification
LISTEN_LIMIT_SECONDS = 5.0  # for the statements of the listener, all of them short
RECONNECT_SECONDS = 1.0
SHORTEST_PAUSE_SECONDS = 0.01  # while another process projects or an earlier append is not committed
LONGEST_PAUSE_SECONDS = 0.1
CHANNEL = "ticketing_projected"

log = structlog.get_logger()


class Visibility:
    """Tracks the position of the read tables. One per process; starts at its first use, after the fork.

    A thread listens on a separate connection for the notification that comes with each projected
    batch. Notifications may be lost: the position is also read after each connection and once a second.
    """

    def __init__(self, dsn: str, pool: Pool, vault: Vault, *, has_replica: bool = False) -> None:
        self._dsn = dsn
        self._has_replica = has_replica
        self._vault = vault
        self._pool = pool
        self._others = OtherTables(pool)
        self._changed = threading.Condition()
        self._position = 0
        self._has_projector = True
        self._is_stuck = False  # nothing was projected during the last wait that failed
        self._waiters = 0
        self._is_wanted = threading.Event()  # set while a thread waits
        self._listener: threading.Thread | None = None
        self._closing = threading.Event()
        self._helping = threading.Lock()
        self._helper: Connection | None = None
        self._late = FailureLog("change_not_shown_in_time")
        self._helping_failures = FailureLog("visibility_could_not_help")
        self._listening_failures = FailureLog("visibility_disconnected")

    def wait_for(self, position: int, *, is_read: bool = False) -> bool:
        """Return whether the read tables have reached `position`, waiting up to LONGEST_WAIT_SECONDS.

        After WAIT_SECONDS, or when no projector runs, this thread projects the missing events itself, unless
        another process is projecting. A request waits less if it has little time left. After a wait in which
        nothing was projected, requests wait only STUCK_WAIT_SECONDS, to keep threads free for other requests.
        Reads wait less, because each of a caller's reads would wait again. During an upgrade a write also
        waits for the read tables of the other version.
        """
        is_shown = self._wait_for_own(position, is_read)
        if is_read or not is_shown:
            return is_shown
        try:
            return self._others.wait_for(position, OTHERS_WAIT_SECONDS)
        except (psycopg.Error, PoolTimeout) as error:  # the change is stored, and shown by this version
            self._helping_failures.add(error)
            return True

    def wait_for_others(self) -> bool:
        """Return whether the read tables have reached the position of those of another version, so that a
        read finds what a process of that version has answered."""
        try:
            position = self._others.position()
        except (psycopg.Error, PoolTimeout):
            return True  # the read itself fails
        return self._wait_for_own(position, is_read=True)

    def _wait_for_own(self, position: int, is_read: bool) -> bool:
        if self._position >= position:
            return True
        self._start()
        began, before = time.monotonic(), self._position
        deadline = began + self._longest_wait_seconds(is_read)
        with tracing.span("wait for the read tables"), self._listening():
            self._wait_until(
                lambda: self._position >= position or not self._has_projector,
                min(WAIT_SECONDS, deadline - began),
            )
            self._help(position, deadline)
        if self._position < position and not is_read:
            self._give_up(position, before, time.monotonic() - began)
        return self._position >= position

    def wait_beyond(self, position: int, seconds: float) -> int:
        """Wait up to `seconds` until the read tables are beyond the position; return where they are.

        For threads that work on no request: it does not project, and spends no time of a request.
        """
        self._start()
        with self._listening(), self._changed:
            self._changed.wait_for(lambda: self._position > position or self._closing.is_set(), seconds)
            return self._position

    def close(self) -> None:
        """Stop listening."""
        self._closing.set()
        self._is_wanted.set()
        if self._listener is not None:
            self._listener.join(POLL_SECONDS)
        with self._helping:
            if self._helper is not None:
                self._helper.close()

    def _longest_wait_seconds(self, is_read: bool) -> float:
        if is_read:
            limit = STUCK_READ_WAIT_SECONDS if self._is_stuck else READ_WAIT_SECONDS
        else:
            limit = STUCK_WAIT_SECONDS if self._is_stuck else LONGEST_WAIT_SECONDS
        left = seconds_left(limit + RESERVED_SECONDS)
        return min(limit, max(left - RESERVED_SECONDS, left / 2))

    @contextmanager
    def _listening(self) -> Iterator[None]:
        """While the block runs, the listener receives notifications for this thread."""
        with self._changed:
            self._waiters += 1
            self._is_wanted.set()
        try:
            yield
        finally:
            with self._changed:
                self._waiters -= 1
                if not self._waiters and not self._closing.is_set():
                    self._is_wanted.clear()

    def _wait_until(self, condition: Callable[[], bool], seconds: float) -> None:
        """Wait until another thread makes the condition true, at most `seconds` of the request's time."""
        began = time.monotonic()
        with self._changed:
            self._changed.wait_for(condition, seconds)
        spend(time.monotonic() - began)

    def _give_up(self, position: int, before: int, seconds: float) -> None:
        self._is_stuck = self._position <= before
        self._late.add(position=position, shown=self._position, seconds=round(seconds, 2))

    def _start(self) -> None:
        if self._listener is not None:
            return
        with self._changed:
            if self._listener is None:
                self._listener = start_watched(self._listen, name="visibility")

    def _listen(self) -> None:
        while not self._closing.is_set():
            try:
                options = f"-c search_path={read_tables.schema}"
                with connect(
                    self._dsn,
                    application="ticketing-visibility",
                    limit_seconds=LISTEN_LIMIT_SECONDS,
                    options=options,
                ) as conn:
                    conn.execute(f"LISTEN {CHANNEL}{read_tables.schema.removeprefix(LIVE)}")
                    self._position = 0  # the server may have been replaced by one with a lower position
                    while not self._closing.is_set():
                        self._look(conn)
                        self._follow(conn, until=time.monotonic() + POLL_SECONDS)
            except Exception as error:  # any error: waiting threads need this thread
                self._listening_failures.add(error)
                self._closing.wait(RECONNECT_SECONDS)

    def _look(self, conn: Connection) -> None:
        row = conn.execute(sql["read_progress"], {"key": leader_key_of(read_tables.schema)}).fetchone()
        if row is not None:
            position, has_projector = row
            self._note(position, has_projector=has_projector)

    def _follow(self, conn: Connection, *, until: float) -> None:
        """Receive notifications. They are left unread while no thread waits, because waking up for each batch
        in each worker would cost more than the batch."""
        while (remaining := until - time.monotonic()) > 0 and not self._closing.is_set():
            if not self._is_wanted.wait(remaining):
                break
            newest = 0
            for notification in conn.notifies(timeout=min(remaining, WAIT_SECONDS), stop_after=1):
                newest = int(notification.payload)
            if newest:
                self._note(newest)

    def _note(self, position: int, *, has_projector: bool | None = None) -> None:
        with self._changed:
            if position > self._position:
                self._position = position
                self._is_stuck = False
            if has_projector is not None:
                self._has_projector = has_projector
            self._changed.notify_all()

    def _help(self, position: int, deadline: float) -> None:
        """Project events until the read tables have reached `position`, at most until the deadline. One
        thread of this process projects at a time; the others wait for it and for the projector."""
        while (remaining := self._remaining(position, deadline)) > 0:
            if not self._helping.acquire(blocking=False):
                self._wait_until(lambda: self._position >= position or not self._helping.locked(), remaining)
                continue
            try:
                self._project(position, deadline)
            except psycopg.Error as error:
                self._helping_failures.add(error)
                return
            finally:
                self._helping.release()
                with self._changed:  # one of the waiting threads takes over
                    self._changed.notify_all()

    def _project(self, position: int, deadline: float) -> None:
        if self._helper is None or self._helper.closed:
            self._helper = connect_projector(self._dsn, has_replica=self._has_replica)
        pause = Pause(SHORTEST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS)
        while (remaining := self._remaining(position, deadline)) > 0:
            if not catch_up(self._helper, self._vault, wait=False):
                self._wait_until(lambda: self._position >= position, min(pause.next_seconds(), remaining))
            self._look(self._helper)

    def _remaining(self, position: int, deadline: float) -> float:
        """The seconds left to wait for `position`; 0 when it is reached or the process closes."""
        if self._position >= position or self._closing.is_set():
            return 0.0
        return deadline - time.monotonic()
