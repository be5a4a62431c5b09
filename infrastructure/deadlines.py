"""How long this process waits for PostgreSQL.

The server enforces `statement_timeout`. A server that is frozen, or behind a network that passes nothing on,
enforces nothing, so the client has limits too: one for all the waits of a request together, and elsewhere one
for each wait. docs/operating.md says what operators see.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import psycopg
import structlog
from psycopg_pool import PoolClosed, PoolTimeout

from infrastructure.threads import start_watched

REQUEST_SECONDS = 4.0  # all waits of one request; with what else it does it is answered within 5 s
LEAST_REQUEST_SECONDS = 0.5  # for a request that has spent its time in the queue for a thread
LAST_STEP_SECONDS = 0.25  # for what follows the answer
STATEMENT_SECONDS = 65.0  # longer than any statement_timeout of ours: a server that works speaks first
LONG_STATEMENT_SECONDS = 3_600.0  # for operators' commands, whose statements the server does not limit
PROBE_SECONDS = 1.0
PROBE_PAUSE_SECONDS = 0.25
GRACE_SECONDS = 0.25  # a server that works answers the probe sooner, and nobody is refused

log = structlog.get_logger()


class DeadlineExceeded(psycopg.OperationalError):
    """PostgreSQL did not answer in time. The connection is closed; what was asked may be carried out yet."""


class _Thread(threading.local):
    """`seconds_left` is how long the request of this thread may still wait; None outside requests."""

    seconds_left: float | None = None
    queued_seconds = 0.0


this_thread = _Thread()


def note_queued(seconds: float) -> None:
    """Have the next request of this thread wait that much less: it has waited for the thread."""
    this_thread.queued_seconds = seconds


def limit_request(seconds: float = REQUEST_SECONDS) -> None:
    """Let this thread wait for PostgreSQL no longer than this in all, until the limit is lifted."""
    queued_seconds, this_thread.queued_seconds = this_thread.queued_seconds, 0.0
    this_thread.seconds_left = max(LEAST_REQUEST_SECONDS, seconds - queued_seconds)


def lift_request_limit() -> None:
    """From now on each wait of this thread has a limit of its own."""
    this_thread.seconds_left = None


def allow_last_step() -> None:
    """Give a request that has used up its time a moment for what it must leave in order."""
    if this_thread.seconds_left is not None:
        this_thread.seconds_left = max(this_thread.seconds_left, LAST_STEP_SECONDS)


def seconds_left(limit_seconds: float) -> float:
    """How long the next wait may take: `limit_seconds`, or what is left to the request."""
    left = this_thread.seconds_left
    return limit_seconds if left is None else max(0.0, min(left, limit_seconds))


def spend(seconds: float) -> None:
    """Take a wait that is over from what is left to the request."""
    left = this_thread.seconds_left
    if left is not None:
        this_thread.seconds_left = left - seconds


class Breaker:
    """Refuses requests at once while PostgreSQL does not answer: if each waited for its own deadline, those
    behind it in the queue would wait many times as long.

    A wait in vain opens it. Then a thread asks PostgreSQL, by `probe`, until there is an answer.
    """

    def __init__(self, probe: Callable[[], object]) -> None:
        self.is_open = False
        self._probe = probe
        self._opened_at = 0.0
        self._lock = threading.Lock()
        self._has_answered = threading.Event()

    def suspect(self) -> None:
        """Note that PostgreSQL did not answer somebody in time."""
        with self._lock:
            if self.is_open:
                return
            self._opened_at = time.monotonic()
            self._has_answered.clear()
            start_watched(self._probe_until_answered, name="postgres-probe")
            self.is_open = True

    def require_answers(self) -> None:
        """Raise PoolTimeout while PostgreSQL does not answer. One slow statement is no such case: then the
        probe, which this waits for, is answered in the first moment."""
        grace_seconds = self._opened_at + GRACE_SECONDS - time.monotonic()
        if not self._has_answered.wait(max(0.0, grace_seconds)):
            raise PoolTimeout("PostgreSQL does not answer")

    def _probe_until_answered(self) -> None:
        failures = 0
        while not self._is_answered():
            failures += 1
            if failures == 1:
                log.error("database_does_not_answer")
            time.sleep(PROBE_PAUSE_SECONDS)
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
            pass
        except Exception:  # whatever it is, requests would meet it too
            return False
        return True
