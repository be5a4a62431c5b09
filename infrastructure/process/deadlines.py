"""Limits on how long this process waits for PostgreSQL.

A server that is frozen or cut off does not enforce its `statement_timeout`, so the client has limits too: in
a request one limit for all its waits together, elsewhere one for each wait. See docs/how-to/operating.md.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import psycopg
import structlog
from psycopg_pool import PoolClosed, PoolTimeout

from infrastructure.process.threads import start_watched

REQUEST_SECONDS = 4.0  # all waits of one request together, so that it is answered within 5 s
LEAST_REQUEST_SECONDS = 0.5  # for a request that has waited in the queue for most of its time
LAST_STEP_SECONDS = 0.25  # for the steps after the answer
STATEMENT_SECONDS = 65.0  # longer than every statement_timeout: a working server ends the statement first
LONG_STATEMENT_SECONDS = 3_600.0  # for operators' commands, whose statements the server does not limit
PROBE_SECONDS = 1.0
PROBE_PAUSE_SECONDS = 0.25
GRACE_SECONDS = 0.25  # a working server answers the probe within this time, and no request is refused

log = structlog.get_logger()


class DeadlineExceeded(psycopg.OperationalError):
    """PostgreSQL did not answer in time. The connection is closed; the server may still execute the
    statement."""


class _Thread(threading.local):
    """`seconds_left` is how long the request of this thread may still wait; None outside requests."""

    seconds_left: float | None = None
    queued_seconds = 0.0


this_thread = _Thread()


def note_queued(seconds: float) -> None:
    """Deduct the time that the next request of this thread has waited in the queue from its limit."""
    this_thread.queued_seconds = seconds


def limit_request(seconds: float = REQUEST_SECONDS) -> None:
    """Limit all further waits of this thread for PostgreSQL to this time in total, until it is lifted."""
    queued_seconds, this_thread.queued_seconds = this_thread.queued_seconds, 0.0
    this_thread.seconds_left = max(LEAST_REQUEST_SECONDS, seconds - queued_seconds)


def lift_request_limit() -> None:
    """Give each further wait of this thread its own limit again."""
    this_thread.seconds_left = None


def allow_last_step() -> None:
    """Give a request that has used up its time LAST_STEP_SECONDS for the steps after its answer."""
    if this_thread.seconds_left is not None:
        this_thread.seconds_left = max(this_thread.seconds_left, LAST_STEP_SECONDS)


def seconds_left(limit_seconds: float) -> float:
    """The limit of the next wait: `limit_seconds`, or the time left to the request if that is less."""
    left = this_thread.seconds_left
    return limit_seconds if left is None else max(0.0, min(left, limit_seconds))


def spend(seconds: float) -> None:
    """Deduct a wait from the time that is left to the request."""
    left = this_thread.seconds_left
    if left is not None:
        this_thread.seconds_left = left - seconds


class Breaker:
    """A circuit breaker: refuses requests immediately while PostgreSQL does not answer. If each request
    waited for its own deadline, those in the queue behind it would wait several times as long.

    A wait that exceeds its limit opens it. A thread then calls `probe` until PostgreSQL answers, and closes
    it.
    """

    def __init__(self, probe: Callable[[], object]) -> None:
        self.is_open = False
        self._probe = probe
        self._opened_at = 0.0
        self._lock = threading.Lock()
        self._has_answered = threading.Event()

    def suspect(self) -> None:
        """Open the breaker: PostgreSQL did not answer in time."""
        with self._lock:
            if self.is_open:
                return
            self._opened_at = time.monotonic()
            self._has_answered.clear()
            try:
                start_watched(self._probe_until_answered, name="postgres-probe")
            except RuntimeError as error:  # no more threads: each request waits up to its own limit
                log.error("probe_not_started", error=str(error))
            else:
                self.is_open = True

    def require_answers(self) -> None:
        """Raise PoolTimeout while PostgreSQL does not answer. First waits up to GRACE_SECONDS for the answer
        to the probe, so that a single slow statement causes no errors."""
        grace_seconds = self._opened_at + GRACE_SECONDS - time.monotonic()
        if not self._has_answered.wait(max(0.0, grace_seconds)):
            raise PoolTimeout("PostgreSQL does not answer")

    def _probe_until_answered(self) -> None:
        failures = 0
        try:
            while not self._is_answered():
                failures += 1
                if failures == 1:
                    log.error("database_does_not_answer")
                time.sleep(PROBE_PAUSE_SECONDS)
        except PoolClosed:  # this process is stopping
            return
        with self._lock:
            self.is_open = False
            self._has_answered.set()
        if failures:
            log.warning("database_answers_again", seconds=round(time.monotonic() - self._opened_at, 1))

    def _is_answered(self) -> bool:
        limit_request(PROBE_SECONDS)
        try:
            self._probe()
        except PoolClosed:
            raise
        except Exception:  # requests would get the same error
            return False
        return True
