"""What an event changed, field by field, under the names the API uses: folded, the changes are the ticket."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from copy import copy
from typing import Any

import msgspec

from domain.aggregate import DomainEvent
from domain.ticket import Attachment, Comment, Ticket

_FIELDS = {
    "title": "title",
    "description": "description",
    "status": "status",
    "priority": "priority",
    "category": "category",
    "property_id": "property_id",
    "unit_id": "unit_id",
    "requester_id": "requester_id",
    "assigned_to": "assignee_id",
    "deleted": "is_deleted",
}


class Change(msgspec.Struct, frozen=True):
    """A field's value before and after. Before a ticket is opened every field is null."""

    before: Any = msgspec.field(name="from")
    after: Any = msgspec.field(name="to")


Changes = dict[str, Change]


def ticket_changes(before: Ticket | None, after: Ticket) -> Changes:
    """The fields that differ. A new comment or file is a field of its own, `comments.ID` or
    `attachments.ID`, so that no list is told twice."""
    changes: Changes = {}
    for name, attribute in _FIELDS.items():
        was, now = getattr(before, attribute, None), getattr(after, attribute)
        if was != now:
            changes[name] = Change(was, now)
    for comment in after.comments[len(before.comments) if before else 0 :]:
        changes[f"comments.{comment.id}"] = Change(None, _comment(comment))
    for attachment in after.attachments[len(before.attachments) if before else 0 :]:
        changes[f"attachments.{attachment.id}"] = Change(None, _attachment(attachment))
    return changes


def ticket_steps(events: Iterable[DomainEvent]) -> Iterator[tuple[DomainEvent, Changes]]:
    """A ticket's events from its first on, each with what it changed."""
    ticket: Ticket | None = None
    for event in events:
        before = copy(ticket)
        ticket = Ticket.fold(ticket, [event])
        if ticket is not None:
            yield event, ticket_changes(before, ticket)


def _comment(comment: Comment) -> dict[str, Any]:
    return {"text": comment.text, "visibility": comment.visibility, "user_id": comment.author_id}


def _attachment(attachment: Attachment) -> dict[str, Any]:
    return {
        "filename": attachment.filename,
        "content_type": attachment.content_type,
        "size": attachment.size_bytes,
        "sha256": attachment.sha256,
    }
