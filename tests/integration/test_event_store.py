"""Loading and saving aggregates on real PostgreSQL."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from types import UnionType
from typing import Literal, Union, get_args, get_origin

import msgspec
import pytest
from psycopg import conninfo

from commands.ticket_opening import open_ticket
from commands.tickets import NewTicket
from commands.values import ValidValues
from domain.aggregate import Aggregate
from domain.errors import Invalid, NotFound
from domain.property import Property
from domain.ticket import Ticket
from infrastructure.storage import snapshots
from infrastructure.storage.event_store import EventStore, VersionConflict
from infrastructure.storage.postgres import make_pool
from infrastructure.storage.recorder import OutOfDate
from infrastructure.storage.snapshots import CannotDecode
from tests.support.arrange import add_unit, change_user, register_property, register_user
from tests.support.vault import VAULT
from tests.support.waiting import eventually
from tests.unit.builders import NOON, OCEAN_DRIVE, caller, context

APPEND_ANOTHER = (
    "INSERT INTO es.stored_events (originator_id, originator_version, topic, state)"
    " VALUES (%s, 2, 'ticket.exploded', '')"
)
WAITING_INSERTS = """
    SELECT count(*) FROM pg_stat_activity
     WHERE datname = current_database() AND wait_event_type = 'Lock' AND query LIKE 'INSERT%'
"""


def new_ticket(ticket_id="t1", *, title="A leaking tap", command_id=None):
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


def test_a_saved_aggregate_is_loaded(store, other_store):
    ticket = new_ticket()
    ticket.change({"title": "Water everywhere"}, context())
    store.save(ticket)

    loaded = other_store.load(Ticket, "t1")

    assert (loaded.title, loaded.version, loaded.created_at) == ("Water everywhere", 2, NOON)
    assert loaded.pending == []


def test_an_absent_aggregate_or_one_of_another_kind_is_not_found(store):
    store.save(new_ticket())

    for kind, aggregate_id in ((Ticket, "t2"), (Property, "t1")):
        assert store.find(kind, aggregate_id) is None
        with pytest.raises(NotFound):
            store.load(kind, aggregate_id)


def test_a_load_reads_only_the_last_known_event_and_the_newer_ones(store, other_store, row_counts):
    store.save(new_ticket())
    store.load(Ticket, "t1")
    ticket = other_store.load(Ticket, "t1")
    ticket.change({"title": "Changed by another"}, context())
    ticket.change({"status": "closed"}, context())
    other_store.save(ticket)

    versions = [store.load(Ticket, "t1").version for _ in range(2)]

    assert versions == [3, 3]
    assert row_counts == [1, 3, 1]  # all events; the last known and two new ones; the last known


def test_find_both_finds_two_aggregates_in_one_round_trip(store, other_store, row_counts):
    store.save(new_ticket())
    place = Property.register("p1", context(), name="Seaside", address=OCEAN_DRIVE)
    store.save(place)
    assert store.find_both(Property, "p1", Ticket, "t2") == (other_store.load(Property, "p1"), None)

    place.add_unit("unit1", "Unit 101", context())
    other_store.save(place)

    for _ in range(2):
        found, ticket = store.find_both(Property, "p1", Ticket, "t1")
        assert (found.units, found.version) == ({"unit1": "Unit 101"}, 2)
        assert (ticket.title, ticket.version) == ("A leaking tap", 1)
    assert store.find_both(Property, "t1", Ticket, "t1") == (None, ticket)
    assert row_counts == []  # no aggregate was loaded alone


def test_an_aggregate_that_was_stored_after_it_was_not_found_is_loaded(store, other_store):
    assert store.find(Ticket, "t1") is None

    other_store.save(new_ticket())

    assert store.load(Ticket, "t1").version == 1


@pytest.mark.parametrize("kind", Aggregate.__subclasses__())
def test_the_fields_of_an_aggregate_can_be_copied(kind):
    """They hold immutable values, or flat lists and dicts of such values: copies of snapshots rely on it."""
    for field in msgspec.structs.fields(kind):
        inner = get_args(field.type) if get_origin(field.type) in (list, dict) else [field.type]
        assert all(is_immutable(type_) for type_ in inner), (kind, field.name)


def is_immutable(type_):
    if get_origin(type_) in (Union, UnionType, tuple, frozenset):
        return all(is_immutable(part) for part in get_args(type_))
    if get_origin(type_) is Literal or type_ in (str, int, bool, datetime, type(None), Ellipsis):
        return True
    return issubclass(type_, msgspec.Struct) and type_.__struct_config__.frozen


def test_loaded_aggregates_share_no_mutable_state(store):
    place = Property.register("p1", context(), name="Seaside", address=OCEAN_DRIVE)
    store.save(place)
    first, second = store.load(Property, "p1"), store.load(Property, "p1")

    first.add_unit("unit1", "Unit 1", context())

    assert second.units == {}
    assert store.load(Property, "p1").units == {}
    assert second.pending == []


@pytest.mark.parametrize("restored", [0, 1])
def test_after_a_restore_from_a_backup_the_log_is_loaded_and_not_the_snapshot(store, conn, restored):
    ticket = new_ticket()
    ticket.change({"title": "After the backup"}, context())
    store.save(ticket)
    store.load(Ticket, "t1")

    conn.execute("ALTER TABLE es.stored_events DISABLE TRIGGER stored_events_append_only")
    conn.execute("DELETE FROM es.stored_events WHERE originator_version > %s", [restored])

    found = store.find(Ticket, "t1")
    assert (found.version, found.title) == (1, "A leaking tap") if restored else found is None


def test_after_a_restore_and_other_events_the_log_is_loaded_and_not_the_snapshot(store, other_store, conn):
    store.save(new_ticket(title="Before"))
    store.load(Ticket, "t1")
    conn.execute("ALTER TABLE es.stored_events DISABLE TRIGGER stored_events_append_only")
    conn.execute("DELETE FROM es.stored_events")

    other_store.save(new_ticket(title="After"))

    assert store.load(Ticket, "t1").title == "After"


def test_snapshots_in_memory_are_bounded(store, row_counts, monkeypatch):
    monkeypatch.setattr(snapshots, "MAX_SNAPSHOTS", 2)
    for number in range(4):
        store.save(new_ticket(f"t{number}"))
        store.load(Ticket, f"t{number}")
    store.load(Ticket, "t0")
    store.save(new_ticket("long", title="x" * snapshots.MAX_BYTES_OF_ONE))
    store.load(Ticket, "long")

    assert list(store._snapshots._snapshots) == ["t3", "t0"]
    monkeypatch.setattr(snapshots, "MAX_BYTES", 1_500)
    store.save(new_ticket("large", title="x" * 1_000))
    store.load(Ticket, "large")

    assert list(store._snapshots._snapshots) == ["large"]


def test_the_slower_of_two_commands_is_refused(store, other_store):
    store.save(new_ticket())
    faster, slower = store.load(Ticket, "t1"), other_store.load(Ticket, "t1")
    faster.change({"title": "Faster"}, context())
    slower.change({"title": "Slower"}, context())
    store.save(faster)

    with pytest.raises(VersionConflict):
        other_store.save(slower)

    assert store.load(Ticket, "t1").title == "Faster"


def test_a_command_carried_out_twice_is_stored_once(store, other_store):
    store.save(new_ticket(command_id="c1"))
    again = new_ticket(command_id="c1")

    other_store.save(again)

    assert store.load(Ticket, "t1").version == 1
    assert again.position == store.outcome_of(Ticket, "t1", "c1").position


def test_an_outcome_is_the_aggregate_as_the_command_left_it(store):
    ticket = new_ticket(command_id="c1")
    store.save(ticket)
    opened_at = ticket.position
    ticket.change({"title": "Later"}, context(command_id="c2"))
    store.save(ticket)

    outcome = store.outcome_of(Ticket, "t1", "c1")

    assert (outcome.title, outcome.version, outcome.position) == ("A leaking tap", 1, opened_at)
    assert store.outcome_of(Ticket, "t1", "c3") is None


def test_several_aggregates_are_saved_in_one_commit_each_with_its_last_position(store, other_store, conn):
    place = Property.register("p1", context(), name="Seaside", address=OCEAN_DRIVE)
    place.add_unit("unit1", "Unit 101", context())
    unchanged, ticket = save_and_load(other_store, new_ticket("t0")), new_ticket("t1")

    store.save(place, unchanged, ticket)

    log = conn.execute(
        "SELECT originator_id, originator_version, notification_id FROM es.stored_events"
        " WHERE originator_id <> 't0' ORDER BY notification_id"
    ).fetchall()
    assert log == [("p1", 1, log[0][2]), ("p1", 2, place.position), ("t1", 1, ticket.position)]
    assert unchanged.position == 0
    assert transactions_of(conn, "p1", "t1") == 1


def save_and_load(other_store, aggregate):
    other_store.save(aggregate)
    return other_store.load(type(aggregate), aggregate.id)


def transactions_of(conn, *aggregate_ids):
    """The number of transactions that stored the events of these aggregates."""
    (row,) = conn.execute(
        "SELECT count(DISTINCT xmin::text) FROM es.stored_events WHERE originator_id = ANY(%s)",
        [list(aggregate_ids)],
    )
    return row[0]


def test_no_aggregate_is_saved_when_one_of_several_has_changed_meanwhile(store, other_store):
    store.save(new_ticket("t1"))
    store.save(new_ticket("t2"))
    first, second = store.load(Ticket, "t1"), store.load(Ticket, "t2")
    faster = other_store.load(Ticket, "t2")
    for ticket in (first, second, faster):
        ticket.change({"priority": "high"}, context())
    other_store.save(faster)

    with pytest.raises(VersionConflict):
        store.save(first, second)

    assert [store.load(Ticket, ticket_id).version for ticket_id in ("t1", "t2")] == [1, 2]


def test_several_aggregates_are_saved_only_if_the_recalled_aggregate_is_unchanged(store, other_store):
    place = Property.register("p1", context(), name="Seaside", address=OCEAN_DRIVE)
    other_store.save(place)
    store.load(Property, "p1")
    recalled = store.recall(Property, "p1")
    store.save(new_ticket("t1"), new_ticket("t2"), unless_changed=[recalled])
    place.add_unit("unit1", "Unit 101", context())
    other_store.save(place)

    with pytest.raises(OutOfDate):
        store.save(new_ticket("t3"), new_ticket("t4"), unless_changed=[recalled])

    tickets = [store.find(Ticket, ticket_id) for ticket_id in ("t1", "t2", "t3", "t4")]
    assert [ticket is not None for ticket in tickets] == [True, True, False, False]


def test_a_deadlock_of_two_appends_is_a_version_conflict(database, conn):
    """PostgreSQL ends one of two appends that wait for each other; its command is refused.

    It ends the append that looks for a deadlock first after both wait: here the command's, after 1.5 s.
    """
    conn.execute("SET deadlock_timeout TO '60 s'")
    options = conninfo.make_conninfo(database, options="-c deadlock_timeout=1500ms")
    with make_pool(options, application="tests", max_size=2) as pool:
        refuse_in_a_deadlock(EventStore(pool, VAULT), pool, conn)


def refuse_in_a_deadlock(store, pool, conn):
    store.save(new_ticket("t1"))
    store.save(new_ticket("t2"))
    first, second = store.load(Ticket, "t1"), store.load(Ticket, "t2")
    for ticket in (first, second):
        ticket.change({"priority": "high"}, context())
    with ThreadPoolExecutor(1) as executor:
        with conn.transaction():
            conn.execute(APPEND_ANOTHER, ["t2"])
            saving = executor.submit(store.save, first, second)
            eventually(lambda: pool.fetch(WAITING_INSERTS) == [(1,)])
            conn.execute(APPEND_ANOTHER, ["t1"])
        with pytest.raises(VersionConflict):
            saving.result()


def test_a_repeated_request_with_several_commands_stores_nothing_new(store, other_store):
    """Each command has its own id, from which the ids of its events are derived."""
    command_ids = ("request-1/1", "request-1/2")
    store.save(*(new_ticket(f"t-{number}", command_id=number) for number in command_ids))

    again = [new_ticket(f"t-{number}", command_id=number) for number in command_ids]
    other_store.save(*again)

    assert [store.load(Ticket, ticket.id).version for ticket in again] == [1, 1]
    assert [store.outcome_of(Ticket, ticket.id, ticket.id[2:]).position for ticket in again] == [
        ticket.position for ticket in again
    ]


def test_an_aggregate_with_an_event_of_an_unknown_type_is_not_loaded(store, conn):
    """A newer version may have written the event; without it the state of the aggregate would be wrong."""
    store.save(new_ticket())
    store.load(Ticket, "t1")
    conn.execute(
        "INSERT INTO es.stored_events (originator_id, originator_version, topic, state)"
        " SELECT originator_id, 2, 'ticket.exploded', convert_to("
        "  replace(convert_from(state, 'UTF8'), 'ticket.opened', 'ticket.exploded'), 'UTF8')"
        " FROM es.stored_events"
    )

    for read in (store.load, store.history, lambda kind, ticket_id: store.outcome_of(kind, ticket_id, "c1")):
        with pytest.raises(CannotDecode, match=r"stored event of t1 .*'ticket.exploded'.* newer version"):
            read(Ticket, "t1")


def test_recall_reads_nothing_and_a_save_fails_when_the_recalled_aggregate_has_changed(
    store, other_store, row_counts
):
    assert store.recall(Property, "p1") is None
    place = Property.register("p1", context(), name="Seaside", address=OCEAN_DRIVE)
    other_store.save(place)
    store.load(Property, "p1")
    row_counts.clear()

    recalled = store.recall(Property, "p1")
    assert row_counts == []
    store.save(new_ticket("t1"), unless_changed=[recalled])
    place.change({"name": "Seaside Residences"}, context())
    other_store.save(place)

    assert recalled.aggregate.name == "Seaside"
    with pytest.raises(OutOfDate):
        store.save(new_ticket("t2"), unless_changed=[recalled])
    assert (store.find(Ticket, "t1").version, store.find(Ticket, "t2")) == (1, None)
    assert store.recall(Ticket, "p1") is None


def test_opening_a_ticket_is_decided_on_the_log_and_not_on_snapshots(store, other_store):
    """After this process has read both, another one adds a unit and removes the requester's property."""
    register_property(store, "p1", context(), name="S")
    register_user(store, "u1", context(), name="U", email="u@example.com", role="guest", property_ids=("p1",))
    manager = context(caller("manager", reach=["p1"]))
    facts = {"title": "Leak", "description": "", "priority": "high", "category": "plumbing"}

    def leak(unit_id):
        return ValidValues(NewTicket(**facts, property_id="p1", unit_id=unit_id, requester_id="u1"))

    open_ticket(store, leak(None), manager)
    add_unit(other_store, "p1", "unit1", context(), name="Unit 101")
    ticket = open_ticket(store, leak("unit1"), context(caller("manager", reach=["p1"])))
    change_user(other_store, "u1", context(), property_ids=())

    assert ticket.unit_id == "unit1"
    with pytest.raises(Invalid, match="No user with that id"):
        open_ticket(store, leak("unit1"), context(caller("manager", reach=["p1"])))
