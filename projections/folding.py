"""What the three projections share: grouping events by aggregate, and folding them as the domain does."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, TypeVar, get_args

import msgspec

from domain.aggregate import Aggregate, DomainEvent
from infrastructure.storage.postgres import Connection

A = TypeVar("A", bound=Aggregate)
E = TypeVar("E", bound=DomainEvent)

Cursor = Any  # psycopg's cursor over rows of any shape
_encode = msgspec.json.Encoder().encode


class CannotProject(Exception):
    """An event does not continue what the read tables hold."""


def kinds_of(union: Any) -> frozenset[type[DomainEvent]]:
    """The classes in a union: looking one up costs a fraction of isinstance() with many of them."""
    return frozenset(get_args(union))


def by_aggregate(events: Iterable[E]) -> dict[str, list[E]]:
    """The events of each aggregate, in their order."""
    groups: dict[str, list[E]] = {}
    for event in events:
        groups.setdefault(event.originator_id, []).append(event)
    return groups


def already_there(kind: type[Aggregate], groups: dict[str, list[E]]) -> list[str]:
    """The ids that must have a row: their first event here is not the one that begins an aggregate."""
    return [key for key, events in groups.items() if not isinstance(events[0], kind.first_event)]


def fold(kind: type[A], state: A | None, events: Sequence[DomainEvent]) -> A:
    """Fold with the domain's own rules, refusing a gap in the versions.

    The tables then show what the aggregates say, and a hole in the log does not pass unnoticed.
    """
    expected = (state.version if state else 0) + 1
    first = events[0].originator_version
    if first != expected:
        raise CannotProject(f"version {first} of {kind.kind} {events[0].originator_id}; expected {expected}")
    folded = kind.fold(state, events)
    if folded is None or folded.version != expected + len(events) - 1:
        raise CannotProject(f"a gap in the versions of {kind.kind} {events[0].originator_id}")
    return folded


def write_rows(conn: Connection, statement: str, rows: Sequence[dict[str, Any]]) -> None:
    """Run a statement that reads its rows from one JSON parameter; nothing to do without rows."""
    if rows:
        conn.execute(statement, {"rows": _encode(rows).decode()})
