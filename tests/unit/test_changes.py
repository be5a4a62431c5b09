"""Applying the changes of a ticket's history in order gives the state of the ticket."""

from hypothesis import given, settings
from hypothesis import strategies as st

from domain.changes import EXCLUDED_FIELDS, LIST_FIELDS, Change, ticket_changes, ticket_steps
from domain.ticket import Ticket
from tests.support.history import History
from tests.unit.builders import TICKET_FIELDS, context

ATTRIBUTES = {  # of Ticket, by the name that the change has
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
    "tags": "tags",
    "external_ids": "external_ids",
}


def open_ticket():
    return Ticket.open("t1", context(), **TICKET_FIELDS)


@settings(max_examples=150, deadline=None)
@given(seed=st.integers(0, 2**32), steps=st.integers(20, 80))
def test_folding_the_changes_gives_the_ticket(seed, steps):
    history = History(seed)
    by_ticket = {}
    for events in history.grow(steps):
        by_ticket.setdefault(events[0].originator_id, []).extend(events)

    for ticket in history.tickets:
        fields = {}
        events = by_ticket[ticket.id]
        texts = {event.originator_version: getattr(event, "text", None) for event in events}
        for _, changes in ticket_steps(events, texts=texts):
            assert changes
            for name, change in changes.items():
                assert fields.get(name) == change.before
                assert change.before != change.after
                fields[name] = change.after

        assert {name: fields.get(name) for name in ATTRIBUTES} == {
            name: getattr(ticket, attribute) for name, attribute in ATTRIBUTES.items()
        }
        comments = [f for key, f in fields.items() if key.startswith("comments.") and f is not None]
        assert (len(comments), sum(f["visibility"] == "internal" for f in comments)) == (
            ticket.comments_count,
            ticket.internal_comments_count,
        )
        assert [
            (key.removeprefix("attachments."), f["filename"], f["size"], f["sha256"])
            for key, f in fields.items()
            if key.startswith("attachments.") and f is not None
        ] == [(a.id, a.filename, a.size_bytes, a.sha256) for a in ticket.attachments]


def test_every_field_of_a_ticket_is_a_change_unless_it_is_excluded():
    assert set(Ticket.__struct_fields__) >= EXCLUDED_FIELDS | LIST_FIELDS
    for name in set(Ticket.__struct_fields__) - EXCLUDED_FIELDS - LIST_FIELDS:
        before, after = Ticket(id="t1"), Ticket(id="t1")
        setattr(after, name, "another value")
        (change,) = ticket_changes(before, after).values()
        assert change == Change(getattr(before, name), "another value")


def test_every_field_is_null_before_the_ticket_is_opened():
    changes = ticket_changes(None, open_ticket())

    assert changes["title"] == Change(None, "Leak")
    assert changes["deleted"] == Change(None, False)
    assert "unit_id" not in changes


def test_a_field_that_keeps_its_value_is_not_a_change():
    ticket = open_ticket()
    ticket.change({"status": "closed"}, context())

    (_, second) = ticket_steps(ticket.collect_events())

    assert second[1] == {"status": Change("open", "closed")}
