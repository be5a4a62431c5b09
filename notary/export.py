"""Exports a range of the log as a file, with a signed manifest that proves its content.

A border of the range is a position, which is included, or a time, which is compared with the times at which
events occurred: at or after `from`, and before `to`. The events are always in the order of the log. The same
range always gives the same bytes.

Events are exported as they are stored, with encrypted personal fields. tools/verify_export.py checks both
files on any machine; it needs only the standard library of Python.
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
from infrastructure.storage.postgres import Connection, Pool, fetch_value
from notary import merkle
from notary.blocks import Block, Row, read_block, read_end, read_log_id, read_rows, sql
from notary.follower import sign_log
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
    """The description of the data file in the manifest."""

    format: Format
    sha256: str
    bytes: int


def find_range(conn: Connection, vault: Vault, start: Border = 1, end: Border | None = None) -> Range:
    """The range to export, which a signed checkpoint covers. Raises Invalid.

    Without `end` the range ends at the last checkpoint, so that the same request gives the same file until
    the next checkpoint. If `end` lies after the last checkpoint, a new one is signed. A range by time goes
    from the first to the last of its events.
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
        raise Invalid({"to" if start == 1 else "from": [_explain_empty(start, end)]})
    return found


def data(pool: Pool, chosen: Range, file_format: Format, *, with_header: bool = True) -> Iterator[bytes]:
    """Yields the file in pieces of at most EVENTS_AT_ONCE events. Holds no connection between two pieces."""
    if file_format == "csv" and with_header:
        yield _csv([COLUMNS])
    for rows in _all_rows(pool, chosen) if chosen.window is None else _rows_in_window(pool, chosen):
        yield _lines(rows) if file_format == "ndjson" else _csv(_cells(rows))


def digest(pieces: Iterable[bytes], file_format: Format) -> Content:
    """Describe the content of a file that consists of these pieces."""
    sha256, size = hashlib.sha256(), 0
    for piece in pieces:
        sha256.update(piece)
        size += len(piece)
    return Content(file_format, sha256.hexdigest(), size)


def manifest(conn: Connection, vault: Vault, chosen: Range, content: Content) -> bytes:
    """The signed proof that the file is this range of the log.

    It contains the blocks of the range, the hashes of their events that are not in the file, the chain up to
    the next checkpoint, that checkpoint, and the public keys.
    """
    start, end = _block(conn, chosen.first), _block(conn, chosen.last)
    line = fetch_value(conn, sql["first_checkpoint_from"], {"position": chosen.last}, default="")
    checkpoint = parse(line)
    before = read_block(conn, "block_numbered", number=start.number - 1)
    facts = {
        "kind": MANIFEST,
        "log": read_log_id(conn),
        "from": chosen.first,
        "to": chosen.last,
        "data": content._asdict(),
        "chain_before": (before.chain if before else merkle.first_link(read_log_id(conn))).hex(),
        **_left_out_hashes(conn, chosen, start, end),
        "pages": _links(conn, start, checkpoint),
        "checkpoint": checkpoint.line,
        "keys": [
            line for (line,) in conn.execute(sql["key_statements"], {"number": ALL_STATEMENTS}).fetchall()
        ],
    }
    return sign_bytes(conn, vault, facts).line.encode() + b"\n"


def _require_order(start: Border, end: Border | None) -> None:
    """Raise Invalid for borders that cannot form a range of any log."""
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
    """The position up to which the log is signed. Signs the log first if a border lies after it."""
    signed = last_checkpoint(conn)
    if signed is None or any(_is_beyond(border, signed) for border in borders):
        sign_log(conn, vault)
        return read_end(conn).position
    return signed.position or 0


def _is_beyond(border: Border | None, signed: Statement) -> bool:
    if isinstance(border, datetime):
        return border >= datetime.fromisoformat(signed.facts["at"])
    return border is not None and border > (signed.position or 0)


def _explain_empty(start: Border, end: Border | None) -> str:
    """The reason why a range that begins or ends with a time contains no event."""
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
    """A time in the format of events."""
    return str(msgspec.to_builtins(border))


def _left_out_hashes(conn: Connection, chosen: Range, start: Block, end: Block) -> dict[str, Any]:
    """The hashes of the events that are in the blocks of the file but not in the file.

    For a range by positions these are the leaves before and after it. For a range by time they are whole
    subtrees, by the numbers of the blocks that contain events of the range.
    """
    if chosen.window is None:
        return {
            "leaves_before": _leaves(conn, start.first_position, chosen.first - 1),
            "leaves_after": _leaves(conn, chosen.last + 1, end.last_position),
        }
    left_out: dict[str, list[list[Any]]] = {}
    for stretch in stretches(conn, chosen):
        rows = read_stretch(conn, stretch)
        kept = {row.position for row in chosen.keep(rows)}
        if kept:
            found = merkle.cover([row.leaf for row in rows], [row.position in kept for row in rows])
            left_out[str(stretch.block)] = [[one.low, one.high, one.hash.hex()] for one in found]
    times = {name: one and _text(one) for name, one in chosen.window._asdict().items()}
    return {"leaves_before": [], "leaves_after": [], "window": times, "left_out": left_out}


def _block(conn: Connection, position: int) -> Block:
    block = read_block(conn, "block_at", position=position)
    if block is None:
        raise Invalid({"to": [f"Position {position} is not chained yet."]})
    return block


def _leaves(conn: Connection, first: int, last: int) -> list[str]:
    return [row.leaf.hex() for row in read_rows(conn, first, last)]


def _links(conn: Connection, start: Block, checkpoint: Statement) -> list[list[Any]]:
    """Number, first and last position, count of events and root of each block up to the checkpoint."""
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
    """One JSON object on each line. The event is the last field; its bytes are the stored bytes."""
    return b"".join(
        b'{"position":%d,"aggregate_id":%b,"version":%d,"type":%b,"event":%b}\n'
        % (row.position, _json(row.aggregate_id), row.version, _json(row.event_type), row.state)
        for row in rows
    )


def _cells(rows: Iterable[Row]) -> Iterator[tuple[object, ...]]:
    for row in rows:
        yield row.position, row.aggregate_id, row.version, row.event_type, row.state.decode(errors="replace")


def _csv(rows: Iterable[Iterable[object]]) -> bytes:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue().encode()


def _json(text: str) -> bytes:
    return json.dumps(text).encode()
