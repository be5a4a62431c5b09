"""Runs CPU-bound work in a child process, so that it uses a second processor."""

from __future__ import annotations

import multiprocessing
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from typing import Any, Generic, TypeVar, cast

T = TypeVar("T")

Progress = Callable[[int, int], None]  # done, total
STOP_SECONDS = 5.0


class EndedEarly(Exception):
    """The child process ended without a result, because it was killed."""


class ChildWork(Generic[T]):
    """The work of a child process."""

    def __init__(self, receiving: Connection, end: Callable[[], None]) -> None:
        self._receiving = receiving
        self.end = end  # terminates the process; `wait` then raises EndedEarly

    def wait(self, progress: Progress) -> T:
        """Return the result of the work, and pass its progress to `progress` meanwhile.

        Raises the exception of the work, or EndedEarly. Call it soon: the work blocks when the pipe
        is full.
        """
        while True:
            try:
                kind, value = self._receiving.recv()
            except EOFError:
                raise EndedEarly(
                    "A child process of this command was killed. Run the command again."
                ) from None
            if kind == "reached":
                progress(*value)
            elif kind == "failed":
                raise cast(Exception, value)
            else:
                return cast(T, value)


@contextmanager
def run_in_child(work: Callable[[Progress], T]) -> Iterator[ChildWork[T]]:
    """Start `work` in a child process, which is terminated when the block ends. `work` receives a function to
    report progress.

    The process is a fork, so `work` need not be picklable. Call this before threads are
    started: a lock that a thread holds at the fork is never released in the child.
    """
    context = multiprocessing.get_context("fork")
    receiving, sending = context.Pipe(duplex=False)
    process = context.Process(target=_run, args=(work, sending), daemon=True)
    process.start()
    sending.close()
    try:
        yield ChildWork(receiving, process.terminate)
    finally:
        receiving.close()
        process.terminate()
        process.join(STOP_SECONDS)


def _run(work: Callable[[Progress], Any], sending: Connection) -> None:
    # A terminal sends SIGINT to both processes; the parent ends this one.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        result = work(lambda reached, end: sending.send(("reached", (reached, end))))
    except Exception as error:
        sending.send(("failed", error))
    else:
        sending.send(("done", result))
