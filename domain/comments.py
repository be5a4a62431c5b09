"""Finds the comments of a ticket in its events, which are read from the newest to the oldest."""

from __future__ import annotations

from collections.abc import Container
from datetime import datetime

from domain.aggregate import DomainEvent
from domain.comment import Comment, Visibility
from domain.ticket import TicketCommented, TicketCommentEdited, TicketCommentRemoved

CommentEvent = TicketCommented | TicketCommentEdited | TicketCommentRemoved
COMMENT_EVENTS: tuple[str, ...] = tuple(
    str(kind.__struct_config__.tag) for kind in (TicketCommented, TicketCommentEdited, TicketCommentRemoved)
)


class CommentReader:
    """Takes the events of a ticket in reverse order. It stores no texts, because there can be many."""

    def __init__(self) -> None:
        self._edits: dict[str, tuple[int, datetime]] = {}  # version and time of the last edit, by comment
        self._removed: dict[str, Visibility] = {}

    def is_removed(self, comment_id: str) -> bool:
        """Whether one of the events taken so far removed the comment."""
        return comment_id in self._removed

    def count_removed(self, ignored: Container[str], include_internal: bool) -> int:
        """The number of comments that the events taken so far removed, without those in `ignored`."""
        return sum(
            comment_id not in ignored and (include_internal or visibility == "public")
            for comment_id, visibility in self._removed.items()
        )

    def take(self, event: DomainEvent) -> Comment | None:
        """The comment that this event added, as it is after the events taken before, but with its first text;
        None for another event, and for a comment that was removed."""
        if isinstance(event, TicketCommentRemoved):
            self._removed[event.comment_id] = event.visibility
        elif isinstance(event, TicketCommentEdited):
            self._edits.setdefault(event.comment_id, (event.originator_version, event.occurred_at))
        elif isinstance(event, TicketCommented) and event.comment_id not in self._removed:
            edit = self._edits.pop(event.comment_id, None)
            text_version, edited_at = edit or (event.originator_version, None)
            return Comment(
                id=event.comment_id,
                text=event.text,
                visibility=event.visibility,
                author_id=event.author_id,
                created_at=event.occurred_at,
                text_version=text_version,
                edited_at=edited_at,
            )
        return None
