"""Functions for all projections: group events by aggregate, and fold them with the rules of the domain."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, LiteralString, TypeVar, get_args

import msgspec

from domain.aggregate import Aggregate, DomainEvent
from infrastructure.storage.postgres import Connection

A = TypeVar("A", bound=Aggregate)
E = TypeVar("E", bound=DomainEvent)

PositionedEvent = tuple[int, DomainEvent]
Cursor = Any  # a psycopg cursor over rows of any type
_encode = msgspec.json.Encoder().encode


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
    expected = (state.version if state else 0) + 1
    first = events[0].originator_version
    if first != expected:
        raise CannotProject(f"version {first} of {kind.kind} {events[0].originator_id}; expected {expected}")
    folded = kind.fold(state, events)
    if folded is None or folded.version != expected + len(events) - 1:
        raise CannotProject(f"a gap in the versions of {kind.kind} {events[0].originator_id}")
    return folded


def write_rows(
    conn: Connection, statement: LiteralString, rows: Sequence[dict[str, Any] | msgspec.Struct]
) -> None:
    """Run a statement that reads its rows from one JSON parameter. Does nothing without rows."""
    if rows:
        conn.execute(statement, {"rows": _encode(rows).decode()})
