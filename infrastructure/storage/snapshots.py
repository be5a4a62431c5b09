"""Keeps aggregates as this process last read them, so that only newer events are fetched and folded."""

from __future__ import annotations

import copy
import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Any, Generic, NamedTuple, Protocol, TypeVar

import msgspec

from domain.aggregate import Aggregate, DomainEvent
from domain.events import StoredDomainEvent

MAX_SNAPSHOTS = 512
MAX_BYTES = 32 * 1024 * 1024  # of events of all aggregates together
MAX_BYTES_OF_ONE = 2 * 1024 * 1024  # of events; an aggregate with more is read as a whole each time

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


class Snapshot(NamedTuple, Generic[A]):
    """An aggregate as it was, the stored bytes of its last event then, and the size of all its events."""

    aggregate: A
    last_state: bytes
    size_bytes: int


class Snapshots:
    """Reads aggregates, always as of now.

    Stored events never change, so a snapshot stays true and only lacks newer events. Its last event is
    fetched and compared nevertheless: after a restore from a backup the log may have other events.
    """

    def __init__(
        self, reader: StateReader, decrypt: Callable[[Sequence[DomainEvent]], Sequence[DomainEvent]]
    ) -> None:
        self._reader = reader
        self._decrypt = decrypt
        self._snapshots: OrderedDict[str, Snapshot[Any]] = OrderedDict()
        self._size_bytes = 0
        self._lock = threading.Lock()

    def read(self, kind: type[A], aggregate_id: str) -> A | None:
        """The caller's own copy of the aggregate, or None when no aggregate of that kind has that id."""
        snapshot = self._find(kind, aggregate_id)
        states = self._reader.select_states(aggregate_id, _version_before(snapshot))
        return self._catch_up(kind, aggregate_id, snapshot, states)

    def read_both(
        self, first: type[A], first_id: str, second: type[B], second_id: str
    ) -> tuple[A | None, B | None]:
        """Do the same as two calls of `read`, in one round trip."""
        one, other = self._find(first, first_id), self._find(second, second_id)
        states = self._reader.select_states_of_both(
            (first_id, _version_before(one)), (second_id, _version_before(other))
        )
        return (
            self._catch_up(first, first_id, one, states[0]),
            self._catch_up(second, second_id, other, states[1]),
        )

    def recall(self, kind: type[A], aggregate_id: str) -> Snapshot[A] | None:
        """The snapshot of the aggregate, with a copy of it, which may be out of date; None without one."""
        snapshot = self._find(kind, aggregate_id)
        return snapshot and snapshot._replace(aggregate=_copy_of(snapshot.aggregate))

    def _find(self, kind: type[A], aggregate_id: str) -> Snapshot[A] | None:
        snapshot = self._snapshots.get(aggregate_id)
        return snapshot if snapshot and isinstance(snapshot.aggregate, kind) else None

    def _catch_up(
        self, kind: type[A], aggregate_id: str, snapshot: Snapshot[A] | None, states: list[bytes]
    ) -> A | None:
        """The aggregate after `states`, which follow `_version_before` the snapshot."""
        if snapshot is not None:
            if states and states[0] == snapshot.last_state:
                return self._advance(kind, snapshot, states[1:])
            states = self._reader.select_states(aggregate_id, 0)
        return self._advance(kind, None, states) if states else None

    def _advance(self, kind: type[A], snapshot: Snapshot[A] | None, newer: list[bytes]) -> A | None:
        aggregate = None if snapshot is None else _copy_of(snapshot.aggregate)
        if newer:
            events = self._decrypt(_decode_all(b"[%b]" % b",".join(newer)))
            if aggregate is None and not isinstance(events[0], kind.first_event):
                return None
            aggregate = kind.fold(aggregate, events)
            size_bytes = (snapshot.size_bytes if snapshot else 0) + sum(map(len, newer))
            snapshot = Snapshot(_copy_of(aggregate), newer[-1], size_bytes)
        if snapshot is not None:
            self._keep(snapshot)
        return aggregate

    def _keep(self, snapshot: Snapshot[Any]) -> None:
        with self._lock:
            former = self._snapshots.pop(snapshot.aggregate.id, None)
            self._size_bytes -= former.size_bytes if former else 0
            if snapshot.size_bytes <= MAX_BYTES_OF_ONE:
                self._snapshots[snapshot.aggregate.id] = snapshot
                self._size_bytes += snapshot.size_bytes
            while len(self._snapshots) > MAX_SNAPSHOTS or self._size_bytes > MAX_BYTES:
                _, oldest = self._snapshots.popitem(last=False)
                self._size_bytes -= oldest.size_bytes


def _version_before(snapshot: Snapshot[Any] | None) -> int:
    """The version to read past, so that the last event of the snapshot is read too."""
    return snapshot.aggregate.version - 1 if snapshot else 0


def _copy_of(aggregate: Any) -> Any:
    """A copy that shares nothing mutable: fields hold immutable values, or lists and dicts of them."""
    fresh = copy.copy(aggregate)
    for name in fresh.__struct_fields__:
        value = getattr(fresh, name)
        if type(value) in (list, dict):
            setattr(fresh, name, value.copy())
    return fresh
