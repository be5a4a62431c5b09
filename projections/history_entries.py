"""The entries of a history, made of events and their changes."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from datetime import UTC
from typing import NamedTuple

from msgspec import UNSET, UnsetType

from domain.access import Actor, Imported
from domain.aggregate import DomainEvent
from domain.changes import Change, Changes
from domain.times import whole_seconds
from projections.views import ActorView, AuthView, HistoryEntry, ImportView, Reference

Step = tuple[DomainEvent, Changes]


class Present(NamedTuple):
    """What has not been removed from a ticket: the versions of the events with the present texts of its
    comments, and the ids of its files."""

    texts: Collection[int]
    files: Collection[str]


def view_entries(steps: Iterable[Step], names: Mapping[str, str]) -> list[HistoryEntry]:
    """The entries of these events; `names` are the present names of their actors."""
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
            imported=import_of(event, names),
        )
        for event, changes in steps
    ]


def hide_removed(steps: Iterable[Step], present: Present) -> None:
    """Replace by null the texts that no comment has any more, and the names of removed files."""
    for event, changes in steps:
        for name, change in changes.items():
            kind, _, member_id = name.partition(".")
            if kind == "comments" and event.originator_version not in present.texts:
                changes[name] = _without(change, "text")
            elif kind == "attachments" and member_id not in present.files:
                changes[name] = _without(change, "filename")


def people_in(events: Collection[DomainEvent]) -> list[str]:
    """The ids of the people who caused or imported the events."""
    people = {event.actor.user_id for event in events}
    people |= {event.imported.by.user_id for event in events if isinstance(event.imported, Imported)}
    return [each for each in people if each is not None]


def actor_of(event: DomainEvent, names: Mapping[str, str]) -> ActorView:
    """The actor of the event, with the current name."""
    return _actor_view(event.actor, names)


def auth_of(event: DomainEvent) -> AuthView:
    return _auth_view(event.actor)


def import_of(event: DomainEvent, names: Mapping[str, str]) -> ImportView | UnsetType:
    """Who imported the event; UNSET for one that was not imported."""
    imported = event.imported
    if not isinstance(imported, Imported):
        return UNSET
    return ImportView(
        by=_actor_view(imported.by, names),
        auth=_auth_view(imported.by),
        at=whole_seconds(imported.at),
        source=imported.source,
    )


def _actor_view(actor: Actor, names: Mapping[str, str]) -> ActorView:
    user_id = actor.user_id
    user = None if user_id is None else Reference(user_id, names.get(user_id, user_id))
    return ActorView(user=user, role=actor.role)


def _auth_view(actor: Actor) -> AuthView:
    return AuthView(kind=actor.auth, key_id=actor.credential_id)


def _without(change: Change, field: str) -> Change:
    before, after = (value and {**value, field: None} for value in (change.before, change.after))
    return Change(before, after)
