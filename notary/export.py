"""A stretch of the log as a file, the same bytes each time, and a manifest that proves it.

An end of it that is a number is a position, and included. One that is a time is compared with when events
occurred: at or after `from`, and before `to`. Whatever they are, the events are in the order of the log, and
what is stored later can only come after them.

Events are as they were stored: personal fields are sealed. tools/verify_export.py checks both files with
nothing but Python's standard library, on a machine that knows nothing of this one.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from typing import Any, Literal, NamedTuple

import msgspec

from domain.errors import Invalid
from infrastructure.keys.vault import Vault
from infrastructure.storage.postgres import Connection, Pool
from notary import merkle
from notary.follower import seal
from notary.pages import Page, Row, read_end, read_log_id, read_page, sql
from notary.signing import last_checkpoint, sign_bytes
from notary.statements import Statement, parse
from notary.window import Range, Window, read_stretch, stretches, tighten

Format = Literal["ndjson", "csv"]
FORMATS: tuple[Format, ...] = ("ndjson", "csv")
MEDIA_TYPES = {"ndjson": "application/x-ndjson", "csv": "text/csv; charset=utf-8"}
COLUMNS = ("position", "aggregate_id", "version", "type", "event")
MANIFEST = "ticketing export 1"
EVENTS_AT_ONCE = 1_000
ALL_STATEMENTS = 2**62


Border = int | datetime


class Content(NamedTuple):
    """What a manifest says of the data file."""

    format: Format
    sha256: str
    bytes: int


def find_range(conn: Connection, vault: Vault, start: Border = 1, end: Border | None = None) -> Range:
    """The range to export, covered by a signed checkpoint; raise Invalid.

    Without `end` it ends where the last checkpoint does, so that the same words give the same file until
    the next one. For an end after the last checkpoint, one is signed now. A range by time goes from the
    first to the last of its events.
    """
    _require_order(start, end)
    covered = _cover(conn, vault, start, end)
    last = end if isinstance(end, int) else covered
    first = start if isinstance(start, int) else 1
    if last > covered:
        raise Invalid({"to": [f"The log ends at position {covered}."]})
    if first > last:
        raise Invalid({"from": [f"The log ends at position {covered}."]})
    since, until = (one if isinstance(one, datetime) else None for one in (start, end))
    if since is None and until is None:
        return Range(first, last)
    found = tighten(conn, Range(first, last, Window(since, until)))
    if found is None:
        raise Invalid({"to" if start == 1 else "from": [_nothing_there(start, end)]})
    return found


def data(pool: Pool, chosen: Range, format: Format, *, with_header: bool = True) -> Iterator[bytes]:
    """The file, in pieces of at most EVENTS_AT_ONCE events. Holds no connection while it is read."""
    if format == "csv" and with_header:
        yield _csv([COLUMNS])
    for rows in _all_rows(pool, chosen) if chosen.window is None else _rows_in_window(pool, chosen):
        yield _lines(rows) if format == "ndjson" else _csv(_cells(rows))


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
    start, end = _page(conn, chosen.first), _page(conn, chosen.last)
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
        **_others(conn, chosen, start, end),
        "pages": _links(conn, start, checkpoint),
        "checkpoint": checkpoint.line,
        "keys": [
            line for (line,) in conn.execute(sql["key_statements"], {"number": ALL_STATEMENTS}).fetchall()
        ],
    }
    return sign_bytes(conn, vault, facts).line.encode() + b"\n"


def _require_order(start: Border, end: Border | None) -> None:
    """Refuse what can be told to be no range without looking at the log."""
    for name, border in (("from", start), ("to", end)):
        if isinstance(border, datetime) and border > datetime.now(UTC):
            raise Invalid({name: [f"The time {_text(border)} lies in the future."]})
    both_times = isinstance(start, datetime) and isinstance(end, datetime)
    if isinstance(start, int) and isinstance(end, int) and start > end:
        raise Invalid({"from": [f"The range is reversed: from {start} is after to {end}."]})
    if both_times and start >= end:  # type: ignore[operator]
        words = f"from {_text(start)} is not before to {_text(end)}"
        raise Invalid({"from": [f"The range is reversed or empty: {words}."]})


def _cover(conn: Connection, vault: Vault, *borders: Border | None) -> int:
    """The position up to which the log is signed, which is done now if a border lies beyond that."""
    signed = last_checkpoint(conn)
    if signed is None or any(_is_beyond(border, signed) for border in borders):
        seal(conn, vault)
        return read_end(conn).position
    return signed.position or 0


def _is_beyond(border: Border | None, signed: Statement) -> bool:
    if isinstance(border, datetime):
        return border >= datetime.fromisoformat(signed.facts["at"])
    return border is not None and border > (signed.position or 0)


def _nothing_there(start: Border, end: Border | None) -> str:
    """Why there is no event in a range of which at least one end is a time."""
    if isinstance(start, int) and start > 1:
        return f"The range is reversed: no event from position {start} on occurred before {_text(end)}."
    if isinstance(end, int):
        return f"The range is reversed: no event up to position {end} occurred at {_text(start)} or later."
    if isinstance(start, int):
        return f"No event occurred before {_text(end)}."
    if end is None:
        return f"No event occurred at {_text(start)} or later."
    return f"No event occurred from {_text(start)} up to before {_text(end)}."


def _text(border: Border | None) -> str:
    """A time as events have it."""
    return str(msgspec.to_builtins(border))


def _others(conn: Connection, chosen: Range, start: Page, end: Page) -> dict[str, Any]:
    """The hashes of what is not in the file and yet in its pages: single events before and after it, or,
    where times say what is in it, whole subtrees by the pages' numbers, for pages that have some of it."""
    if chosen.window is None:
        return {
            "leaves_before": _leaves(start, lambda position: position < chosen.first),
            "leaves_after": _leaves(end, lambda position: position > chosen.last),
        }
    left_out = {}
    for stretch in stretches(conn, chosen):
        kept = {row.position for row in chosen.keep(read_stretch(conn, stretch))}
        page = read_page(conn, "page_numbered", number=stretch.page)
        if kept and page is not None:
            is_kept = [position in kept for position in page.positions]
            found = merkle.cover(merkle.split(page.leaves), is_kept)
            left_out[str(page.number)] = [[one.low, one.high, one.hash.hex()] for one in found]
    times = {name: one and _text(one) for name, one in chosen.window._asdict().items()}
    return {"leaves_before": [], "leaves_after": [], "window": times, "left_out": left_out}


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


def _all_rows(pool: Pool, chosen: Range) -> Iterator[list[Row]]:
    after = chosen.first - 1
    while rows := _read(pool, after, chosen.last):
        yield rows
        after = rows[-1].position


def _read(pool: Pool, after: int, last: int) -> list[Row]:
    parameters = {"after": after, "last": last, "limit": EVENTS_AT_ONCE}
    with pool.connection() as conn, conn.cursor(binary=True) as cur:
        return [Row._make(row) for row in cur.execute(sql["read_events"], parameters)]


def _rows_in_window(pool: Pool, chosen: Range) -> Iterator[list[Row]]:
    with pool.connection() as conn:
        found = stretches(conn, chosen)
    for stretch in found:
        with pool.connection() as conn:
            rows = chosen.keep(read_stretch(conn, stretch))
        if rows:
            yield rows


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
