"""Functions for all projections: group events by aggregate, and fold them with the rules of the domain."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from functools import cache, lru_cache
from pathlib import Path
from typing import Any, LiteralString, TypeVar, get_args

import msgspec
from msgspec.structs import astuple
from psycopg import postgres, sql
from psycopg.adapt import Dumper
from psycopg.pq import Format, PipelineStatus

from domain.aggregate import Aggregate, DomainEvent
from infrastructure.storage.postgres import Connection, named_queries
from projections.rows import columns

LEAST_COPIED = 50  # rows; COPY has round trips of its own
A = TypeVar("A", bound=Aggregate)
E = TypeVar("E", bound=DomainEvent)

PositionedEvent = tuple[int, DomainEvent]
Cursor = Any  # a psycopg cursor over rows of any type
_encode = msgspec.json.Encoder().encode
_sql = named_queries(Path(__file__).parent / "sql" / "folding.sql")


class CannotProject(Exception):
    """An event cannot be applied to the read tables, now or later."""


def kinds_of(union: Any) -> frozenset[type[DomainEvent]]:
    """The classes in a union. A look-up by type() is much faster than isinstance() with many classes."""
    return frozenset(get_args(union))


def by_aggregate(events: Iterable[E]) -> dict[str, list[E]]:
    """The events of each aggregate, in their order."""
    groups: dict[str, list[E]] = {}
    for event in events:
        groups.setdefault(event.originator_id, []).append(event)
    return groups


def ids_with_rows(kind: type[Aggregate], groups: dict[str, list[E]]) -> list[str]:
    """The ids of the aggregates that are not new: their first event here is not the first of an aggregate."""
    return [key for key, events in groups.items() if not isinstance(events[0], kind.first_event)]


def name_positions(events: Iterable[PositionedEvent], naming: frozenset[type[DomainEvent]]) -> dict[str, int]:
    """For each aggregate to which an event of these types gives a name, the position of the last of them."""
    return {event.originator_id: position for position, event in events if type(event) in naming}


def fold(kind: type[A], state: A | None, events: Sequence[DomainEvent]) -> A:
    """The aggregate after the events. Raises CannotProject when a version is missing."""
    require_versions(kind, state, events)
    folded = kind.fold(state, events)
    if folded is None:
        raise ValueError("no events to fold")
    return folded


def require_versions(kind: type[A], state: A | None, events: Sequence[DomainEvent]) -> None:
    """Raise CannotProject unless the events have the versions that follow that of `state`."""
    expected = (state.version if state else 0) + 1
    for event in events:
        if event.originator_version != expected:
            found = f"version {event.originator_version} of {kind.kind} {event.originator_id}"
            raise CannotProject(f"{found}; expected {expected}")
        expected += 1


def write_rows(
    conn: Connection, statement: LiteralString, rows: Sequence[dict[str, Any] | msgspec.Struct]
) -> None:
    """Run a statement that reads its rows from one JSON parameter. Does nothing without rows."""
    if rows:
        conn.execute(statement, {"rows": _encode(rows).decode()})


def insert_rows(
    conn: Connection,
    table: LiteralString,
    statement: LiteralString,
    rows: Sequence[dict[str, Any] | msgspec.Struct],
) -> None:
    """Insert new rows, all with the same columns.

    Many rows are copied, which takes half of the processor time. A pipeline does not allow COPY, so in a
    pipeline, and for few rows, `statement` inserts them from one JSON parameter.
    """
    if len(rows) < LEAST_COPIED or conn.pgconn.pipeline_status != PipelineStatus.OFF:
        write_rows(conn, statement, rows)
        return
    first = rows[0]
    names = tuple(first) if isinstance(first, dict) else first.__struct_fields__
    types = conn.execute(_sql["column_types"], {"table": table, "names": list(names)}).fetchall()
    with conn.cursor() as cur:
        cur.adapters.register_dumper(list, _TextArrayDumper)
        with cur.copy(_copy_statement(table, names)) as copy:
            copy.set_types([oid for (oid,) in types])
            for row in rows:
                copy.write_row(tuple(row.values()) if isinstance(row, dict) else astuple(row))


@cache
def _copy_statement(table: LiteralString, names: tuple[str, ...]) -> sql.Composed:
    statement = sql.SQL("COPY {} ({}) FROM STDIN (FORMAT binary)")
    return statement.format(sql.Identifier(table), columns(names))


class _TextArrayDumper(Dumper):
    """The binary format of text[]. The dumper of psycopg inspects each member, which takes longer."""

    oid = postgres.types["text"].array_oid
    format = Format.BINARY

    def dump(self, obj: list[str]) -> bytes:
        return _text_array(tuple(obj))


@lru_cache(maxsize=10_000)
def _text_array(members: tuple[str, ...]) -> bytes:
    """https://www.postgresql.org/docs/18/arrays.html, array_recv: dimensions, flags, type; length and lower
    bound; the members, each after its length."""
    encoded = [member.encode() for member in members]
    header = struct.pack("!iii", 1 if encoded else 0, 0, postgres.types["text"].oid)
    bounds = struct.pack("!ii", len(encoded), 1) if encoded else b""
    return header + bounds + b"".join(struct.pack("!i", len(one)) + one for one in encoded)
