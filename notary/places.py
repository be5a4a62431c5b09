"""Places outside the database where statements are published, and the file of JSON lines as one of them."""

from __future__ import annotations

import errno
import os
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

from infrastructure.settings import BadSettings, Settings

FILE = "checkpoints.jsonl"


class NotaryRefused(Exception):
    """The statements outside the database belong to another log. The message names the remedy."""


class PlaceUnavailable(Exception):
    """The place cannot be read or written now; a later attempt may succeed."""


class Place(Protocol):
    """A file, or a Kafka topic (notary/topic.py)."""

    def last_line(self) -> str | None:
        """Return the last line, or None. Raises PlaceUnavailable."""

    def append(self, lines: Sequence[str]) -> None:
        """Append the lines durably. Raises PlaceUnavailable."""


class StatementFile:
    """A file with one statement on each line. Lines are only appended, and flushed to the disk."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @classmethod
    def of(cls, settings: Settings) -> StatementFile:
        return cls(settings.notary_dir / FILE)

    def lines(self) -> Iterator[str]:
        """Yields every complete line, without a partial line at the end. Raises PlaceUnavailable."""
        with _disk_errors():
            if not self.path.exists():
                return
            with self.path.open(encoding="utf-8", errors="replace") as file:
                for line in file:
                    if line.endswith("\n"):
                        yield line.rstrip("\n")

    def last_line(self) -> str | None:
        return last_of(self.lines())

    def append(self, lines: Sequence[str]) -> None:
        with _disk_errors():
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with self.path.open("ab+") as file:
                end = _end_of_last_line(file.fileno())
                file.truncate(end)
                file.write("".join(f"{line}\n" for line in lines).encode())
                file.flush()
                os.fsync(file.fileno())


def last_of(lines: Iterable[str]) -> str | None:
    """Return the last line, after reading all of them; None if there is none."""
    return next(iter(deque(lines, maxlen=1)), None)


def require_folder(settings: Settings) -> None:
    """Make the folder NOTARY_DIR. Raises BadSettings when it cannot be written."""
    try:
        settings.notary_dir.mkdir(parents=True, exist_ok=True)
        if not os.access(settings.notary_dir, os.W_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
    except OSError as error:
        raise BadSettings(f"NOTARY_DIR {settings.notary_dir} cannot be used: {error.strerror}.") from None


@contextmanager
def _disk_errors() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise PlaceUnavailable(str(error)) from None


def _end_of_last_line(file: int) -> int:
    """The offset of the end of the last complete line."""
    size = os.fstat(file).st_size
    tail = os.pread(file, 65_536, max(0, size - 65_536))
    return size - len(tail) + tail.rfind(b"\n") + 1
