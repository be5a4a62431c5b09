"""Reads everything that a database stores, so that tests can search it."""

from __future__ import annotations

import subprocess

import psycopg
from psycopg import sql
from psycopg.types.string import TextLoader

from infrastructure.storage.embedded import postgres_programs


def everything(dsn: str) -> dict[str, bytes]:
    """The content of the database by source: the output of pg_dump, the values of each table, and the sample
    values in PostgreSQL's statistics."""
    dump = subprocess.run(
        [postgres_programs() / "pg_dump", "--inserts", dsn], capture_output=True, timeout=60, check=True
    ).stdout
    found = {"pg_dump": dump}
    with psycopg.connect(dsn) as conn:
        conn.adapters.register_loader("timestamptz", TextLoader)  # Python has no infinite times
        tables = conn.execute(
            "SELECT schemaname, tablename FROM pg_tables WHERE schemaname NOT IN ('information_schema')"
            " AND tablename <> 'pg_statistic'"
        ).fetchall()
        for schema, table in tables:
            rows = conn.execute(sql.SQL("SELECT * FROM {}").format(sql.Identifier(schema, table))).fetchall()
            cells = [cell for row in rows for cell in row]
            raw = [bytes(cell) if isinstance(cell, bytes) else str(cell).encode() for cell in cells]
            found[f"{schema}.{table}"] = b"\n".join(raw)
        for schema, table, column, *samples in conn.execute(
            "SELECT schemaname, tablename, attname, most_common_vals::text, histogram_bounds::text"
            "  FROM pg_stats"
        ):
            found[f"statistics of {schema}.{table}.{column}"] = str(samples).encode()
    return found
