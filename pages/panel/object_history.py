"""The history of a property, a unit or a person: who did what, and when."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from itertools import islice

import msgspec

from api.http.services import Services
from domain.aggregate import DomainEvent
from domain.property import (
    PropertyAddressChanged,
    PropertyRegistered,
    PropertyRenamed,
    UnitAdded,
    UnitExternalIdsChanged,
)
from domain.user import UserRegistered, UserRoleChanged
from pages.panel.page import ListQuery
from projections.history_entries import actor_of, auth_of, people_in
from projections.tickets import author_names

SHOWN_EVENTS = 10  # on the page of the object
ACTIONS = {
    "property.registered": "registered the property",
    "property.renamed": "changed the name",
    "property.address_changed": "changed the address",
    "property.external_ids_changed": "changed the ids in other systems",
    "property.unit_added": "added a unit",
    "property.unit_external_ids_changed": "changed the ids of a unit in other systems",
    "user.registered": "registered the person",
    "user.name_changed": "changed the name",
    "user.email_changed": "changed the e-mail address",
    "user.phone_changed": "changed the phone number",
    "user.role_changed": "changed the role",
    "user.properties_changed": "changed the properties",
    "user.preferences_changed": "changed the notifications",
    "user.external_ids_changed": "changed the ids in other systems",
    "user.deactivated": "deactivated the person",
    "user.reactivated": "reactivated the person",
    "user.erased": "erased the person",
    "user.password_changed": "set a password",
    "user.link_issued": "issued a one-time link",
}
_UNIT_EVENTS = ("property.unit_added", "property.unit_external_ids_changed")


class ShownEvent(msgspec.Struct, frozen=True):
    """An event in words. `detail` is the new value, if it is short and not personal."""

    at: datetime
    who: str
    did: str
    detail: str | None


def newest_events(services: Services, aggregate_id: str) -> list[ShownEvent]:
    """The last SHOWN_EVENTS events of a property or person, newest first."""
    return _in_words(services, list(islice(services.store.read_backwards(aggregate_id), SHOWN_EVENTS)))


def page_of_events(services: Services, aggregate_id: str, version: int, query: ListQuery) -> list[ShownEvent]:
    """The events on this page of the history of a property or person of that version, newest first."""
    last = version - query.offset
    if last < 1:
        return []
    events = services.store.read_events(aggregate_id, max(1, last - query.limit + 1), last)
    return _in_words(services, list(events)[::-1])


def events_of_unit(services: Services, property_id: str, unit_id: str) -> list[ShownEvent]:
    """The last SHOWN_EVENTS events of a unit, newest first."""
    found = []
    for event in services.store.read_backwards(property_id, event_types=_UNIT_EVENTS):
        if isinstance(event, UnitAdded | UnitExternalIdsChanged) and event.unit_id == unit_id:
            found.append(event)
            if isinstance(event, UnitAdded) or len(found) == SHOWN_EVENTS:
                break
    return _in_words(services, found)


def _in_words(services: Services, events: Sequence[DomainEvent]) -> list[ShownEvent]:
    names = author_names(services.pool, people_in(events))
    return [
        ShownEvent(event.occurred_at, _who(event, names), ACTIONS[event.tag], _detail(event))
        for event in events
    ]


def _who(event: DomainEvent, names: dict[str, str]) -> str:
    actor = actor_of(event, names)
    return actor.user.name if actor.user else auth_of(event).key_id or "Operator"


def _detail(event: DomainEvent) -> str | None:
    if isinstance(event, PropertyRegistered | PropertyRenamed | UnitAdded):
        return event.name
    if isinstance(event, PropertyAddressChanged):
        return f"{event.address.street}, {event.address.zip} {event.address.city}"
    if isinstance(event, UserRegistered | UserRoleChanged):
        return event.role
    return None
