"""Reads a ticket's history from the log: every event with its actor and its changes."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime

import msgspec

from domain.access import AuthKind, Role
from domain.aggregate import DomainEvent
from domain.changes import Change, Changes, replaced_versions, ticket_steps
from domain.ticket import Ticket
from domain.times import whole_seconds
from infrastructure.storage.event_store import EventStore
from infrastructure.storage.postgres import Pool
from projections.comments import text_versions
from projections.ticket_filters import Order
from projections.tickets import author_names
from projections.views import Page, Reference

Step = tuple[DomainEvent, Changes]


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


def ticket_history(
    pool: Pool, store: EventStore, ticket: Ticket, query: HistoryQuery, *, is_auditor: bool
) -> Page[HistoryEntry]:
    """A page of the history of a ticket up to its `version`. The ticket may be deleted.

    Only auditors see former texts of comments, removed comments, and names of removed files.
    """
    after = int(query.after[0]) if query.after else None
    if query.order == "asc":
        first = (after or 0) + 1 + query.offset
        last = min(first + query.limit - 1, ticket.version)
    else:
        last = (ticket.version if after is None else after - 1) - query.offset
        first = max(last - query.limit + 1, 1)
    steps = _steps(store, ticket, first, last, is_auditor) if first <= last else []
    if not is_auditor:
        _hide_removed(pool, ticket, steps)
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


def _steps(store: EventStore, ticket: Ticket, first: int, last: int, is_auditor: bool) -> list[Step]:
    """The events of the versions `first` to `last` with their changes; for auditors with former texts."""
    events = store.read_events(ticket.id, first, last)
    texts: dict[int, str] = {}
    for version in replaced_versions(events) if is_auditor else ():
        (replaced,) = store.read_events(ticket.id, version, version)
        texts[version] = getattr(replaced, "text", "")
    before = store.at_version(Ticket, ticket.id, first - 1)
    return list(ticket_steps(events, before, texts))


def _hide_removed(pool: Pool, ticket: Ticket, steps: Iterable[Step]) -> None:
    """Replace by null the texts that a comment no longer has, and the names of removed files."""
    names = [name.split(".", 1) for _, changes in steps for name in changes if "." in name]
    present = text_versions(pool, [member_id for kind, member_id in names if kind == "comments"])
    files = {file.id for file in ticket.attachments}
    for event, changes in steps:
        for name, change in changes.items():
            kind, _, member_id = name.partition(".")
            if kind == "comments" and present.get(member_id) != event.originator_version:
                changes[name] = _without(change, "text")
            elif kind == "attachments" and member_id not in files:
                changes[name] = _without(change, "filename")


def _without(change: Change, field: str) -> Change:
    before, after = (value and {**value, field: None} for value in (change.before, change.after))
    return Change(before, after)


def _entries(pool: Pool, steps: Iterable[Step]) -> list[HistoryEntry]:
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
