"""Metrics that the processes of one server count together, in prometheus_client's files in one folder.

Each process has a place: a number that no other living process of the server has, and that names its files. A
worker takes over the files of an ended worker with its place and continues the counts: totals never go
backwards, and the number of files does not grow with the workers that have ended.
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

_FOLDER = "ticketing-counts-"  # change it with the kind of lock: other versions may run on this machine
_KILOBYTE = 1_024
# The files of a process by type (and, of gauges, multiprocess_mode), with room for every address and status.
_FILE_BYTES = {"counter": 512 * _KILOBYTE, "gauge_mostrecent": 64 * _KILOBYTE, "histogram": 1_024 * _KILOBYTE}

log = structlog.get_logger()


class SharedMetrics:
    """The folder of the metrics that several processes count in.

    Make one before infrastructure.process.metrics is imported, in the process that forks the others. That
    process has place 0 and is the only one that deletes the folder.
    """

    def __init__(self, parent: str | None) -> None:
        self.folder = _make_folder(Path(parent or tempfile.gettempdir()))
        self._owner = os.getpid()
        self._place = 0
        self._is_counting = True
        self._any_value: Any = None
        self._changing = threading.Lock()
        # prometheus_client has a lock of its own, which another thread must not hold at a fork.
        os.register_at_fork(
            before=self._changing.acquire,
            after_in_parent=self._changing.release,
            after_in_child=self._changing.release,
        )
        os.environ["PROMETHEUS_MULTIPROC_DIR"] = str(self.folder)
        values.ValueClass = self._value_class()
        self.count_at(0)

    def delete(self) -> None:
        """Delete the folder, in the process that made it. Does nothing in its forks."""
        if os.getpid() == self._owner:
            shutil.rmtree(self.folder, ignore_errors=True)

    def count_at(self, place: int) -> None:
        """Use the files of this place from now on; a fork calls it before it counts.

        Allocates the files. Without room for them this process counts nothing: writing through a memory map
        to a file with holes kills the process (SIGBUS) when the disk is full.
        """
        try:
            self.folder.mkdir(exist_ok=True)  # something may have deleted it since
            _lock(self.folder, fcntl.LOCK_SH)
            for name, size in _FILE_BYTES.items():
                _allocate(self.folder / f"{name}_{place}.db", size)
        except OSError as error:
            self._give_up(error)
            return
        self._place = place
        if self._any_value is not None:
            self._any_value.inc(0.0)  # opens the files of all values, so that the folder may be deleted later

    def _give_up(self, error: Exception) -> None:
        """Count nothing from now on: counting must not fail what is counted."""
        self._is_counting = False  # first, because a lost line of the log is counted too
        log.error("metrics_incomplete", folder=str(self.folder), error=str(error))

    def _do(self, change: Callable[[], None]) -> None:
        if not self._is_counting:
            return
        try:
            with self._changing:
                change()
        except Exception as error:
            self._give_up(error)

    def _value_class(self) -> Any:
        shared = self
        base: Any = values.MultiProcessValue(lambda: shared._place)  # type: ignore[no-untyped-call]

        class Value(base):  # type: ignore[misc]
            """A value in a file, as long as this process counts. Its methods never raise."""

            def __init__(self, *args: Any, **kwargs: Any) -> None:
                shared._do(lambda: super(Value, self).__init__(*args, **kwargs))
                shared._any_value = self

            def inc(self, amount: float) -> None:
                shared._do(lambda: super(Value, self).inc(amount))

            def set(self, value: float, timestamp: float | None = None) -> None:
                shared._do(lambda: super(Value, self).set(value, timestamp))

        return Value


def _allocate(path: Path, size: int) -> None:
    """Make a file of so many bytes, unless it is there. Leaves none when there is no room (OSError)."""
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
    """Make a folder, locked as long as this process or one of its forks lives. Delete the folders that killed
    servers left behind."""
    for left in parent.glob(f"{_FOLDER}*"):
        with suppress(OSError):
            descriptor = _lock(left, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(left, ignore_errors=True)
            os.close(descriptor)
    folder = Path(tempfile.mkdtemp(prefix=f"new-{_FOLDER}", dir=parent))
    _lock(folder, fcntl.LOCK_SH)
    return folder.rename(parent / folder.name.removeprefix("new-"))


def _lock(folder: Path, kind: int) -> int:
    """Lock the folder until the returned descriptor is closed, in the forks too. Raises OSError when another
    process holds a lock that excludes this one."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, kind)
    except OSError:
        os.close(descriptor)
        raise
    return descriptor


def free_place(taken: Iterable[int]) -> int:
    """The first place for a fork that is not among `taken`."""
    others = set(taken)
    return next(place for place in count(1) if place not in others)
