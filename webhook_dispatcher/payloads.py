"""What is posted: from a stored event to the messages webhooks get. The public names live here."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, NamedTuple
from uuid import NAMESPACE_URL, uuid5

import msgspec

from domain.aggregate import DomainEvent
from domain.changes import ticket_changes
from domain.ticket import (
    Ticket,
    TicketAssigned,
    TicketCommented,
    TicketDeleted,
    TicketOpened,
    TicketResolved,
    TicketRestored,
    TicketStatusChanged,
)

EVERY_EVENT = "ticket.*"
TEST_EVENT = "webhook.test"

_encode = msgspec.json.Encoder().encode

Names = Mapping[str, str]  # of properties, people and keys by id; of units by "property/unit"


class Message(NamedTuple):
    """One webhook event with its bytes, and what decides who may read it."""

    id: str
    event_id: str
    name: str
    aggregate_id: str
    version: int
    position: int | None
    property_id: str | None
    requester_id: str | None
    is_internal: bool
    body: bytes


class TicketStep(NamedTuple):
    """One event of a ticket, with the ticket before and after it."""

    position: int
    event: DomainEvent
    before: Ticket | None
    after: Ticket


def event_names(event: DomainEvent) -> tuple[str, ...]:
    """What webhooks call this event of a ticket; closing one is both an update and a resolution."""
    match event:
        case TicketOpened():
            return ("ticket.created",)
        case TicketResolved() | TicketStatusChanged(status="closed"):  # the latter in old logs
            return ("ticket.updated", "ticket.resolved")
        case TicketAssigned():
            return ("ticket.updated", "ticket.assigned")
        case TicketCommented():
            return ("ticket.commented",)
        case TicketDeleted():
            return ("ticket.deleted",)
        case TicketRestored():
            return ("ticket.restored",)
        case _:
            return ("ticket.updated",)


def is_subscribed(subscribed: frozenset[str], name: str) -> bool:
    return name in subscribed or EVERY_EVENT in subscribed


def message_id(event_id: str, name: str) -> str:
    """The webhook-id: the same for every endpoint, attempt and replay."""
    return f"msg_{uuid5(NAMESPACE_URL, f'{event_id}/{name}').hex}"


def is_internal(event: DomainEvent) -> bool:
    """Whether guests may not read it."""
    return isinstance(event, TicketCommented) and event.visibility == "internal"


def ids_to_name(step: TicketStep) -> tuple[set[str], tuple[str, str] | None]:
    """The ids whose names the message shows: properties, people and keys, and the unit of a property."""
    event, ticket = step.event, step.after
    ids = {ticket.property_id, ticket.requester_id, ticket.assignee_id, *_actor_ids(event)} - {None}
    unit = (ticket.property_id, ticket.unit_id) if ticket.unit_id else None
    return {id for id in ids if id}, unit


def make_message(step: TicketStep, name: str, names: Names) -> Message:
    """Freeze one message of a step: the ticket as of that version, what changed, and who did it."""
    event, ticket = step.event, step.after
    id = message_id(event.event_id, name)
    data = _ticket(ticket, names)
    changes = ticket_changes(step.before, ticket)
    data["changes"] = {field: change for field, change in changes.items() if not _is_comment(field)}
    data["actor"] = _actor(event, names)
    if isinstance(event, TicketCommented):
        data["comment"] = {
            "id": event.comment_id,
            "text": event.text,
            "visibility": event.visibility,
            "user": _reference(event.author_id, names),
            "created_at": _seconds(event.occurred_at),
        }
    payload = {
        "event": name,
        "timestamp": _seconds(event.occurred_at),
        "data": data,
        "id": id,
        "version": event.originator_version,
        "sequence": step.position,
    }
    return Message(
        id=id,
        event_id=event.event_id,
        name=name,
        aggregate_id=ticket.id,
        version=event.originator_version,
        position=step.position,
        property_id=ticket.property_id,
        requester_id=ticket.requester_id,
        is_internal=is_internal(event),
        body=_encode(payload),
    )


def make_test_message(webhook_id: str, event_id: str, at: datetime) -> Message:
    """What `POST /v1/webhooks/{id}/test` sends: the form of a message, about nothing."""
    id = message_id(event_id, TEST_EVENT)
    payload = {
        "event": TEST_EVENT,
        "timestamp": _seconds(at),
        "data": {"webhook_id": webhook_id},
        "id": id,
        "version": None,
        "sequence": None,
    }
    return Message(id, event_id, TEST_EVENT, id, 0, None, None, None, False, _encode(payload))


def _ticket(ticket: Ticket, names: Names) -> dict[str, Any]:
    """The ticket of the API reference, field for field and in its order."""
    unit = f"{ticket.property_id}/{ticket.unit_id}"
    return {
        "id": ticket.id,
        "title": ticket.title,
        "description": ticket.description,
        "status": ticket.status,
        "priority": ticket.priority,
        "category": ticket.category,
        "created_at": _seconds(ticket.created_at),
        "updated_at": _seconds(ticket.updated_at),
        "property": _reference(ticket.property_id, names),
        "unit": {"id": ticket.unit_id, "name": names.get(unit, ticket.unit_id)} if ticket.unit_id else None,
        "requester": _reference(ticket.requester_id, names),
        "assigned_to": _reference(ticket.assignee_id, names) if ticket.assignee_id else None,
    }


def _actor(event: DomainEvent, names: Names) -> dict[str, Any]:
    actor = event.actor
    id = actor.user_id or actor.credential_id
    return {"id": id, "name": names.get(id, id) if id else actor.auth, "role": actor.role}


def _actor_ids(event: DomainEvent) -> set[str | None]:
    return {event.actor.user_id or event.actor.credential_id}


def _is_comment(field: str) -> bool:
    """Told whole under `comment`."""
    return field.startswith("comments.")


def _reference(id: str, names: Names) -> dict[str, str]:
    return {"id": id, "name": names.get(id, id)}


def _seconds(moment: datetime | None) -> str:
    if moment is None:
        raise ValueError("an aggregate without events has no times")
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
