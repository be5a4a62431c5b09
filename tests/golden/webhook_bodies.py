"""The webhook bodies of payload version 1 about a fixed ticket. Their stored bytes never change.

`webhook_bodies_v1.ndjson` was written by the code from before tags, external ids and payload version 2.
"""

from __future__ import annotations

from collections.abc import Iterator
from copy import copy
from datetime import UTC, datetime
from pathlib import Path

from domain.access import Caller, Context
from domain.attachment import Attachment
from domain.comment import Comment
from domain.ticket import Ticket
from webhook_dispatcher.payloads import TicketStep, event_names, make_message

FILE = Path(__file__).parent / "webhook_bodies_v1.ndjson"
NOON = datetime(2026, 1, 15, 12, 0, 0, 123_000, tzinfo=UTC)
NAMES = {"p1": "Seaside", "p1/u101": 'Unit "101"', "user1": "Jane Smith", "user2": "李 🚰"}


def _context(number: int) -> Context:
    caller = Caller(principal_id="user1", name="Jane", user_id="user1", role="staff", auth="session")
    return Context(caller=caller, command_id=f"command-{number}", request_id=f"request-{number}", at=NOON)


def make_ticket() -> Ticket:
    """A ticket whose pending events are of every kind that version 1 tells about."""
    text = 'First "é" \\ 漢 🚰 \x01'
    ticket = Ticket.open(
        "ticket1",
        _context(1),
        title="Leak \u2028 <b>",
        description=text,
        priority="high",
        category="plumbing",
        property_id="p1",
        unit_id="u101",
        requester_id="user2",
    )
    changes = {"title": "Flood", "description": "", "category": "roof", "priority": "low"}
    ticket.change({**changes, "status": "in_progress", "assignee_id": "user1", "unit_id": None}, _context(2))
    ticket.comment("comment1", text, "public", _context(3))
    comment = Comment(
        id="comment1", text=text, visibility="public", author_id="user1", created_at=NOON, text_version=9
    )
    ticket.edit_comment(comment, "Second", _context(4))
    ticket.remove_comment(comment, _context(5))
    file = Attachment("file1", "été.jpg", "image/jpeg", 10, "0" * 64, NOON, "user1")
    ticket.attach(file, _context(6))
    ticket.remove_file(ticket.find_file("file1"), _context(7))
    ticket.change({"status": "closed"}, _context(8))
    ticket.change({"status": "open", "assignee_id": None}, _context(9))
    ticket.delete(_context(10))
    ticket.restore(_context(11))
    return ticket


def _steps(ticket: Ticket) -> Iterator[TicketStep]:
    before: Ticket | None = None
    for position, event in enumerate(ticket.pending, 1_001):
        after = Ticket.fold(copy(before), [event])
        assert after is not None
        yield TicketStep(position, event, before, copy(after))
        before = after


def version_1_bodies() -> list[bytes]:
    """The bodies that the present code makes."""
    steps = list(_steps(make_ticket()))
    return [make_message(step, name, NAMES).body for step in steps for name in event_names(step.event)]


def stored_bodies() -> list[bytes]:
    return FILE.read_bytes().splitlines()


if __name__ == "__main__":
    FILE.write_bytes(b"\n".join(version_1_bodies()) + b"\n")
