"""Threads that answer requests.

A thread that has answered a request may wait a moment for the next one on the same connection. It stops
waiting as soon as other work needs a thread, so such waits delay nobody.
"""

from __future__ import annotations

import os
import select
import threading
import time
from collections.abc import Callable
from contextlib import suppress

from infrastructure.process.threads import start_watched
from server.fair_queue import FairQueue

Work = Callable[[], object]


class ThreadPool:
    """A fixed number of threads with one queue. Create it after the fork."""

    def __init__(self, size: int, name: str) -> None:
        self._queue: FairQueue[Work] = FairQueue()
        self._lock = threading.Lock()
        self._size = size
        self._free = size  # idle threads, less the work in the queue
        self._waiting = 0  # threads in `wait_readable`
        self._wake_reader, self._wake_writer = os.pipe()
        os.set_blocking(self._wake_reader, False)
        os.set_blocking(self._wake_writer, False)
        for number in range(size):
            start_watched(self._run, name=f"{name}-{number}")

    def needs_thread(self, poller: int) -> bool:
        """Whether other work needs the thread that asks.

        More work is queued than threads are idle; or `poller`, the descriptor of a poller, has an event whose
        work is not queued yet: the thread that handles the events gets little processor time while all others
        compute.
        """
        if self._free < 0:
            return True
        poll = select.poll()
        poll.register(poller, select.POLLIN)
        return bool(poll.poll(0))

    def submit(self, work: Work, group: bytes | None = None) -> None:
        """Queue work for the next idle thread; groups take turns. It must not raise: an exception ends the
        process."""
        with self._lock:
            self._free -= 1
            must_wake = self._free < 0 and self._waiting > 0
        self._queue.put(work, group)
        if must_wake:
            with suppress(BlockingIOError):  # a full pipe wakes the waiting threads too
                os.write(self._wake_writer, b"\0")

    def wait_readable(self, descriptor: int, until: float) -> bool:
        """Wait in a thread of this pool until the socket is readable; return whether it is.

        Stops at `until`, a time of the monotonic clock, and as soon as other work needs this thread.
        """
        with self._lock:
            if self._free < 0:
                return False
            self._waiting += 1
        try:
            poll = select.poll()
            poll.register(descriptor, select.POLLIN)
            poll.register(self._wake_reader, select.POLLIN)
            while (left := until - time.monotonic()) > 0:
                ready = poll.poll(left * 1_000)
                if any(one == descriptor for one, _ in ready):
                    return True
                if ready and self._takes_wake():
                    return False
            return False
        finally:
            with self._lock:
                self._waiting -= 1

    def shutdown(self, *, wait: bool = False) -> None:
        """End the threads after the queued work; does not wait for that."""
        for _ in range(self._size):
            self._queue.put_end()

    def _takes_wake(self) -> bool:
        """Whether this thread is the one that gives way: each byte in the pipe is for one thread."""
        with suppress(BlockingIOError):
            return bool(os.read(self._wake_reader, 1))
        return False

    def _run(self) -> None:
        while (work := self._queue.get()) is not None:
            work()
            del work  # the connection, which would be kept until the next work
            with self._lock:
                self._free += 1
