"""A stretch of the log as a file, the same bytes each time, and a manifest that proves it.

Events are as they were stored: personal fields are sealed. tools/verify_export.py checks both files with
nothing but Python's standard library, on a machine that knows nothing of this one.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
from collections.abc import Iterable, Iterator
from typing import Any, Literal, NamedTuple

from domain.errors import Invalid
from infrastructure.postgres import Connection, Pool
from infrastructure.vault import Vault
from notary import merkle
from notary.follower import seal
from notary.pages import Page, Row, read_end, read_log_id, read_page, sql
from notary.signing import last_checkpoint, sign_bytes
from notary.statements import Statement, parse

Format = Literal["ndjson", "csv"]
FORMATS: tuple[Format, ...] = ("ndjson", "csv")
MEDIA_TYPES = {"ndjson": "application/x-ndjson", "csv": "text/csv; charset=utf-8"}
COLUMNS = ("position", "aggregate_id", "version", "type", "event")
MANIFEST = "ticketing export 1"
EVENTS_AT_ONCE = 1_000
ALL_STATEMENTS = 2**62


class Range(NamedTuple):
    """Positions of the log, both included."""

    first: int
    last: int


class Content(NamedTuple):
    """What a manifest says of the data file."""

    format: Format
    sha256: str
    bytes: int


def find_range(conn: Connection, vault: Vault, first: int, last: int | None) -> Range:
    """The range to export, covered by a signed checkpoint; raise Invalid.

    Without `last` it ends where the last checkpoint does, so that the same words give the same file until
    the next one. For a later end, one is signed now.
    """
    signed = last_checkpoint(conn)
    covered = (signed.position or 0) if signed else 0
    if (last or first) > covered or signed is None:
        seal(conn, vault)
        covered = read_end(conn).position
    end = covered if last is None else last
    if last is not None and first > last:
        raise Invalid({"from": [f"The range is reversed: from {first} is after to {last}."]})
    if end > covered:
        raise Invalid({"to": [f"The log ends at position {covered}."]})
    if first > end:
        raise Invalid({"from": [f"The log ends at position {covered}."]})
    return Range(first, end)


def data(pool: Pool, chosen: Range, format: Format, *, with_header: bool = True) -> Iterator[bytes]:
    """The file, in pieces of at most EVENTS_AT_ONCE events. Holds no connection while it is read."""
    if format == "csv" and with_header:
        yield _csv([COLUMNS])
    after = chosen.first - 1
    while rows := _read(pool, after, chosen.last):
        yield _lines(rows) if format == "ndjson" else _csv(_cells(rows))
        after = rows[-1].position


def digest(pieces: Iterable[bytes], format: Format) -> Content:
    """The content of a file that consists of those pieces."""
    sha256, size = hashlib.sha256(), 0
    for piece in pieces:
        sha256.update(piece)
        size += len(piece)
    return Content(format, sha256.hexdigest(), size)


def manifest(conn: Connection, vault: Vault, chosen: Range, content: Content) -> bytes:
    """What proves that the file is that stretch of the log, signed: the pages it lies in, the hashes of
    their other events, the chain from there to the next checkpoint, and that with the keys it needs."""
    start = _page(conn, chosen.first)
    end = _page(conn, chosen.last)
    row = conn.execute(sql["first_checkpoint_from"], {"position": chosen.last}).fetchone()
    assert row is not None
    checkpoint = parse(row[0])
    before = read_page(conn, "page_numbered", number=start.number - 1)
    facts = {
        "kind": MANIFEST,
        "log": read_log_id(conn),
        "from": chosen.first,
        "to": chosen.last,
        "data": content._asdict(),
        "chain_before": (before.chain if before else merkle.first_link(read_log_id(conn))).hex(),
        "leaves_before": _leaves(start, lambda position: position < chosen.first),
        "leaves_after": _leaves(end, lambda position: position > chosen.last),
        "pages": _links(conn, start, checkpoint),
        "checkpoint": checkpoint.line,
        "keys": [
            line for (line,) in conn.execute(sql["key_statements"], {"number": ALL_STATEMENTS}).fetchall()
        ],
    }
    return sign_bytes(conn, vault, facts).line.encode() + b"\n"


def _page(conn: Connection, position: int) -> Page:
    page = read_page(conn, "page_at", position=position)
    if page is None:
        raise Invalid({"to": [f"Position {position} is not chained yet."]})
    return page


def _leaves(page: Page, is_wanted: Any) -> list[str]:
    pairs = zip(page.positions, merkle.split(page.leaves), strict=True)
    return [leaf.hex() for position, leaf in pairs if is_wanted(position)]


def _links(conn: Connection, start: Page, checkpoint: Statement) -> list[list[Any]]:
    """Number, first and last position, events and root of each page up to the checkpoint's."""
    parameters = {"after": start.number - 1, "last": checkpoint.facts["page"]}
    with conn.cursor(binary=True) as cur:
        rows = cur.execute(sql["links_between"], parameters).fetchall()
    return [[*numbers, bytes(root).hex()] for *numbers, root in rows]


def _read(pool: Pool, after: int, last: int) -> list[Row]:
    parameters = {"after": after, "last": last, "limit": EVENTS_AT_ONCE}
    with pool.connection() as conn, conn.cursor(binary=True) as cur:
        return [Row._make(row) for row in cur.execute(sql["read_events"], parameters)]


def _lines(rows: Iterable[Row]) -> bytes:
    """One object a line. The event comes last and is the stored bytes themselves."""
    return b"".join(
        b'{"position":%d,"aggregate_id":%b,"version":%d,"type":%b,"event":%b}\n'
        % (row.position, _json(row.aggregate_id), row.version, _json(row.topic), row.state)
        for row in rows
    )


def _cells(rows: Iterable[Row]) -> Iterator[tuple[object, ...]]:
    for row in rows:
        yield (*row[:4], row.state.decode(errors="replace"))


def _csv(rows: Iterable[Iterable[object]]) -> bytes:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue().encode()


def _json(text: str) -> bytes:
    return json.dumps(text).encode()
