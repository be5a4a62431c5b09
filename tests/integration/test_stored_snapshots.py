"""A ticket with many events is read from a stored snapshot and the events after it."""

from __future__ import annotations

import sys
from datetime import timedelta

import pytest

from domain.aggregate import Aggregate, DomainEvent
from domain.changes import Change
from domain.ticket import Ticket
from infrastructure.ids import new_id
from infrastructure.storage.event_store import EventStore
from infrastructure.storage.stored_snapshots import EVERY
from projections.history import HistoryQuery, ticket_history
from tests.support.reads import count_results
from tests.support.vault import VAULT
from tests.unit.builders import NOON, TICKET_FIELDS, context

EVENTS = 1_050


@pytest.fixture
def long_ticket(store):
    """A ticket with many events, each a second after the one before."""
    ticket = Ticket.open("t1", context(), **TICKET_FIELDS)
    for number in range(1, EVENTS):
        ticket.change({"title": f"Title {number}"}, context(at=NOON + timedelta(seconds=number)))
    store.save(ticket)
    return ticket


def test_a_read_folds_only_the_events_after_the_snapshot(long_ticket, store, other_store, row_counts):
    other_store.load(Ticket, "t1")  # stores the snapshots

    now = store.load(Ticket, "t1")
    then = [store.at_version(Ticket, "t1", version) for version in (1, 500, EVENTS)]

    assert now == other_store.load(Ticket, "t1")
    assert [(each.version, each.title) for each in then] == [
        (1, "Leak"),
        (500, "Title 499"),
        (EVENTS, f"Title {EVENTS - 1}"),
    ]
    assert store.at_version(Ticket, "t1", EVENTS + 1) is None
    assert max(row_counts) <= EVERY


def test_a_stored_snapshot_of_another_history_or_of_other_code_is_not_used(
    long_ticket, store, other_store, conn, pool
):
    """Such as after the log was restored from a backup without this table."""
    store.load(Ticket, "t1")
    conn.execute("UPDATE cache.snapshots SET event_sha256 = sha256('another event')")

    assert other_store.load(Ticket, "t1") == store.load(Ticket, "t1")
    assert conn.execute("SELECT count(*) FROM cache.snapshots").fetchone() == (EVENTS // EVERY,)
    conn.execute("UPDATE cache.snapshots SET shape = 'x', state = 'made by other code'")
    assert EventStore(pool, VAULT).load(Ticket, "t1") == store.load(Ticket, "t1")


def test_aggregates_with_personal_data_have_no_stored_snapshots():
    personal = {kind for kind in Aggregate.__subclasses__() if any(e.personal for e in events_of(kind))}

    assert personal
    assert not any(kind.has_stored_snapshots for kind in personal)


def events_of(kind):
    """The event classes of the module of an aggregate."""
    module = vars(sys.modules[kind.__module__]).values()
    return [each for each in module if isinstance(each, type) and issubclass(each, DomainEvent)]


@pytest.mark.parametrize("order", ["asc", "desc"])
@pytest.mark.parametrize(
    "place",
    [{}, {"offset": 1_040}, {"after": (1_000, "t1")}, {"after": (30, "t1")}],
    ids=["first", "last", "cursor", "cursor near the beginning"],
)
def test_a_page_of_a_history_reads_few_events(
    long_ticket, store, pool, row_counts, monkeypatch, order, place
):
    store.load(Ticket, "t1")  # stores the snapshots
    count_results(store.recorder, "select_recorded", row_counts, monkeypatch)
    row_counts.clear()

    page = ticket_history(
        pool, store, long_ticket, HistoryQuery(order=order, limit=10, **place), is_auditor=True
    )

    for entry in page.items:
        before = "Leak" if entry.version == 2 else f"Title {entry.version - 2}"
        if entry.version > 1:
            assert entry.changes["title"] == Change(before, f"Title {entry.version - 1}")
    assert page.total == EVENTS
    assert len(page.items) == 10
    assert sum(row_counts) <= EVERY + 10


def test_the_version_at_a_moment_is_found_with_few_reads(long_ticket, store, monkeypatch):
    counts = []
    count_results(store.recorder, "select_recorded", counts, monkeypatch)

    moments = [NOON - timedelta(seconds=1), NOON, NOON + timedelta(seconds=499.5), NOON + timedelta(days=1)]

    assert [store.version_at("t1", moment, EVENTS) for moment in moments] == [0, 1, 500, EVENTS]
    assert len(counts) <= 4 * 11


def test_a_repeated_command_is_recognised_without_reading_older_events(long_ticket, store, row_counts):
    command_id = new_id()
    ticket = store.load(Ticket, "t1")
    long_ago = len(row_counts)
    ticket.change({"title": "Last"}, context(command_id=command_id))
    store.save(ticket)

    outcome = store.outcome_of(Ticket, "t1", command_id)

    assert (outcome.title, outcome.version, outcome.position) == ("Last", EVENTS + 1, ticket.position)
    assert store.outcome_of(Ticket, "t1", new_id()) is None  # its events could only be newer
    assert sum(row_counts[long_ago:]) <= 2 * EVERY
