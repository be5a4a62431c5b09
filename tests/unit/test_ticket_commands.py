"""Commands against an in-memory log: roles, reach, order of checks, retries."""

import pytest

from commands.ticket_opening import OpenTicket, open_ticket
from commands.tickets import (
    AttachFile,
    ChangeTicket,
    CommentOnTicket,
    DeleteTicket,
    RestoreTicket,
    attach_file,
    change_ticket,
    comment_on_ticket,
    delete_ticket,
    restore_ticket,
)
from domain.errors import Conflict, Forbidden, Invalid, NotFound, PreconditionFailed
from domain.ticket import Attachment, Ticket
from infrastructure.storage.event_store import EventStore, VersionConflict, decide
from tests.support.arrange import add_unit, register_property, register_user
from tests.unit.builders import NOON, caller, context

MANAGER = caller("manager", user_id="u-manager", reach=["p1"])
STAFF = caller("staff", user_id="u-staff", reach=["p1"])
FOREIGN_STAFF = caller("staff", user_id="u-foreign", reach=["p2"])
GUEST = caller("guest", user_id="u-guest", reach=["p1"])


@pytest.fixture
def store():
    store = EventStore()
    for property_id in ("p1", "p2"):
        register_property(store, property_id, context(), name="Seaside")
    add_unit(store, "p1", "unit1", context(), name="Unit 101")
    for user_id, role, property_ids in (
        ("u-staff", "staff", ("p1",)),
        ("u-foreign", "staff", ("p2",)),
        ("u-guest", "guest", ("p1",)),
    ):
        register_user(
            store,
            user_id,
            context(),
            name=user_id,
            email="a@example.com",
            role=role,
            property_ids=property_ids,
        )
    return store


def leak(**facts):
    given = {"title": "Leak", "description": "", "priority": "high", "category": "plumbing"}
    return OpenTicket(**{**given, "property_id": "p1", **facts})


def change(ticket, **changes):
    return ChangeTicket(ticket_id=ticket.id, **changes)


def test_the_requester_is_the_caller(store):
    ticket = open_ticket(store, leak(), context(GUEST))

    assert ticket.requester_id == "u-guest"


def test_a_manager_may_name_the_requester_and_staff_may_not(store):
    ticket = open_ticket(store, leak(requester_id="u-guest"), context(MANAGER))
    assert ticket.requester_id == "u-guest"

    with pytest.raises(Forbidden):
        open_ticket(store, leak(requester_id="u-guest"), context(STAFF))


def test_an_absent_and_a_foreign_property_are_refused_alike(store):
    refusals = []
    for property_id in ("p2", "nowhere"):
        with pytest.raises(Invalid) as refused:
            open_ticket(store, leak(property_id=property_id), context(STAFF))
        refusals.append(refused.value.details)

    assert refusals[0] == refusals[1]
    assert list(refusals[0]) == ["property_id"]


def test_a_unit_of_no_such_property_is_refused(store):
    with pytest.raises(Invalid) as refused:
        open_ticket(store, leak(unit_id="unit9"), context(STAFF))

    assert list(refused.value.details) == ["unit_id"]


def test_a_user_id_is_no_property(store):
    with pytest.raises(Invalid):
        open_ticket(store, leak(property_id="u-staff"), context())


def test_foreign_absent_and_deleted_tickets_cannot_be_told_apart(store):
    foreign = open_ticket(store, leak(property_id="p2"), context())
    deleted = open_ticket(store, leak(), context())
    delete_ticket(store, DeleteTicket(ticket_id=deleted.id), context())

    messages = set()
    for ticket_id in (foreign.id, deleted.id, "absent"):
        with pytest.raises(NotFound) as refused:
            change_ticket(store, ChangeTicket(ticket_id=ticket_id, status="closed"), context(STAFF))
        messages.add(str(refused.value))

    assert len(messages) == 1


def test_a_guest_sees_only_tickets_they_requested(store):
    mine = open_ticket(store, leak(), context(GUEST))
    theirs = open_ticket(store, leak(), context(STAFF))

    assert change_ticket(store, change(mine, status="closed"), context(GUEST)).status == "closed"
    with pytest.raises(NotFound):
        change_ticket(store, change(theirs, status="closed"), context(GUEST))


@pytest.mark.parametrize(
    "changes", [{"title": "Flood"}, {"status": "in_progress"}, {"status": "closed", "priority": "low"}]
)
def test_a_guest_may_only_close_and_reopen(store, changes):
    ticket = open_ticket(store, leak(), context(GUEST))

    with pytest.raises(Forbidden):
        change_ticket(store, change(ticket, **changes), context(GUEST))


def test_only_managers_move_tickets_between_properties(store):
    ticket = open_ticket(store, leak(), context())

    with pytest.raises(Forbidden):
        change_ticket(store, change(ticket, property_id="p2"), context(STAFF))
    with pytest.raises(Invalid):
        change_ticket(store, change(ticket, property_id="p2"), context(MANAGER))
    assert change_ticket(store, change(ticket, property_id="p2"), context()).property_id == "p2"


def test_a_move_that_leaves_the_unit_or_the_assignee_behind_is_refused(store):
    command = leak(unit_id="unit1")
    ticket = open_ticket(store, command, context())
    change_ticket(store, change(ticket, assigned_to="u-staff"), context())

    with pytest.raises(Invalid) as refused:
        change_ticket(store, change(ticket, property_id="p2"), context())
    assert set(refused.value.details) == {"unit_id", "assigned_to"}

    moved = change_ticket(
        store, change(ticket, property_id="p2", unit_id=None, assigned_to="u-foreign"), context()
    )
    assert (moved.property_id, moved.unit_id, moved.assignee_id) == ("p2", None, "u-foreign")


@pytest.mark.parametrize("user_id", ["u-foreign", "u-guest", "absent", "p1"])
def test_only_people_who_may_work_on_the_property_are_assigned(store, user_id):
    ticket = open_ticket(store, leak(), context())

    with pytest.raises(Invalid) as refused:
        change_ticket(store, change(ticket, assigned_to=user_id), context())

    assert refused.value.details == {"assigned_to": ["No user with that id may work on this property."]}


def test_a_change_of_nothing_saves_nothing(store):
    ticket = open_ticket(store, leak(), context())

    unchanged = change_ticket(store, change(ticket, title="Leak", status="open"), context())

    assert (unchanged.version, unchanged.position) == (1, 0)


def test_a_stale_version_comes_after_the_role_and_before_the_values(store):
    ticket = open_ticket(store, leak(), context())
    stale = frozenset({7})

    with pytest.raises(PreconditionFailed):
        change_ticket(store, change(ticket, expected_versions=stale, assigned_to="absent"), context())
    with pytest.raises(Forbidden):
        delete_ticket(store, DeleteTicket(ticket_id=ticket.id, expected_versions=stale), context(STAFF))


def test_staff_may_not_delete_and_only_an_admin_restores(store):
    ticket = open_ticket(store, leak(), context())
    with pytest.raises(Forbidden):
        delete_ticket(store, DeleteTicket(ticket_id=ticket.id), context(STAFF))
    with pytest.raises(Forbidden):
        restore_ticket(store, RestoreTicket(ticket_id=ticket.id), context(MANAGER))

    delete_ticket(store, DeleteTicket(ticket_id=ticket.id), context(MANAGER))

    with pytest.raises(NotFound):
        restore_ticket(store, RestoreTicket(ticket_id=ticket.id), context(MANAGER))
    assert restore_ticket(store, RestoreTicket(ticket_id=ticket.id), context()).is_deleted is False


def test_guests_comment_in_public_only(store):
    ticket = open_ticket(store, leak(), context(GUEST))

    with pytest.raises(Forbidden):
        comment_on_ticket(
            store, CommentOnTicket(ticket_id=ticket.id, text="Hm", visibility="internal"), context(GUEST)
        )
    commented = comment_on_ticket(
        store, CommentOnTicket(ticket_id=ticket.id, text="Hello"), context(GUEST, command_id="c-77")
    )

    assert [(comment.id, comment.author_id) for comment in commented.comments] == [("c-77", "u-guest")]


def test_a_file_can_be_attached_by_whoever_sees_the_ticket(store):
    ticket = open_ticket(store, leak(), context(GUEST))
    file = Attachment("a1", "leak.jpg", "image/jpeg", 10, "00", NOON)

    attached = attach_file(store, AttachFile(ticket_id=ticket.id, attachment=file), context(GUEST))

    assert attached.attachments == (file,)
    with pytest.raises(NotFound):
        attach_file(store, AttachFile(ticket_id=ticket.id, attachment=file), context(FOREIGN_STAFF))


def test_a_retried_command_finds_what_it_did_before(store):
    first = open_ticket(store, leak(), context(STAFF, command_id="c-1"))
    again = open_ticket(store, leak(), context(STAFF, command_id="c-1", is_retry=True))
    assert (again.id, again.version) == (first.id, 1)

    command = change(first, status="closed")
    change_ticket(store, command, context(STAFF, command_id="c-2"))
    change_ticket(store, change(first, status="open"), context(STAFF))
    repeated = change_ticket(store, command, context(STAFF, command_id="c-2", is_retry=True))

    assert (repeated.status, repeated.version) == ("closed", 2)
    assert store.load(Ticket, first.id).version == 3


def test_a_retry_is_not_judged_by_what_has_changed_since_it_was_carried_out(store):
    opened = open_ticket(store, leak(), context(MANAGER, command_id="c-1"))
    moved = caller("manager", user_id="u-manager", reach=["p2"])
    again = open_ticket(store, leak(), context(moved, command_id="c-1", is_retry=True))
    assert (again.id, again.version) == (opened.id, 1)

    delete_ticket(store, DeleteTicket(ticket_id=opened.id), context())
    restore_ticket(store, RestoreTicket(ticket_id=opened.id), context(command_id="c-2"))
    delete_ticket(store, DeleteTicket(ticket_id=opened.id), context())
    restore_ticket(store, RestoreTicket(ticket_id=opened.id), context(command_id="c-2", is_retry=True))
    assert store.load(Ticket, opened.id).is_deleted


def test_a_lost_race_is_decided_again_three_times_and_then_refused():
    attempts = []

    def loses():
        attempts.append(1)
        raise VersionConflict("t1")

    with pytest.raises(Conflict):
        decide(EventStore(), "t1", loses)
    assert len(attempts) == 3


def test_two_changes_of_different_fields_both_survive(store):
    ticket = open_ticket(store, leak(), context())
    stale = store.load(Ticket, ticket.id)
    change_ticket(store, change(ticket, title="Flood"), context())

    stale.change({"priority": "low"}, context())
    with pytest.raises(VersionConflict):
        store.save(stale)
    change_ticket(store, change(ticket, priority="low"), context())

    merged = store.load(Ticket, ticket.id)
    assert (merged.title, merged.priority) == ("Flood", "low")
