"""Loading and saving aggregates on real PostgreSQL."""

from __future__ import annotations

from datetime import datetime
from types import UnionType
from typing import Literal, Union, get_args, get_origin

import msgspec
import pytest

from commands.ticket_opening import open_ticket
from commands.tickets import NewTicket
from commands.values import ValidValues
from domain.aggregate import Aggregate
from domain.errors import Invalid, NotFound
from domain.property import Property
from domain.ticket import Ticket
from infrastructure.storage import snapshots
from infrastructure.storage.event_store import EventStore, VersionConflict
from infrastructure.storage.recorder import OutOfDate
from tests.support.arrange import add_unit, change_user, register_property, register_user
from tests.support.vault import VAULT
from tests.unit.builders import NOON, OCEAN_DRIVE, caller, context


def a_ticket(ticket_id="t1", *, title="A leaking tap", command_id=None):
    return Ticket.open(
        ticket_id,
        context(command_id=command_id),
        title=title,
        description="",
        priority="medium",
        category="general",
        property_id="p1",
        unit_id=None,
        requester_id="u1",
    )


@pytest.fixture
def elsewhere(pool):
    """The store of another process."""
    return EventStore(pool, VAULT)


@pytest.fixture
def fetched(store, monkeypatch):
    """How many rows each load took from the database."""
    counts = []
    select_states = store.recorder.select_states

    def counting(aggregate_id, after):
        states = select_states(aggregate_id, after)
        counts.append(len(states))
        return states

    monkeypatch.setattr(store.recorder, "select_states", counting)
    return counts


def test_what_was_saved_is_loaded(store, elsewhere):
    ticket = a_ticket()
    ticket.change({"title": "Water everywhere"}, context())
    store.save(ticket)

    loaded = elsewhere.load(Ticket, "t1")

    assert (loaded.title, loaded.version, loaded.created_at) == ("Water everywhere", 2, NOON)
    assert loaded.pending == []


def test_what_is_not_there_or_of_another_kind_is_not_found(store):
    store.save(a_ticket())

    for kind, aggregate_id in ((Ticket, "t2"), (Property, "t1")):
        assert store.find(kind, aggregate_id) is None
        with pytest.raises(NotFound):
            store.load(kind, aggregate_id)


def test_what_others_wrote_since_is_loaded_and_nothing_else_fetched(store, elsewhere, fetched):
    store.save(a_ticket())
    store.load(Ticket, "t1")
    ticket = elsewhere.load(Ticket, "t1")
    ticket.change({"title": "Changed elsewhere"}, context())
    ticket.change({"status": "closed"}, context())
    elsewhere.save(ticket)

    versions = [store.load(Ticket, "t1").version for _ in range(2)]

    assert versions == [3, 3]
    assert fetched == [1, 3, 1]  # the whole; the last known and two new ones; the last known


def test_two_aggregates_are_found_in_one_round_trip_as_each_would_be_alone(store, elsewhere, fetched):
    store.save(a_ticket())
    place = Property.register("p1", context(), name="Seaside", address=OCEAN_DRIVE)
    store.save(place)
    assert store.find_both(Property, "p1", Ticket, "t2") == (elsewhere.load(Property, "p1"), None)

    place.add_unit("unit1", "Unit 101", context())
    elsewhere.save(place)

    for _ in range(2):
        found, ticket = store.find_both(Property, "p1", Ticket, "t1")
        assert (found.units, found.version) == ({"unit1": "Unit 101"}, 2)
        assert (ticket.title, ticket.version) == ("A leaking tap", 1)
    assert store.find_both(Property, "t1", Ticket, "t1") == (None, ticket)
    assert fetched == []  # nothing was asked for one by one


def test_an_aggregate_that_came_to_be_after_it_was_asked_for_is_found(store, elsewhere):
    assert store.find(Ticket, "t1") is None

    elsewhere.save(a_ticket())

    assert store.load(Ticket, "t1").version == 1


@pytest.mark.parametrize("kind", Aggregate.__subclasses__())
def test_the_fields_of_an_aggregate_can_be_copied(kind):
    """They hold immutable values, or flat lists and dicts of them: what a snapshot's copy relies on."""
    for field in msgspec.structs.fields(kind):
        inner = get_args(field.type) if get_origin(field.type) in (list, dict) else [field.type]
        assert all(is_immutable(type_) for type_ in inner), (kind, field.name)


def is_immutable(type_):
    if get_origin(type_) in (Union, UnionType, tuple, frozenset):
        return all(is_immutable(part) for part in get_args(type_))
    if get_origin(type_) is Literal or type_ in (str, int, bool, datetime, type(None), Ellipsis):
        return True
    return issubclass(type_, msgspec.Struct) and type_.__struct_config__.frozen


def test_loaded_aggregates_share_nothing_that_changes(store):
    property = Property.register("p1", context(), name="Seaside", address=OCEAN_DRIVE)
    store.save(property)
    first, second = store.load(Property, "p1"), store.load(Property, "p1")

    first.add_unit("unit1", "Unit 1", context())

    assert second.units == {}
    assert store.load(Property, "p1").units == {}
    assert second.pending == []


@pytest.mark.parametrize("kept", [0, 1])
def test_a_log_restored_from_a_backup_is_believed_and_not_the_memory(store, conn, kept):
    ticket = a_ticket()
    ticket.change({"title": "After the backup"}, context())
    store.save(ticket)
    store.load(Ticket, "t1")

    conn.execute("ALTER TABLE es.stored_events DISABLE TRIGGER stored_events_append_only")
    conn.execute("DELETE FROM es.stored_events WHERE originator_version > %s", [kept])

    found = store.find(Ticket, "t1")
    assert (found.version, found.title) == (1, "A leaking tap") if kept else found is None


def test_a_log_that_went_another_way_after_a_restore_is_believed(store, elsewhere, conn):
    store.save(a_ticket(title="Before"))
    store.load(Ticket, "t1")
    conn.execute("ALTER TABLE es.stored_events DISABLE TRIGGER stored_events_append_only")
    conn.execute("DELETE FROM es.stored_events")

    elsewhere.save(a_ticket(title="After"))

    assert store.load(Ticket, "t1").title == "After"


def test_memory_is_bounded(store, fetched, monkeypatch):
    monkeypatch.setattr(snapshots, "MAX_SNAPSHOTS", 2)
    for number in range(4):
        store.save(a_ticket(f"t{number}"))
        store.load(Ticket, f"t{number}")
    store.load(Ticket, "t0")
    store.save(a_ticket("long", title="x" * snapshots.MAX_BYTES_OF_ONE))
    store.load(Ticket, "long")

    assert list(store._snapshots._snapshots) == ["t3", "t0"]
    monkeypatch.setattr(snapshots, "MAX_BYTES", 1_500)
    store.save(a_ticket("large", title="x" * 1_000))
    store.load(Ticket, "large")

    assert list(store._snapshots._snapshots) == ["large"]


def test_the_slower_of_two_commands_is_refused(store, elsewhere):
    store.save(a_ticket())
    faster, slower = store.load(Ticket, "t1"), elsewhere.load(Ticket, "t1")
    faster.change({"title": "Faster"}, context())
    slower.change({"title": "Slower"}, context())
    store.save(faster)

    with pytest.raises(VersionConflict):
        elsewhere.save(slower)

    assert store.load(Ticket, "t1").title == "Faster"


def test_a_command_carried_out_twice_is_stored_once(store, elsewhere):
    store.save(a_ticket(command_id="c1"))
    again = a_ticket(command_id="c1")

    elsewhere.save(again)

    assert store.load(Ticket, "t1").version == 1
    assert again.position == store.outcome_of(Ticket, "t1", "c1").position


def test_an_outcome_is_the_aggregate_as_the_command_left_it(store):
    ticket = a_ticket(command_id="c1")
    store.save(ticket)
    opened_at = ticket.position
    ticket.change({"title": "Later"}, context(command_id="c2"))
    store.save(ticket)

    outcome = store.outcome_of(Ticket, "t1", "c1")

    assert (outcome.title, outcome.version, outcome.position) == ("A leaking tap", 1, opened_at)
    assert store.outcome_of(Ticket, "t1", "c3") is None


def test_what_is_remembered_costs_nothing_and_is_saved_upon_only_while_it_is_so(store, elsewhere, fetched):
    assert store.recall(Property, "p1") is None
    place = Property.register("p1", context(), name="Seaside", address=OCEAN_DRIVE)
    elsewhere.save(place)
    store.load(Property, "p1")
    fetched.clear()

    remembered = store.recall(Property, "p1")
    store.save(a_ticket("t1"), unless_changed=[remembered])
    place.change({"name": "Seaside Residences"}, context())
    elsewhere.save(place)

    assert remembered.aggregate.name == "Seaside"
    with pytest.raises(OutOfDate):
        store.save(a_ticket("t2"), unless_changed=[remembered])
    assert (store.find(Ticket, "t1").version, store.find(Ticket, "t2")) == (1, None)
    assert store.recall(Ticket, "p1") is None


def test_a_ticket_is_opened_by_what_the_log_says_and_not_by_what_was_remembered(store, elsewhere):
    """Another process adds a unit, and moves the requester away, after this one has read them."""
    register_property(store, "p1", context(), name="S")
    register_user(store, "u1", context(), name="U", email="u@example.com", role="guest", property_ids=("p1",))
    manager = context(caller("manager", reach=["p1"]))
    facts = {"title": "Leak", "description": "", "priority": "high", "category": "plumbing"}

    def leak(unit_id):
        return ValidValues(NewTicket(**facts, property_id="p1", unit_id=unit_id, requester_id="u1"))

    open_ticket(store, leak(None), manager)
    add_unit(elsewhere, "p1", "unit1", context(), name="Unit 101")
    ticket = open_ticket(store, leak("unit1"), context(caller("manager", reach=["p1"])))
    change_user(elsewhere, "u1", context(), property_ids=())

    assert ticket.unit_id == "unit1"
    with pytest.raises(Invalid, match="No user with that id"):
        open_ticket(store, leak("unit1"), context(caller("manager", reach=["p1"])))


def test_connections_that_ended_while_they_lay_idle_disturb_nobody(pool, conn):
    """A restart of PostgreSQL ends them all, and each would cost a request otherwise, hours later perhaps."""
    held = [pool.getconn() for _ in range(4)]
    pids = [one.info.backend_pid for one in held]
    for one in held:
        pool.putconn(one)
    ended = conn.execute("SELECT count(pg_terminate_backend(pid, 5000)) FROM unnest(%s::int[]) pid", [pids])
    assert ended.fetchone() == (4,)

    answers = [pool.fetch("SELECT pg_backend_pid()")[0][0] for _ in range(8)]

    assert not set(answers) & set(pids)
