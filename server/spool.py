"""Bytes that wait in memory or, when they are many, in a temporary file; all files together have a limit."""

from __future__ import annotations

import errno
import tempfile
import threading
from typing import IO

MEMORY_BYTES = 262_144  # of one request or one answer
FILES_BYTES = 512 * 1024 * 1024  # of one worker


class NoSpace(OSError):
    """The limit for temporary files is reached."""


class SpoolSpace:
    """The space for temporary files of one worker."""

    def __init__(self, limit: int = FILES_BYTES) -> None:
        self._free = limit
        self._lock = threading.Lock()

    def take(self, size: int) -> None:
        """Reserve the space for so many bytes. Raises NoSpace if there is not enough."""
        with self._lock:
            if size > self._free:
                raise NoSpace(errno.ENOSPC, "The limit for temporary files of slow clients is reached")
            self._free -= size

    def give_back(self, size: int) -> None:
        with self._lock:
            self._free += size


class Spool:
    """Bytes that are written first, and then read once in the same order."""

    def __init__(self, space: SpoolSpace) -> None:
        self._space = space
        self._taken = 0
        self._memory = bytearray()
        self._position = 0  # of reading in memory
        self._file: IO[bytes] | None = None

    def write(self, data: bytes | memoryview) -> None:
        """Add bytes at the end. Raises OSError if there is no space for a temporary file."""
        if self._file is None and len(self._memory) + len(data) <= MEMORY_BYTES:
            self._memory += data
            return
        size = len(data) + len(self._memory)  # the memory is empty once there is a file
        self._space.take(size)
        self._taken += size
        if self._file is None:
            self._file = tempfile.TemporaryFile()  # noqa: SIM115 - closed by `close`
            self._file.write(self._memory)
            self._memory = bytearray()
        self._file.write(data)

    def rewind(self) -> None:
        """End the writing; the next read begins at the start. Raises OSError like `write`."""
        if self._file is not None:
            self._file.seek(0)

    def read(self, size: int) -> bytes:
        """Return the next bytes, at most `size`; none at the end."""
        if self._file is not None:
            return self._file.read(size)
        data = bytes(self._memory[self._position : self._position + size])
        self._position += len(data)
        return data

    def fileno(self) -> int:
        """The descriptor of the temporary file; more than MEMORY_BYTES must have been written."""
        assert self._file is not None
        return self._file.fileno()

    def close(self) -> None:
        """Delete the bytes."""
        self._memory = bytearray()
        if self._file is not None:
            self._file.close()
            self._file = None
        self._space.give_back(self._taken)
        self._taken = 0
