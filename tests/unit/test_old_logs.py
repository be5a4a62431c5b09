"""Logs from before `ticket.resolved` and `ticket.reopened`: there, every change of the status is a
`ticket.status_changed`. Such a log means the same as one of today."""

import pytest

from domain.changes import ticket_changes
from domain.ticket import Ticket, TicketReopened, TicketResolved, TicketStatusChanged
from event_stream.envelope import to_record
from infrastructure.storage.event_store import decode, encode
from infrastructure.storage.recorder import StoredRow
from tests.golden.__main__ import kept
from tests.unit.builders import TICKET_FIELDS, context
from webhook_dispatcher.payloads import TicketStep, event_names, make_message

STEPS = {
    "closing": ("in_progress", (TicketStatusChanged, {"status": "closed"}), (TicketResolved, {})),
    "reopening": (
        "closed",
        (TicketStatusChanged, {"status": "open"}),
        (TicketReopened, {"status": "open"}),
    ),
}


def step_of(status, event_type, facts):
    """A ticket with that status, and the event as it is read from the log."""
    ticket = Ticket.open("t1", context(), **TICKET_FIELDS)
    ticket.change({"status": status}, context())
    before = Ticket.fold(None, ticket.collect_events())
    ticket.record(event_type, context(command_id="c-1"), **facts)
    (event,) = ticket.collect_events()
    return TicketStep(7, decode(encode(event)), before, ticket)


@pytest.mark.parametrize("step", STEPS)
def test_an_old_change_of_the_status_folds_and_is_posted_as_today(step):
    status, before, today = STEPS[step]
    old, new = step_of(status, *before), step_of(status, *today)

    assert Ticket.fold(old.before, [old.event]) == Ticket.fold(new.before, [new.event])
    assert ticket_changes(old.before, old.after) == ticket_changes(new.before, new.after)
    assert event_names(old.event) == event_names(new.event)
    for name in event_names(new.event):
        assert make_message(old, name, {}) == make_message(new, name, {})


def test_a_stored_change_to_closed_is_read_and_published_as_it_was_stored():
    """The golden file is from before the new types."""
    (path,) = kept("ticket.status_changed")
    stored = path.read_bytes()

    event = decode(stored)

    assert isinstance(event, TicketStatusChanged)
    assert event.status == "closed"
    assert event_names(event) == ("ticket.updated", "ticket.resolved")
    record = to_record(StoredRow(7, event.originator_id, 2, event.tag, stored), source="http://x")
    assert record.value == stored
    assert dict(record.headers)["ce_type"] == b"ticket.status_changed"
