"""The chain over the log: blocks of events, each linked to the block before it by a hash."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Annotated, NamedTuple

import msgspec

from infrastructure.storage.postgres import Connection, fetch_value, named_queries
from infrastructure.storage.recorder import StoredRow
from notary import merkle

BLOCK_EVENTS = 1_000
CHAIN_LOCK = 7_305_876  # the advisory lock of transactions that chain or sign

sql = named_queries(Path(__file__).parent / "sql" / "notary.sql")


class Row(StoredRow):
    """A row of the log, with its hash and the time of its event."""

    __slots__ = ()

    @property
    def leaf(self) -> bytes:
        return merkle.leaf(*self)

    @property
    def occurred_at(self) -> datetime | None:
        """The time of the event; None if the stored bytes are not an event."""
        return _read_identity(self.state).occurred_at


class End(NamedTuple):
    """The end of the chain: number, last position and hash of its last block."""

    number: int
    position: int
    chain: bytes


class Block(NamedTuple):
    """A block as it is stored."""

    number: int
    first_position: int
    last_position: int
    positions: Sequence[int]
    leaves: bytes
    root: bytes
    chain: bytes
    earliest_at: datetime | None = None  # of its events; both None in blocks older than migration 0015
    latest_at: datetime | None = None

    def link(self, previous: bytes, root: bytes) -> bytes:
        """The hash of the chain after this block, if its events have this root."""
        return merkle.link(
            previous,
            number=self.number,
            first_position=self.first_position,
            last_position=self.last_position,
            events=len(self.positions),
            root=root,
        )


class _Identity(msgspec.Struct, frozen=True):
    event_id: str = ""
    occurred_at: Annotated[datetime, msgspec.Meta(tz=True)] | None = None


_decode_identity = msgspec.json.Decoder(_Identity).decode


def read_log_id(conn: Connection) -> str:
    return fetch_value(conn, sql["read_log_id"], default="")


def read_end(conn: Connection) -> End:
    with conn.cursor(binary=True) as cur:
        row = cur.execute(sql["last_block"]).fetchone()
    return End(*row) if row else End(0, 0, merkle.first_link(read_log_id(conn)))


def chain_block(conn: Connection) -> list[Row]:
    """Chain the next events, at most one block, and return them. The caller must have locked the chain
    (`lock_chain`) in its transaction."""
    end = read_end(conn)
    with conn.cursor(binary=True) as cur:
        found = cur.execute(sql["read_waiting"], {"after": end.position, "limit": BLOCK_EVENTS}).fetchall()
    rows = [Row._make(row) for row in found]
    if rows:
        _insert(conn, end, rows)
    return rows


def read_block(conn: Connection, query: str, **parameters: int) -> Block | None:
    """The block that the named query returns, or None."""
    with conn.cursor(binary=True) as cur:
        row = cur.execute(sql[query], parameters).fetchone()
    return Block(*row) if row else None


def span_of_times(times: Iterable[datetime | None]) -> tuple[datetime | None, datetime | None]:
    """The earliest and the latest of the known times."""
    known = [time for time in times if time is not None]
    return (min(known), max(known)) if known else (None, None)


def _insert(conn: Connection, end: End, rows: Sequence[Row]) -> None:
    leaves = [row.leaf for row in rows]
    events = [_read_identity(row.state) for row in rows]
    earliest_at, latest_at = span_of_times(event.occurred_at for event in events)
    block = Block(
        number=end.number + 1,
        first_position=rows[0].position,
        last_position=rows[-1].position,
        positions=[row.position for row in rows],
        leaves=b"".join(leaves),
        root=merkle.root(leaves),
        chain=b"",
        earliest_at=earliest_at,
        latest_at=latest_at,
    )
    chain = block.link(end.chain, block.root)
    event_ids = [event.event_id for event in events]
    conn.execute(sql["insert_block"], block._asdict() | {"chain": chain, "event_ids": event_ids})


def _read_identity(state: bytes) -> _Identity:
    """The id and time of an event; empty for bytes that are not an event, which are chained too."""
    try:
        return _decode_identity(state)
    except msgspec.DecodeError:
        return _Identity()
