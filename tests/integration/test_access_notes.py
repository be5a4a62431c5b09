"""Audit reads and refusals are recorded in the background, in few events, and none is lost."""

import time

import pytest
from msgspec.structs import replace

from api.http.access_notes import WRITTEN_AT_ONCE, AccessNotes, Note
from domain.audit import AccessDenied, AuditRead
from infrastructure.storage.event_store import EventStore
from infrastructure.storage.postgres import make_pool
from tests.support.log import events_after
from tests.support.proxy import Proxy
from tests.support.vault import VAULT
from tests.unit.builders import caller, context

WITHIN_SECONDS = 60


def refusal(ticket_id="t1", *, by=None, code="not_found"):
    return Note(
        context=context(by),
        method="PATCH",
        route="/v1/tickets/{ticket_id}",
        code=code,
        subject_id=ticket_id,
    )


def recorded_events(store):
    return [event for _, event in events_after(store, 0, 1_000)]


def wait_for(store, count):
    deadline = time.monotonic() + WITHIN_SECONDS
    while len(events := recorded_events(store)) < count:
        assert time.monotonic() < deadline, events
    return events


@pytest.fixture
def notes(store):
    access_notes = AccessNotes(store)
    yield access_notes
    access_notes.close()


def test_the_first_refusal_is_recorded_at_once(store, notes):
    notes.add(refusal())

    (event,) = wait_for(store, 1)

    assert isinstance(event, AccessDenied)
    assert (event.subject_id, event.code, event.times) == ("t1", "not_found", 1)
    assert event.actor.credential_id == "key_1"


def test_the_event_of_an_audit_read_contains_its_filters(store, notes):
    notes.add(Note(context=context(), method="GET", route="/v1/audit/events", filters={"actor": "u1"}))

    (event,) = wait_for(store, 1)

    assert isinstance(event, AuditRead)
    assert event.filters == {"actor": "u1"}


def test_equal_refusals_are_counted_and_recorded_at_the_end_of_their_window(store):
    notes = AccessNotes(store, window_seconds=0.3)
    for _ in range(500):
        notes.add(refusal())

    events = wait_for(store, 2)
    notes.close()

    assert sum(event.times for event in recorded_events(store)) == 500
    assert {event.subject_id for event in events} == {"t1"}


def test_closing_records_the_counted_refusals(store, notes):
    for number in range(1_000):
        notes.add(refusal(f"t{number}"))
    for _ in range(3):
        notes.add(refusal("t0", code="forbidden"))

    notes.close()

    events = recorded_events(store)
    assert len(events) == WRITTEN_AT_ONCE + 2
    assert sum(event.times for event in events) == 1_003
    others, repeated = sorted((e for e in events if e.times > 1), key=lambda e: -e.times)
    assert (others.subject_id, others.times) == (None, 1_000 - WRITTEN_AT_ONCE)
    assert (repeated.subject_id, repeated.code, repeated.times) == ("t0", "forbidden", 3)


def test_each_credential_has_its_own_budget(store, notes):
    for credential_id in ("key_a", "key_b", "key_c"):
        by = replace(caller(), credential_id=credential_id)
        for number in range(WRITTEN_AT_ONCE):
            notes.add(refusal(f"t{number}", by=by))

    events = wait_for(store, 3 * WRITTEN_AT_ONCE)

    assert {event.times for event in events} == {1}


def test_without_the_database_no_note_is_lost_and_adding_one_does_not_wait(database, store):
    with Proxy(database) as proxy, make_pool(proxy.dsn, application="tests", max_size=2) as far:
        notes = AccessNotes(EventStore(far, VAULT))
        proxy.set_mode("reset")
        started = time.monotonic()
        for number in range(5):
            notes.add(refusal(f"t{number}"))
        assert time.monotonic() - started < 1
        proxy.set_mode("pass")

        events = wait_for(store, 5)
        notes.close()

    assert sorted(event.subject_id for event in events) == [f"t{number}" for number in range(5)]
