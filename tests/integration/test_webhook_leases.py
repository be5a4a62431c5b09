"""The statements that claim and finish deliveries: leases, limits per webhook and late results."""

from datetime import timedelta

import msgspec
import pytest

from infrastructure.storage.event_store import decode
from infrastructure.storage.recorder import read_log
from tests.support.webhooks import open_ticket, register, statuses
from webhook_dispatcher.delivery import sql
from webhook_dispatcher.enqueue import Enqueuer
from webhook_dispatcher.histories import LoggedEvent

TICKETS = 12
LEASE = timedelta(seconds=600)
BREAKER = 10


@pytest.fixture
def webhook(store, conn):
    """A webhook with a due delivery for each of TICKETS tickets."""
    webhook = register(store, "https://example.com/hook")
    for _ in range(TICKETS):
        open_ticket(store)
    events = [LoggedEvent(position, decode(state)) for position, *_, state in read_log(conn, 0, 100)]
    assert Enqueuer(store).enqueue(conn, events) == TICKETS
    return webhook


def claim(conn, *, busy=(), slow=(), limit=200):
    """Claims due deliveries; returns the delivery id and the claim number of each."""
    parameters = {
        "breaker": BREAKER,
        "posts_at_a_time": 5,
        "ahead": 10,
        "busy_ids": [webhook_id for webhook_id, _ in busy],
        "busy_posts": [posts for _, posts in busy],
        "slow_ids": list(slow),
        "limit": limit,
        "lease": LEASE,
    }
    return [(row[0], row[3]) for row in conn.execute(sql["claim"], parameters)]


def finish(conn, claims, status="delivered"):
    """Store results without attempts; returns how many of the deliveries are not pending any more."""
    results = [
        {"id": delivery, "claim": number, "result": status, "failures": 0, "delay": 0.0}
        for delivery, number in claims
    ]
    before = pending(conn)
    conn.execute(sql["settle"], {"results": msgspec.json.encode(results).decode()})
    return before - pending(conn)


def pending(conn):
    return conn.execute("SELECT count(*) FROM hook.deliveries WHERE status = 'pending'").fetchone()[0]


def end_leases(conn):
    conn.execute("UPDATE hook.deliveries SET leased_until = now() WHERE status = 'pending'")


def test_a_webhook_gets_a_limited_number_of_posts_at_once(webhook, conn):
    first = claim(conn)

    assert len(first) == 10
    assert claim(conn, busy=[(webhook.id, 10)]) == []
    assert len(claim(conn, busy=[(webhook.id, 9)])) == 1
    assert len(claim(conn, limit=1)) == 1


def test_a_webhook_that_failed_often_in_a_row_gets_one_post_at_a_time_after_a_pause(webhook, conn):
    conn.execute(
        "INSERT INTO hook.health VALUES (%s, %s, now(), now() + interval '1 hour')", [webhook.id, BREAKER]
    )
    assert claim(conn) == []

    conn.execute("UPDATE hook.health SET paused_until = now()")

    assert len(claim(conn)) == 1
    assert claim(conn, busy=[(webhook.id, 1)]) == []


@pytest.mark.parametrize(("failures", "claims"), [(0, 5), (1, 5), (BREAKER, 1)])
def test_a_slow_webhook_gets_no_claims_ahead_and_never_less_than_one_that_failed(
    webhook, conn, failures, claims
):
    if failures:
        conn.execute("INSERT INTO hook.health VALUES (%s, %s, now(), NULL)", [webhook.id, failures])

    assert len(claim(conn, slow=[webhook.id])) == claims


def test_a_dispatcher_whose_lease_has_ended_cannot_finish_the_delivery(webhook, conn, pool):
    late = claim(conn, limit=1)
    end_leases(conn)
    again = [(delivery, number) for delivery, number in claim(conn) if delivery == late[0][0]]
    assert (late[0][1], again[0][1]) == (1, 2)

    assert finish(conn, late, "dead") == 0
    assert statuses(pool) == {"pending": TICKETS}
    assert finish(conn, again) == 1
    assert finish(conn, again, "dead") == 0
    assert statuses(pool) == {"pending": TICKETS - 1, "delivered": 1}
