"""The audit index contains every event with the properties that it concerns."""

import pytest
from psycopg.types.json import Jsonb

from domain.api_key import ApiKeyIssued
from domain.property import PropertyEvent
from domain.ticket import TicketMoved, TicketOpened
from domain.user import UserPropertiesChanged, UserRegistered
from infrastructure.storage.event_store import decode
from infrastructure.storage.postgres import make_pool
from projections import live_rows
from projections.audit import AuditQuery, list_audit_events
from projections.project_audit import key_of
from projections.rebuild import rebuild
from projections.runner import catch_up, connect_projector
from projections.verification import verify
from tests.support.history import History, append
from tests.support.keys import make_key
from tests.support.vault import VAULT
from tests.unit.builders import caller


def properties_of(events):
    """Yields for each event the ids of the properties that it concerns."""
    property_ids = {}
    for event in events:
        key = event.originator_id
        before = property_ids.get(key, set())
        if isinstance(event, PropertyEvent):
            property_ids[key] = {key}
        match event:
            case TicketOpened() | TicketMoved():
                property_ids[key] = {event.property_id}
            case UserRegistered() | UserPropertiesChanged() | ApiKeyIssued():
                property_ids[key] = set(event.property_ids)
        yield before | property_ids.get(key, set())


@pytest.mark.parametrize("batch_size", [1, 7, 500])
def test_every_event_is_indexed_with_the_properties_it_concerns(database, store, conn, batch_size):
    append(store, History(batch_size).grow(250))
    make_key(store, property_ids=("p0",))
    with connect_projector(database) as projector:
        while catch_up(projector, VAULT, batch_size):
            pass

    log = conn.execute(
        "SELECT notification_id, topic, state FROM es.stored_events ORDER BY notification_id"
    ).fetchall()
    indexed = conn.execute(
        "SELECT position, action, actor_id, subject_key, property_ids"
        "  FROM read.audit_events ORDER BY position"
    ).fetchall()

    events = [decode(bytes(state)) for *_, state in log]
    assert [row[:2] for row in indexed] == [row[:2] for row in log]
    assert [row[3] for row in indexed] == [key_of(event.originator_id) for event in events]
    assert [set(row[4].split()) for row in indexed] == list(properties_of(events))
    assert {row[2] for row in indexed} >= {"u0", "cli"}


def test_verify_reports_changed_rows_and_rebuild_repairs_them(database, store, conn, catch_up):
    append(store, History(1).grow(60))
    catch_up()
    conn.execute("UPDATE read.audit_events SET actor_id = 'somebody-else' WHERE position = 7")
    conn.execute("UPDATE read.past_tickets SET status = 'closed' WHERE version = 1 AND status = 'open'")
    conn.execute("DELETE FROM read.audit_events WHERE position = 9")

    found = verify(database, VAULT, lambda done, total: None)
    rebuild(database, VAULT, lambda done, total: None)

    problems = {(one.table, one.id): one.problem for one in found.differences}
    assert problems["audit_events", "7"] == "actor_id"
    assert problems["audit_events", "9"] == "missing"
    assert any(table == "past_tickets" and problem == "status" for (table, _), problem in problems.items())
    assert verify(database, VAULT, lambda done, total: None).count == 0


GAP = """SELECT position + 1 FROM read.audit_events a
          WHERE position < (SELECT max(position) FROM read.audit_events)
            AND NOT EXISTS (SELECT FROM read.audit_events b WHERE b.position = a.position + 1)"""


def positions_of_one_ticket(conn):
    """The positions of the ticket with the most events."""
    query = """SELECT array_agg(position ORDER BY position) FROM read.audit_events
                WHERE action LIKE 'ticket.%' GROUP BY subject_key ORDER BY count(*) DESC LIMIT 1"""
    return conn.execute(query).fetchall()[0][0]


def problems_of(report):
    assert report.count == len(report.differences)
    return {(one.table, one.id, one.problem) for one in report.differences}


@pytest.mark.parametrize("batch_size", [3, 5_000])
def test_correct_rows_after_a_wrong_one_are_not_reported(
    database, store, conn, catch_up, monkeypatch, batch_size
):
    """Verification derives the properties of a subject from its earlier rows, and those may be wrong."""
    monkeypatch.setattr(live_rows, "BATCH_SIZE", batch_size)
    history = History(2)
    append(store, history.grow(120))
    conn.execute("SELECT nextval(pg_get_serial_sequence('es.stored_events', 'notification_id'))")
    append(store, history.grow(120))
    catch_up()
    opened, altered, missing, *_ = positions_of_one_ticket(conn)
    (gap,) = conn.execute(GAP).fetchone()
    copy = f"""INSERT INTO read.audit_events
               SELECT (jsonb_populate_record(a, %s)).*
                 FROM read.audit_events a WHERE position = {opened}"""
    conn.execute("UPDATE read.audit_events SET property_ids = 'p9' WHERE position = %s", [altered])
    conn.execute("DELETE FROM read.audit_events WHERE position = %s", [missing])
    for position in (gap, 10**9):
        conn.execute(copy, [Jsonb({"position": position, "property_ids": "p9"})])

    assert problems_of(verify(database, VAULT, lambda done, total: None)) == {
        ("audit_events", str(altered), "property_ids"),
        ("audit_events", str(missing), "missing"),
        ("audit_events", str(gap), "should not be there"),
        ("audit_events", str(10**9), "should not be there"),
    }


def test_missing_and_invented_past_states_are_reported(database, store, conn, catch_up):
    append(store, History(3).grow(80))
    catch_up()
    ticket_id, version = conn.execute("SELECT id, version FROM read.tickets ORDER BY version DESC").fetchone()
    copy = """INSERT INTO read.past_tickets SELECT (jsonb_populate_record(p, %s)).*
                FROM read.past_tickets p WHERE ticket_id = %s LIMIT 1"""
    repeated = """INSERT INTO read.past_tickets SELECT * FROM read.past_tickets
                   WHERE (ticket_id, version) = (%s, 2)"""
    invented = [("no-ticket", 1), (ticket_id, version), (ticket_id, -1)]
    for absent_id, number in invented:
        conn.execute(copy, [Jsonb({"ticket_id": absent_id, "version": number}), ticket_id])
    assert conn.execute(repeated, [ticket_id]).rowcount == 1
    (deleted_id,) = conn.execute(
        "DELETE FROM read.past_tickets WHERE ticket_id = %s AND version = 1 RETURNING ticket_id", [ticket_id]
    ).fetchone()

    assert problems_of(verify(database, VAULT, lambda done, total: None)) == {
        ("past_tickets", f"{deleted_id}/1", "missing"),
        ("past_tickets", f"{ticket_id}/2", "should not be there"),
        *(("past_tickets", f"{absent_id}/{number}", "should not be there") for absent_id, number in invented),
    }


@pytest.mark.parametrize("name", ["subject", "request"])
def test_an_event_with_another_id_and_the_same_key_is_not_found(pool, store, conn, catch_up, name):
    append(store, History(1).grow(20))
    catch_up()
    (newest, *_) = list_audit_events(pool, store, caller("admin"), AuditQuery()).items
    wanted_id = getattr(newest, f"{name}_id")
    query = AuditQuery(**{f"{name}_id": (wanted_id,)})
    before = list_audit_events(pool, store, caller("admin"), query).items

    conn.execute(f"UPDATE read.audit_events SET {name}_key = %s", [key_of(wanted_id)])

    assert list_audit_events(pool, store, caller("admin"), query).items == before != []


def test_a_search_is_planned_for_its_values_each_time(database, store):
    with make_pool(database, application="tests", max_size=1) as pool:
        for number in range(7):
            list_audit_events(pool, store, caller("admin"), AuditQuery(actions=(f"ticket.{number}",)))
        prepared = pool.fetch(
            "SELECT 1 FROM pg_prepared_statements WHERE statement LIKE '%audit_events%action%'"
        )

    assert prepared == []


def test_an_event_that_cannot_be_projected_is_indexed(database, store, conn, catch_up):
    append(store, History(1).grow(20))
    (state,) = conn.execute(
        "SELECT convert_from(state, 'UTF8') FROM es.stored_events WHERE topic = 'ticket.opened' LIMIT 1"
    ).fetchone()
    orphan = state.replace('"originator_version":1', '"originator_version":2')
    conn.execute(
        "INSERT INTO es.stored_events (originator_id, originator_version, topic, state)"
        " VALUES ('orphan', 2, 'ticket.opened', convert_to(%s, 'UTF8'))",
        [orphan.replace(decode(state.encode()).originator_id, "orphan")],
    )
    catch_up()

    (parked,) = conn.execute("SELECT position FROM read.parked_events").fetchall()
    query = "SELECT position FROM read.audit_events WHERE subject_key = %s"
    assert conn.execute(query, [key_of("orphan")]).fetchall() == [parked]
    conn.execute(
        "INSERT INTO es.stored_events (originator_id, originator_version, topic, state)"
        " VALUES ('no-event', 1, 'ticket.opened', 'nonsense')"
    )
    catch_up()
    assert verify(database, VAULT, lambda done, total: None).count == 0


def test_tables_that_lag_behind_the_log_are_not_reported_as_wrong(database, store, catch_up):
    history = History(1)
    append(store, history.grow(30))
    catch_up()
    append(store, history.grow(5))

    report = verify(database, VAULT, lambda done, total: None)

    assert (report.count, report.differences) == (0, [])
