"""Webhook messages: which events of a ticket are posted, under which names, and with which content."""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping
from datetime import datetime
from typing import Any, NamedTuple, get_args
from uuid import NAMESPACE_URL, uuid5

import msgspec

from domain.aggregate import DomainEvent
from domain.changes import EXCLUDED_FIELDS, LIST_FIELDS, Change, Changes, ticket_changes
from domain.comments import CommentEvent
from domain.ticket import (
    Ticket,
    TicketAssigned,
    TicketCommented,
    TicketCommentEdited,
    TicketCommentRemoved,
    TicketDeleted,
    TicketEvent,
    TicketFileAttached,
    TicketFileRemoved,
    TicketOpened,
    TicketResolved,
    TicketRestored,
    TicketStatusChanged,
)
from domain.times import whole_seconds

EVERY_EVENT = "ticket.*"
TEST_EVENT = "webhook.test"
UPDATED = "ticket.updated"
_NAMES: dict[type[DomainEvent], tuple[str, ...]] = {
    TicketOpened: ("ticket.created",),
    TicketResolved: (UPDATED, "ticket.resolved"),
    TicketStatusChanged: (UPDATED, "ticket.resolved"),  # the latter only in old logs
    TicketAssigned: (UPDATED, "ticket.assigned"),
    TicketCommented: ("ticket.commented",),
    TicketDeleted: ("ticket.deleted",),
    TicketRestored: ("ticket.restored",),
}
CHANGE_MESSAGES = (TicketCommentEdited, TicketCommentRemoved, TicketFileRemoved)

# Fields of Ticket that a message shows as a reference with a name, or omits.
_REFERENCES = frozenset(("property_id", "unit_id", "requester_id", "assignee_id", "is_deleted"))
# Fields that tickets did not have when version 1 of the payload was defined. Only their changes are listed.
_LATER_FIELDS = frozenset(("tags", "external_ids"))
PLAIN_FIELDS = tuple(
    field
    for field in Ticket.__struct_fields__
    if field not in EXCLUDED_FIELDS | LIST_FIELDS | _REFERENCES | _LATER_FIELDS
)

_encode = msgspec.json.Encoder().encode

Names = Mapping[str, str]  # names of properties, people and keys by id, and of units by "property/unit"


class Message(NamedTuple):
    """One webhook event with its bytes, and the fields that decide who may read it."""

    id: str
    event_id: str
    name: str
    aggregate_id: str
    version: int
    position: int | None
    property_id: str | None
    requester_id: str | None
    is_internal: bool
    comment_id: str | None
    attachment_id: str | None
    body: bytes
    traceparent: str | None = None  # of the event, if its request was traced


class TicketStep(NamedTuple):
    """One event of a ticket, with the ticket before and after it."""

    position: int
    event: DomainEvent
    before: Ticket | None
    after: Ticket


class TicketGroup(NamedTuple):
    """The adjacent events that one command appended to a ticket. `number` is the number of the ticket: the
    log position of its first event."""

    steps: list[TicketStep]
    number: int


def event_names(event: DomainEvent) -> tuple[str, ...]:
    """The webhook events that an event of a ticket causes; a resolution causes two."""
    names = _names_of(type(event))
    if isinstance(event, TicketStatusChanged) and event.status != "closed":
        return (UPDATED,)
    return names


def _names_of(kind: type[DomainEvent]) -> tuple[str, ...]:
    """The webhook events that events of this kind may cause."""
    return _NAMES.get(kind, (UPDATED,))


def causes() -> list[tuple[str | None, str]]:
    """Pairs of a webhook event and the type of an event of the log that may cause it. The first is None if
    the second changes messages about earlier events."""
    found: list[tuple[str | None, str]] = [(None, _type_of(kind)) for kind in CHANGE_MESSAGES]
    for kind in get_args(TicketEvent):
        found += [(name, _type_of(kind)) for name in _names_of(kind)]
    return found


def _type_of(kind: type[DomainEvent]) -> str:
    return str(kind.__struct_config__.tag)


def wanted_types(subscribed: Iterable[str]) -> frozenset[str]:
    """The types of the events of the log that may cause one of the webhook events, or change messages."""
    names = frozenset(subscribed)
    return frozenset(topic for name, topic in causes() if name is None or is_subscribed(names, name))


def is_subscribed(subscribed: frozenset[str], name: str) -> bool:
    return name in subscribed or EVERY_EVENT in subscribed


def message_id(event_id: str, name: str) -> str:
    """The webhook-id, which is the same for every attempt and replay, and every webhook with this payload."""
    return f"msg_{uuid5(NAMESPACE_URL, f'{event_id}/{name}').hex}"


def is_internal(event: DomainEvent) -> bool:
    """Whether guests may not read the event."""
    return isinstance(event, CommentEvent) and event.visibility == "internal"


def ids_to_name(step: TicketStep) -> tuple[set[str], tuple[str, str] | None]:
    """The ids of properties, people and keys, and the pair (property, unit), whose names the message
    shows."""
    event, ticket = step.event, step.after
    ids = {ticket.property_id, ticket.requester_id, ticket.assignee_id, *_actor_ids(event)} - {None}
    unit = (ticket.property_id, ticket.unit_id) if ticket.unit_id else None
    return {each for each in ids if each}, unit


def make_message(
    step: TicketStep,
    name: str,
    names: Names,
    texts: Mapping[str, str] = {},
    removed_files: Container[str] = (),
) -> Message:
    """The message of one step: the ticket at that version, the changes, and the actor.

    `texts` has the present texts of comments that were edited or removed after the event, by id.
    `removed_files` has the ids of files that were removed after it: the message does not have their names.
    """
    event, ticket = step.event, step.after
    webhook_id = message_id(event.event_id, name)
    data = shown_ticket(ticket, names)
    changes = ticket_changes(step.before, ticket, event)
    if step.before is None:
        changes = {field: change for field, change in changes.items() if field not in _LATER_FIELDS}
    attachment_id = event.attachment_id if isinstance(event, TicketFileAttached) else None
    has_name = attachment_id is not None and attachment_id not in removed_files
    data["changes"] = shown_changes(changes, has_name=has_name)
    data["actor"] = shown_actor(event, names)
    comment_id = None
    if isinstance(event, TicketCommented | TicketCommentEdited):
        comment_id = event.comment_id
        data["comment"] = shown_comment(event, names, texts)
    payload = {
        "event": name,
        "timestamp": whole_seconds(event.occurred_at),
        "data": data,
        "id": webhook_id,
        "version": event.originator_version,
        "sequence": step.position,
    }
    return Message(
        id=webhook_id,
        event_id=event.event_id,
        name=name,
        aggregate_id=ticket.id,
        version=event.originator_version,
        position=step.position,
        property_id=ticket.property_id,
        requester_id=ticket.requester_id,
        is_internal=is_internal(event),
        comment_id=comment_id,
        attachment_id=attachment_id,
        body=_encode(payload),
    )


def shown_changes(changes: Changes, *, has_name: bool) -> Changes:
    """The changes in a message: without comments that were written, and without names of removed files."""
    return {
        field: _without_name(change) if field.startswith("attachments.") and not has_name else change
        for field, change in changes.items()
        if change.after is None or not field.startswith("comments.")  # `data["comment"]` has the comment
    }


def shown_comment(
    event: TicketCommented | TicketCommentEdited, names: Names, texts: Mapping[str, str]
) -> dict[str, Any]:
    """The comment in a message. commands/comments.py replaces the text, which must follow the id."""
    return {
        "id": event.comment_id,
        "text": texts.get(event.comment_id, event.text),
        "visibility": event.visibility,
        "user": _reference(event.author_id, names),
        "created_at": whole_seconds(getattr(event, "commented_at", event.occurred_at)),
    }


def make_test_message(webhook_id: str, event_id: str, at: datetime) -> Message:
    """The message that `POST /v1/webhooks/{id}/test` sends; it is about no ticket."""
    test_id = message_id(event_id, TEST_EVENT)
    payload = {
        "event": TEST_EVENT,
        "timestamp": whole_seconds(at),
        "data": {"webhook_id": webhook_id},
        "id": test_id,
        "version": None,
        "sequence": None,
    }
    no_ticket = (None, None, None, False, None, None)
    return Message(test_id, event_id, TEST_EVENT, test_id, 0, *no_ticket, _encode(payload))


def _without_name(change: Change) -> Change:
    """The change of a file, without its name."""
    before, after = (file and {**file, "filename": None} for file in (change.before, change.after))
    return Change(before, after)


def shown_ticket(ticket: Ticket, names: Names) -> dict[str, Any]:
    """The ticket as the API shows it."""
    unit = f"{ticket.property_id}/{ticket.unit_id}"
    return {
        "id": ticket.id,
        **{field: getattr(ticket, field) for field in PLAIN_FIELDS},
        "created_at": whole_seconds(ticket.created_at),
        "updated_at": whole_seconds(ticket.updated_at),
        "property": _reference(ticket.property_id, names),
        "unit": {"id": ticket.unit_id, "name": names.get(unit, ticket.unit_id)} if ticket.unit_id else None,
        "requester": _reference(ticket.requester_id, names),
        "assigned_to": _reference(ticket.assignee_id, names) if ticket.assignee_id else None,
    }


def shown_actor(event: DomainEvent, names: Names) -> dict[str, Any]:
    actor = event.actor
    actor_id = actor.user_id or actor.credential_id
    name = names.get(actor_id, actor_id) if actor_id else actor.auth
    return {"id": actor_id, "name": name, "role": actor.role}


def _actor_ids(event: DomainEvent) -> set[str | None]:
    return {event.actor.user_id or event.actor.credential_id}


def _reference(referred_id: str, names: Names) -> dict[str, str]:
    return {"id": referred_id, "name": names.get(referred_id, referred_id)}
