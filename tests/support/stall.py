"""Freezes a PostgreSQL server, and runs clients that record the answers they receive meanwhile."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import NamedTuple

import psutil
import requests

PAUSE_SECONDS = 0.2


class Answer(NamedTuple):
    """An answer. `text` is what the request wrote, and its Idempotency-Key; None if it writes nothing."""

    name: str
    text: str | None
    status: int
    seconds: float
    retry_after: str | None


Ask = Callable[[requests.Session, str], requests.Response]


class Request(NamedTuple):
    """A kind of request; `ask` sends it with a unique text."""

    name: str
    writes: bool
    ask: Ask


@contextmanager
def frozen(postmaster_pid: int) -> Iterator[None]:
    """Suspend the processes of this server inside the block."""
    postmaster = psutil.Process(postmaster_pid)
    postmaster.suspend()  # first, so that it cannot start further processes
    stopped = [postmaster, *postmaster.children(recursive=True)]
    try:
        for process in stopped[1:]:
            with suppress(psutil.NoSuchProcess):
                process.suspend()
        yield
    finally:
        for process in reversed(stopped):
            with suppress(psutil.NoSuchProcess):
                process.send_signal(signal.SIGCONT)


class Callers:
    """`count` threads that send the requests in turn until `stop`. Each sends one request at a time.
    A missing answer is recorded with status 0."""

    def __init__(self, kinds: Sequence[Request], count: int, pause_seconds: float = PAUSE_SECONDS) -> None:
        self.answers: list[Answer] = []
        self._requests = kinds
        self._pause_seconds = pause_seconds
        self._stopping = threading.Event()
        self._threads = [threading.Thread(target=self._run, args=(number,)) for number in range(count)]
        for thread in self._threads:
            thread.start()

    def __enter__(self) -> Callers:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> list[Answer]:
        """Stop the threads and return all answers."""
        self._stopping.set()
        for thread in self._threads:
            thread.join()
        return self.answers

    def _run(self, number: int) -> None:
        with requests.Session() as session:
            session.trust_env = False
            index = number
            while not self._stopping.wait(self._pause_seconds):
                request = self._requests[index % len(self._requests)]
                index += 1
                self.answers.append(send(session, request, f"{request.name}-{number}-{index}"))


def send(session: requests.Session, request: Request, text: str) -> Answer:
    """Send one request and return its answer with the duration."""
    began = time.monotonic()
    try:
        answer = request.ask(session, text)
        status, retry_after = answer.status_code, answer.headers.get("Retry-After")
    except requests.RequestException:
        status, retry_after = 0, None
    return Answer(
        request.name, text if request.writes else None, status, time.monotonic() - began, retry_after
    )
