"""The base classes of the domain: events, and aggregates that are folded from their events."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from functools import cache
from typing import Any, ClassVar, Self
from uuid import NAMESPACE_URL, uuid5

import msgspec
from msgspec import UNSET, UnsetType

from domain.access import Actor, Context, Imported
from domain.errors import PreconditionFailed


class DomainEvent(msgspec.Struct, frozen=True, kw_only=True, tag_field="type"):
    """A fact about one aggregate.

    Events are stored for ever (docs/decisions/0014-event-evolution.md): add a field with a default, but never
    rename, retype or remove one, and never reuse a `tag`. `originator_version` counts 1, 2, 3 ... per
    aggregate and is the only order; `occurred_at` never decreases within one aggregate, even if a clock is
    set back.

    An event that was imported has the time and the actor of its source, and `imported` says who imported it.
    Other events do not have this field.

    `personal` maps the fields with personal data to their values after the person is erased. Such a field
    is a string or None; it is encrypted in the log and in Kafka.
    """

    personal: ClassVar[Mapping[str, str | None]] = {}
    event_id: str
    originator_id: str
    originator_version: int
    occurred_at: datetime
    actor: Actor
    request_id: str
    causation_id: str
    source_prefix: str | None = None
    imported: Imported | UnsetType = UNSET

    @property
    def tag(self) -> str:
        return str(self.__struct_config__.tag)


@cache
def own_fields(event_type: type[DomainEvent]) -> tuple[str, ...]:
    """The names of the fields that this event type adds to those of DomainEvent."""
    return tuple(name for name in event_type.__struct_fields__ if name not in DomainEvent.__struct_fields__)


class Aggregate(msgspec.Struct, kw_only=True):
    """State folded from events. Methods decide and call `record`; `apply` changes the state.

    `field_changes` lists the events that only set fields: each sets the fields of the aggregate that have the
    same names as the event's own fields. `position` is the log position of the last saved event; 0 before the
    first save.
    """

    kind: ClassVar[str] = "aggregate"
    first_event: ClassVar[type[DomainEvent]] = DomainEvent
    field_changes: ClassVar[tuple[type[DomainEvent], ...]] = ()
    has_stored_snapshots: ClassVar[bool] = False
    id: str
    version: int = 0
    created_at: datetime | None = None
    updated_at: datetime | None = None
    position: int = 0
    pending: list[DomainEvent] = []

    @classmethod
    def begin(cls, aggregate_id: str, context: Context, **facts: Any) -> Self:
        """A new aggregate; `facts` are the own fields of its first event."""
        aggregate = cls(id=aggregate_id)
        aggregate.record(cls.first_event, context, **facts)
        return aggregate

    def change(self, values: Mapping[str, Any], context: Context) -> None:
        """Record an event of each type in `field_changes` that sets a field to another value.

        `values` maps field names to the wanted values; other fields stay unchanged.
        """
        for event_type in self.field_changes:
            names = own_fields(event_type)
            if any(name in values and values[name] != getattr(self, name) for name in names):
                wanted = {name: values.get(name, getattr(self, name)) for name in names}
                self.record(event_type, context, **wanted)

    def record(self, event_type: type[DomainEvent], context: Context, **facts: Any) -> None:
        """Append one pending event of `event_type` and apply it."""
        version = self.version + 1
        cause = f"{context.command_id}/{context.attempt}" if context.attempt else context.command_id
        event = event_type(
            event_id=str(uuid5(NAMESPACE_URL, f"{self.id}/{version}/{cause}")),
            originator_id=self.id,
            originator_version=version,
            occurred_at=max(context.at, self.updated_at) if self.updated_at else context.at,
            actor=context.caller.actor,
            request_id=context.request_id,
            causation_id=context.command_id,
            source_prefix=context.source_prefix,
            imported=context.imported,
            **facts,
        )
        self._advance(event)
        self.pending.append(event)

    def collect_events(self) -> list[DomainEvent]:
        """Return the pending events and clear the list."""
        collected, self.pending = self.pending, []
        return collected

    def require_version(self, expected: frozenset[int] | None) -> None:
        """Raise PreconditionFailed unless the version is one of `expected` (If-Match); None allows any."""
        if expected is not None and self.version not in expected:
            raise PreconditionFailed(self.version)

    @classmethod
    def fold(cls, state: Self | None, events: Iterable[DomainEvent]) -> Self | None:
        """Apply the events to `state`, or to a new aggregate; None when there is neither."""
        for event in events:
            if state is None:
                state = cls(id=event.originator_id)
            state._advance(event)
        return state

    def apply(self, event: Any) -> None:
        """Change the state according to the event. Never raises.

        Subclasses handle the events that do more than set the fields of the same names.
        """
        self.copy_fields(event)

    def copy_fields(self, event: DomainEvent) -> None:
        """Set the fields that have the names of the event's own fields."""
        for name in own_fields(type(event)):
            setattr(self, name, getattr(event, name))

    def _advance(self, event: DomainEvent) -> None:
        self.apply(event)
        self.version = event.originator_version
        self.updated_at = event.occurred_at
        if self.created_at is None:
            self.created_at = event.occurred_at
