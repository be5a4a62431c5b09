"""Writes to standard error without raising exceptions and without blocking for long.

The disk of a log file can be full, and the reader of a pipe can have ended or stopped reading. Lines are then
lost and counted. The next line that can be written is preceded by a line with the number of lost lines.
"""

from __future__ import annotations

import errno
import io
import os
import select
import socket
import stat
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from functools import partial
from typing import Any

import msgspec

DESCRIPTOR = 2
WAIT_SECONDS = 0.5  # for a full pipe; after one such wait, lines are dropped until there is space


class LineOutput:
    """Writes whole lines to a file descriptor, from any thread. `lost` counts the lines that were lost.

    A line that was written in part is completed before the next one.
    """

    def __init__(self, descriptor: int, *, wait_seconds: float = WAIT_SECONDS) -> None:
        self.descriptor = descriptor
        self.lost = 0
        self.on_lost: Callable[[], None] | None = None
        self._wait_seconds = wait_seconds
        self._own_descriptor: int | None = None
        self._unreported = 0
        self._rest = b""
        self._is_stuck = False
        self.renew()
        self._write_to(descriptor)

    def open_own_descriptor(self) -> LineOutput:
        """Write to a pipe through a descriptor that does not block, even when other processes fill the pipe.
        The process must not replace the original descriptor afterwards."""
        self._own_descriptor = _open_pipe_again(self.descriptor)
        self._write_to(self.fileno())
        return self

    def _write_to(self, descriptor: int) -> None:
        self._put = _make_put(descriptor)
        self._poll = select.poll()
        self._poll.register(descriptor, select.POLLOUT)

    def renew(self) -> None:
        """Replace the locks: after a fork, a thread that held one no longer exists."""
        self._writing = threading.Lock()
        self._counting = threading.Lock()

    def write(self, line: bytes) -> None:
        """Write a line that ends with a line feed, or count it as lost."""
        if not self._writing.acquire(timeout=self._wait_seconds):
            self._count_lost()
            return
        try:
            self._write(line)
        except OSError:
            self._count_lost()
        finally:
            self._writing.release()

    def fileno(self) -> int:
        """A descriptor that does not block, for callers that cannot use `write`."""
        return self.descriptor if self._own_descriptor is None else self._own_descriptor

    def _write(self, line: bytes) -> None:
        """Write the rest of the previous line, the number of lost lines, and the line. Raises OSError if
        nothing of the line could be written."""
        self._write_rest()
        if unreported := self._unreported:
            self._begin(_lost_lines_line(unreported))
            with self._counting:
                self._unreported -= unreported
        self._begin(line)

    def _begin(self, line: bytes) -> None:
        self._rest = line
        try:
            self._write_rest()
        except OSError:
            if len(self._rest) == len(line):
                self._rest = b""
                raise

    def _write_rest(self) -> None:
        """Write the rest of a line that was written in part. Raises OSError if there is no space in time."""
        deadline = time.monotonic() + (0.0 if self._is_stuck else self._wait_seconds)
        while self._rest:
            try:
                if not self._poll.poll(max(0.0, deadline - time.monotonic()) * 1_000):
                    raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))
                self._rest = self._rest[self._put(self._rest) :]
                self._is_stuck = False
            except BlockingIOError:  # another process may have filled the pipe after poll()
                if time.monotonic() >= deadline:
                    self._is_stuck = True
                    raise

    def _count_lost(self) -> None:
        with self._counting:
            self.lost += 1
            self._unreported += 1
        if self.on_lost is not None:
            with suppress(Exception):
                self.on_lost()


class _Bytes(io.RawIOBase):
    """The binary layer below a text stream."""

    def __init__(self, output: LineOutput) -> None:
        self._output = output

    def writable(self) -> bool:
        return True

    def write(self, data: object) -> int:
        line = bytes(data)  # type: ignore[call-overload]
        self._output.write(line)
        return len(line)

    def fileno(self) -> int:
        return self._output.descriptor

    def isatty(self) -> bool:
        return os.isatty(self._output.descriptor)


def text_stream(output: LineOutput) -> io.TextIOWrapper:
    """A text stream, such as for `print`, that writes line by line and never raises."""
    buffer: Any = _Bytes(output)
    return io.TextIOWrapper(buffer, encoding="utf-8", errors="backslashreplace", line_buffering=True)


def protect_standard_error() -> None:
    """Replace sys.stderr so that no write to it raises or blocks for long, in libraries and print() too.

    Opens the null device for each closed standard stream. Otherwise the next file or socket would get its
    number and receive the text that is written to the stream.
    """
    for descriptor in (0, 1, DESCRIPTOR):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # gets the lowest free number
    output.open_own_descriptor()
    sys.stderr = text_stream(output)


def protect_standard_output() -> None:
    """The same for standard output, in a process that must continue when the reader of its output ends."""
    sys.stdout = text_stream(LineOutput(1).open_own_descriptor())


def _open_pipe_again(descriptor: int) -> int | None:
    """A second, non-blocking descriptor for the same pipe or terminal; None for other files and on errors.
    The mode of the given descriptor is not changed, because other processes share it."""
    try:
        if not (stat.S_ISFIFO(os.fstat(descriptor).st_mode) or os.isatty(descriptor)):
            return None
        return os.open(f"/proc/self/fd/{descriptor}", os.O_WRONLY | os.O_NONBLOCK | os.O_NOCTTY)
    except OSError:
        return None


def _make_put(descriptor: int) -> Callable[[bytes], int]:
    """A function that writes bytes to the descriptor and returns how many were written."""
    try:
        if stat.S_ISSOCK(os.fstat(descriptor).st_mode):  # standard error can be a socket, as under systemd
            connection = socket.socket(fileno=os.dup(descriptor))
            return lambda data: connection.send(data, socket.MSG_DONTWAIT)
    except OSError:
        pass
    return partial(os.write, descriptor)


def _lost_lines_line(count: int) -> bytes:
    event = {
        "event": "log_lines_lost",
        "level": "warning",
        "lines": count,
        "timestamp": datetime.now(UTC).isoformat(),
    }
    return msgspec.json.encode(event) + b"\n"


output = LineOutput(DESCRIPTOR)
os.register_at_fork(after_in_child=output.renew)
