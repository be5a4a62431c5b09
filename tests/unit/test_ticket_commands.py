"""Commands on tickets: roles, reach, order of checks, retries. The log is in memory."""

import pytest

from api.http.sent_values import SentValues
from commands import tickets
from commands.erasure import erase_user
from commands.ticket_opening import open_ticket
from commands.tickets import NewTicket, TicketChanges, attach_file, delete_ticket, restore_ticket
from commands.values import ValidValues
from domain.aggregate import own_fields
from domain.attachment import Attachment
from domain.changes import PUBLIC_NAMES
from domain.errors import Forbidden, Invalid, NotFound, PreconditionFailed
from domain.ticket import Ticket, TicketOpened
from infrastructure.storage.event_store import EventStore, VersionConflict
from tests.support.arrange import (
    add_unit,
    change_ticket,
    change_user,
    comment_on_ticket,
    register_property,
    register_user,
)
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
    defaults = {"title": "Leak", "description": "", "priority": "high", "category": "plumbing"}
    return ValidValues(NewTicket(**{**defaults, "property_id": "p1", **facts}))


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


def test_a_unit_that_the_property_lacks_is_refused(store):
    with pytest.raises(Invalid) as refused:
        open_ticket(store, leak(unit_id="unit9"), context(STAFF))

    assert list(refused.value.details) == ["unit_id"]


def test_the_id_of_a_user_is_not_accepted_as_a_property(store):
    with pytest.raises(Invalid):
        open_ticket(store, leak(property_id="u-staff"), context())


def test_foreign_absent_and_deleted_tickets_are_refused_with_one_message(store):
    foreign = open_ticket(store, leak(property_id="p2"), context())
    deleted = open_ticket(store, leak(), context())
    delete_ticket(store, deleted.id, context())

    messages = set()
    for ticket_id in (foreign.id, deleted.id, "absent"):
        with pytest.raises(NotFound) as refused:
            change_ticket(store, ticket_id, context(STAFF), status="closed")
        messages.add(str(refused.value))

    assert len(messages) == 1


def test_a_guest_sees_only_tickets_they_requested(store):
    mine = open_ticket(store, leak(), context(GUEST))
    theirs = open_ticket(store, leak(), context(STAFF))

    assert change_ticket(store, mine.id, context(GUEST), status="closed").status == "closed"
    with pytest.raises(NotFound):
        change_ticket(store, theirs.id, context(GUEST), status="closed")


@pytest.mark.parametrize(
    "changes", [{"title": "Flood"}, {"status": "in_progress"}, {"status": "closed", "priority": "low"}]
)
def test_a_guest_may_only_close_and_reopen(store, changes):
    ticket = open_ticket(store, leak(), context(GUEST))

    with pytest.raises(Forbidden):
        change_ticket(store, ticket.id, context(GUEST), **changes)


def test_a_guest_may_not_set_tags(store):
    with pytest.raises(Forbidden):
        open_ticket(store, leak(tags=("vip",)), context(GUEST))

    assert open_ticket(store, leak(tags=("vip",)), context(STAFF)).tags == ("vip",)


def test_only_managers_move_tickets_between_properties(store):
    ticket = open_ticket(store, leak(), context())

    with pytest.raises(Forbidden):
        change_ticket(store, ticket.id, context(STAFF), property_id="p2")
    with pytest.raises(Invalid):
        change_ticket(store, ticket.id, context(MANAGER), property_id="p2")
    assert change_ticket(store, ticket.id, context(), property_id="p2").property_id == "p2"


def test_only_managers_change_the_requester_of_a_ticket_they_see(store):
    ticket = open_ticket(store, leak(), context(GUEST))
    deleted = open_ticket(store, leak(), context(GUEST))
    delete_ticket(store, deleted.id, context())

    for by, ticket_id, refusal in (
        (FOREIGN_STAFF, ticket.id, NotFound),
        (MANAGER, deleted.id, NotFound),
        (GUEST, ticket.id, Forbidden),
        (STAFF, ticket.id, Forbidden),
    ):
        with pytest.raises(refusal):
            change_ticket(store, ticket_id, context(by), frozenset({9}), requester_id="nobody")
    with pytest.raises(PreconditionFailed):
        change_ticket(store, ticket.id, context(MANAGER), frozenset({9}), requester_id="nobody")
    with pytest.raises(Invalid):
        change_ticket(store, ticket.id, context(MANAGER), frozenset({1}), requester_id="nobody")
    changed = change_ticket(store, ticket.id, context(MANAGER), frozenset({1}), requester_id="u-staff")
    assert (changed.requester_id, changed.version) == ("u-staff", 2)
    assert change_ticket(store, ticket.id, context(MANAGER), requester_id="u-staff").version == 2


@pytest.mark.parametrize("requester_id", ["u-foreign", "u-left", "u-erased", "u-boss", "p1", "absent", ""])
def test_a_new_requester_is_an_active_person_of_the_property_within_reach(store, requester_id):
    register_user(store, "u-left", context(), property_ids=("p1",))
    change_user(store, "u-left", context(), active=False)
    register_user(store, "u-erased", context(), property_ids=("p1",))
    erase_user(store, "u-erased", context())
    register_user(store, "u-boss", context(), role="admin")
    ticket = open_ticket(store, leak(), context(GUEST))

    with pytest.raises(Invalid) as refused:
        change_ticket(store, ticket.id, context(MANAGER), requester_id=requester_id)

    assert refused.value.details == {"requester_id": [tickets.NOT_A_REQUESTER]}


def test_an_admin_may_become_the_requester_and_a_move_is_decided_with_the_new_property(store):
    register_user(store, "u-boss", context(), role="admin")
    ticket = open_ticket(store, leak(), context(GUEST))

    assert change_ticket(store, ticket.id, context(), requester_id="u-boss").requester_id == "u-boss"
    with pytest.raises(Invalid):
        change_ticket(store, ticket.id, context(), requester_id="u-guest", property_id="p2")
    moved = change_ticket(store, ticket.id, context(), requester_id="u-foreign", property_id="p2")
    assert (moved.requester_id, moved.property_id) == ("u-foreign", "p2")


def test_a_former_requester_who_is_a_guest_sees_the_ticket_no_more_and_the_new_one_does(store):
    other = caller("guest", user_id="u-tenant", reach=["p1"])
    register_user(store, "u-tenant", context(), role="guest", property_ids=("p1",))
    ticket = open_ticket(store, leak(), context(GUEST))

    change_ticket(store, ticket.id, context(MANAGER), requester_id="u-tenant")

    with pytest.raises(NotFound):
        comment_on_ticket(store, ticket.id, context(GUEST))
    assert comment_on_ticket(store, ticket.id, context(other)).comments_count == 1


def test_a_move_that_leaves_the_unit_or_the_assignee_behind_is_refused(store):
    command = leak(unit_id="unit1")
    ticket = open_ticket(store, command, context())
    change_ticket(store, ticket.id, context(), assigned_to="u-staff")

    with pytest.raises(Invalid) as refused:
        change_ticket(store, ticket.id, context(), property_id="p2")
    assert set(refused.value.details) == {"unit_id", "assigned_to"}

    moved = change_ticket(
        store, ticket.id, context(), property_id="p2", unit_id=None, assigned_to="u-foreign"
    )
    assert (moved.property_id, moved.unit_id, moved.assignee_id) == ("p2", None, "u-foreign")


@pytest.mark.parametrize("user_id", ["u-foreign", "u-guest", "absent", "p1"])
def test_only_users_who_may_work_on_the_property_can_be_assigned(store, user_id):
    ticket = open_ticket(store, leak(), context())

    with pytest.raises(Invalid) as refused:
        change_ticket(store, ticket.id, context(), assigned_to=user_id)

    assert refused.value.details == {"assigned_to": ["No user with that id may work on this property."]}


def test_a_change_to_the_present_values_saves_nothing(store):
    ticket = open_ticket(store, leak(), context())

    unchanged = change_ticket(store, ticket.id, context(), title="Leak", status="open")

    assert (unchanged.version, unchanged.position) == (1, 0)


def test_the_version_is_checked_after_the_role_and_before_the_values(store):
    ticket = open_ticket(store, leak(), context())
    stale = frozenset({7})

    with pytest.raises(PreconditionFailed):
        change_ticket(store, ticket.id, context(), expected_versions=stale, assigned_to="absent")
    with pytest.raises(Forbidden):
        delete_ticket(store, ticket.id, context(STAFF), stale)


def test_values_are_checked_last_and_all_bad_ones_are_named(store):
    ticket = open_ticket(store, leak(), context(GUEST))
    sent = SentValues({"title": "", "assigned_to": "absent"}, TicketChanges)

    def refused(kind, by, expected_versions=None):
        with pytest.raises(kind) as refusal:
            tickets.change_ticket(store, ticket.id, sent, context(by), expected_versions)
        return refusal.value

    refused(NotFound, FOREIGN_STAFF, frozenset({7}))
    refused(Forbidden, GUEST, frozenset({7}))
    refused(PreconditionFailed, STAFF, frozenset({7}))
    assert list(refused(Invalid, STAFF).details) == ["title", "assigned_to"]


def test_a_bad_field_of_a_new_ticket_does_not_hide_an_unknown_unit(store):
    sent = SentValues({"title": "", "property_id": "p1", "unit_id": "unit9"}, NewTicket)

    with pytest.raises(Invalid) as refused:
        open_ticket(store, sent, context(STAFF))

    assert set(refused.value.details) == {"title", "unit_id"}


def test_a_new_ticket_has_the_fields_that_its_first_event_records():
    assert set(NewTicket.__struct_fields__) == set(own_fields(TicketOpened))


def test_every_field_that_a_client_may_change_has_an_event_that_changes_it():
    changed = {field for event_type in Ticket.field_changes for field in own_fields(event_type)}

    assert {PUBLIC_NAMES.get(field, field) for field in changed | {"status", "assignee_id"}} == set(
        TicketChanges.__struct_fields__
    )


def test_staff_may_not_delete_and_only_an_admin_restores(store):
    ticket = open_ticket(store, leak(), context())
    with pytest.raises(Forbidden):
        delete_ticket(store, ticket.id, context(STAFF))
    with pytest.raises(Forbidden):
        restore_ticket(store, ticket.id, context(MANAGER))

    delete_ticket(store, ticket.id, context(MANAGER))

    with pytest.raises(NotFound):
        restore_ticket(store, ticket.id, context(MANAGER))
    assert restore_ticket(store, ticket.id, context()).is_deleted is False


def test_guests_comment_in_public_only(store):
    ticket = open_ticket(store, leak(), context(GUEST))

    with pytest.raises(Forbidden):
        comment_on_ticket(store, ticket.id, context(GUEST), text="Hm", visibility="internal")
    commented = comment_on_ticket(store, ticket.id, context(GUEST, command_id="c-77"), text="Hello")

    assert commented.comments_count == 1


def test_every_caller_who_sees_the_ticket_can_attach_a_file(store):
    ticket = open_ticket(store, leak(), context(GUEST))
    file = Attachment("a1", "leak.jpg", "image/jpeg", 10, "00", NOON, author_id="u-guest")

    attached = attach_file(store, ticket.id, file, context(GUEST))

    assert attached.attachments == (file,)
    with pytest.raises(NotFound):
        attach_file(store, ticket.id, file, context(FOREIGN_STAFF))


def test_a_retried_command_returns_its_first_result(store):
    first = open_ticket(store, leak(), context(STAFF, command_id="c-1"))
    again = open_ticket(store, leak(), context(STAFF, command_id="c-1", is_retry=True))
    assert (again.id, again.version) == (first.id, 1)

    change_ticket(store, first.id, context(STAFF, command_id="c-2"), status="closed")
    change_ticket(store, first.id, context(STAFF), status="open")
    retry = context(STAFF, command_id="c-2", is_retry=True)
    repeated = change_ticket(store, first.id, retry, status="closed")

    assert (repeated.status, repeated.version) == ("closed", 2)
    assert store.load(Ticket, first.id).version == 3


def test_a_retry_succeeds_despite_later_changes(store):
    opened = open_ticket(store, leak(), context(MANAGER, command_id="c-1"))
    moved = caller("manager", user_id="u-manager", reach=["p2"])
    again = open_ticket(store, leak(), context(moved, command_id="c-1", is_retry=True))
    assert (again.id, again.version) == (opened.id, 1)

    delete_ticket(store, opened.id, context())
    restore_ticket(store, opened.id, context(command_id="c-2"))
    delete_ticket(store, opened.id, context())
    restore_ticket(store, opened.id, context(command_id="c-2", is_retry=True))
    assert store.load(Ticket, opened.id).is_deleted


def test_two_changes_of_different_fields_both_survive(store):
    ticket = open_ticket(store, leak(), context())
    stale = store.load(Ticket, ticket.id)
    change_ticket(store, ticket.id, context(), title="Flood")

    stale.change({"priority": "low"}, context())
    with pytest.raises(VersionConflict):
        store.save(stale)
    change_ticket(store, ticket.id, context(), priority="low")

    merged = store.load(Ticket, ticket.id)
    assert (merged.title, merged.priority) == ("Flood", "low")
