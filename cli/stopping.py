"""Ending in order on Ctrl-C, SIGTERM or a closed terminal."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from cli.output import note

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
    """An event that SIGINT and SIGTERM set, for processes that finish what they are doing first."""
    stop = threading.Event()

    def on_signal(number: int, frame: FrameType | None) -> None:
        stop.set()

    signal.signal(signal.SIGTERM, on_signal)
    signal.signal(signal.SIGINT, on_signal)
    return stop


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
