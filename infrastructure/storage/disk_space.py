"""Free space on the disk of PostgreSQL's data directory, if that is on this machine.

PostgreSQL stops when it cannot extend its write-ahead log, and does not start on a full disk; then reads fail
too. So the API refuses writes before the disk is full, and a reserve file keeps space for a restart.
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

import structlog

LEAST_FREE_BYTES = 64 * 1024 * 1024  # for requests in progress, and for the processes that follow the log
LEAST_FREE_FILES = 100
RESERVE_BYTES = 32 * 1024 * 1024  # less than LEAST_FREE_BYTES: releasing it does not allow writes again
RESERVE = "disk-reserve"

log = structlog.get_logger()


class DiskSpace:
    """Checks the free space on the disk of a folder. It is never low if the folder is None, because the disk
    is on another machine."""

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder
        self._was_low = False

    def is_low(self) -> bool:
        """Whether too little space is left to accept writes. Each call reads the state of the file system, in
        some microseconds."""
        if self._folder is None:
            return False
        is_low = not has_room(self._folder, LEAST_FREE_BYTES)
        if is_low != self._was_low:
            self._was_low = is_low
            if is_low:
                log.error("disk_nearly_full", folder=str(self._folder), least_free_bytes=LEAST_FREE_BYTES)
            else:
                log.info("disk_has_room_again", folder=str(self._folder))
        return is_low


class Reserve:
    """A file that occupies disk space. It is deleted if PostgreSQL must start on a full disk."""

    def __init__(self, home: Path) -> None:
        self._file = home / RESERVE
        self._home = home

    def create(self) -> None:
        """Create the file, unless it exists or the disk has no space for it."""
        if self._file.exists() or not has_room(self._home, RESERVE_BYTES + LEAST_FREE_BYTES):
            return
        with suppress(OSError):
            descriptor = os.open(self._file, os.O_WRONLY | os.O_CREAT, 0o600)
            try:
                os.posix_fallocate(descriptor, 0, RESERVE_BYTES)
            except OSError:
                self._file.unlink(missing_ok=True)
            finally:
                os.close(descriptor)

    def release(self) -> bool:
        """Delete the file if the disk is nearly full. Returns whether it was deleted."""
        if has_room(self._home, LEAST_FREE_BYTES):
            return False
        with suppress(OSError):
            self._file.unlink()
            return True
        return False


def has_room(folder: Path, wanted_bytes: int) -> bool:
    """Whether `wanted_bytes` are free for users other than root. True if the system cannot report it."""
    try:
        disk = os.statvfs(folder)
    except OSError:
        return True
    has_files = not disk.f_files or disk.f_favail >= LEAST_FREE_FILES  # some file systems report no number
    return has_files and disk.f_bavail * disk.f_frsize >= wanted_bytes
