"""Creates the schemas of the read tables, and checks whether they fit this version."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Literal

from psycopg import sql

from infrastructure.storage.postgres import Connection, fetch_value, named_queries
from infrastructure.storage.read_schema import ORDINARY, read_tables
from projections.project_counts import PAIRS
from projections.rows import TABLES, TicketCountRow, columns_of

_SQL = Path(__file__).parent / "sql"
_counting = named_queries(_SQL / "ticket_counts.sql")
_PAIRS = sql.SQL(", ").join(
    sql.SQL("coalesce(sum(n) FILTER (WHERE status = {} AND priority = {}), 0)").format(status, priority)
    for status, priority in PAIRS
)


def counted_tickets(*table: str) -> sql.Composed:
    """A sub-select with the rows that `ticket_counts` must have, counted from that table of tickets."""
    return sql.SQL(_counting["count_tickets"]).format(tickets=sql.Identifier(*table), pairs=_PAIRS)


def fill_counts() -> str:
    """The statements that fill the empty table `ticket_counts` of the schema in search_path."""
    filling = sql.SQL(_counting["fill_counts"]).format(
        columns=columns_of(TicketCountRow), counted=counted_tickets("tickets")
    )
    return filling.as_string(None) + _counting["keep_counts"]


LIVE = ORDINARY  # the name in the statements; see infrastructure/storage/read_schema.py
COPY = "read_next"  # filled by a rebuild

_TABLES = (_SQL / "tables.sql").read_text()
_FOR_READERS = (_SQL / "readers.sql").read_text() + fill_counts()
# The tables also depend on how a text is split into terms.
_RULES = "".join(
    (Path(__file__).parent / name).read_text()
    for name in ("name_words.py", "search_terms.py", "project_search.py", "sql/ticket_terms.sql")
)
_DIGEST = hashlib.sha256((_TABLES + _FOR_READERS + _RULES).encode()).hexdigest()
_FINGERPRINT = f"read tables sha256:{_DIGEST}"
OWN = f"read_{_DIGEST[:12]}"  # for the tables of this version while LIVE has those of another one
_COLUMNS = {f"{table}.{name}" for table, row in TABLES.items() for name in row.__struct_fields__}
_sql = named_queries(_SQL / "schema.sql")
_CREATION_LOCK = 7_305_872  # any constant; one process creates the tables at a time

SchemaState = Literal["absent", "current", "outdated"]


def create_read_schema(conn: Connection, schema: str | None = None, *, for_readers: bool = True) -> None:
    """Create the read tables of this process, or in another schema, unless the schema exists.

    They are empty and at position 0.

    Without `for_readers` they lack the indexes of readers, so that they are filled faster; see
    `add_for_readers`.
    """
    with conn.transaction():
        conn.execute("SELECT pg_advisory_xact_lock(%s)", [_CREATION_LOCK])
        schema = schema or read_tables.schema
        if read_schema_state(conn, schema) != "absent":
            return
        name = sql.Identifier(schema)
        conn.execute(sql.SQL("CREATE SCHEMA {}").format(name))
        conn.execute(sql.SQL("COMMENT ON SCHEMA {} IS {}").format(name, sql.Literal(_FINGERPRINT)))
        conn.execute(sql.SQL("SET LOCAL search_path TO {}").format(name))
        conn.execute(_TABLES)
        if for_readers:
            conn.execute(_FOR_READERS)


def add_for_readers(conn: Connection, schema: str) -> None:
    """Add what `create_read_schema` omits without `for_readers`: indexes."""
    with conn.transaction():
        conn.execute("SET LOCAL maintenance_work_mem TO '256MB'")
        conn.execute(sql.SQL("SET LOCAL search_path TO {}").format(sql.Identifier(schema)))
        conn.execute(_FOR_READERS)


def drop_read_schema(conn: Connection, schema: str) -> None:
    conn.execute(sql.SQL("DROP SCHEMA IF EXISTS {} CASCADE").format(sql.Identifier(schema)))


def is_of_this_version(conn: Connection, schema: str) -> bool:
    """Whether this version has created the read tables in the schema, although a column may have been changed
    since."""
    return fetch_value(conn, _sql["read_fingerprint"], {"schema": schema}, default="") == _FINGERPRINT


def read_schema_state(conn: Connection, schema: str | None = None) -> SchemaState:
    """Whether the read tables of this process, or in another schema, exist and fit this version.

    They are outdated if other SQL files or other rules for search terms created them, or if a column was
    added or dropped. A rebuild (projections/rebuild.py), which `ticketing migrate` runs, replaces outdated
    tables.
    """
    schema = schema or read_tables.schema
    row = conn.execute(_sql["read_schema"], {"schema": schema, "tables": list(TABLES)}).fetchone()
    if row is None:
        return "absent"
    fingerprint, found = row
    return "current" if fingerprint == _FINGERPRINT and set(found) == _COLUMNS else "outdated"
