"""The dispatcher without Kafka reads from the log only what a webhook wants, and misses nothing."""

import threading

import pytest

from commands.webhooks import disable_webhook
from tests.support.waiting import eventually
from tests.support.webhooks import open_ticket, register, settings_for
from webhook_dispatcher.consumer import Consumer
from webhook_dispatcher.log_follower import LogFollower

UNREADABLE = (
    "INSERT INTO es.stored_events (originator_id, originator_version, topic, state)"
    " VALUES ('broken', 1, 'ticket.opened', 'not json') RETURNING notification_id"
)


@pytest.fixture
def taken(conn, store, database, tmp_path):
    """The positions of the events that a running follower of the log has given to its consumer."""
    consumer = Consumer(settings_for(database, tmp_path), store, on_enqueued=lambda: None)
    positions = []

    def take(own_conn, records):
        positions.extend(record.position for record in records)
        return consumer.take(own_conn, records)

    stop = threading.Event()
    follower = threading.Thread(target=LogFollower(conn, take, lambda: None).run, args=(stop,))
    follower.start()
    yield positions
    stop.set()
    follower.join()


def value(pool, statement):
    with pool.connection() as conn:
        return conn.execute(statement).fetchone()[0]


def has_passed(pool, position):
    return value(pool, "SELECT position FROM hook.position") >= position


def test_events_that_no_webhook_wants_are_passed_without_being_decoded(store, pool, taken):
    register(store, "https://example.com/hook", "ticket.deleted")
    position = value(pool, UNREADABLE)
    eventually(lambda: has_passed(pool, position))

    disable_webhook(store, register(store, "https://example.com/all").id, "failing")
    last = open_ticket(store)
    eventually(lambda: has_passed(pool, last.position))

    assert taken == []
    assert value(pool, "SELECT count(*) FROM hook.dead_letters") == 0


def test_a_webhook_misses_no_event_after_a_registration_while_others_are_written(store, pool, taken):
    """Tickets are opened all the time, so that the follower passes events when the webhook is registered."""
    stop, tickets = threading.Event(), []

    def write():
        while not stop.is_set():
            tickets.append(open_ticket(store))

    writers = [threading.Thread(target=write) for _ in range(2)]
    for writer in writers:
        writer.start()
    eventually(lambda: len(tickets) > 20)
    webhooks = [register(store, f"https://example.com/{number}") for number in range(3)]
    written = len(tickets)
    eventually(lambda: len(tickets) > written + 50)
    stop.set()
    for writer in writers:
        writer.join()
    last = max(ticket.position for ticket in tickets)
    eventually(lambda: has_passed(pool, last))

    with pool.connection() as conn:
        rows = conn.execute("SELECT endpoint_id, aggregate_id FROM hook.deliveries").fetchall()
    for webhook in webhooks:
        later = {ticket.id for ticket in tickets if ticket.position > webhook.position}
        assert {ticket_id for endpoint_id, ticket_id in rows if endpoint_id == webhook.id} == later


def test_a_position_that_an_operator_sets_back_is_read_again(store, pool, taken):
    register(store, "https://example.com/hook", "ticket.created")
    first = open_ticket(store)
    eventually(lambda: has_passed(pool, first.position))
    with pool.connection() as conn:
        conn.execute("UPDATE hook.position SET position = 0")

    eventually(lambda: taken == [first.position] * 2)
