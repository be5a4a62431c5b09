"""The event store: the Application of the eventsourcing library, with msgspec events and text ids."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext, suppress
from datetime import datetime, timedelta
from itertools import groupby
from typing import Any, ClassVar, LiteralString, TypeVar

import msgspec
import psycopg
from eventsourcing.application import Application
from eventsourcing.persistence import IntegrityError, Mapper, StoredEvent
from eventsourcing.utils import get_topic
from psycopg.rows import TupleRow

from domain.access import Context
from domain.aggregate import Aggregate, DomainEvent
from domain.errors import NotFound
from domain.events import StoredDomainEvent
from infrastructure.ids import time_of
from infrastructure.keys.keyed_hash import keyed_hash, read_hash_key
from infrastructure.keys.privacy import (
    Encrypted,
    PersonIsErased,
    decrypt_events,
    encrypt_events,
    has_personal_fields,
)
from infrastructure.keys.vault import Vault
from infrastructure.process import tracing
from infrastructure.storage.outcomes import outcome_is_unknown
from infrastructure.storage.postgres import Pool, Statement
from infrastructure.storage.recorder import (
    InMemoryRecorder,
    LastStates,
    OutOfDate,
    RowExists,
    WatermarkRecorder,
)
from infrastructure.storage.snapshots import Snapshot, Snapshots, decode_events
from infrastructure.storage.stored_snapshots import StoredSnapshots

A = TypeVar("A", bound=Aggregate)
B = TypeVar("B", bound=Aggregate)

MAX_VERSION = 2**63 - 1
APPEND_SECONDS = 1.0  # how long an append is repeated while its connections fail
COLLISION_SECONDS = 2.0  # how long commands on one aggregate run one at a time after a collision
MAX_COLLISIONS = 1_024
FIRST_READ_BACKWARDS, MOST_READ_BACKWARDS = 8, 128  # events
CLOCK_DIFFERENCE = timedelta(minutes=5)  # between the hosts of the API

encode = msgspec.json.Encoder().encode
# Personal fields stay encrypted; EventStore.decrypt decrypts them.
decode: Callable[[bytes], DomainEvent] = msgspec.json.Decoder(StoredDomainEvent).decode


class VersionConflict(Exception):
    """Another command has stored this version of the aggregate. Load it and decide again."""


class MsgspecMapper(Mapper[Any]):
    """Converts an event to its stored row and back. The row's bytes are also the Kafka message.

    Personal fields are encrypted before (`EventStore.encrypt`) and decrypted after (`EventStore.decrypt`).
    """

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
    """Loads and saves aggregates. `vault` encrypts the keys of personal fields. `locks` is the pool of
    connections that hold locks, if the sessions of `pool` keep no state.

    Without pool and vault it stores the events in memory, for tests of commands.
    """

    name = "ticketing"
    env: ClassVar[dict[str, str]] = {
        "MAPPER_TOPIC": get_topic(MsgspecMapper),
        "ORIGINATOR_ID_TYPE": "text",
        "PERSISTENCE_MODULE": "eventsourcing.popo",
    }
    recorder: WatermarkRecorder | InMemoryRecorder

    def __init__(
        self,
        pool: Pool | None = None,
        vault: Vault | None = None,
        *,
        lock: str = "watermark",
        locks: Pool | None = None,
    ) -> None:
        if (pool is None) != (vault is None):
            raise TypeError("An event store on PostgreSQL needs a pool and a vault.")
        self._pool = pool
        self._vault = vault
        self._lock = lock
        self._hash_key: bytes | None = None
        self._locks = locks
        self._collisions: dict[str, float] = {}
        super().__init__(env=self.env)
        stored = StoredSnapshots(self.recorder) if isinstance(self.recorder, WatermarkRecorder) else None
        self._snapshots = Snapshots(self.recorder, self.decrypt, stored)

    def construct_recorder(self) -> WatermarkRecorder | InMemoryRecorder:
        if self._pool is None:
            return InMemoryRecorder()
        return WatermarkRecorder(self._pool, lock=self._lock, locks=self._locks)

    def find(self, kind: type[A], aggregate_id: str) -> A | None:
        """Return the aggregate as of now, or None when no aggregate of that kind has that id."""
        return self._snapshots.read(kind, aggregate_id)

    def find_both(
        self, first: type[A], first_id: str, second: type[B], second_id: str
    ) -> tuple[A | None, B | None]:
        """Return what two calls of `find` return, in one round trip."""
        return self._snapshots.read_both(first, first_id, second, second_id)

    def recall(self, kind: type[A], aggregate_id: str) -> Snapshot[A] | None:
        """Return the aggregate as this process last read it, without a query, or None.

        It may be out of date, so pass it to `save` as `unless_changed`.
        """
        return self._snapshots.recall(kind, aggregate_id)

    def load(self, kind: type[A], aggregate_id: str) -> A:
        """Return the aggregate as of now. Raises NotFound when no aggregate of that kind has that id."""
        aggregate = self.find(kind, aggregate_id)
        if aggregate is None:
            raise NotFound(kind.kind)
        return aggregate

    def history(self, kind: type[Aggregate], aggregate_id: str, last: int = MAX_VERSION) -> list[DomainEvent]:
        """Return the events of the aggregate up to version `last`; none when it is not of that kind."""
        recorded = self.recorder.select_recorded(aggregate_id, 1, last)
        events = self.decrypt(decode_events(aggregate_id, [state for _, state in recorded]))
        return list(events) if events and isinstance(events[0], kind.first_event) else []

    def read_events(self, aggregate_id: str, first: int, last: int) -> Sequence[DomainEvent]:
        """Return the events of the versions `first` to `last`."""
        recorded = self.recorder.select_recorded(aggregate_id, first, last)
        return self.decrypt(decode_events(aggregate_id, [state for _, state in recorded]))

    def read_backwards(
        self,
        aggregate_id: str,
        last: int = MAX_VERSION,
        event_types: Sequence[str] | None = None,
        *,
        after: int = 0,
    ) -> Iterator[DomainEvent]:
        """Yield the events from the version `last` back to the one after the version `after`, or those of
        these types. Reads ever more of them at a time, so that the newest ones are found fast."""
        limit = FIRST_READ_BACKWARDS
        while last > after:
            rows = self.recorder.select_backwards(aggregate_id, after, last, limit, event_types)
            yield from self.decrypt(decode_events(aggregate_id, [state for _, state in rows]))
            if len(rows) < limit:
                return
            last = rows[-1][0] - 1
            limit = min(limit * 4, MOST_READ_BACKWARDS)

    def at_version(self, kind: type[A], aggregate_id: str, version: int) -> A | None:
        """Return the aggregate as it was at that version, or None if it has no such version."""
        return self._snapshots.at_version(kind, aggregate_id, version) if version >= 1 else None

    def version_at(self, aggregate_id: str, moment: datetime, newest: int) -> int:
        """The last version up to `newest` whose event is not later than the moment; 0 if there is none."""
        low, high = 0, newest
        while low < high:  # times of events never decrease
            middle = (low + high + 1) // 2
            (event,) = self.read_events(aggregate_id, middle, middle)
            low, high = (middle, high) if event.occurred_at <= moment else (low, middle - 1)
        return low

    def outcome_of(self, kind: type[A], aggregate_id: str, command_id: str) -> A | None:
        """Return the aggregate after the events of that command, or None if no event of that command is
        stored. Reads only events that are not older than the command."""
        sent_at = time_of(command_id.partition("/")[0])
        for event in self.read_backwards(aggregate_id):
            if event.causation_id == command_id:
                return self._outcome(kind, aggregate_id, event.originator_version)
            if sent_at is not None and event.occurred_at < sent_at - CLOCK_DIFFERENCE:
                break
        return None

    def _outcome(self, kind: type[A], aggregate_id: str, version: int) -> A | None:
        aggregate = self.at_version(kind, aggregate_id, version)
        if aggregate is not None:
            ((aggregate.position, _),) = self.recorder.select_recorded(aggregate_id, version, version)
        return aggregate

    def done_before(self, kind: type[A], aggregate_id: str, context: Context) -> A | None:
        """Return the outcome of an earlier delivery of the same command, or None.

        Call it after the check that the caller may see the aggregate, and before checks of values that the
        command may have changed.
        """
        return self.outcome_of(kind, aggregate_id, context.command_id) if context.is_retry else None

    def save(  # type: ignore[override]
        self,
        *aggregates: Aggregate,
        statements: Sequence[Statement] = (),
        unless_changed: Sequence[Snapshot[Any]] = (),
    ) -> None:
        """Append the pending events of all aggregates in one commit, and set the position of each.

        `statements` run in the same commit; without events nothing runs. Raises VersionConflict when another
        command has changed one of the aggregates, OutOfDate when one of `unless_changed` has changed since it
        was recalled, and RowExists when a row that `statements` insert exists: then nothing is stored. When
        the reply to a COMMIT is lost, the same events are sent again; if the log has events with their ids,
        the first attempt was successful.
        """
        pending = [(aggregate, events) for aggregate in aggregates if (events := aggregate.collect_events())]
        if not pending:
            return
        events = [event for _, own_events in pending for event in own_events]
        try:
            encrypted = self.encrypt(events)
        except PersonIsErased as error:  # after the aggregate was loaded
            raise VersionConflict(str(error)) from None
        stored = [self.mapper.to_stored_event(event) for event in encrypted.events]
        last_states = [(snapshot.aggregate.id, snapshot.last_state) for snapshot in unless_changed]
        traced = tracing.statements_of(events)
        with tracing.span("append", **{"ticketing.events": len(events)}):
            positions = self._append(
                events, stored, [*encrypted.statements, *statements, *traced], last_states
            )
            tracing.note_appended(events)
        end = 0
        for aggregate, own_events in pending:
            end += len(own_events)
            aggregate.position = positions[end - 1]

    def encrypt(self, events: Sequence[DomainEvent]) -> Encrypted:
        """The events with encrypted personal fields, as they are stored; unchanged in memory."""
        recorder = self.recorder
        if self._vault is None or isinstance(recorder, InMemoryRecorder) or not has_personal_fields(events):
            return Encrypted(list(events), [])
        with recorder.connection() as conn:
            return encrypt_events(conn, self._vault, events)

    def decrypt(self, events: Sequence[DomainEvent]) -> Sequence[DomainEvent]:
        """The events with plain personal fields, or with placeholders where the person is erased."""
        recorder = self.recorder
        if self._vault is None or isinstance(recorder, InMemoryRecorder) or not has_personal_fields(events):
            return events
        with recorder.connection() as conn:
            return decrypt_events(conn, self._vault, events)

    def hash_with_key(self, text: str) -> bytes:
        """The keyed hash of a text (infrastructure/keys/keyed_hash.py), to look it up without storing it."""
        recorder = self.recorder
        if self._vault is None or isinstance(recorder, InMemoryRecorder):
            return keyed_hash(b"", text)
        if self._hash_key is None:
            with recorder.connection() as conn:
                self._hash_key = read_hash_key(conn, self._vault)
        return keyed_hash(self._hash_key, text)

    def select(self, query: LiteralString, parameters: Mapping[str, Any]) -> list[TupleRow]:
        """The rows of a query, for decisions that need more than aggregates; none for a store in memory."""
        if isinstance(self.recorder, InMemoryRecorder):
            return []
        with self.recorder.connection() as conn:
            return conn.fetch(query, parameters)

    def serialize_after_collision(self, aggregate_id: str) -> AbstractContextManager[None]:
        """Run the block, under a lock of the aggregate if commands on it have collided recently."""
        if self._collisions.get(aggregate_id, 0.0) > time.monotonic():
            return self.recorder.exclusive(aggregate_id)
        return nullcontext()

    def note_collision(self, aggregate_id: str) -> None:
        if len(self._collisions) >= MAX_COLLISIONS:
            self._collisions.clear()
        self._collisions[aggregate_id] = time.monotonic() + COLLISION_SECONDS

    def _append(
        self,
        events: Sequence[DomainEvent],
        stored: Sequence[StoredEvent],
        statements: Sequence[Statement],
        unless_changed: LastStates,
    ) -> Sequence[int]:
        give_up_at = time.monotonic() + APPEND_SECONDS
        unknown: psycopg.OperationalError | None = None
        while True:
            try:
                return self.recorder.insert_events(
                    stored, statements=statements, unless_changed=unless_changed
                )
            except RowExists:  # of another command, or of an earlier attempt
                if all(self._has_free_version(event) for event in events):
                    raise
                return self._find_stored(events)
            except IntegrityError:
                return self._find_stored(events)
            except OutOfDate:  # an earlier attempt may have stored the events
                with suppress(VersionConflict):
                    return self._find_stored(events)
                raise
            except psycopg.errors.DeadlockDetected as error:  # another command changes the same aggregates
                raise VersionConflict(str(error)) from None
            except psycopg.OperationalError as error:
                if not outcome_is_unknown(error):
                    raise unknown or error from None
                unknown = error
                if time.monotonic() > give_up_at:
                    raise

    def _has_free_version(self, event: DomainEvent) -> bool:
        version = event.originator_version
        return not self.recorder.select_recorded(event.originator_id, version, version)

    def _find_stored(self, events: Sequence[DomainEvent]) -> Sequence[int]:
        """The positions of these events in the log. Raises VersionConflict if other events have their
        versions."""
        positions: list[int] = []
        for aggregate_id, group in groupby(events, key=lambda event: event.originator_id):
            own_events = list(group)
            first, last = own_events[0].originator_version, own_events[-1].originator_version
            found = self.recorder.select_recorded(aggregate_id, first, last)
            if [decode(state).event_id for _, state in found] != [event.event_id for event in own_events]:
                raise VersionConflict(aggregate_id)
            positions += [position for position, _ in found]
        return positions
