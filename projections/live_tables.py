"""Chooses the schema of the read tables of this version, and drops those of other versions.

The tables of two versions exist beside each other during an upgrade. A projector of its version follows each.
"""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from infrastructure.storage.postgres import Connection, named_queries
from infrastructure.storage.read_schema import read_tables
from projections.old_tables import (
    TablesInUse,
    drop_old_tables,
    release_rebuild_lock,
    set_aside,
    take_rebuild_lock,
)
from projections.schema import LIVE, OWN, is_of_this_version, read_schema_state

LEADER_KEY = 7_305_873  # on LIVE
_OTHER_LEADERS = 1 << 30  # with the beginning of the hash in the name

sql = named_queries(Path(__file__).parent / "sql" / "live_tables.sql")


def leader_key_of(schema: str) -> int:
    """The session advisory lock of the projector that leads on the read tables in the schema."""
    return LEADER_KEY if schema == LIVE else _OTHER_LEADERS | int(schema.removeprefix("read_")[:7], 16)


def use_read_tables(conn: Connection) -> None:
    """Let this process use the read tables of its version, or LIVE if there are none."""
    has_own = not is_of_this_version(conn, LIVE) and is_of_this_version(conn, OWN)
    read_tables.use(OWN if has_own else LIVE)


def make_place(conn: Connection, in_use: Collection[str]) -> None:
    """Let this process use the schema into which it is to fill the read tables of its version.

    `in_use` has the schemas of the read tables that running processes use: those of another version are not
    replaced while they are in use."""
    use_read_tables(conn)
    if read_tables.schema == LIVE and LIVE in in_use and not is_of_this_version(conn, LIVE):
        read_tables.use(LIVE if read_schema_state(conn, LIVE) == "absent" else OWN)


def other_tables(conn: Connection) -> list[str]:
    """The schemas with read tables of other versions."""
    found = [name for (name,) in conn.execute(sql["find_read_schemas"])]
    return [name for name in found if name != read_tables.schema]


def drop_other_tables(conn: Connection, schemas: Collection[str]) -> list[str]:
    """Drop the read tables in these schemas, as far as no session reads them. Return the schemas.

    Raises TablesInUse."""
    if not schemas:
        return []
    if not take_rebuild_lock(conn):
        raise TablesInUse(
            f"The read tables in {', '.join(schemas)} were not dropped, because a rebuild or verification is"
            " running. Run this command again when it has ended."
        )
    try:
        for schema in schemas:
            set_aside(conn, schema)
        drop_old_tables(conn)
    finally:
        release_rebuild_lock(conn)
    return list(schemas)
