"""Metrics shared by the processes of one server, in the files of prometheus_client in one folder.

Each process has a place: a number that is part of the names of its files and that no other running process
of the server has. A new worker takes the place and the files of one that has ended, and continues its counts.
So totals never decrease, and the number of files does not grow with each new worker.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
import threading
from collections.abc import Callable, Iterable
from contextlib import suppress
from itertools import count
from pathlib import Path
from typing import Any

import structlog
from prometheus_client import values

_FOLDER = "ticketing-counts-"  # change it if the kind of lock changes: other versions may run on this machine
_KILOBYTE = 1_024
# The files of a process by type (for gauges with multiprocess_mode), with room for all paths and statuses.
_FILE_BYTES = {"counter": 512 * _KILOBYTE, "gauge_mostrecent": 64 * _KILOBYTE, "histogram": 1_024 * _KILOBYTE}

log = structlog.get_logger()


class SharedMetrics:
    """The folder with the metrics of several processes.

    Create it in the process that forks the others, before infrastructure.process.metrics is imported. That
    process has place 0, and only it deletes the folder.
    """

    def __init__(self, parent: str | None) -> None:
        self.folder = _make_folder(Path(parent or tempfile.gettempdir()))
        self._owner = os.getpid()
        self._place = 0
        self._is_counting = True
        self._any_value: Any = None
        self._changing = threading.Lock()
        # No thread may hold the lock of prometheus_client at a fork: the child could never acquire it.
        os.register_at_fork(
            before=self._changing.acquire,
            after_in_parent=self._changing.release,
            after_in_child=self._changing.release,
        )
        os.environ["PROMETHEUS_MULTIPROC_DIR"] = str(self.folder)
        values.ValueClass = self._value_class()
        self.count_at(0)

    def delete(self) -> None:
        """Delete the folder. Does nothing in forks of the process that created it."""
        if os.getpid() == self._owner:
            shutil.rmtree(self.folder, ignore_errors=True)

    def count_at(self, place: int) -> None:
        """Use the files of this place from now on; a fork calls it before it counts.

        Allocates the files. If there is no space for them, this process counts nothing: on a full disk, a
        write through a memory map to a sparse file kills the process (SIGBUS).
        """
        try:
            self.folder.mkdir(exist_ok=True)  # a cleaner of temporary files may have deleted it
            _lock(self.folder, fcntl.LOCK_SH)
            for name, size in _FILE_BYTES.items():
                _allocate(self.folder / f"{name}_{place}.db", size)
        except OSError as error:
            self._stop_counting(error)
            return
        self._place = place
        if self._any_value is not None:
            # Opens the files of all values now: they can be written even after the folder is deleted.
            self._any_value.inc(0.0)

    def _stop_counting(self, error: Exception) -> None:
        """Count nothing from now on, because an error in counting must not fail a request."""
        self._is_counting = False  # before logging, because a lost log line is counted too
        log.error("metrics_incomplete", folder=str(self.folder), error=str(error))

    def _do(self, change: Callable[[], None]) -> None:
        if not self._is_counting:
            return
        try:
            with self._changing:
                change()
        except Exception as error:
            self._stop_counting(error)

    def _value_class(self) -> Any:
        shared = self
        base: Any = values.MultiProcessValue(lambda: shared._place)  # type: ignore[no-untyped-call]

        class Value(base):  # type: ignore[misc]
            """A value in a file; unchanged after `_stop_counting`. Its methods never raise."""

            def __init__(self, *args: Any, **kwargs: Any) -> None:
                shared._do(lambda: super(Value, self).__init__(*args, **kwargs))
                shared._any_value = self

            def inc(self, amount: float) -> None:
                shared._do(lambda: super(Value, self).inc(amount))

            def set(self, value: float, timestamp: float | None = None) -> None:
                shared._do(lambda: super(Value, self).set(value, timestamp))

        return Value


def _allocate(path: Path, size: int) -> None:
    """Create a file of `size` bytes, unless it exists. Raises OSError, and leaves no file, without space."""
    if path.exists():
        return
    new = path.with_suffix(".new")
    try:
        with new.open("wb") as file:
            os.posix_fallocate(file.fileno(), 0, size)
        new.rename(path)
    except OSError:
        new.unlink(missing_ok=True)
        raise


def _make_folder(parent: Path) -> Path:
    """Create a folder that is locked until this process and its forks have ended. Deletes folders that are
    not locked: killed servers left them behind."""
    for old in parent.glob(f"{_FOLDER}*"):
        with suppress(OSError):
            descriptor = _lock(old, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(old, ignore_errors=True)
            os.close(descriptor)
    folder = Path(tempfile.mkdtemp(prefix=f"new-{_FOLDER}", dir=parent))
    _lock(folder, fcntl.LOCK_SH)
    return folder.rename(parent / folder.name.removeprefix("new-"))


def _lock(folder: Path, kind: int) -> int:
    """Lock the folder until the returned descriptor is closed, in the forks too. Raises OSError if another
    process holds a conflicting lock."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, kind)
    except OSError:
        os.close(descriptor)
        raise
    return descriptor


def free_place(taken: Iterable[int]) -> int:
    """The lowest place for a fork that is not in `taken`."""
    others = set(taken)
    return next(place for place in count(1) if place not in others)
