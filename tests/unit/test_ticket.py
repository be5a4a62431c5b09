"""The rules of tickets and the events they record."""

from copy import copy
from datetime import timedelta

import pytest

from domain.attachment import Attachment
from domain.errors import Conflict, PreconditionFailed
from domain.ticket import (
    ATTACHMENTS_PER_TICKET,
    COMMENTS_PER_TICKET,
    Ticket,
    TicketAssigned,
    TicketMoved,
    TicketReopened,
    TicketRequesterChanged,
    TicketResolved,
    TicketStatusChanged,
)
from tests.unit.builders import NOON, TICKET_FIELDS, context

FIELDS = set(Ticket.__struct_fields__) - {"version", "updated_at", "pending"}


def open_ticket():
    ticket = Ticket.open("t1", context(), **TICKET_FIELDS)
    ticket.collect_events()
    return ticket


def test_an_event_records_its_actor_time_and_command():
    command = context(command_id="c-9")

    (event,) = Ticket.open("t1", command, **TICKET_FIELDS).pending

    assert (event.originator_id, event.originator_version, event.occurred_at) == ("t1", 1, NOON)
    assert (event.actor.user_id, event.actor.role, event.actor.auth) == ("u-caller", "admin", "api_key")
    assert (event.actor.credential_id, event.request_id, event.causation_id) == ("key_1", "r-1", "c-9")


def test_assigning_the_same_person_twice_is_recorded_once():
    ticket = open_ticket()

    ticket.change({"assignee_id": "u2"}, context())
    ticket.change({"assignee_id": "u2"}, context())

    assert [type(event) for event in ticket.pending] == [TicketAssigned]
    assert ticket.assignee_id == "u2"


def test_an_assignee_of_none_removes_the_assignee():
    ticket = open_ticket()
    ticket.change({"assignee_id": "u2"}, context())

    ticket.change({"assignee_id": None}, context())

    assert ticket.assignee_id is None


@pytest.mark.parametrize(
    ("before", "after", "recorded"),
    [
        ("open", "open", []),
        ("open", "in_progress", [TicketStatusChanged]),
        ("open", "closed", [TicketResolved]),
        ("in_progress", "open", [TicketStatusChanged]),
        ("in_progress", "in_progress", []),
        ("in_progress", "closed", [TicketResolved]),
        ("closed", "open", [TicketReopened]),
        ("closed", "in_progress", [TicketReopened]),
        ("closed", "closed", []),
    ],
)
def test_any_status_may_follow_any_other_and_closing_and_reopening_have_their_own_events(
    before, after, recorded
):
    ticket = open_ticket()
    ticket.change({"status": before}, context())
    ticket.collect_events()

    ticket.change({"status": after}, context())

    assert ticket.status == after
    assert [type(event) for event in ticket.pending] == recorded


def test_changing_to_the_present_values_records_nothing():
    ticket = open_ticket()

    ticket.change({**TICKET_FIELDS, "status": "open", "assignee_id": None}, context())
    ticket.restore(context())

    assert ticket.pending == []


OTHER = {
    "title": "Flood",
    "description": "Everywhere",
    "status": "closed",
    "priority": "low",
    "category": "pests",
    "assignee_id": "u2",
    "property_id": "p2",
    "unit_id": "unit9",
    "tags": ("urgent",),
    "external_ids": {"sap": "4711"},
    "requester_id": "u2",
}


@pytest.mark.parametrize("field", OTHER)
def test_a_change_of_one_field_is_one_event_and_does_not_affect_other_fields(field):
    ticket = open_ticket()
    before = copy(ticket)

    ticket.change({field: OTHER[field]}, context())

    assert len(ticket.pending) == 1
    assert {name for name in FIELDS if getattr(ticket, name) != getattr(before, name)} == {field}
    assert getattr(ticket, field) == OTHER[field]


def test_the_changes_of_one_command_are_recorded_in_the_same_order_every_time():
    ticket = open_ticket()

    ticket.change(dict(reversed(OTHER.items())), context())

    assert [event.tag.removeprefix("ticket.") for event in ticket.pending] == [
        "title_changed",
        "description_changed",
        "category_changed",
        "priority_changed",
        "tags_changed",
        "external_ids_changed",
        "moved",
        "requester_changed",
        "assigned",
        "resolved",
    ]


def test_tags_are_sorted_and_without_duplicates_so_that_their_order_makes_no_change():
    ticket = Ticket.open("t1", context(), **TICKET_FIELDS, tags=("vip", "urgent", "vip"))
    ticket.collect_events()

    ticket.change({"tags": ("urgent", "vip", "urgent")}, context())

    assert (ticket.tags, ticket.pending) == (("urgent", "vip"), [])


def test_a_new_requester_is_recorded_with_the_former_one():
    ticket = open_ticket()

    ticket.change({"requester_id": "u2"}, context())

    (event,) = ticket.pending
    assert isinstance(event, TicketRequesterChanged)
    assert (event.requester_id, event.former_requester_id) == ("u2", "u1")


def test_moving_to_a_unit_keeps_the_property():
    ticket = open_ticket()

    ticket.change({"unit_id": "unit9"}, context())

    (event,) = ticket.pending
    assert isinstance(event, TicketMoved)
    assert (ticket.property_id, ticket.unit_id) == ("p1", "unit9")


def test_times_of_events_never_decrease_within_a_ticket():
    ticket = open_ticket()

    ticket.change({"title": "Flood"}, context(at=NOON - timedelta(hours=1)))

    assert ticket.pending[0].occurred_at == NOON


def test_a_ticket_deleted_twice_is_recorded_once_and_can_be_restored():
    ticket = open_ticket()
    ticket.delete(context())
    ticket.delete(context())
    assert (ticket.is_deleted, len(ticket.pending)) == (True, 1)

    ticket.restore(context())

    assert ticket.is_deleted is False


def test_the_twenty_first_attachment_is_refused():
    ticket = open_ticket()
    for number in range(ATTACHMENTS_PER_TICKET):
        ticket.attach(Attachment(f"a{number}", "a.txt", "text/plain", 1, "00", NOON), context())

    with pytest.raises(Conflict):
        ticket.require_room_for_files()


def test_the_ten_thousandth_comment_is_the_last():
    ticket = open_ticket()
    ticket.comment("c0", "Hello", "public", context())
    ticket.comments_count += COMMENTS_PER_TICKET - 2
    ticket.comment("c1", "Hello", "public", context())

    with pytest.raises(Conflict):
        ticket.comment("c2", "Hello", "public", context())


def test_a_version_other_than_the_expected_one_is_refused():
    ticket = open_ticket()
    ticket.require_version(None)
    ticket.require_version(frozenset({1, 7}))

    with pytest.raises(PreconditionFailed, match='"1"'):
        ticket.require_version(frozenset({2}))


def test_folding_the_events_gives_the_same_ticket():
    ticket = Ticket.open("t1", context(), **TICKET_FIELDS)
    ticket.comment("c1", "On my way.", "public", context())
    ticket.change({"assignee_id": "u2"}, context())
    ticket.change({"status": "closed"}, context())
    events = ticket.collect_events()

    assert Ticket.fold(None, events) == ticket
