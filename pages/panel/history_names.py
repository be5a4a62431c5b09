"""The names of the people and places in a history."""

from __future__ import annotations

from collections.abc import Iterable

from api.http.services import Services
from domain.property import Property
from domain.ticket import Ticket
from projections.tickets import author_names
from projections.views import ActorView, AuthView, HistoryEntry


def who(actor: ActorView, auth: AuthView) -> str:
    """The name of the person, or the id of the key, that caused an event."""
    return actor.user.name if actor.user else auth.key_id or "Operator"


def names_in(services: Services, ticket: Ticket, entries: Iterable[HistoryEntry]) -> dict[str, str]:
    """The current names of the ids in the changes."""
    ids: dict[str, set[str]] = {
        "property_id": {ticket.property_id},
        "assigned_to": set(),
        "requester_id": set(),
    }
    for entry in entries:
        for field, change in entry.changes.items():
            if field in ids:
                ids[field].update(filter(None, (change.before, change.after)))
    names = author_names(services.pool, list(ids["assigned_to"] | ids["requester_id"]))
    for place in (services.store.find(Property, key) for key in ids["property_id"]):
        if place is not None:
            names |= {place.id: place.name, **place.units}
    return names
