"""Aggregates as this process last read them, so that only newer events need be fetched and folded."""

from __future__ import annotations

import copy
import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Protocol, TypeVar

import msgspec

from domain.aggregate import Aggregate, DomainEvent
from domain.events import StoredDomainEvent

REMEMBERED = 512  # aggregates
REMEMBERED_BYTES = 32 * 1024 * 1024  # of events, all aggregates together
LARGEST_BYTES = 2 * 1024 * 1024  # of events of one; what has more is read anew each time

A = TypeVar("A", bound=Aggregate)
B = TypeVar("B", bound=Aggregate)

_decode_all: Callable[[bytes], Sequence[DomainEvent]] = msgspec.json.Decoder(list[StoredDomainEvent]).decode


class StateReader(Protocol):
    def select_states(self, originator_id: str, after: int) -> list[bytes]:
        """The stored bytes of one aggregate's events past version `after`, in order."""

    def select_states_of_both(
        self, first: tuple[str, int], second: tuple[str, int]
    ) -> tuple[list[bytes], list[bytes]]:
        """The same of two aggregates, each an (id, after)."""


class _Snapshot(NamedTuple):
    aggregate: Any
    last_state: bytes
    size_bytes: int

    @property
    def after(self) -> int:
        """The version to read past, so that the last known event comes along."""
        return self.aggregate.version - 1 if self.aggregate else 0


_NOTHING = _Snapshot(None, b"", 0)


class Snapshots:
    """Reads aggregates, always as of now.

    Stored events never change, so a snapshot stays true and only lacks what came after. Its last event
    is fetched along and compared all the same: after a restore from a backup the log may be another.
    """

    def __init__(
        self, reader: StateReader, opened: Callable[[Sequence[DomainEvent]], Sequence[DomainEvent]]
    ) -> None:
        self._reader = reader
        self._opened = opened
        self._snapshots: OrderedDict[str, _Snapshot] = OrderedDict()
        self._size_bytes = 0
        self._lock = threading.Lock()

    def read(self, kind: type[A], aggregate_id: str) -> A | None:
        """The caller's own copy of the aggregate, or None when there is none of that kind by that id."""
        snapshot = self._recall(kind, aggregate_id)
        states = self._reader.select_states(aggregate_id, snapshot.after)
        return self._catch_up(kind, aggregate_id, snapshot, states)

    def read_both(
        self, first: type[A], first_id: str, second: type[B], second_id: str
    ) -> tuple[A | None, B | None]:
        """As two calls of `read`, in one round trip."""
        snapshots = self._recall(first, first_id), self._recall(second, second_id)
        states = self._reader.select_states_of_both(
            (first_id, snapshots[0].after), (second_id, snapshots[1].after)
        )
        return (
            self._catch_up(first, first_id, snapshots[0], states[0]),
            self._catch_up(second, second_id, snapshots[1], states[1]),
        )

    def remembered(self, kind: type[A], aggregate_id: str) -> tuple[A, bytes] | None:
        """A copy of the aggregate as this process last read it, without asking whether it has gone on, and
        the stored bytes of its last event then; None when it is not remembered."""
        snapshot = self._recall(kind, aggregate_id)
        return None if snapshot is _NOTHING else (_copy_of(snapshot.aggregate), snapshot.last_state)

    def _recall(self, kind: type[Aggregate], aggregate_id: str) -> _Snapshot:
        snapshot = self._snapshots.get(aggregate_id)
        return snapshot if snapshot and isinstance(snapshot.aggregate, kind) else _NOTHING

    def _catch_up(
        self, kind: type[A], aggregate_id: str, snapshot: _Snapshot, states: list[bytes]
    ) -> A | None:
        """The aggregate from what was remembered of it and the states asked for past `snapshot.after`."""
        if snapshot is not _NOTHING:
            if states and states[0] == snapshot.last_state:
                return self._advance(kind, snapshot, states[1:])
            states = self._reader.select_states(aggregate_id, 0)
        return self._advance(kind, _NOTHING, states) if states else None

    def _advance(self, kind: type[A], snapshot: _Snapshot, newer: list[bytes]) -> A | None:
        aggregate: A | None = _copy_of(snapshot.aggregate)
        if newer:
            events = self._opened(_decode_all(b"[%b]" % b",".join(newer)))
            if aggregate is None and not isinstance(events[0], kind.first_event):
                return None
            aggregate = kind.fold(aggregate, events)
            size_bytes = snapshot.size_bytes + sum(map(len, newer))
            snapshot = _Snapshot(_copy_of(aggregate), newer[-1], size_bytes)
        self._remember(snapshot)
        return aggregate

    def _remember(self, snapshot: _Snapshot) -> None:
        with self._lock:
            former = self._snapshots.pop(snapshot.aggregate.id, _NOTHING)
            self._size_bytes -= former.size_bytes
            if snapshot.size_bytes <= LARGEST_BYTES:
                self._snapshots[snapshot.aggregate.id] = snapshot
                self._size_bytes += snapshot.size_bytes
            while len(self._snapshots) > REMEMBERED or self._size_bytes > REMEMBERED_BYTES:
                _, oldest = self._snapshots.popitem(last=False)
                self._size_bytes -= oldest.size_bytes


def _copy_of(aggregate: Any) -> Any:
    """A copy that shares nothing which changes: fields hold immutable values, or lists and dicts of them."""
    fresh = copy.copy(aggregate)
    if fresh is not None:
        for name in fresh.__struct_fields__:
            value = getattr(fresh, name)
            if type(value) in (list, dict):
                setattr(fresh, name, value.copy())
    return fresh
