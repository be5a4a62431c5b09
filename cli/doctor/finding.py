"""A finding of `ticketing doctor`: one line of its report."""

from __future__ import annotations

from typing import Literal

import msgspec

Level = Literal["OK", "WARNING", "PROBLEM"]


class Finding(msgspec.Struct, frozen=True):
    """What a check has found. `remedy` says what to do; None if nothing is to do."""

    level: Level
    check: str
    found: str
    remedy: str | None = None

    def __str__(self) -> str:
        line = f"{self.level:<8} {self.check}: {self.found}"
        return line if self.remedy is None else f"{line} {self.remedy}"


def ok(check: str, found: str) -> Finding:
    return Finding("OK", check, found)


def warning(check: str, found: str, remedy: str) -> Finding:
    return Finding("WARNING", check, found, remedy)


def problem(check: str, found: str, remedy: str) -> Finding:
    return Finding("PROBLEM", check, found, remedy)
