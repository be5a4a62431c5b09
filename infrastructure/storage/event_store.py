"""The event store: eventsourcing's Application, speaking msgspec and text ids."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext, suppress
from typing import Any, ClassVar, Generic, NamedTuple, TypeVar, cast

import msgspec
import psycopg
from eventsourcing.application import Application
from eventsourcing.persistence import IntegrityError, Mapper, StoredEvent
from eventsourcing.utils import get_topic

from domain.access import Context
from domain.aggregate import Aggregate, DomainEvent
from domain.errors import Conflict, NotFound
from domain.events import StoredDomainEvent
from infrastructure.keys.privacy import (
    Encrypted,
    PersonIsErased,
    decrypt_events,
    encrypt_events,
    has_personal_fields,
)
from infrastructure.keys.vault import Vault
from infrastructure.storage.postgres import Pool, Statement
from infrastructure.storage.recorder import (
    InMemoryRecorder,
    LastStates,
    OutOfDate,
    WatermarkRecorder,
    outcome_is_unknown,
)
from infrastructure.storage.snapshots import Snapshots

A = TypeVar("A", bound=Aggregate)
B = TypeVar("B", bound=Aggregate)
T = TypeVar("T")

MAX_VERSION = 2**63 - 1
DECISIONS = 3  # how often a command is decided in all when it loses races
APPEND_SECONDS = 1.0  # how long an append is sent again when connections die under it
COLLISION_SECONDS = 2.0  # how long commands on one aggregate take turns after a collision
COLLISIONS_KEPT = 1_024
TOO_MANY_CHANGES = "Others are changing this at the same time; nothing was changed. Try again."

encode = msgspec.json.Encoder().encode
# Personal fields stay encrypted; EventStore.decrypt decrypts them.
decode: Callable[[bytes], DomainEvent] = msgspec.json.Decoder(StoredDomainEvent).decode


class VersionConflict(Exception):
    """Another command took the version this one was decided on. Load again and decide again."""


class Remembered(NamedTuple, Generic[A]):
    """An aggregate as it once was, and the stored bytes of its last event then."""

    aggregate: A
    last_state: bytes


class MsgspecMapper(Mapper[Any]):
    """Event to stored row and back, as it is: `EventStore.encrypt` comes before, `decrypt` after. The row's
    bytes are also the Kafka message."""

    def to_stored_event(self, domain_event: Any) -> StoredEvent:
        return StoredEvent(
            originator_id=domain_event.originator_id,
            originator_version=domain_event.originator_version,
            topic=domain_event.__struct_config__.tag,
            state=encode(domain_event),
        )

    def to_domain_event(self, stored_event: StoredEvent) -> Any:
        return decode(stored_event.state)


class EventStore(Application[Any]):
    """Loads and saves aggregates. `vault` encrypts the keys of personal fields.

    Without pool and vault everything stays in memory, for tests of commands.
    """

    name = "ticketing"
    env: ClassVar[dict[str, str]] = {
        "MAPPER_TOPIC": get_topic(MsgspecMapper),
        "ORIGINATOR_ID_TYPE": "text",
        "PERSISTENCE_MODULE": "eventsourcing.popo",
    }

    def __init__(
        self, pool: Pool | None = None, vault: Vault | None = None, *, lock: str = "watermark"
    ) -> None:
        if (pool is None) != (vault is None):
            raise TypeError("An event store on PostgreSQL needs a pool and a vault.")
        self._pool = pool
        self._vault = vault
        self._lock = lock
        self._collisions: dict[str, float] = {}
        super().__init__(env=self.env)
        self._snapshots = Snapshots(cast(WatermarkRecorder, self.recorder), self.decrypt)

    def construct_recorder(self) -> Any:
        if self._pool is None:
            return InMemoryRecorder()
        return WatermarkRecorder(self._pool, lock=self._lock)

    def find(self, kind: type[A], aggregate_id: str) -> A | None:
        """The aggregate as of now, or None when there is none of that kind by that id."""
        return self._snapshots.read(kind, aggregate_id)

    def find_both(
        self, first: type[A], first_id: str, second: type[B], second_id: str
    ) -> tuple[A | None, B | None]:
        """As two calls of `find`, in one round trip."""
        return self._snapshots.read_both(first, first_id, second, second_id)

    def remembered(self, kind: type[A], aggregate_id: str) -> Remembered[A] | None:
        """The aggregate as this process last read it, which costs nothing but may be out of date: good for a
        decision that is saved under the condition (`given`) that it is not."""
        if self._lock == "table":  # then an append is more than one statement, and has no condition
            return None
        found = self._snapshots.remembered(kind, aggregate_id)
        return None if found is None else Remembered(*found)

    def load(self, kind: type[A], aggregate_id: str) -> A:
        """The aggregate as of now; raise NotFound when there is none of that kind by that id."""
        aggregate = self.find(kind, aggregate_id)
        if aggregate is None:
            raise NotFound(kind.kind)
        return aggregate

    def history(self, kind: type[Aggregate], aggregate_id: str, last: int = MAX_VERSION) -> list[DomainEvent]:
        """The aggregate's events up to version `last`; none when there is none of that kind by that id."""
        recorded = cast(WatermarkRecorder, self.recorder).select_recorded(aggregate_id, 1, last)
        events = self.decrypt([decode(state) for _, state in recorded])
        return list(events) if events and isinstance(events[0], kind.first_event) else []

    def at_version(self, kind: type[A], aggregate_id: str, version: int) -> A | None:
        """The aggregate as it was at that version; None where it has no such version."""
        if version < 1:
            return None
        events = self.history(kind, aggregate_id, version)
        return kind.fold(None, events) if len(events) == version else None

    def outcome_of(self, kind: type[A], aggregate_id: str, command_id: str) -> A | None:
        """The aggregate as the command of that id left it, or None when the log knows no such command."""
        recorded = cast(WatermarkRecorder, self.recorder).select_recorded(aggregate_id, 1, MAX_VERSION)
        events = self.decrypt([decode(state) for _, state in recorded])
        versions = [event.originator_version for event in events if event.causation_id == command_id]
        if not versions or not isinstance(events[0], kind.first_event):
            return None
        aggregate = kind.fold(None, events[: versions[-1]])
        if aggregate is not None:
            aggregate.position = recorded[versions[-1] - 1][0]
        return aggregate

    def done_before(self, kind: type[A], aggregate_id: str, context: Context) -> A | None:
        """The outcome of the command where an earlier delivery of it got as far as the log. To be asked when
        the caller is known to see the aggregate, and before anything that the command itself may have
        changed."""
        return self.outcome_of(kind, aggregate_id, context.command_id) if context.is_retry else None

    def save(  # type: ignore[override]
        self,
        aggregate: Aggregate,
        *,
        also: Sequence[Statement] = (),
        given: Sequence[Remembered[Any]] = (),
    ) -> None:
        """Append the aggregate's pending events in one commit and note their position on it.

        `also` holds SQL statements that commit with them. Raises VersionConflict when another command
        was faster, OutOfDate when one of `given` is no longer as it was remembered (one event only).
        A lost COMMIT reply is no conflict: the same events are sent again, and versions taken by our own
        event ids are our own success.
        """
        events = aggregate.collect_events()
        if not events:
            return
        try:
            encrypted = self.encrypt(events)
        except PersonIsErased:  # since the aggregate was loaded
            raise VersionConflict(aggregate.id) from None
        stored = [self.mapper.to_stored_event(event) for event in encrypted.events]
        last_states = [(each.aggregate.id, each.last_state) for each in given]
        statements = [*encrypted.statements, *also]
        aggregate.position = self._append(events, stored, statements, last_states)[-1]

    def encrypt(self, events: Sequence[DomainEvent]) -> Encrypted:
        """The events as they are stored: with encrypted personal fields, except in memory."""
        if self._vault is None or not has_personal_fields(events):
            return Encrypted(list(events), [])
        with cast(WatermarkRecorder, self.recorder).connection() as conn:
            return encrypt_events(conn, self._vault, events)

    def decrypt(self, events: Sequence[DomainEvent]) -> Sequence[DomainEvent]:
        """The events with plain personal fields, or with placeholders where the person is erased."""
        if self._vault is None or not has_personal_fields(events):
            return events
        with cast(WatermarkRecorder, self.recorder).connection() as conn:
            return decrypt_events(conn, self._vault, events)

    def turn(self, aggregate_id: str) -> AbstractContextManager[None]:
        """A place in the queue where commands on this aggregate collided lately; otherwise nothing."""
        if self._collisions.get(aggregate_id, 0.0) > time.monotonic():
            return cast(WatermarkRecorder, self.recorder).exclusive(aggregate_id)
        return nullcontext()

    def note_collision(self, aggregate_id: str) -> None:
        if len(self._collisions) >= COLLISIONS_KEPT:
            self._collisions.clear()
        self._collisions[aggregate_id] = time.monotonic() + COLLISION_SECONDS

    def _append(
        self,
        events: Sequence[DomainEvent],
        stored: Sequence[StoredEvent],
        also: Sequence[Statement],
        given: LastStates,
    ) -> Sequence[int]:
        recorder = cast(WatermarkRecorder, self.recorder)
        give_up_at = time.monotonic() + APPEND_SECONDS
        unknown: psycopg.OperationalError | None = None
        while True:
            try:
                return recorder.insert_events(stored, also=also, given=given)
            except IntegrityError:
                return self._own_success(events)
            except OutOfDate:  # since an earlier try, perhaps, which may have stored them
                with suppress(VersionConflict):
                    return self._own_success(events)
                raise
            except psycopg.OperationalError as error:
                if not outcome_is_unknown(error):
                    raise unknown or error from None
                unknown = error
                if time.monotonic() > give_up_at:
                    raise

    def _own_success(self, events: Sequence[DomainEvent]) -> Sequence[int]:
        first, last = events[0], events[-1]
        found = cast(WatermarkRecorder, self.recorder).select_recorded(
            first.originator_id, first.originator_version, last.originator_version
        )
        if [decode(state).event_id for _, state in found] != [event.event_id for event in events]:
            raise VersionConflict(first.originator_id)
        return [position for position, _ in found]


def decide(store: EventStore, aggregate_id: str, attempt: Callable[[], T]) -> T:
    """Run a load-decide-save, and again when another command was faster, `DECISIONS` times in all.

    The first try is optimistic. Where commands collide, the later ones take turns for a while: tries
    that only race would starve one another, and a client would see conflicts it can do nothing about.
    """
    for _ in range(DECISIONS):
        try:
            with store.turn(aggregate_id):
                return attempt()
        except VersionConflict:
            store.note_collision(aggregate_id)
        except psycopg.errors.LockNotAvailable:
            break
    raise Conflict(TOO_MANY_CHANGES)


def create(
    store: EventStore,
    aggregate: A,
    context: Context,
    *,
    also: Sequence[Statement] = (),
    given: Sequence[Remembered[Any]] = (),
) -> A:
    """Save a new aggregate; raise Conflict when its id is taken by anything in the log, OutOfDate when one
    of `given` has gone on since it was remembered."""
    kind = type(aggregate)
    if done := store.done_before(kind, aggregate.id, context):
        return done
    try:
        store.save(aggregate, also=also, given=given)
    except VersionConflict:
        raise Conflict(f"The id {aggregate.id} is already in use.") from None
    return aggregate
