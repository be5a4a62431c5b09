"""Ends a process on Ctrl-C, SIGTERM or a closed terminal, and logs the error that ended it."""

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
from infrastructure.process.failures import describe_error

FINISH_SECONDS = 20.0  # less than stop_grace_period in docker-compose.yml
UNUSABLE = 2  # cli/main.py lists the exit codes
_OF_DATABASE = (psycopg.OperationalError, psycopg.errors.ReadOnlySqlTransaction)
_ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Stopped(BaseException):
    """A signal ends the process. Context managers close resources as the exception passes through them."""


class Signals:
    """Raises Stopped at the first signal; within a deferred block, at the end of the block."""

    def __init__(self) -> None:
        self._is_deferred = False
        self._has_arrived = False

    def on_signal(self, number: int, frame: FrameType | None) -> None:
        for each in _ENDING:  # further signals must not interrupt the shutdown
            signal.signal(each, signal.SIG_IGN)
        self._has_arrived = True
        if not self._is_deferred:
            raise Stopped

    @contextmanager
    def defer(self) -> Iterator[None]:
        """Run a block to its end despite signals, for steps that must not be interrupted."""
        self._is_deferred = True
        try:
            yield
        finally:
            self._is_deferred = False
            if self._has_arrived:
                raise Stopped


def make_stop_event() -> threading.Event:
    """Return an event that SIGINT, SIGTERM and SIGHUP set, for processes that finish their current batch
    first. SIGHUP stays ignored if it is ignored, as under nohup.

    A process that has not finished after FINISH_SECONDS ends anyway: it may wait for a PostgreSQL that does
    not answer. The next start repeats uncommitted work.
    """
    stop = threading.Event()

    def on_signal(number: int, frame: FrameType | None) -> None:
        if not stop.is_set():
            deadline = threading.Timer(FINISH_SECONDS, _end_now)
            deadline.daemon = True
            deadline.start()
        stop.set()

    for each in _ENDING:
        if each != signal.SIGHUP or signal.getsignal(each) != signal.SIG_IGN:
            signal.signal(each, on_signal)
    return stop


def _end_now() -> None:
    structlog.get_logger().error("not_finished_in_time", seconds=FINISH_SECONDS)
    os._exit(1)


@contextmanager
def log_failure(process: str, *expected: type[Exception]) -> Iterator[None]:
    """Log the error that ends the block as `PROCESS_ended` and exit, for a supervisor to restart the process.

    An error that is neither expected nor due to the state of the database is logged with its traceback.
    """
    try:
        yield
    except Exception as error:
        is_expected = isinstance(error, (*_OF_DATABASE, *expected))
        is_of_database = isinstance(error, psycopg.Error)
        reason = describe_error(error) if is_of_database else str(error).strip() or type(error).__name__
        structlog.get_logger().error(f"{process}_ended", error=reason, exc_info=not is_expected)
        raise typer.Exit(UNUSABLE if is_expected else 1) from None


@contextmanager
def stop_on_signals() -> Iterator[Signals]:
    """Run a block until it ends or a signal arrives."""
    signals = Signals()
    for each in _ENDING:
        signal.signal(each, signals.on_signal)
    try:
        yield signals
    except Stopped:
        note("Stopped.")
