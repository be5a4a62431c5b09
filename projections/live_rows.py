"""Compares live rows with the rows computed from the log, without writing the latter to a table.

Used for `audit_events` and `past_tickets`, which have about one row for each event. Their rows never change.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

import msgspec
from msgspec.structs import asdict

from infrastructure.storage.event_store import decode
from infrastructure.storage.postgres import Connection, fetch_value, named_queries
from infrastructure.storage.recorder import read_log
from projections import project_audit
from projections.comparison import Difference, Differences
from projections.folding import PositionedEvent
from projections.project_audit import PropertiesBySubject
from projections.project_past_tickets import PastTickets
from projections.rows import AuditRow, PastTicketRow, columns_of, compose

BATCH_SIZE = 5_000
_BEFORE_ALL = -(2**63)
_NUL = rb"\u0000"  # in JSON; a text in PostgreSQL cannot contain it
_sql = {
    name: compose(statement, past_tickets=columns_of(PastTicketRow, "p"), audit_events=columns_of(AuditRow))
    for name, statement in named_queries(Path(__file__).parent / "sql" / "live_rows.sql").items()
}

R = TypeVar("R", AuditRow, PastTicketRow)
Key = tuple[Any, ...]


class PastTicketsCheck:
    """Compares the live rows of `past_tickets` with the expected ones, batch by batch."""

    def __init__(self, conn: Connection) -> None:
        self.differences = Differences()
        self._conn = conn
        self._lock = threading.Lock()

    def compare(self, past: PastTickets) -> None:
        """Several threads may call this."""
        spans = [(ticket_id, *span) for ticket_id, span in past.spans.items()]
        if spans:
            ids, first, last = map(list, zip(*spans, strict=True))
            parameters = {"ids": ids, "first": first, "last": last}
            with self._lock:
                live = _fetch(PastTicketRow, self._conn, "select_past_tickets", parameters)
                self._compare(past.tickets, live)

    def start_again(self) -> None:
        self.differences = Differences()

    def find_invalid(self, conn: Connection) -> None:
        """Find rows that belong to no batch. `conn` must see the tickets of the finished copy."""
        self._compare([], _fetch(PastTicketRow, conn, "select_invalid_past_tickets"))

    def _compare(self, expected: Sequence[PastTicketRow], live: Sequence[PastTicketRow]) -> None:
        for key, live_row, expected_row in _unequal(expected, live, _past_ticket_key):
            self.differences.add(_difference("past_tickets", key, live_row, expected_row))


class AuditCheck:
    """Compares the live rows of `audit_events` with the log, up to the projector's position.

    The properties of a subject come from the live rows that have been compared. For a subject with a wrong or
    missing row they come from `_corrected`.
    """

    def __init__(self, conn: Connection) -> None:
        self.differences = Differences()
        self._conn = conn
        self._invalid: list[int] = []  # positions of rows that should not be there
        self._corrected: PropertiesBySubject = {}  # for subjects with a wrong or missing row

    def run(self, progress: Callable[[int, int], None], stopping: threading.Event) -> None:
        """Compare all rows; stop soon after `stopping` is set."""
        reached = _BEFORE_ALL
        while not stopping.is_set():
            end = fetch_value(self._conn, _sql["read_position"], default=0)
            entries = [
                (row.position, row.state)
                for row in read_log(self._conn, reached, BATCH_SIZE)
                if row.position <= end
            ]
            if not entries:
                break
            last, _ = entries[-1]
            self._compare_batch(reached, last, _events_with_rows(entries))
            reached = last
            progress(reached, end)
        self._compare([], _fetch(AuditRow, self._conn, "select_audit_events_ahead"))

    def _compare_batch(self, after: int, last: int, events: list[PositionedEvent]) -> None:
        properties = self._read_properties(after, events)
        expected = project_audit.make_rows(events, properties)
        live = _fetch(AuditRow, self._conn, "select_audit_events", {"after": after, "last": last})
        wrong = self._compare(expected, live)
        subjects = {
            position: project_audit.key_of(project_audit.subject_of(event))
            for position, event in events
            if wrong
        }
        for position in wrong:
            if position in subjects:
                self._corrected[subjects[position]] = ()
            else:
                self._invalid.append(position)
        for subject_key in self._corrected:
            self._corrected[subject_key] = properties.get(subject_key, ())

    def _read_properties(self, after: int, events: list[PositionedEvent]) -> PropertiesBySubject:
        keys = project_audit.known_subjects(events)
        parameters = {"keys": keys, "last": after, "invalid": self._invalid}
        found = self._conn.execute(_sql["select_subjects"], parameters) if keys else None
        return project_audit.read_properties(found) | self._corrected

    def _compare(self, expected: Sequence[AuditRow], live: Sequence[AuditRow]) -> list[int]:
        """The positions of the rows that differ."""
        wrong = list(_unequal(expected, live, _audit_key))
        for key, live_row, expected_row in wrong:
            self.differences.add(_difference("audit_events", key, live_row, expected_row))
        return [position for (position,), _, _ in wrong]


def _events_with_rows(entries: Sequence[tuple[int, bytes]]) -> list[PositionedEvent]:
    """The events that must have an audit row: those that can be decoded, and whose row contains no NUL
    character, which PostgreSQL refuses."""
    if not any(_NUL in state for _, state in entries):
        with suppress(msgspec.DecodeError):
            return [(position, decode(state)) for position, state in entries]
    return list(_select_events_with_rows(entries))


def _select_events_with_rows(entries: Iterable[tuple[int, bytes]]) -> Iterator[PositionedEvent]:
    for position, state in entries:
        with suppress(msgspec.DecodeError):
            event = decode(state)
            if _NUL not in state or not _has_nul(project_audit.make_rows([(position, event)], {})):
                yield position, event


def _has_nul(rows: Sequence[AuditRow]) -> bool:
    return any("\0" in str(value) for row in rows for value in asdict(row).values())


def _fetch(
    row_type: type[R], conn: Connection, query: str, parameters: dict[str, Any] | None = None
) -> list[R]:
    with conn.cursor(binary=True) as cur:
        return [row_type(*values) for values in cur.execute(_sql[query], parameters).fetchall()]


def _past_ticket_key(row: PastTicketRow) -> Key:
    return row.ticket_id, row.version


def _audit_key(row: AuditRow) -> Key:
    return (row.position,)


def _unequal(
    expected: Sequence[R], live: Sequence[R], key_of: Callable[[R], Key]
) -> Iterator[tuple[Key, R | None, R | None]]:
    """The key of each row that differs or exists on one side only, with the live and the expected row. A
    second live row with a key is one that should not be there."""
    if expected == live:
        return
    expected_rows = {key_of(row): row for row in expected}
    live_rows: dict[Key, R] = {}
    for row in live:
        if live_rows.setdefault(key_of(row), row) is not row:
            yield key_of(row), row, None
    for key in sorted(expected_rows.keys() | live_rows.keys()):
        if expected_rows.get(key) != live_rows.get(key):
            yield key, live_rows.get(key), expected_rows.get(key)


def _difference(table: str, key: Key, live: R | None, expected: R | None) -> Difference:
    return Difference.between(
        table,
        "/".join(map(str, key)),
        live=asdict(live) if live else None,
        expected=asdict(expected) if expected else None,
    )
