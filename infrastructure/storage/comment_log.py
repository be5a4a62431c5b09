"""Reads the comments of a ticket from the log. The aggregate does not have them: they may be large."""

from __future__ import annotations

import msgspec
from msgspec.structs import replace

from domain.comment import Comment
from domain.comments import COMMENT_EVENTS, CommentReader
from domain.ticket import Ticket, TicketCommented, TicketCommentEdited
from infrastructure.storage.event_store import EventStore


class CommentPlace(msgspec.Struct, frozen=True):
    """Where the log has a comment, according to the read tables.

    They contain the events of the ticket up to `read_version`. `added_version` and `text_version` are the
    versions of the events that added the comment and that have its text; None if there is no such comment.
    """

    read_version: int = 0
    added_version: int | None = None
    text_version: int | None = None


class PastComments(msgspec.Struct, frozen=True):
    """The newest comments of a ticket, the oldest first, and the number of all comments."""

    newest: list[Comment]
    count: int


def find_comment(store: EventStore, ticket: Ticket, comment_id: str, place: CommentPlace) -> Comment | None:
    """The comment at the version of the ticket; None if the ticket does not have it, or not any more.

    Reads only the events that the read tables do not have, and those at this place.
    """
    reader = CommentReader()
    for event in store.read_backwards(ticket.id, ticket.version, COMMENT_EVENTS, after=place.read_version):
        comment = reader.take(event)
        if comment is not None and comment.id == comment_id:
            return _with_text(store, ticket.id, comment)
    if place.added_version is None or place.text_version is None or reader.is_removed(comment_id):
        return None
    if place.text_version != place.added_version:
        _take_version(store, ticket.id, place.text_version, reader)
    comment = _take_version(store, ticket.id, place.added_version, reader)
    if comment is None or comment.id != comment_id:
        return None
    return _with_text(store, ticket.id, comment)


def past_comments(
    store: EventStore, then: Ticket, now_version: int, *, include_internal: bool, limit: int
) -> PastComments:
    """The comments of the ticket `then`, with their texts at the version `now_version`, and without those
    that were removed before that version."""
    reader = CommentReader()
    newest: list[Comment] = []
    count = then.comments_count - (0 if include_internal else then.internal_comments_count)
    added_later: set[str] = set()
    if now_version > then.version:
        for event in store.read_backwards(then.id, now_version, COMMENT_EVENTS, after=then.version):
            reader.take(event)
            if isinstance(event, TicketCommented):
                added_later.add(event.comment_id)
        count -= reader.count_removed(added_later, include_internal)
    for event in store.read_backwards(then.id, then.version, COMMENT_EVENTS):
        if len(newest) == min(limit, count):
            break
        comment = reader.take(event)
        if comment is not None and (include_internal or comment.visibility == "public"):
            newest.append(_with_text(store, then.id, comment))
    return PastComments(newest[::-1], count)


def _take_version(store: EventStore, ticket_id: str, version: int, reader: CommentReader) -> Comment | None:
    found = [reader.take(event) for event in store.read_events(ticket_id, version, version)]
    return next(iter(found), None)


def _with_text(store: EventStore, ticket_id: str, comment: Comment) -> Comment:
    """The comment with its present text."""
    if comment.edited_at is None:
        return comment
    (event,) = store.read_events(ticket_id, comment.text_version, comment.text_version)
    return replace(comment, text=event.text) if isinstance(event, TicketCommentEdited) else comment
