"""The changes that an event makes to a ticket, field by field, under the names that the API uses.

All changes of a ticket's events, applied in order, result in the ticket.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from copy import copy
from typing import Any

import msgspec

from domain.aggregate import DomainEvent
from domain.ticket import Attachment, Comment, Ticket

# Fields of Ticket that are not listed as changes: they identify the ticket, or follow from the event itself.
EXCLUDED_FIELDS = frozenset(("id", "version", "created_at", "updated_at", "position", "pending"))
# Lists to which events append members: each new member is a separate change.
LIST_FIELDS = frozenset(("comments", "attachments"))
# Names that the API gives to fields of Ticket.
PUBLIC_NAMES = {"assignee_id": "assigned_to", "is_deleted": "deleted"}
_FIELDS = {
    PUBLIC_NAMES.get(field, field): field
    for field in Ticket.__struct_fields__
    if field not in EXCLUDED_FIELDS | LIST_FIELDS
}


class Change(msgspec.Struct, frozen=True):
    """The value of a field before and after. Before the ticket is opened, every field is null."""

    before: Any = msgspec.field(name="from")
    after: Any = msgspec.field(name="to")


Changes = dict[str, Change]


def ticket_changes(before: Ticket | None, after: Ticket) -> Changes:
    """The fields that differ, by name. A new comment or file has a separate name, `comments.ID` or
    `attachments.ID`, so that lists are not repeated as a whole."""
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
    """Each event with its changes; `events` must begin with the first event of a ticket."""
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
