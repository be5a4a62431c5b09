"""The changes that an event makes to a ticket, field by field, under the names that the API uses.

All changes of a ticket's events, applied in order, result in the ticket.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from copy import copy
from typing import Any

import msgspec

from domain.aggregate import DomainEvent
from domain.attachment import Attachment
from domain.comments import CommentEvent
from domain.ticket import Ticket, TicketCommented, TicketCommentEdited, TicketCommentRemoved

# Fields of Ticket that are not listed as changes: they identify the ticket, or follow from the event itself.
EXCLUDED_FIELDS = frozenset(
    (
        *("id", "version", "created_at", "updated_at", "position", "pending"),
        *("comments_count", "internal_comments_count"),
    )
)
# A list to which events add members: each new or removed member is a separate change.
LIST_FIELDS = frozenset(("attachments",))
# Names that the API gives to fields of Ticket.
PUBLIC_NAMES = {"assignee_id": "assigned_to", "is_deleted": "deleted"}
_FIELDS = {
    PUBLIC_NAMES.get(field, field): field
    for field in Ticket.__struct_fields__
    if field not in EXCLUDED_FIELDS | LIST_FIELDS
}
# The names that `changes` can have, without the ids of comments and files.
CHANGE_NAMES = (*_FIELDS, "comments", *sorted(LIST_FIELDS))


class Change(msgspec.Struct, frozen=True):
    """The value of a field before and after. Before the ticket is opened, every field is null."""

    before: Any = msgspec.field(name="from")
    after: Any = msgspec.field(name="to")


Changes = dict[str, Change]


def ticket_changes(
    before: Ticket | None, after: Ticket, event: DomainEvent | None = None, texts: Mapping[int, str] = {}
) -> Changes:
    """The fields that differ, by name. An added, edited or removed comment or file has a separate name,
    `comments.ID` or `attachments.ID`, so that lists are not repeated as a whole.

    `event` is the event between the two. `texts` has the former texts of edited and removed comments by the
    version of the ticket whose event has them; without its entry a former text is null.
    """
    changes: Changes = {}
    for name, attribute in _FIELDS.items():
        was, now = getattr(before, attribute, None), getattr(after, attribute)
        if was != now:
            changes[name] = Change(was, now)
    if isinstance(event, CommentEvent):
        changes[f"comments.{event.comment_id}"] = _comment_change(event, texts)
    had = before.attachments if before else ()
    if had is not after.attachments:
        for attachment in (file for file in had if file not in after.attachments):
            changes[f"attachments.{attachment.id}"] = Change(_attachment(attachment), None)
        for attachment in (file for file in after.attachments if file not in had):
            changes[f"attachments.{attachment.id}"] = Change(None, _attachment(attachment))
    return changes


def ticket_steps(
    events: Iterable[DomainEvent], ticket: Ticket | None = None, texts: Mapping[int, str] = {}
) -> Iterator[tuple[DomainEvent, Changes]]:
    """Each event with its changes. `ticket` is the state before the first event; None before the opening."""
    for event in events:
        before = copy(ticket)
        ticket = Ticket.fold(ticket, [event])
        if ticket is not None:
            yield event, ticket_changes(before, ticket, event, texts)


def replaced_versions(events: Iterable[DomainEvent]) -> list[int]:
    """The versions that have the texts which these events replaced or removed."""
    return [
        event.replaced_version
        for event in events
        if isinstance(event, TicketCommentEdited | TicketCommentRemoved)
    ]


def _comment_change(event: CommentEvent, texts: Mapping[int, str]) -> Change:
    if isinstance(event, TicketCommented):
        return Change(None, _comment(event, event.text))
    former = _comment(event, texts.get(event.replaced_version))
    return Change(former, _comment(event, event.text) if isinstance(event, TicketCommentEdited) else None)


def _comment(event: CommentEvent, text: str | None) -> dict[str, Any]:
    return {"text": text, "visibility": event.visibility, "user_id": event.author_id}


def _attachment(attachment: Attachment) -> dict[str, Any]:
    return {
        "filename": attachment.filename,
        "content_type": attachment.content_type,
        "size": attachment.size_bytes,
        "sha256": attachment.sha256,
    }
