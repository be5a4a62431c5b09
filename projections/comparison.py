"""Comparing the live read tables with a copy, row by row, and what is told of rows that differ.

The copy lacks two tables; projections/live_rows.py sees to these.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
from psycopg import sql

from infrastructure.storage.postgres import Connection, named_queries
from projections.schema import COPY, LIVE

# Each table's key and the columns that may differ, beside the generated ones, which follow from others.
_KEYS = {
    "properties": ("id",),
    "units": ("property_id", "id"),
    "users": ("id",),
    "tickets": ("id",),
    "past_texts": ("ticket_id", "ended_at"),
    "comments": ("id",),
    "attachments": ("id",),
    "parked_events": ("position",),
}
LISTED = 100
_IGNORED = {"parked_events": {"error", "parked_at"}}
_sql = named_queries(Path(__file__).parent / "sql" / "comparison.sql")


class Difference(msgspec.Struct, frozen=True, kw_only=True):
    """A row of the live tables that is not what the log gives. `columns` is empty when the whole row is
    missing or should not be there."""

    table: str
    id: str
    columns: tuple[str, ...]
    problem: str

    @classmethod
    def between(
        cls, table: str, id: str, live: dict[str, Any] | None, right: dict[str, Any] | None
    ) -> Difference:
        """Of a row, by column, and what it should be; None where there is or should be none."""
        if live is None:
            return cls(table=table, id=id, columns=(), problem="missing")
        if right is None:
            return cls(table=table, id=id, columns=(), problem="should not be there")
        columns = tuple(name for name in live if live[name] != right[name])
        return cls(table=table, id=id, columns=columns, problem=", ".join(columns))


class Differences(msgspec.Struct):
    """How many rows differ, and the first LISTED of them."""

    count: int = 0
    listed: list[Difference] = []

    def add(self, *differences: Difference, unlisted: int = 0) -> None:
        self.count += len(differences) + unlisted
        self.listed += differences[: LISTED - len(self.listed)]

    def add_all(self, others: Differences) -> None:
        self.add(*others.listed, unlisted=others.count - len(others.listed))


def compare_tables(conn: Connection) -> Differences:
    """Where the live tables and the copy differ."""
    differences = Differences()
    for table, keys in _KEYS.items():
        rows = conn.execute(_statement(conn, table, keys), {"limit": LISTED}).fetchall()
        found = [Difference.between(table, key, live, copy) for key, live, copy, _ in rows]
        differences.add(*found, unlisted=rows[0][3] - len(rows) if rows else 0)
    return differences


def _statement(conn: Connection, table: str, keys: tuple[str, ...]) -> sql.Composed:
    found = conn.execute(_sql["stored_columns"], {"table": f"{LIVE}.{table}"}).fetchall()
    columns = [name for (name,) in found if name not in _IGNORED.get(table, ())]
    return sql.SQL(_sql["compare_rows"]).format(
        keys=sql.SQL(", ").join(map(sql.Identifier, keys)),
        columns=sql.SQL(", ").join(map(sql.Identifier, columns)),
        live=sql.Identifier(LIVE, table),
        copy=sql.Identifier(COPY, table),
    )
