"""Reads a ticket's history from the log: every event with its actor and its changes."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from itertools import islice

import msgspec

from domain.access import AuthKind, Role
from domain.aggregate import DomainEvent
from domain.changes import Change, Changes, ticket_steps
from domain.ticket import Ticket
from domain.times import whole_seconds
from infrastructure.storage.event_store import EventStore
from infrastructure.storage.postgres import Pool
from projections.ticket_query import Order
from projections.tickets import author_names
from projections.views import Page, Reference


class ActorView(msgspec.Struct, kw_only=True):
    """`user` is null for a key without a user, for an operator and for the system. `role` is the role of the
    actor at that time."""

    user: Reference | None
    role: Role


class AuthView(msgspec.Struct, kw_only=True):
    """How the actor was authenticated, and the id of the key if there was one."""

    kind: AuthKind
    key_id: str | None


class HistoryEntry(msgspec.Struct, kw_only=True):
    """One event. `exact_time` is `time` to the microsecond; the order is that of `version`.

    `address_prefix` is the network from which the request came. Names are the current ones.
    """

    version: int
    time: datetime
    exact_time: datetime
    action: str
    actor: ActorView
    auth: AuthView
    request_id: str
    address_prefix: str | None
    changes: dict[str, Change]


class HistoryQuery(msgspec.Struct, frozen=True, kw_only=True):
    """One page of a history. `after` is the `last_key` of the page before."""

    order: Order = "asc"
    limit: int = 100
    offset: int = 0
    after: tuple[str | int, str] | None = None


def ticket_history(pool: Pool, store: EventStore, ticket: Ticket, query: HistoryQuery) -> Page[HistoryEntry]:
    """A page of the history of a ticket up to its `version`. The ticket may be deleted."""
    after = int(query.after[0]) if query.after else None
    if query.order == "asc":
        first = (after or 0) + 1 + query.offset
        last = min(first + query.limit - 1, ticket.version)
    else:
        last = (ticket.version if after is None else after - 1) - query.offset
        first = max(last - query.limit + 1, 1)
    events = store.history(Ticket, ticket.id, last) if first <= last else []
    steps = list(islice(ticket_steps(events), first - 1, None))
    entries = _entries(pool, steps if query.order == "asc" else reversed(steps))
    is_last = last >= ticket.version if query.order == "asc" else first <= 1
    last_key = (entries[-1].version, ticket.id) if entries and not is_last else None
    return Page(items=entries, total=ticket.version, last_key=last_key)


def actor_of(event: DomainEvent, names: dict[str, str]) -> ActorView:
    """The actor of the event, with the current name."""
    user_id = event.actor.user_id
    user = None if user_id is None else Reference(user_id, names.get(user_id, user_id))
    return ActorView(user=user, role=event.actor.role)


def auth_of(event: DomainEvent) -> AuthView:
    return AuthView(kind=event.actor.auth, key_id=event.actor.credential_id)


def _entries(pool: Pool, steps: Iterable[tuple[DomainEvent, Changes]]) -> list[HistoryEntry]:
    kept = list(steps)
    names = author_names(pool, list({e.actor.user_id for e, _ in kept if e.actor.user_id is not None}))
    return [
        HistoryEntry(
            version=event.originator_version,
            time=whole_seconds(event.occurred_at),
            exact_time=event.occurred_at.astimezone(UTC),
            action=event.tag,
            actor=actor_of(event, names),
            auth=auth_of(event),
            request_id=event.request_id,
            address_prefix=event.source_prefix,
            changes=changes,
        )
        for event, changes in kept
    ]
