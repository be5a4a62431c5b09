"""Runs several commands whose events are appended together, in one commit."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, TypeVar

from domain.aggregate import Aggregate, DomainEvent
from infrastructure.storage.event_store import EventStore
from infrastructure.storage.postgres import Statement
from infrastructure.storage.recorder import OutOfDate
from infrastructure.storage.snapshots import Snapshot, copy_of

A = TypeVar("A", bound=Aggregate)
B = TypeVar("B", bound=Aggregate)


class StagedStore(EventStore):
    """An event store that collects what commands save until `commit`.

    A command finds each aggregate as the commands before it have saved it. A command that is refused saves
    nothing, so the others do not notice it.
    """

    def __init__(self, store: EventStore) -> None:
        self.__dict__.update(store.__dict__)  # the same recorder, snapshots and keys
        self._aggregates: dict[str, Aggregate] = {}
        self._events: dict[str, list[DomainEvent]] = {}
        self._statements: list[Statement] = []
        self._conditions: dict[str, Snapshot[Any]] = {}

    def find(self, kind: type[A], aggregate_id: str) -> A | None:
        """Return the aggregate as the commands before have saved it, or else as of now."""
        staged = self._aggregates.get(aggregate_id)
        if staged is None:
            return super().find(kind, aggregate_id)
        return copy_of(staged) if isinstance(staged, kind) else None

    def find_both(
        self, first: type[A], first_id: str, second: type[B], second_id: str
    ) -> tuple[A | None, B | None]:
        if first_id in self._aggregates or second_id in self._aggregates:
            return self.find(first, first_id), self.find(second, second_id)
        return super().find_both(first, first_id, second, second_id)

    def save(  # type: ignore[override]
        self,
        *aggregates: Aggregate,
        statements: Sequence[Statement] = (),
        unless_changed: Sequence[Snapshot[Any]] = (),
    ) -> None:
        """Collect the pending events and what must commit with them. Raises nothing: `commit` does."""
        changed = [(aggregate, events) for aggregate in aggregates if (events := aggregate.collect_events())]
        for aggregate, events in changed:
            self._events.setdefault(aggregate.id, []).extend(events)
            self._aggregates[aggregate.id] = copy_of(aggregate)
        if changed:
            self._statements += statements
            for snapshot in unless_changed:  # the oldest one, so that no decision is out of date
                self._conditions.setdefault(snapshot.aggregate.id, snapshot)

    @property
    def staged(self) -> Sequence[Statement]:
        """The statements that `commit` will run, in order."""
        return self._statements

    def serialize_after_collision(self, aggregate_id: str) -> AbstractContextManager[None]:
        """Take no lock: commands that hold some while they wait for others could wait for ever."""
        return nullcontext()

    def commit(self) -> int:
        """Append all collected events in one commit. Returns the position of the last one; 0 if there are
        none.

        Raises what EventStore.save raises; then nothing is stored, and all commands must decide again, on a
        new StagedStore.
        """
        for aggregate_id, aggregate in self._aggregates.items():
            aggregate.pending = self._events[aggregate_id]
        conditions = list(self._conditions.values())
        try:
            super().save(*self._aggregates.values(), statements=self._statements, unless_changed=conditions)
        except OutOfDate:
            for snapshot in conditions:  # so that this process remembers the newest
                super().find(type(snapshot.aggregate), snapshot.aggregate.id)
            raise
        return max((aggregate.position for aggregate in self._aggregates.values()), default=0)
