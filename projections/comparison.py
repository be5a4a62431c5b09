"""Comparing the live read tables with a copy, row by row."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
from psycopg import sql

from infrastructure.postgres import Connection, named_queries
from projections.schema import COPY, LIVE

# Each table's key and the columns that may differ, beside the generated ones, which follow from others.
_KEYS = {
    "properties": ("id",),
    "units": ("property_id", "id"),
    "users": ("id",),
    "tickets": ("id",),
    "past_tickets": ("ticket_id", "version"),
    "past_texts": ("ticket_id", "ended_at"),
    "comments": ("id",),
    "attachments": ("id",),
    "audit_events": ("position",),
    "parked_events": ("position",),
}
_IGNORED = {"parked_events": {"error", "parked_at"}}
_sql = named_queries(Path(__file__).parent / "sql" / "comparison.sql")


class Difference(msgspec.Struct, frozen=True, kw_only=True):
    """A row of the live tables that is not what the log gives. `columns` is empty when the whole row is
    missing or should not be there."""

    table: str
    id: str
    columns: tuple[str, ...]
    problem: str


def compare_tables(conn: Connection, limit: int) -> tuple[int, list[Difference]]:
    """How many rows differ between the live tables and the copy, and the first `limit` of them."""
    total = 0
    differences: list[Difference] = []
    for table, keys in _KEYS.items():
        rows = conn.execute(_statement(conn, table, keys), {"limit": limit}).fetchall()
        total += rows[0][3] if rows else 0
        differences += [_difference(table, key, live, copy) for key, live, copy, _ in rows]
    return total, differences[:limit]


def _statement(conn: Connection, table: str, keys: tuple[str, ...]) -> sql.Composed:
    found = conn.execute(_sql["stored_columns"], {"table": f"{LIVE}.{table}"}).fetchall()
    columns = [name for (name,) in found if name not in _IGNORED.get(table, ())]
    return sql.SQL(_sql["compare_rows"]).format(
        keys=sql.SQL(", ").join(map(sql.Identifier, keys)),
        columns=sql.SQL(", ").join(map(sql.Identifier, columns)),
        live=sql.Identifier(LIVE, table),
        copy=sql.Identifier(COPY, table),
    )


def _difference(table: str, key: str, live: dict[str, Any] | None, copy: dict[str, Any] | None) -> Difference:
    if live is None:
        return Difference(table=table, id=key, columns=(), problem="missing")
    if copy is None:
        return Difference(table=table, id=key, columns=(), problem="should not be there")
    columns = tuple(name for name in live if live[name] != copy[name])
    return Difference(table=table, id=key, columns=columns, problem=", ".join(columns))
