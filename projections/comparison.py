"""Compares the live read tables with a copy of them, row by row, and describes the rows that differ.

The copy has no `audit_events` and `past_tickets`; projections/live_rows.py compares those two.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, LiteralString, NamedTuple

import msgspec
from psycopg import sql

from infrastructure.storage.postgres import Connection, named_queries
from infrastructure.storage.read_schema import read_tables
from projections.rows import TABLES, columns, compose
from projections.schema import COPY, counted_tickets

# The columns that are the key of each table; all columns of its struct are compared.
KEYS: dict[str, tuple[str, ...]] = {
    "properties": ("id",),
    "units": ("property_id", "id"),
    "users": ("id",),
    "tickets": ("id",),
    "ticket_counts": ("property_id", "assignee_id", "category"),
    "past_texts": ("ticket_id", "ended_at"),
    "comments": ("id",),
    "attachments": ("id",),
    "search_parts": ("ticket_id", "ended_at", "part_id"),
    "search_documents": ("ticket_id",),
    "parked_events": ("position",),
}
_PARKED = ("position", "originator_id")  # a table without a struct; errors and times may differ
LISTED = 100
_sql = named_queries(Path(__file__).parent / "sql" / "comparison.sql")


class _Compared(NamedTuple):
    """The columns of compare_rows: a row in both tables, as JSON, and the number of rows that differ."""

    total: int
    key: str
    live: dict[str, Any] | None
    copied: dict[str, Any] | None


class Difference(msgspec.Struct, frozen=True, kw_only=True):
    """A row of the live tables that differs from the row computed from the log. `columns` is empty when the
    whole row is missing or should not exist."""

    table: str
    id: str
    columns: tuple[str, ...]
    problem: str

    @classmethod
    def between(
        cls, table: str, row_id: str, live: dict[str, Any] | None, expected: dict[str, Any] | None
    ) -> Difference:
        """The difference of two rows, which are dicts by column, or None for a row that does not exist."""
        if live is None:
            return cls(table=table, id=row_id, columns=(), problem="missing")
        if expected is None:
            return cls(table=table, id=row_id, columns=(), problem="should not be there")
        differing = tuple(name for name in live if live[name] != expected[name])
        return cls(table=table, id=row_id, columns=differing, problem=", ".join(differing))


class Differences(msgspec.Struct):
    """The number of rows that differ, and the first LISTED of them."""

    count: int = 0
    listed: list[Difference] = []

    def add(self, *differences: Difference, unlisted: int = 0) -> None:
        self.count += len(differences) + unlisted
        self.listed += differences[: LISTED - len(self.listed)]

    def add_all(self, others: Differences) -> None:
        self.add(*others.listed, unlisted=others.count - len(others.listed))


def compare_tables(conn: Connection) -> Differences:
    """The rows that differ between the live tables and the copy."""
    differences = Differences()
    for table in KEYS:
        rows = [_Compared(*row) for row in conn.execute(_statement(table), {"limit": LISTED})]
        found = [Difference.between(table, row.key, row.live, row.copied) for row in rows]
        total = next((row.total for row in rows), 0)
        differences.add(*found, unlisted=total - len(rows))
    return differences


def _statement(table: str) -> LiteralString:
    names = TABLES[table].__struct_fields__ if table in TABLES else _PARKED
    return compose(
        _sql["compare_rows"],
        keys=columns(KEYS[table]),
        columns=columns(names),
        live=sql.Identifier(read_tables.schema, table),
        copy=_copied(table),
    )


def _copied(table: str) -> sql.Composable:
    """The expected rows. The copy has no counts, because they are counted from the finished tickets."""
    if table == "ticket_counts":
        return sql.SQL("({}) counted").format(counted_tickets(COPY, "tickets"))
    return sql.Identifier(COPY, table)
