"""Functions for processes that follow the log: back-off, leadership, and halving a batch that fails.

A follower reads batches of the log in a loop: the projector, the relay to Kafka, the notary, and the consumer
and the deliveries of the webhook dispatcher. threads.py ends the process when a thread of it fails.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

import psycopg
import structlog

from infrastructure.process.failures import describe_error
from infrastructure.process.loops import Loop
from infrastructure.storage.postgres import Connection, fetch_value

SHORTEST_BACKOFF_SECONDS = 0.1
LONGEST_BACKOFF_SECONDS = 5.0
STANDBY_SECONDS = 0.5
_PERMANENT = frozenset(("22", "23", "54"))  # SQLSTATE classes: values, constraints, limits of PostgreSQL

T = TypeVar("T")
R = TypeVar("R")

log = structlog.get_logger()


class TryAgain(Exception):
    """The work failed for a reason other than an error of PostgreSQL, and may succeed later."""


class Pause:
    """Waits that double from `shortest` to `longest` seconds."""

    def __init__(self, shortest: float, longest: float) -> None:
        self._shortest = shortest
        self._longest = longest
        self._next = shortest

    def next_seconds(self) -> float:
        """The seconds to wait now; the next wait is twice as long."""
        seconds = self._next
        self._next = min(seconds * 2, self._longest)
        return seconds

    def reset(self) -> None:
        """Begin with the shortest wait again."""
        self._next = self._shortest


def keep_running(
    work: Callable[[], object],
    stop: threading.Event,
    *,
    failure: str,
    loop: Loop | None = None,
) -> None:
    """Call `work` until it returns or `stop` is set; after an exception wait and call it again.

    Each exception is logged as the event `failure`, with its text, and counted for `loop`. Each wait is twice
    as long as the one before; after a long run the waits begin with the shortest again.
    """
    backoff = _Backoff(failure, loop)
    while not stop.is_set():
        began = time.monotonic()
        try:
            work()
            return
        except Exception as error:
            stop.wait(backoff.log_failure(error, time.monotonic() - began))


async def keep_running_async(
    work: Callable[[], Awaitable[object]], stop: asyncio.Event, *, failure: str, loop: Loop | None = None
) -> None:
    """Do what keep_running does, for asyncio."""
    backoff = _Backoff(failure, loop)
    while not stop.is_set():
        began = time.monotonic()
        try:
            await work()
            return
        except Exception as error:
            await wait_for_event(stop, backoff.log_failure(error, time.monotonic() - began))


async def wait_for_event(event: asyncio.Event, seconds: float) -> None:
    """Wait until the event is set, at most so many seconds."""
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        pass


def take_leadership(conn: Connection, key: int) -> bool:
    """Take the advisory lock `key` until the connection closes. Returns False if another session holds it."""
    return fetch_value(conn, "SELECT pg_try_advisory_lock(%s)", [key], default=False)


def wait_for_leadership(
    conn: Connection, key: int, stop: threading.Event, *, between_tries: Callable[[], object] = lambda: None
) -> bool:
    """Return True when this process leads, False when `stop` is set before.

    The leader is the process whose session holds the advisory lock `key`: leadership ends with the session.
    """
    while not stop.is_set():
        if take_leadership(conn, key):
            return True
        between_tries()
        stop.wait(STANDBY_SECONDS)
    return False


def process_some(
    items: Sequence[T],
    process: Callable[[Sequence[T]], R],
    set_aside: Callable[[T, Exception], object],
) -> tuple[int, R | None]:
    """Process the items in one call, or only the first of them if that fails; at least one.

    After a permanent error it tries the first half, then the first quarter, and so on. It passes an item that
    fails alone to `set_aside`, so that later items do not wait. Returns the number of items that are done,
    and the result of `process`. Raises transient errors (`is_transient`).
    """
    while True:
        try:
            return len(items), process(items)
        except Exception as error:  # an item may fail anywhere in the code
            if is_transient(error):
                raise
            if len(items) == 1:
                set_aside(items[0], error)
                return 1, None
            items = items[: len(items) // 2]


def is_transient(error: Exception) -> bool:
    """Whether the same work may succeed later: PostgreSQL was unavailable or busy, or it is a TryAgain.

    Errors of PostgreSQL about values are permanent, and so are all exceptions of other libraries and of this
    program.
    """
    if isinstance(error, psycopg.Error):
        return (error.sqlstate or "")[:2] not in _PERMANENT
    return isinstance(error, TryAgain)


class _Backoff:
    """Logs failures and computes the wait after each."""

    def __init__(self, failure: str, loop: Loop | None) -> None:
        self._failure = failure
        self._loop = loop
        self._pause = Pause(SHORTEST_BACKOFF_SECONDS, LONGEST_BACKOFF_SECONDS)

    def log_failure(self, error: Exception, ran_seconds: float) -> float:
        """Log the failure. Returns the seconds to wait."""
        if ran_seconds > LONGEST_BACKOFF_SECONDS:
            self._pause.reset()
        seconds = self._pause.next_seconds()
        log.error(self._failure, error=describe_error(error), retry_in_seconds=seconds)
        if self._loop is not None:
            self._loop.count_error(error)
        return seconds
