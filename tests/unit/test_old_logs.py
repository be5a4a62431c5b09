"""Logs from before `ticket.resolved` and `ticket.reopened` existed have the same effect as newer logs.

In an old log, every change of the status is a `ticket.status_changed`.
"""

import pytest

from domain.changes import ticket_changes
from domain.ticket import Ticket, TicketReopened, TicketResolved, TicketStatusChanged
from event_stream.envelope import to_record
from infrastructure.storage.event_store import decode, encode
from infrastructure.storage.recorder import StoredRow
from tests.golden.__main__ import golden_files
from tests.unit.builders import TICKET_FIELDS, context
from webhook_dispatcher.payloads import TicketStep, causes, event_names, make_message

STEPS = {  # the status before, the event in an old log, and the event that is recorded today
    "closing": ("in_progress", (TicketStatusChanged, {"status": "closed"}), (TicketResolved, {})),
    "reopening": (
        "closed",
        (TicketStatusChanged, {"status": "open"}),
        (TicketReopened, {"status": "open"}),
    ),
}


def step_of(status, event_type, facts):
    """The step from a ticket with that status by this event, which is read from its stored form."""
    ticket = Ticket.open("t1", context(), **TICKET_FIELDS)
    ticket.change({"status": status}, context())
    before = Ticket.fold(None, ticket.collect_events())
    ticket.record(event_type, context(command_id="c-1"), **facts)
    (event,) = ticket.collect_events()
    return TicketStep(7, decode(encode(event)), before, ticket)


@pytest.mark.parametrize("step", STEPS)
def test_an_old_status_change_folds_and_is_posted_like_the_event_of_today(step):
    status, before, today = STEPS[step]
    old, new = step_of(status, *before), step_of(status, *today)

    assert Ticket.fold(old.before, [old.event]) == Ticket.fold(new.before, [new.event])
    assert ticket_changes(old.before, old.after) == ticket_changes(new.before, new.after)
    assert event_names(old.event) == event_names(new.event)
    for name in event_names(new.event):
        assert make_message(old, name, {}) == make_message(new, name, {})


def test_a_stored_change_to_closed_is_published_unchanged():
    """The golden event is older than `ticket.resolved`."""
    path, *_ = golden_files("ticket.status_changed")
    stored = path.read_bytes()

    event = decode(stored)

    assert isinstance(event, TicketStatusChanged)
    assert event.status == "closed"
    assert event_names(event) == ("ticket.updated", "ticket.resolved")
    record = to_record(StoredRow(7, event.originator_id, 2, event.tag, stored), source="http://x")
    assert record.value == stored
    assert dict(record.headers)["ce_type"] == b"ticket.status_changed"


def test_every_webhook_event_is_among_those_that_the_stored_event_may_cause():
    pairs = set(causes())
    events = [decode(path.read_bytes()) for path in golden_files("ticket.*")]

    assert len(events) > 15
    for event in events:
        for name in event_names(event):
            assert (name, event.__struct_config__.tag) in pairs
