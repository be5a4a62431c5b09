"""Finds the events of the log that occurred in a span of time.

The log is ordered by position. Events may be slightly out of the order of their times; imported events may be
years out of order. Each block stores its earliest and latest time, so that other blocks need not be read.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import NamedTuple

from domain.errors import Invalid
from infrastructure.storage.postgres import Connection
from notary.blocks import Row, read_rows, sql


class Window(NamedTuple):
    """From `since` (included) to `until` (excluded); None means no limit on that side."""

    since: datetime | None
    until: datetime | None

    def holds(self, row: Row) -> bool:
        at = row.identity.occurred_at
        return (
            at is not None
            and (self.since is None or at >= self.since)
            and (self.until is None or at < self.until)
        )


class Range(NamedTuple):
    """Positions of the log, both included; with a window, only those whose events occurred in it."""

    first: int
    last: int
    window: Window | None = None

    def following(self, position: int) -> Range:
        """The part of the range after that position. Raises Invalid unless the position lies in the range."""
        if not self.first <= position <= self.last:
            raise Invalid({"after": [f"Position {position} is not between {self.first} and {self.last}."]})
        return self._replace(first=position + 1)

    def keep(self, rows: Iterable[Row]) -> list[Row]:
        """The rows that belong to the range."""
        return [
            row
            for row in rows
            if self.first <= row.position <= self.last and (self.window is None or self.window.holds(row))
        ]


class Stretch(NamedTuple):
    """The number of a block, and its first and last position."""

    block: int
    first: int
    last: int


def stretches(conn: Connection, chosen: Range) -> list[Stretch]:
    """The blocks that may hold events of a range with a window, in order."""
    since, until = chosen.window or (None, None)
    parameters = {"first": chosen.first, "last": chosen.last, "since": since, "until": until}
    return [Stretch._make(row) for row in conn.execute(sql["blocks_in_window"], parameters)]


def read_stretch(conn: Connection, stretch: Stretch) -> list[Row]:
    return read_rows(conn, stretch.first, stretch.last)


def tighten(conn: Connection, chosen: Range) -> Range | None:
    """The range from its first to its last event; None when it holds no event."""
    found = stretches(conn, chosen)
    firsts = (chosen.keep(read_stretch(conn, one)) for one in found)
    first = next((rows[0] for rows in firsts if rows), None)
    if first is None:
        return None
    lasts = (chosen.keep(read_stretch(conn, one)) for one in reversed(found))
    last = next(rows[-1] for rows in lasts if rows)
    return Range(first.position, last.position, chosen.window)
