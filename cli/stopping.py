"""Ending in order on Ctrl-C, SIGTERM or a closed terminal, and saying why where it is an error."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

import psycopg
import structlog
import typer

from cli.output import note

FINISH_SECONDS = 20.0  # docker-compose.yml gives 30 s
UNUSABLE = 2  # cli/main.py lists the exit codes
_ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Stopped(BaseException):
    """A signal asked for the end; everything that is open closes on the way out."""


class Signals:
    """Raises Stopped at the first signal, or when the deferred block it fell into is left."""

    def __init__(self) -> None:
        self._is_deferred = False
        self._is_wanted = False

    def on_signal(self, number: int, frame: FrameType | None) -> None:
        for each in _ENDING:  # those that follow must not disturb the closing
            signal.signal(each, signal.SIG_IGN)
        self._is_wanted = True
        if not self._is_deferred:
            raise Stopped

    @contextmanager
    def deferred(self) -> Iterator[None]:
        """A block that is run to its end, for steps that must not be left half done."""
        self._is_deferred = True
        try:
            yield
        finally:
            self._is_deferred = False
            if self._is_wanted:
                raise Stopped


def stop_event() -> threading.Event:
    """An event that SIGINT and SIGTERM set, for processes that finish what they are doing first.

    A process that has not finished FINISH_SECONDS later ends anyway: it may wait for a PostgreSQL that does
    not answer. What it had not committed is done again after the next start.
    """
    stop = threading.Event()

    def on_signal(number: int, frame: FrameType | None) -> None:
        if not stop.is_set():
            deadline = threading.Timer(FINISH_SECONDS, _end_now)
            deadline.daemon = True
            deadline.start()
        stop.set()

    signal.signal(signal.SIGTERM, on_signal)
    signal.signal(signal.SIGINT, on_signal)
    return stop


def _end_now() -> None:
    structlog.get_logger().error("not_finished_in_time", seconds=FINISH_SECONDS)
    os._exit(1)


@contextmanager
def failing_in_the_log(process: str, *foreseen: type[Exception]) -> Iterator[None]:
    """A process whose loop an error ends says so in its log, in a line like all others, for its supervisor to
    start it again. What was not foreseen is told with its traceback."""
    try:
        yield
    except Exception as error:
        is_foreseen = isinstance(error, (psycopg.OperationalError, *foreseen))
        reason = str(error).strip() or type(error).__name__
        structlog.get_logger().error(f"{process}_ended", error=reason, exc_info=not is_foreseen)
        raise typer.Exit(UNUSABLE if is_foreseen else 1) from None


@contextmanager
def stopping_on_signals() -> Iterator[Signals]:
    """Run a block until its end or a signal, whichever is first."""
    signals = Signals()
    for each in _ENDING:
        signal.signal(each, signals.on_signal)
    try:
        yield signals
    except Stopped:
        note("Stopped.")
