"""The commands that edit and remove comments, and remove files.

Authors may do so within an hour, managers and above at any time. The events with the former text stay in the
log for auditors (docs/decisions/0021-edited-and-removed.md).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec

from commands.deciding import change
from commands.tickets import visible_ticket
from commands.values import Values
from domain.access import Context
from domain.comment import Comment
from domain.errors import NotFound
from domain.text import CommentText
from domain.ticket import Ticket
from domain.webhook_bodies import LARGEST_BODY_BYTES, SHORT_TEXT_CHARACTERS, shortened
from infrastructure.storage.comment_log import CommentPlace, find_comment
from infrastructure.storage.event_store import EventStore
from infrastructure.storage.postgres import Statement, named_queries

REMOVED_TEXT = "(removed)"  # in stored webhook messages, instead of the text of a removed comment

_STRING = r'"(?:[^"\\]|\\.)*"'  # the pattern of a JSON string

_sql = named_queries(Path(__file__).parent / "sql" / "comments.sql")
_encode = msgspec.json.Encoder().encode

Locate = Callable[[], CommentPlace]  # where the read tables say that the comment is


class CommentChanges(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The body of PATCH. The visibility of a comment cannot be changed: remove it, and write a new one."""

    text: CommentText


def edit_comment(
    store: EventStore,
    ticket_id: str,
    comment_id: str,
    values: Values[CommentChanges],
    context: Context,
    *,
    locate: Locate,
    expected_versions: frozenset[int] | None = None,
) -> Ticket:
    """Replace the text of a comment; record no event for the present text."""

    def decide(ticket: Ticket) -> Sequence[Statement]:
        comment = _own_comment(store, ticket, comment_id, locate(), context)
        ticket.require_version(expected_versions)
        text = values.read().text
        ticket.edit_comment(comment, text, context)
        return replace_text(comment_id, text) if ticket.pending else ()

    return change(store, ticket_id, context, lambda: visible_ticket(store, context.caller, ticket_id), decide)


def remove_comment(
    store: EventStore,
    ticket_id: str,
    comment_id: str,
    context: Context,
    *,
    locate: Locate,
    expected_versions: frozenset[int] | None = None,
) -> Ticket:
    """Remove a comment."""

    def decide(ticket: Ticket) -> Sequence[Statement]:
        comment = _own_comment(store, ticket, comment_id, locate(), context)
        ticket.require_version(expected_versions)
        ticket.remove_comment(comment, context)
        return replace_text(comment_id, REMOVED_TEXT)

    return change(store, ticket_id, context, lambda: visible_ticket(store, context.caller, ticket_id), decide)


def remove_file(
    store: EventStore,
    ticket_id: str,
    attachment_id: str,
    context: Context,
    expected_versions: frozenset[int] | None = None,
) -> Ticket:
    """Remove a file, and note that its content is to be deleted from the attachment store."""

    def decide(ticket: Ticket) -> Sequence[Statement]:
        file = ticket.find_file(attachment_id)
        context.caller.require_may_take_back(file.author_id, file.created_at, context.at, "file")
        ticket.require_version(expected_versions)
        ticket.remove_file(file, context)
        noted = (_sql["note_removed_file"], {"attachment_id": attachment_id})
        return [noted, *remove_file_name(attachment_id)]

    return change(store, ticket_id, context, lambda: visible_ticket(store, context.caller, ticket_id), decide)


def replace_text(comment_id: str, text: str) -> list[Statement]:
    """Statements that replace the text of a comment in the stored webhook messages about it, and delete the
    answers to them, which may repeat it. A message of version 2 that becomes too large gets a short text and
    `truncated`."""
    before = rf'"comment":\{{"id":"{comment_id}","text":'
    short = shortened(text, SHORT_TEXT_CHARACTERS)
    cut = {
        "part_id": comment_id,
        "largest": LARGEST_BODY_BYTES,
        "pattern": rf'"truncated":(?:true|false)(,"url":{_STRING},{before}){_STRING}',
        "replacement": rf'"truncated":true\1{_escaped(_encode(short).decode())}',
    }
    return [*_replace_string(comment_id, before, _encode(text).decode()), (_sql["cut_string"], cut)]


def remove_file_name(attachment_id: str) -> list[Statement]:
    """Statements that replace the name of a file by null in the stored webhook message about its attachment,
    and delete the answers to it, which may repeat it."""
    before = rf'"attachments\.{attachment_id}":\{{"from":null,"to":\{{"filename":'
    return _replace_string(attachment_id, before, "null")


def _replace_string(part_id: str, before: str, replacement: str) -> list[Statement]:
    """Statements that replace the JSON string after the pattern `before` in the messages about a comment or
    file."""
    parameters = {
        "part_id": part_id,
        "pattern": f"({before}){_STRING}",
        "replacement": rf"\1{_escaped(replacement)}",
    }
    return [(_sql[name], parameters) for name in ("delete_answers", "replace_string")]


def _escaped(replacement: str) -> str:
    """The text as PostgreSQL's regexp_replace expects it."""
    return replacement.replace("\\", r"\\")


def _own_comment(
    store: EventStore, ticket: Ticket, comment_id: str, place: CommentPlace, context: Context
) -> Comment:
    """The comment. Raises NotFound if the caller may not see it, Forbidden if they may not change it."""
    caller = context.caller
    comment = find_comment(store, ticket, comment_id, place)
    if comment is None or (comment.visibility == "internal" and not caller.is_at_least("staff")):
        raise NotFound("comment")
    caller.require_may_take_back(comment.author_id, comment.created_at, context.at, "comment")
    return comment
