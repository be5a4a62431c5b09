"""The chain over the log: blocks of events, each linked to the block before it by a hash."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from datetime import datetime
from hashlib import sha256
from pathlib import Path
from typing import Annotated, NamedTuple

import msgspec

from infrastructure.storage.postgres import Connection, fetch_value, named_queries
from infrastructure.storage.recorder import StoredRow
from notary import merkle

BLOCK_EVENTS = 1_000
LEAF_MARK_BYTES = 8
EVENT_MARK_BYTES = 4
CHAIN_LOCK = 7_305_876  # the advisory lock of transactions that chain or sign

sql = named_queries(Path(__file__).parent / "sql" / "notary.sql")


class Identity(msgspec.Struct, frozen=True):
    """The part of an event that its block repeats."""

    event_id: str = ""
    occurred_at: Annotated[datetime, msgspec.Meta(tz=True)] | None = None


_decode_identity = msgspec.json.Decoder(Identity).decode


class Row(StoredRow):
    """A row of the log, with its hash and the time of its event."""

    __slots__ = ()

    @property
    def leaf(self) -> bytes:
        return merkle.leaf(*self)

    @property
    def event_id(self) -> str:
        """The id of the event; empty if the stored bytes are not an event."""
        return self.identity.event_id

    @property
    def identity(self) -> Identity:
        """The id and the time of the event; both empty if the stored bytes are not an event."""
        return _read_identity(self.state)


class End(NamedTuple):
    """The end of the chain: number, last position and hash of its last block."""

    number: int
    position: int
    chain: bytes


class Block(NamedTuple):
    """A block as it is stored. `gaps` has the first and the last position of each gap between its events.
    `leaf_marks` has the first LEAF_MARK_BYTES of each leaf, `event_marks` the marks of the event ids. The
    leaves are computed from the log."""

    number: int
    first_position: int
    last_position: int
    events: int
    gaps: Sequence[int]
    leaf_marks: bytes
    event_marks: bytes
    root: bytes
    chain: bytes
    earliest_at: datetime | None = None  # of its events; both None in blocks older than migration 0015
    latest_at: datetime | None = None

    @property
    def positions(self) -> list[int]:
        """The positions of its events; at most one more than a block can have, if the row was altered."""
        starts = (self.first_position, *(last + 1 for last in self.gaps[1::2]))
        ends = (*self.gaps[::2], self.last_position + 1)
        return list(itertools.islice(itertools.chain(*map(range, starts, ends)), BLOCK_EVENTS + 1))

    def link(self, previous: bytes, root: bytes) -> bytes:
        """The hash of the chain after this block, if its events have this root."""
        return merkle.link(
            previous,
            number=self.number,
            first_position=self.first_position,
            last_position=self.last_position,
            events=self.events,
            root=root,
        )


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


def read_rows(conn: Connection, first: int, last: int) -> list[Row]:
    """The events of the log from the position `first` to `last`, both included."""
    with conn.cursor(binary=True) as cur:
        found = cur.execute(sql["read_events"], {"after": first - 1, "last": last, "limit": None}).fetchall()
    return [Row._make(row) for row in found]


def marks_of(leaves: Iterable[bytes]) -> bytes:
    """The marks by which a finding names an event whose leaf differs."""
    return b"".join(leaf[:LEAF_MARK_BYTES] for leaf in leaves)


def event_marks_of(identities: Iterable[Identity]) -> bytes:
    """The marks of the ids of the events of a block."""
    return b"".join(event_mark(one.event_id) for one in identities)


def event_mark(event_id: str) -> bytes:
    """The mark by which a proof finds the block of an event."""
    return sha256(event_id.encode()).digest()[:EVENT_MARK_BYTES]


def span_of_times(times: Iterable[datetime | None]) -> tuple[datetime | None, datetime | None]:
    """The earliest and the latest of the known times."""
    known = [time for time in times if time is not None]
    return (min(known), max(known)) if known else (None, None)


def _insert(conn: Connection, end: End, rows: Sequence[Row]) -> None:
    leaves = [row.leaf for row in rows]
    identities = [row.identity for row in rows]
    earliest_at, latest_at = span_of_times(one.occurred_at for one in identities)
    block = Block(
        number=end.number + 1,
        first_position=rows[0].position,
        last_position=rows[-1].position,
        events=len(rows),
        gaps=_gaps([row.position for row in rows]),
        leaf_marks=marks_of(leaves),
        event_marks=event_marks_of(identities),
        root=merkle.root(leaves),
        chain=b"",
        earliest_at=earliest_at,
        latest_at=latest_at,
    )
    conn.execute(sql["insert_block"], block._asdict() | {"chain": block.link(end.chain, block.root)})


def _gaps(positions: Sequence[int]) -> list[int]:
    """The first and the last position of each gap between ascending positions."""
    return [
        edge
        for one, other in itertools.pairwise(positions)
        if other > one + 1
        for edge in (one + 1, other - 1)
    ]


def _read_identity(state: bytes) -> Identity:
    """The id and time of an event; empty for bytes that are not an event, which are chained too."""
    try:
        return _decode_identity(state)
    except msgspec.DecodeError:
        return Identity()
