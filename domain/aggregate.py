"""The two shapes the domain is made of: events that happened, and aggregates folded from them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, ClassVar, Self
from uuid import NAMESPACE_URL, uuid5

import msgspec

from domain.access import Actor, Context
from domain.errors import PreconditionFailed


class DomainEvent(msgspec.Struct, frozen=True, kw_only=True, tag_field="type"):
    """Something that happened.

    Events are stored for ever. A field may be added with a default; none is renamed, retyped or
    removed; a `tag` is never reused. `originator_version` counts 1, 2, 3 ... per aggregate and is
    the only order; `occurred_at` never goes back within one aggregate, whatever the clocks did.

    `personal` names the fields that say something about the person the aggregate is, with what they read
    as once that person is erased. They are texts or None; in the log and in Kafka they are sealed.
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

    @property
    def tag(self) -> str:
        return str(self.__struct_config__.tag)


class Aggregate(msgspec.Struct, kw_only=True):
    """State folded from events: methods decide, `record` remembers, `apply` changes state.

    `position` is where in the log the last saved event stands; 0 when nothing was saved, which is
    how a caller knows whether there is anything to wait for.
    """

    kind: ClassVar[str] = "aggregate"
    first_event: ClassVar[type[DomainEvent]] = DomainEvent
    id: str
    version: int = 0
    created_at: datetime | None = None
    updated_at: datetime | None = None
    position: int = 0
    pending: list[DomainEvent] = []

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
            **facts,
        )
        self._advance(event)
        self.pending.append(event)

    def collect_events(self) -> list[DomainEvent]:
        """Hand over the new events, once."""
        collected, self.pending = self.pending, []
        return collected

    def require_version(self, expected: frozenset[int] | None) -> None:
        """Refuse when the caller named versions (If-Match) and this is none of them."""
        if expected is not None and self.version not in expected:
            raise PreconditionFailed(self.version)

    @classmethod
    def fold(cls, state: Self | None, events: Iterable[DomainEvent]) -> Self | None:
        for event in events:
            if state is None:
                state = cls(id=event.originator_id)
            state._advance(event)
        return state

    def apply(self, event: Any) -> None:
        """Copy the event's facts into the state. Never refuses, never computes."""
        raise NotImplementedError

    def _advance(self, event: DomainEvent) -> None:
        self.apply(event)
        self.version = event.originator_version
        self.updated_at = event.occurred_at
        if self.created_at is None:
            self.created_at = event.occurred_at
