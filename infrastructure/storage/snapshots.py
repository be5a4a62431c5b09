"""Caches aggregates as this process last read them, so that only newer events are fetched and folded."""

from __future__ import annotations

import copy
import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Any, Generic, NamedTuple, Protocol, TypeVar

import msgspec

from domain.aggregate import Aggregate, DomainEvent
from domain.events import StoredDomainEvent
from infrastructure.storage.stored_snapshots import EVERY, StoredSnapshots, StoredState

MAX_SNAPSHOTS = 512
MAX_BYTES = 32 * 1024 * 1024  # of all aggregates together
MAX_BYTES_OF_ONE = 2 * 1024 * 1024  # an aggregate with more is read again each time
MEASURED_BYTES = 64 * 1024  # an aggregate with fewer bytes of events counts as having as many bytes
NEWEST = 2**63 - 1  # a version after every version

A = TypeVar("A", bound=Aggregate)
B = TypeVar("B", bound=Aggregate)

_encode = msgspec.json.Encoder().encode
_decode_list: Callable[[bytes], Sequence[DomainEvent]] = msgspec.json.Decoder(list[StoredDomainEvent]).decode


class CannotDecode(Exception):
    """A stored event has a type or fields that this version cannot decode."""


def decode_events(aggregate_id: str, states: Sequence[bytes]) -> Sequence[DomainEvent]:
    """Decode the stored events of one aggregate. Raises CannotDecode."""
    try:
        return _decode_list(b"[%b]" % b",".join(states))
    except msgspec.DecodeError as error:
        raise CannotDecode(
            f"A stored event of {aggregate_id} cannot be decoded: {error}."
            " A newer version may have written it."
        ) from None


class StateReader(Protocol):
    def select_states(self, originator_id: str, after: int) -> list[bytes]:
        """The stored bytes of one aggregate's events past version `after`, in order."""

    def select_states_of_both(
        self, first: tuple[str, int], second: tuple[str, int]
    ) -> tuple[list[bytes], list[bytes]]:
        """Return what two calls of select_states return, for aggregates given as (id, after)."""


class Snapshot(NamedTuple, Generic[A]):
    """An aggregate at one version, the stored bytes of its last event, and its size: that of its events or,
    if these are many, that of its state."""

    aggregate: A
    last_state: bytes
    size_bytes: int


class Snapshots:
    """Reads aggregates as of now.

    Stored events never change, so a snapshot lacks only newer events. Its last event is fetched and compared
    nevertheless, because after a restore from a backup the log may have other events.
    """

    def __init__(
        self,
        reader: StateReader,
        decrypt: Callable[[Sequence[DomainEvent]], Sequence[DomainEvent]],
        stored: StoredSnapshots | None = None,
    ) -> None:
        """`stored` has snapshots of other processes, for aggregates with `has_stored_snapshots`."""
        self._reader = reader
        self._decrypt = decrypt
        self._stored = stored
        self._snapshots: OrderedDict[str, Snapshot[Any]] = OrderedDict()
        self._size_bytes = 0
        self._lock = threading.Lock()

    def read(self, kind: type[A], aggregate_id: str) -> A | None:
        """A new copy of the aggregate, or None when no aggregate of that kind has that id."""
        snapshot = self._find(kind, aggregate_id)
        if snapshot is None:
            return self._read_anew(kind, aggregate_id)
        states = self._reader.select_states(aggregate_id, _version_before(snapshot))
        return self._catch_up(kind, aggregate_id, snapshot, states)

    def at_version(self, kind: type[A], aggregate_id: str, version: int) -> A | None:
        """The aggregate as it was at that version, or None if it has no such version."""
        base, states = self._read_log(kind, aggregate_id, version)
        aggregate = base and base.aggregate
        if states:
            aggregate, _ = self._fold(kind, aggregate_id, aggregate, states)
        return aggregate if aggregate is not None and aggregate.version == version else None

    def read_both(
        self, first: type[A], first_id: str, second: type[B], second_id: str
    ) -> tuple[A | None, B | None]:
        """Return what two calls of `read` return, in one round trip."""
        one, other = self._find(first, first_id), self._find(second, second_id)
        states = self._reader.select_states_of_both(
            (first_id, _version_before(one)), (second_id, _version_before(other))
        )
        return (
            self._catch_up(first, first_id, one, states[0]),
            self._catch_up(second, second_id, other, states[1]),
        )

    def recall(self, kind: type[A], aggregate_id: str) -> Snapshot[A] | None:
        """A copy of the snapshot of the aggregate, which may be out of date; None without a snapshot."""
        snapshot = self._find(kind, aggregate_id)
        return snapshot and snapshot._replace(aggregate=copy_of(snapshot.aggregate))

    def _find(self, kind: type[A], aggregate_id: str) -> Snapshot[A] | None:
        snapshot = self._snapshots.get(aggregate_id)
        return snapshot if snapshot and isinstance(snapshot.aggregate, kind) else None

    def _catch_up(
        self, kind: type[A], aggregate_id: str, snapshot: Snapshot[A] | None, states: list[bytes]
    ) -> A | None:
        """The aggregate after `states`, the events after the version `_version_before(snapshot)`."""
        if snapshot is not None:
            if states and states[0] == snapshot.last_state:
                return self._advance(kind, aggregate_id, snapshot, states[1:])
            return self._read_anew(kind, aggregate_id)
        return self._advance(kind, aggregate_id, None, states) if states else None

    def _read_anew(self, kind: type[A], aggregate_id: str) -> A | None:
        base, states = self._read_log(kind, aggregate_id, NEWEST)
        return self._advance(kind, aggregate_id, base, states) if base or states else None

    def _read_log(
        self, kind: type[A], aggregate_id: str, up_to: int
    ) -> tuple[Snapshot[A] | None, list[bytes]]:
        """The newest stored snapshot up to the version `up_to`, if any, and the later events up to it."""
        if self._stored is None or not kind.has_stored_snapshots:
            return None, self._reader.select_states(aggregate_id, 0)[:up_to]
        aggregate, states = self._stored.read(kind, aggregate_id, up_to)
        if aggregate is None:
            return None, states
        last_state, *newer = states
        return Snapshot(aggregate, last_state, len(_encode(aggregate))), newer

    def _advance(
        self, kind: type[A], aggregate_id: str, snapshot: Snapshot[A] | None, newer: list[bytes]
    ) -> A | None:
        aggregate = None if snapshot is None else copy_of(snapshot.aggregate)
        if newer:
            aggregate, size_bytes = self._fold(kind, aggregate_id, aggregate, newer)
            if aggregate is None:
                return None
            size_bytes += snapshot.size_bytes if snapshot else 0
            if size_bytes > MEASURED_BYTES:
                size_bytes = len(_encode(aggregate))
            snapshot = Snapshot(copy_of(aggregate), newer[-1], size_bytes)
        if snapshot is not None:
            self._store(snapshot)
        return aggregate

    def _fold(
        self, kind: type[A], aggregate_id: str, aggregate: A | None, states: list[bytes]
    ) -> tuple[A | None, int]:
        """Apply the stored events to the aggregate, and store it at every hundredth version. Returns it, or
        None if the events are those of another kind, and the size of the events."""
        events = self._decrypt(decode_events(aggregate_id, states))
        if aggregate is None and not isinstance(events[0], kind.first_event):
            return None, 0
        size_bytes = sum(map(len, states))
        if self._stored is None or not kind.has_stored_snapshots:
            return kind.fold(aggregate, events), size_bytes
        reached: list[StoredState] = []
        for event, state in zip(events, states, strict=True):
            aggregate = kind.fold(aggregate, [event])
            if aggregate is not None and event.originator_version % EVERY == 0:
                reached.append(StoredState(copy_of(aggregate), state))
        if reached:
            self._stored.insert(kind, aggregate_id, reached)
        return aggregate, size_bytes

    def _store(self, snapshot: Snapshot[Any]) -> None:
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
    """The version after which to read, so that the last event of the snapshot is read too."""
    return snapshot.aggregate.version - 1 if snapshot else 0


def copy_of(aggregate: Any) -> Any:
    """A copy that shares no mutable object: fields hold immutable values, or lists and dicts of them."""
    fresh = copy.copy(aggregate)
    for name in fresh.__struct_fields__:
        value = getattr(fresh, name)
        if type(value) in (list, dict):
            setattr(fresh, name, value.copy())
    return fresh
