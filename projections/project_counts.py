"""Keeps the table `ticket_counts`: the numbers of tickets from which lists sum their totals.

Each ticket that is not deleted counts in six rows: in those of its property, of its assignee, of both, and of
neither, and by category and by each of its tags in those of its property and of all properties. The other
combinations have no rows, because every row costs time at each change of a ticket, and a ticket may have a
category of its own.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from pathlib import Path

from domain.ticket import PRIORITIES, STATUSES, Ticket
from infrastructure.storage.postgres import Connection, named_queries
from projections.folding import write_rows
from projections.rows import TicketCountRow, columns_of, compose

ALL = "*"  # the id or category of rows that count every value; no id contains it
NOBODY = ""  # the assignee of tickets without one
TAGGED = ":"  # before a tag in the place of a category; no category contains it
# A row has one number for each pair of status and priority. The numbers of the pairs begin with 1.
PAIRS = {pair: number for number, pair in enumerate(product(STATUSES, PRIORITIES), start=1)}
_sql = {
    name: compose(statement, columns=columns_of(TicketCountRow))
    for name, statement in named_queries(Path(__file__).parent / "sql" / "project_counts.sql").items()
}
_Key = tuple[str, str, str]  # property, assignee, category
Counted = tuple[str, str, str, tuple[str, ...], int]  # property, assignee, category, tags, number of the pair


def counted_values(ticket: Ticket | None) -> Counted | None:
    """The values by which the ticket counts now; None if it does not."""
    if ticket is None or ticket.is_deleted:
        return None
    pair = PAIRS[ticket.status, ticket.priority]
    return ticket.property_id, ticket.assignee_id or NOBODY, ticket.category, ticket.tags, pair


class TicketCounts:
    """Collects by how much each row changes, and writes the changes in two statements."""

    def __init__(self) -> None:
        self._changes: dict[_Key, list[int]] = {}

    def change(self, before: Counted | None, after: Counted | None) -> None:
        """Count a ticket by the values after some events instead of those before."""
        if before != after:
            self._add(before, -1)
            self._add(after, 1)

    def write(self, conn: Connection) -> None:
        """Write the changes, and delete rows that count no ticket any more."""
        rows = [TicketCountRow(*key, changes) for key, changes in self._changes.items() if any(changes)]
        write_rows(conn, _sql["add_to_counts"], rows)
        # Only a row whose sum became less may now be without tickets. A change of the status keeps the sum.
        lessened = [row for row in rows if sum(row.tickets) < 0]
        write_rows(conn, _sql["delete_empty_counts"], lessened)

    def _add(self, counted: Counted | None, change: int) -> None:
        if counted is not None:
            property_id, assignee_id, category, tags, pair = counted
            for key in _keys(property_id, assignee_id, category, tags):
                self._changes.setdefault(key, [0] * len(PAIRS))[pair - 1] += change


def _keys(property_id: str, assignee_id: str, category: str, tags: tuple[str, ...]) -> Iterator[_Key]:
    yield from product((property_id, ALL), (assignee_id, ALL), (ALL,))
    yield from product((property_id, ALL), (ALL,), (category, *(TAGGED + tag for tag in tags)))
