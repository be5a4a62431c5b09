"""Clients in separate processes that repeat an operation for a given time and count it."""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Callable
from contextlib import suppress
from multiprocessing.connection import Connection
from multiprocessing.synchronize import Barrier
from typing import Any, NamedTuple

Operation = Callable[[], object]
Operations = dict[str, Operation]
Prepare = Callable[..., Operations]  # prepare(client_number, *arguments), called in each client

START_SECONDS = 60
STOP_SECONDS = 10
WARM_UP_SECONDS = 0.3


class Measured(NamedTuple):
    """Operations per second, and the number of operations with those of the warm-up."""

    rate: float
    count: int


class Clients:
    """`count` clients (closed loop): each starts its next operation when the one before has been answered."""

    def __init__(self, count: int, prepare: Prepare, *arguments: Any) -> None:
        # Like the API's workers, the clients are forks of one process that has loaded the code.
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload([prepare.__module__])
        self._barrier = context.Barrier(count)  # keep a reference: the children open it by name
        self._pipes: list[Connection] = []
        self._processes = []
        for number in range(count):
            parent_end, child_end = context.Pipe()
            process = context.Process(
                target=_serve, args=(child_end, self._barrier, prepare, number, arguments), daemon=True
            )
            process.start()
            self._pipes.append(parent_end)
            self._processes.append(process)

    def __enter__(self) -> Clients:
        return self

    def __exit__(self, *_: object) -> None:
        for pipe in self._pipes:
            with suppress(OSError):
                pipe.send(None)
        for process in self._processes:
            process.join(STOP_SECONDS)
            process.kill()

    def measure_rate(self, operation: str, seconds: float) -> float:
        """Return the operations per second of all clients together, after a short warm-up."""
        return self.measure(operation, seconds).rate

    def measure(self, operation: str, seconds: float) -> Measured:
        """Repeat the operation in all clients. The operations of the warm-up are counted but not timed."""
        for pipe in self._pipes:
            pipe.send((operation, seconds))
        answers = [pipe.recv() for pipe in self._pipes]
        for answer in answers:
            if isinstance(answer, BaseException):
                raise answer
        return Measured(sum(rate for rate, _ in answers), sum(count for _, count in answers))


def _serve(
    pipe: Connection, barrier: Barrier, prepare: Prepare, number: int, arguments: tuple[Any, ...]
) -> None:
    operations = prepare(number, *arguments)
    while order := pipe.recv():
        name, seconds = order
        barrier.wait(START_SECONDS)
        try:
            warm_up = _repeat(operations[name], WARM_UP_SECONDS)
            barrier.wait(START_SECONDS)
            timed = _repeat(operations[name], seconds)
            pipe.send((timed.rate, warm_up.count + timed.count))
        except Exception as error:
            barrier.abort()
            pipe.send(error)


def _repeat(operation: Operation, seconds: float) -> Measured:
    started = time.perf_counter()
    count = 0
    while (elapsed := time.perf_counter() - started) < seconds:
        operation()
        count += 1
    return Measured(count / elapsed, count)
