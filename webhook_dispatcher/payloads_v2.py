"""Webhook messages of payload version 2: one for all changes that a request made to a ticket."""

from __future__ import annotations

from collections.abc import Callable, Container, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple, get_args

import msgspec

from domain.changes import Changes, ticket_changes
from domain.comments import CommentEvent
from domain.ticket import TicketCommented, TicketCommentEdited, TicketFileAttached
from domain.times import whole_seconds
from domain.webhook import Payload
from domain.webhook_bodies import LARGEST_BODY_BYTES, SHORT_TEXT_BYTES, shortened
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

SHORTENED_CHARACTERS = (4_000, 1_000, 200, 40)  # each is tried until the body is small enough

PAYLOADS: tuple[Payload, ...] = get_args(Payload)

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


def other_ids_of_step(group: TicketGroup, name: str) -> list[str]:
    """The ids of the messages of version 2 that tell what the message of version 1 about one step tells."""
    name = name if name in group_names(group) else "ticket.created"
    return [_group_message_id(group, name, payload) for payload in PAYLOADS]


def other_ids_of_group(group: TicketGroup, name: str, payload: Payload) -> list[str]:
    """The ids of the messages, with another payload or of version 1, about the same event. Of those of
    version 1 it is the last: if that was sent, the earlier ones were."""
    last = next(step.event for step in reversed(group.steps) if name in event_names(step.event))
    others = [_group_message_id(group, name, other) for other in PAYLOADS if other != payload]
    return [message_id(last.event_id, name), *others]


def _group_message_id(group: TicketGroup, name: str, payload: Payload) -> str:
    return message_id(group.steps[0].event.event_id, f"{name}/2/{payload}")


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
        "id": _group_message_id(group, name, payload),
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
            "truncated": False,
            "url": url,
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
        body=_encode(message) if payload == "thin" else _fitting(message),
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


def _fitting(message: dict[str, Any]) -> bytes:
    """The body of a full message. One above the limit is shortened, step by step until it is small enough:
    texts are cut; the values of changed tags and external ids become null; external ids are left out; tags
    are left out; names become ids. Names are not cut: erasing a person replaces whole names only."""
    body = _encode(message)
    reserved = _reserved_bytes(message["data"].get("comment"))
    if len(body) + reserved <= LARGEST_BODY_BYTES:
        return body
    plain = msgspec.json.decode(body)
    data = plain["data"]
    data["truncated"] = True
    for shorten in _STEPS:
        shorten(data)
        body = _encode(plain)
        if len(body) + reserved <= LARGEST_BODY_BYTES:
            break
    return body


def _reserved_bytes(comment: Mapping[str, Any] | None) -> int:
    """What is kept free for a later text of the comment (commands/comments.py)."""
    return max(0, SHORT_TEXT_BYTES - len(_encode(comment["text"]))) if comment else 0


def _cut_texts(data: dict[str, Any], most: int) -> None:
    """Cut the title, the description, the text of the comment, names of files, and the same in changes."""
    changes: dict[str, Any] = data["changes"]
    _cut(data, ("title", "description"), most)
    _cut(data.get("comment"), ("text",), most)
    for name, change in changes.items():
        if name in ("title", "description"):
            _cut(change, ("from", "to"), most)
        elif name.startswith("attachments."):
            _cut(change["from"], ("filename",), most)
            _cut(change["to"], ("filename",), most)


def _cut(fields: dict[str, Any] | None, names: Sequence[str], most: int) -> None:
    for name in names if fields else ():
        if fields and fields[name] is not None:
            fields[name] = shortened(fields[name], most)


def _remove_changed_lists(data: dict[str, Any]) -> None:
    for name in {"tags", "external_ids"} & data["changes"].keys():
        data["changes"][name] = {"from": None, "to": None}


def _remove_external_ids(data: dict[str, Any]) -> None:
    del data["external_ids"]


def _remove_tags(data: dict[str, Any]) -> None:
    del data["tags"]


def _replace_names(data: dict[str, Any]) -> None:
    references = [data[name] for name in ("property", "unit", "requester", "assigned_to", "actor")]
    for reference in (*references, data.get("comment", {}).get("user")):
        if reference is not None and reference["id"] is not None:
            reference["name"] = reference["id"]


_STEPS: tuple[Callable[[dict[str, Any]], None], ...] = (
    *(partial(_cut_texts, most=most) for most in SHORTENED_CHARACTERS),
    _remove_changed_lists,
    _remove_external_ids,
    _remove_tags,
    _replace_names,
)
