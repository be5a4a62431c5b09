"""Reading the feed from the log."""

import threading
import time

import pytest

from domain.errors import Invalid
from domain.ticket import Ticket
from event_stream.feed import MAX_PAGE_BYTES, read_feed, wait_for_feed
from infrastructure.storage.event_store import EventStore
from infrastructure.storage.postgres import make_pool
from tests.support.history import History, append
from tests.support.vault import VAULT
from tests.unit.builders import context

SOURCE = "http://127.0.0.1:8000"


@pytest.fixture
def pool_of_one(database):
    """A pool with one connection: a thread that holds it blocks all others."""
    with make_pool(database, application="tests", max_size=1) as opened:
        yield opened


def open_ticket(store, number, description):
    ticket = Ticket.open(
        f"t{number}",
        context(),
        title="Leak",
        description=description,
        priority="low",
        category="general",
        property_id="p",
        unit_id=None,
        requester_id="u",
    )
    store.save(ticket)


def test_no_connection_is_held_while_waiting(pool_of_one):
    pages = []
    waiting = threading.Thread(
        target=lambda: pages.append(
            wait_for_feed(pool_of_one, 0, 10, source=SOURCE, seconds=30, stop=threading.Event())
        )
    )
    waiting.start()

    for _ in range(50):  # each fails after a second if the connection is held
        with pool_of_one.connection() as conn:
            conn.execute("SELECT 1")
    assert waiting.is_alive()
    append(EventStore(pool_of_one, VAULT), History(1).grow(1))
    waiting.join()

    assert pages[0].events


def test_a_waiting_request_ends_when_the_process_stops(pool):
    pages, stop = [], threading.Event()
    waiting = threading.Thread(
        target=lambda: pages.append(wait_for_feed(pool, 0, 10, source=SOURCE, seconds=60, stop=stop))
    )
    waiting.start()
    began = time.monotonic()
    stop.set()
    waiting.join()

    assert time.monotonic() - began < 10
    assert pages[0] == ([], 0, False)


def test_large_events_make_short_pages_and_none_is_left_out(pool, store):
    for number in range(40):
        open_ticket(store, number, "漢" * 65_535)  # three bytes each

    pages, position = [], 0
    while not pages or pages[-1].has_more:
        pages.append(read_feed(pool, position, 1_000, source=SOURCE))
        position = pages[-1].position

    assert len(pages) == 2
    assert sum(len(bytes(event["data"])) for event in pages[0].events) <= MAX_PAGE_BYTES
    subjects = [event["subject"] for page in pages for event in page.events]
    assert subjects == [f"t{number}" for number in range(40)]


def test_a_page_has_at_least_one_event(pool, store, monkeypatch):
    monkeypatch.setattr("event_stream.feed.MAX_PAGE_BYTES", 10)
    append(store, History(2).grow(1))

    page = read_feed(pool, 0, 10, source=SOURCE)

    assert len(page.events) == 1


def test_a_position_past_the_end_is_refused(pool, store):
    append(store, History(3).grow(2))
    end = read_feed(pool, 0, 1_000, source=SOURCE).position

    assert read_feed(pool, end, 10, source=SOURCE).events == []
    with pytest.raises(Invalid) as refused:
        read_feed(pool, end + 1, 10, source=SOURCE)
    assert refused.value.details == {"after": [f"The after parameter is past the end of the log, {end}."]}


def test_the_feed_ends_before_an_uncommitted_append(pool, store, conn):
    """No event appears later at or below a position that the feed has returned."""
    open_ticket(store, 1, "")
    with conn.transaction():
        conn.execute(
            "INSERT INTO es.stored_events (originator_id, originator_version, topic, state)"
            " SELECT 'slow', 1, topic, state FROM es.stored_events"
        )
        open_ticket(store, 2, "")
        before = read_feed(pool, 0, 10, source=SOURCE)
    after = read_feed(pool, before.position, 10, source=SOURCE)

    assert [event["subject"] for event in before.events] == ["t1"]
    assert [event["subject"] for event in after.events] == ["slow", "t2"]
