"""The size of the log and of the database, and the last signed checkpoint."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import msgspec

from infrastructure.storage.postgres import Connection, Pool, named_queries
from notary.signing import last_checkpoint
from notary.statements import BadStatement

_sql = named_queries(Path(__file__).parent / "sql" / "sizes.sql")


class Sizes(msgspec.Struct, frozen=True):
    """`events` is an estimate."""

    events: int
    last_position: int
    log_bytes: int
    database_bytes: int


class Checkpoint(msgspec.Struct, frozen=True):
    """A checkpoint: its number, the position up to which it covers the log, its time, and the id of its
    key."""

    number: int
    position: int
    at: datetime
    signed_by: str


def read_sizes(pool: Pool) -> Sizes:
    with pool.connection() as conn:
        return read_sizes_on(conn)


def read_sizes_on(conn: Connection) -> Sizes:
    (row,) = conn.execute(_sql["read_sizes"]).fetchall()
    return Sizes(*row)


def read_checkpoint(pool: Pool) -> Checkpoint | None:
    with pool.connection() as conn:
        return read_checkpoint_on(conn)


def read_checkpoint_on(conn: Connection) -> Checkpoint | None:
    """The last checkpoint in the database; None without one, or if it cannot be read. Its signature is not
    checked."""
    try:
        signed = last_checkpoint(conn)
    except BadStatement:
        return None
    if signed is None:
        return None
    at = datetime.fromisoformat(signed.facts["at"])
    return Checkpoint(signed.number, signed.position or 0, at, str(signed.facts["signed_by"]))
