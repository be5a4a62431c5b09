"""Webhook messages of payload version 2: one for all changes that a request made to a ticket."""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from typing import Any, NamedTuple

import msgspec

from domain.changes import Changes, ticket_changes
from domain.comments import CommentEvent
from domain.ticket import TicketCommented, TicketCommentEdited, TicketFileAttached
from domain.times import whole_seconds
from domain.webhook import Payload
from webhook_dispatcher.payloads import (
    UPDATED,
    Message,
    Names,
    TicketGroup,
    TicketStep,
    event_names,
    is_internal,
    message_id,
    shown_actor,
    shown_changes,
    shown_comment,
    shown_ticket,
)

LARGEST_BODY_BYTES = 20_000
SHORTENED_CHARACTERS = (4_000, 1_000, 200, 40)  # each is tried until the body is small enough

_encode = msgspec.json.Encoder().encode


class Readable(NamedTuple):
    """What messages show besides the events; see make_message."""

    names: Names
    texts: Mapping[str, str]
    removed_files: Container[str]
    base_url: str


def group_names(group: TicketGroup) -> tuple[str, ...]:
    """The webhook events of a request. Opening a ticket is not also a change of it."""
    names = dict.fromkeys(name for step in group.steps for name in event_names(step.event))
    return tuple(name for name in names if name != UPDATED or "ticket.created" not in names)


def facts_of(steps: Sequence[TicketStep]) -> dict[str, Sequence[str]]:
    """The values that a filter compares (domain/webhook_filter.py)."""
    ticket = steps[-1].after
    return {
        "property_id": (ticket.property_id,),
        "category": (ticket.category,),
        "tag": ticket.tags,
        "priority": (ticket.priority,),
        "changed_field": _field_names(_changes_of(steps)),
        "actor_role": (steps[-1].event.actor.role,),
    }


def make_group_message(group: TicketGroup, name: str, payload: Payload, shown: Readable) -> Message:
    """The message about all events of a request: the ticket after them, and their changes."""
    first, last = group.steps[0].event, group.steps[-1].event
    ticket = group.steps[-1].after
    changes = _changes_of(group.steps)
    comment = _last_of(group.steps, TicketCommented | TicketCommentEdited)
    file = _last_of(group.steps, TicketFileAttached)
    message: dict[str, Any] = {
        "event": name,
        "timestamp": whole_seconds(last.occurred_at),
        "data": {},
        "id": message_id(first.event_id, f"{name}/2/{payload}"),
        "from_version": first.originator_version - 1,
        "version": last.originator_version,
        "sequence": group.steps[-1].position,
        "payload_version": 2,
    }
    url = f"{shown.base_url}/v1/tickets/{ticket.id}"
    if payload == "thin":
        message["data"] = {"id": ticket.id, "number": group.number, "url": url}
        message["data"]["changed"] = _field_names(changes)
        message["data"]["comment_id"] = comment.comment_id if comment else None
    else:
        has_name = file is not None and file.attachment_id not in shown.removed_files
        message["data"] = {
            **shown_ticket(ticket, shown.names),
            "number": group.number,
            "tags": ticket.tags,
            "external_ids": ticket.external_ids,
            "changes": shown_changes(changes, has_name=has_name),
            "actor": shown_actor(last, shown.names),
        }
        if comment is not None:
            message["data"]["comment"] = shown_comment(comment, shown.names, shown.texts)
    return Message(
        id=message["id"],
        event_id=first.event_id,
        name=name,
        aggregate_id=ticket.id,
        version=last.originator_version,
        position=group.steps[-1].position,
        property_id=ticket.property_id,
        requester_id=ticket.requester_id,
        is_internal=any(is_internal(step.event) for step in group.steps),
        comment_id=comment.comment_id if comment and payload == "full" else None,
        attachment_id=file.attachment_id if file and payload == "full" else None,
        body=_fitting(message, url),
    )


def _changes_of(steps: Sequence[TicketStep]) -> Changes:
    comment = _last_of(steps, CommentEvent)
    return ticket_changes(steps[0].before, steps[-1].after, comment)


def _last_of(steps: Sequence[TicketStep], kind: Any) -> Any:
    """The last event of that kind, or None."""
    return next((step.event for step in reversed(steps) if isinstance(step.event, kind)), None)


def _field_names(changes: Changes) -> list[str]:
    """The names of the fields, without the ids of comments and files."""
    return list(dict.fromkeys(name.partition(".")[0] for name in changes))


def _fitting(message: dict[str, Any], url: str) -> bytes:
    """The body. One above the limit has shortened texts, `truncated` and the address of the whole ticket."""
    body = _encode(message)
    if len(body) <= LARGEST_BODY_BYTES:
        return body
    plain = msgspec.json.decode(body)
    for most in SHORTENED_CHARACTERS:
        data = _shorten(plain["data"], most)
        data |= {"truncated": True, "url": url}
        body = _encode({**plain, "data": data})
        if len(body) <= LARGEST_BODY_BYTES:
            break
    return body


def _shorten(value: Any, most: int) -> Any:
    if isinstance(value, str):
        return value if len(value) <= most else value[: most - 1] + "…"
    if isinstance(value, dict):
        return {name: _shorten(item, most) for name, item in value.items()}
    return [_shorten(item, most) for item in value] if isinstance(value, list) else value
