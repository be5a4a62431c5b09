"""Where statements stand outside the database: a file of JSON lines, and a Kafka topic."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

from infrastructure.settings import BadSettings, Settings

FILE = "checkpoints.jsonl"


class NotaryRefused(Exception):
    """What stands outside and what the database holds are not of one log; the message says what to do."""


class PlaceUnavailable(Exception):
    """Nothing can be put there or read there just now; trying again later may work."""


class Place(Protocol):
    def last_line(self) -> str | None:
        """The last line that stands there; raise PlaceUnavailable."""

    def append(self, lines: Sequence[str]) -> None:
        """Put the lines there, for good; raise PlaceUnavailable."""


class StatementFile:
    """The lines of the file. Only ever appended to, and flushed to the disk line by line."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @classmethod
    def of(cls, settings: Settings) -> StatementFile:
        return cls(settings.notary_dir / FILE)

    def lines(self) -> Iterator[str]:
        """Every whole line; what a crash left of one is no line. Raises PlaceUnavailable."""
        with _disk_errors():
            if not self.path.exists():
                return
            with self.path.open(encoding="utf-8", errors="replace") as file:
                for line in file:
                    if line.endswith("\n"):
                        yield line.rstrip("\n")

    def last_line(self) -> str | None:
        last = None
        for last in self.lines():  # noqa: B007 - to its end
            pass
        return last

    def append(self, lines: Sequence[str]) -> None:
        with _disk_errors():
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with self.path.open("ab+") as file:
                end = _end_of_last_line(file.fileno())
                file.truncate(end)
                file.write("".join(f"{line}\n" for line in lines).encode())
                file.flush()
                os.fsync(file.fileno())


def places(settings: Settings) -> list[Place]:
    """The file always, and the topic where Kafka is set up."""
    found: list[Place] = [StatementFile.of(settings)]
    if settings.kafka_bootstrap_servers:
        from notary.topic import StatementTopic  # here, as nothing else needs a Kafka client

        found.append(StatementTopic(settings))
    return found


def require_folder(settings: Settings) -> None:
    """Raise BadSettings unless the file can be kept where the setting says."""
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
    """Where the last whole line ends."""
    size = os.fstat(file).st_size
    tail = os.pread(file, 65_536, max(0, size - 65_536))
    return size - len(tail) + tail.rfind(b"\n") + 1
