"""Comparing live rows with what the log gives, without writing the latter anywhere.

For the two tables with a row an event, `audit_events` and `past_tickets`: they hold most of the rows, which
never change once they are there.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec

from infrastructure.storage.event_store import decode
from infrastructure.storage.postgres import Connection, named_queries
from infrastructure.storage.recorder import read_log
from projections import project_audit, project_past_tickets
from projections.comparison import Difference, Differences
from projections.project_audit import Homes, Positioned
from projections.project_past_tickets import PastTickets

BATCH_SIZE = 5_000
_BEFORE_ALL = -(2**63)
_NUL = rb"\u0000"  # PostgreSQL has no text with it
_sql = named_queries(Path(__file__).parent / "sql" / "live_rows.sql")

Row = tuple[Any, ...]


class PastTicketsCheck:
    """Compares what the tickets of a page were before with their live rows."""

    def __init__(self, conn: Connection) -> None:
        self.differences = Differences()
        self._conn = conn

    def compare(self, past: PastTickets) -> None:
        spans = [(ticket_id, *span) for ticket_id, span in past.spans.items()]
        if spans:
            ids, first, last = map(list, zip(*spans, strict=True))
            parameters = {"ids": ids, "first": first, "last": last}
            self._compare(past.tickets, _fetch(self._conn, "select_past_tickets", parameters))

    def look_for_more(self, conn: Connection) -> None:
        """Find rows that no page asked for. `conn` sees the tickets of the finished copy."""
        self._compare([], _fetch(conn, "select_past_tickets_of_none"))

    def _compare(self, right: Sequence[Row], live: Sequence[Row]) -> None:
        for key, live_row, right_row in _unequal(right, live, keys=2):
            self.differences.add(
                _difference("past_tickets", project_past_tickets.COLUMNS, key, live_row, right_row)
            )


class AuditCheck:
    """Follows the log to where the live tables are.

    Where a subject belongs is asked of the live rows that were compared before; where those were wrong, it
    is remembered.
    """

    def __init__(self, conn: Connection) -> None:
        self.differences = Differences()
        self._conn = conn
        self._strange: list[int] = []  # positions of rows that should not be there
        self._doubtful: Homes = {}  # of the subjects of rows that are wrong or missing

    def run(self, progress: Callable[[int, int], None], stopping: threading.Event) -> None:
        """Return when all rows are compared, or soon after `stopping` is set."""
        reached = _BEFORE_ALL
        while not stopping.is_set():
            end = int(self._conn.execute(_sql["read_position"]).fetchall()[0][0])
            entries = [row for row in read_log(self._conn, reached, BATCH_SIZE) if row[0] <= end]
            if not entries:
                break
            last = entries[-1][0]
            self._compare_page(reached, last, list(_readable(entries)))
            reached = last
            progress(reached, end)
        self._compare([], _fetch(self._conn, "select_audit_events_of_none"))

    def _compare_page(self, after: int, last: int, events: list[Positioned]) -> None:
        homes = self._ask_homes(after, events)
        right = project_audit.rows_of(events, homes)
        wrong = self._compare(
            right, _fetch(self._conn, "select_audit_events", {"after": after, "last": last})
        )
        subjects = {position: project_audit.subject_of(event) for position, event in events if wrong}
        for position in wrong:
            if position in subjects:
                self._doubtful[subjects[position]] = ()
            else:
                self._strange.append(position)
        for subject_id in self._doubtful:
            self._doubtful[subject_id] = homes.get(subject_id, ())

    def _ask_homes(self, after: int, events: list[Positioned]) -> Homes:
        ids = project_audit.known_subjects(events)
        parameters = {"ids": ids, "last": after, "strange": self._strange}
        found = self._conn.execute(_sql["select_subjects"], parameters) if ids else None
        return project_audit.homes_in(found) | self._doubtful

    def _compare(self, right: Sequence[Row], live: Sequence[Row]) -> list[int]:
        """The positions whose rows are not right."""
        wrong = list(_unequal(right, live, keys=1))
        for key, live_row, right_row in wrong:
            self.differences.add(_difference("audit_events", project_audit.COLUMNS, key, live_row, right_row))
        return [position for (position,), _, _ in wrong]


def _readable(entries: Iterable[tuple[int, str, int, str, bytes]]) -> Iterator[Positioned]:
    """Those that have a row, as those have that can be read at all."""
    for position, _, _, _, state in entries:
        with suppress(msgspec.DecodeError):
            event = decode(state)
            if _NUL not in state or not any("\0" in str(value) for value in _row_of(position, event)):
                yield position, event


def _row_of(position: int, event: Any) -> Row:
    return project_audit.rows_of([(position, event)], {})[0]


def _fetch(conn: Connection, query: str, parameters: dict[str, Any] | None = None) -> list[Row]:
    with conn.cursor(binary=True) as cur:
        return cur.execute(_sql[query], parameters).fetchall()


def _unequal(
    right: Sequence[Row], live: Sequence[Row], *, keys: int
) -> Iterator[tuple[Row, Row | None, Row | None]]:
    """The key of each row that is in one of the two only, or differs; with the live row and the right one.

    The first `keys` columns are the key.
    """
    if right == live:
        return
    rights = {row[:keys]: row for row in right}
    lives = {row[:keys]: row for row in live}
    for key in sorted(rights.keys() | lives.keys()):
        if rights.get(key) != lives.get(key):
            yield key, lives.get(key), rights.get(key)


def _difference(
    table: str, columns: Sequence[str], key: Row, live: Row | None, right: Row | None
) -> Difference:
    return Difference.between(
        table,
        "/".join(map(str, key)),
        live=dict(zip(columns, live, strict=True)) if live else None,
        right=dict(zip(columns, right, strict=True)) if right else None,
    )
