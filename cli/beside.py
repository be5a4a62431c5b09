"""Work that takes a processor for itself, done in a second process beside this one."""

from __future__ import annotations

import multiprocessing
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from typing import Any, Generic, TypeVar, cast

T = TypeVar("T")

Progress = Callable[[int, int], None]  # reached, to reach
STOP_SECONDS = 5.0


class EndedEarly(Exception):
    """The other process ended without a result: killed, most likely, by a person or for want of memory."""


class Beside(Generic[T]):
    """What the other process is doing."""

    def __init__(self, receiving: Connection, end: Callable[[], None]) -> None:
        self._receiving = receiving
        self.end = end  # at once; whoever waits is told EndedEarly

    def wait(self, progress: Progress) -> T:
        """Its result, when it has one; `progress` is shown what it has reached meanwhile.

        Raises what it raised, and EndedEarly. To be called soon: it stops when it has told much to nobody.
        """
        while True:
            try:
                kind, value = self._receiving.recv()
            except EOFError:
                raise EndedEarly("A part of this command was ended from outside. Run it again.") from None
            if kind == "reached":
                progress(*value)
            elif kind == "failed":
                raise cast(Exception, value)
            else:
                return cast(T, value)


@contextmanager
def beside(work: Callable[[Progress], T]) -> Iterator[Beside[T]]:
    """Start `work`, which is given what to tell its progress to; end it where nobody waits for it any more.

    The process is a fork, so that it starts at once and `work` may hold anything. Call this before there are
    threads: what they hold at that moment would be held in the fork for ever.
    """
    context = multiprocessing.get_context("fork")
    receiving, sending = context.Pipe(duplex=False)
    process = context.Process(target=_run, args=(work, sending), daemon=True)
    process.start()
    sending.close()
    try:
        yield Beside(receiving, process.terminate)
    finally:
        receiving.close()
        process.terminate()
        process.join(STOP_SECONDS)


def _run(work: Callable[[Progress], Any], sending: Connection) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal sends it to both; who waits ends this one
    try:
        result = work(lambda reached, end: sending.send(("reached", (reached, end))))
    except Exception as error:
        sending.send(("failed", error))
    else:
        sending.send(("done", result))
