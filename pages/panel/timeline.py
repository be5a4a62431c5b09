"""The timeline of a ticket: its comments, files and changes in the order of time, the oldest first."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

import msgspec

from api.http.services import Services
from domain.ticket import Ticket
from pages.common.filters import words
from pages.panel.history_names import names_in, who
from projections.history import HistoryQuery, ticket_history
from projections.tickets import author_names
from projections.views import AttachmentView, CommentView, HistoryEntry, TicketDetail

MOST_ENTRIES = 100  # the newest ones
_PLAIN = {
    "ticket.opened": "opened the ticket",
    "ticket.comment_removed": "removed a comment",
    "ticket.file_removed": "removed a file",
    "ticket.deleted": "deleted the ticket",
    "ticket.restored": "restored the ticket",
}
_SET = {
    "status": "set the status to",
    "priority": "set the priority to",
    "category": "set the category to",
    "title": "changed the title to",
}
_CHANGED = {
    "description": "changed the description",
    "tags": "changed the tags",
    "external_ids": "changed the external ids",
}


class TimelineEntry(msgspec.Struct, frozen=True, kw_only=True):
    """What somebody did, in words, followed by the new value if there is one; or a comment, or a file."""

    at: datetime
    who: str
    did: str = ""
    value: str = ""
    comment: CommentView | None = None
    file: AttachmentView | None = None


def ticket_timeline(services: Services, ticket: Ticket, detail: TicketDetail) -> list[TimelineEntry]:
    """The newest entries, for people who may read the history. Comments and files are those of `detail`; an
    entry of one that was removed is left out."""
    query = HistoryQuery(order="desc", limit=MOST_ENTRIES)
    # Without the former texts that only auditors may read: the page of the history shows them.
    entries = ticket_history(services.pool, services.store, ticket, query, is_auditor=False).items[::-1]
    names = names_in(services, ticket, entries)
    comments = {comment.id: comment for comment in detail.comments}
    files = {file.id: file for file in detail.attachments}
    shown = (_entry(entry, names, comments, files) for entry in entries)
    return [entry for entry in shown if entry is not None]


def public_timeline(services: Services, ticket: Ticket, detail: TicketDetail) -> list[TimelineEntry]:
    """The public comments and the files, for guests: they may not read the history."""
    authors = {file.id: file.author_id for file in ticket.attachments}
    names = author_names(services.pool, list(set(authors.values())))
    entries = [
        TimelineEntry(at=comment.created_at, who=comment.user.name, comment=comment)
        for comment in detail.comments
        if comment.visibility == "public"
    ]
    for file in detail.attachments:
        author = names.get(authors.get(file.id, ""), "Somebody")
        entries.append(TimelineEntry(at=file.created_at, who=author, did="attached", file=file))
    return sorted(entries, key=lambda entry: entry.at)


def _entry(
    entry: HistoryEntry,
    names: Mapping[str, str],
    comments: Mapping[str, CommentView],
    files: Mapping[str, AttachmentView],
) -> TimelineEntry | None:
    by = who(entry.actor, entry.auth)
    member = next((name.partition(".")[2] for name in entry.changes if "." in name), "")
    if entry.action == "ticket.commented":
        comment = comments.get(member)
        return TimelineEntry(at=entry.time, who=by, comment=comment) if comment else None
    if entry.action == "ticket.file_attached":
        file = files.get(member)
        return TimelineEntry(at=entry.time, who=by, did="attached", file=file) if file else None
    if entry.action == "ticket.comment_edited":
        return None  # the comment says that it was edited
    did, value = (_PLAIN[entry.action], "") if entry.action in _PLAIN else _change(entry, names)
    return TimelineEntry(at=entry.time, who=by, did=did, value=value)


def _change(entry: HistoryEntry, names: Mapping[str, str]) -> tuple[str, str]:
    """What was done, in words, and the new value."""
    after = {name: change.after for name, change in entry.changes.items()}
    if "property_id" in after or "unit_id" in after:
        places = [
            names.get(after[name], after[name]) for name in ("property_id", "unit_id") if after.get(name)
        ]
        return "moved the ticket to", ", ".join(places) or "the whole property"
    if "assigned_to" in after:
        assignee = after["assigned_to"]
        return (
            ("assigned the ticket to", names.get(assignee, assignee))
            if assignee
            else ("unassigned the ticket", "")
        )
    if requester := after.get("requester_id"):
        return "changed the requester to", names.get(requester, requester)
    for name, did in _SET.items():
        if name in after:
            return did, str(after[name]) if name == "title" else words(str(after[name]))
    return next((did for name, did in _CHANGED.items() if name in after), "changed the ticket"), ""
