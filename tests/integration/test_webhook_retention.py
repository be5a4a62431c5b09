"""Old finished deliveries are deleted and not created again; due and recent deliveries stay."""

import threading
from datetime import UTC, datetime, timedelta

import pytest

from api.v1.webhook_replays import redeliver, replay_missing
from commands.webhooks import delete_webhook
from infrastructure.storage.event_store import decode
from infrastructure.storage.recorder import read_log
from tests.support.arrange import rotate_webhook_secret
from tests.support.receivers import answer, running_receiver
from tests.support.waiting import eventually
from tests.support.webhooks import (
    is_settled,
    open_ticket,
    register,
    running_dispatcher,
    settings_for,
    statuses,
    system,
)
from webhook_dispatcher.enqueue import Enqueuer
from webhook_dispatcher.histories import LoggedEvent
from webhook_dispatcher.retention import PURGE_LOCK, purge

RETENTION = timedelta(days=90)
LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)
NOT_STOPPED = threading.Event()


@pytest.fixture(scope="module")
def receiver():
    with running_receiver() as running:
        running.answers["/bad"] = answer(500)
        yield running


@pytest.fixture
def finished_deliveries(database, store, pool, receiver, tmp_path):
    """Two webhooks and three tickets: the deliveries to /hook are delivered, those to /bad are dead."""
    webhooks = [register(store, receiver.url(path)) for path in ("/hook", "/bad")]
    tickets = [open_ticket(store) for _ in range(3)]
    with running_dispatcher(settings_for(database, tmp_path, webhook_retry_seconds=())):
        eventually(lambda: is_settled(pool, 6))
    assert statuses(pool) == {"delivered": 3, "dead": 3}
    return webhooks, tickets


def age(conn, days, of="true"):
    """Makes these deliveries, and all messages, this many days older."""
    older = f"- interval '{days} days'"
    conn.execute(
        f"UPDATE hook.deliveries SET created_at = created_at {older}, finished_at = finished_at {older},"
        f" next_at = next_at {older} WHERE {of}"
    )
    conn.execute(f"UPDATE hook.messages SET created_at = created_at {older}")


def count(conn, table):
    return conn.execute(f"SELECT count(*) FROM hook.{table}").fetchone()[0]


def counts(conn):
    return tuple(count(conn, table) for table in ("deliveries", "attempts", "messages"))


def test_deliveries_that_finished_before_the_retention_are_deleted(conn, finished_deliveries):
    _, (first, *_) = finished_deliveries
    age(conn, 89)
    at_first = purge(conn, RETENTION, NOT_STOPPED)
    age(conn, 2, f"aggregate_id = '{first.id}'")

    later = purge(conn, RETENTION, NOT_STOPPED)

    assert (at_first, later) == (0, 2)
    assert counts(conn) == (4, 4, 2)
    age(conn, 2)
    assert purge(conn, RETENTION, NOT_STOPPED, limit=3) == 4  # in two batches
    assert counts(conn) == (0, 0, 0)


def test_an_old_delivery_that_is_due_stays_with_its_message(conn, pool, finished_deliveries):
    (good, _), _ = finished_deliveries
    (oldest,) = conn.execute(
        "SELECT min(id) FROM hook.deliveries WHERE endpoint_id = %s", [good.id]
    ).fetchone()
    redeliver(pool, good.id, str(oldest))
    age(conn, 100)

    assert purge(conn, RETENTION, NOT_STOPPED) == 5

    assert conn.execute("SELECT id, status FROM hook.deliveries").fetchall() == [(oldest, "pending")]
    assert counts(conn) == (1, 1, 1)


def test_pending_deliveries_of_a_webhook_deleted_long_ago_are_deleted(conn, store, pool, finished_deliveries):
    (good, _), _ = finished_deliveries
    conn.execute("UPDATE hook.deliveries SET status = 'pending', finished_at = NULL")
    delete_webhook(store, good.id, system())
    assert purge(conn, RETENTION, NOT_STOPPED) == 0
    conn.execute("UPDATE hook.endpoints SET deleted_at = deleted_at - interval '100 days'")

    assert purge(conn, RETENTION, NOT_STOPPED) == 3

    assert conn.execute("SELECT DISTINCT endpoint_id FROM hook.deliveries").fetchall() == [
        (finished_deliveries[0][1].id,)
    ]


def test_a_replay_does_not_create_deleted_deliveries_again(conn, store, pool, receiver, finished_deliveries):
    (good, _), (_, _, last) = finished_deliveries
    age(conn, 100)
    purge(conn, RETENTION, NOT_STOPPED)
    new_webhook = register(store, receiver.url("/new"))
    missed = open_ticket(store)

    replayed = replay_missing(pool, store, good.id, LONG_AGO, base_url="")
    to_new_webhook = replay_missing(pool, store, new_webhook.id, LONG_AGO, base_url="")

    assert (replayed.queued, to_new_webhook.queued) == (1, 4)
    assert conn.execute(
        "SELECT aggregate_id FROM hook.deliveries WHERE endpoint_id = %s", [good.id]
    ).fetchall() == [(missed.id,)]
    assert conn.execute("SELECT purged_position FROM hook.endpoints WHERE id = %s", [good.id]).fetchone() == (
        last.position,
    )


def test_reading_the_log_again_does_not_create_deleted_deliveries_again(conn, store, finished_deliveries):
    age(conn, 100)
    purge(conn, RETENTION, NOT_STOPPED)
    everything = [LoggedEvent(row.position, decode(row.state)) for row in read_log(conn, 0, 1_000)]

    assert Enqueuer(store).enqueue(conn, everything) == 0
    assert counts(conn) == (0, 0, 0)


def test_a_message_that_a_replay_uses_again_is_not_deleted(
    conn, database, store, pool, receiver, finished_deliveries
):
    """The last old delivery of the message is deleted before a replay to a new webhook commits."""
    new_webhook = register(store, receiver.url("/new"))
    age(conn, 100)
    events = [LoggedEvent(row.position, decode(row.state)) for row in read_log(conn, 0, 1_000)]
    with pool.connection() as replaying:
        with replaying.transaction():
            assert Enqueuer(store).enqueue_for(replaying, events, new_webhook.id) == 3
            purging = threading.Thread(target=purge, args=(conn, RETENTION, NOT_STOPPED))
            purging.start()
            eventually(lambda: waits_for_a_lock(pool))
        purging.join(30)

    assert counts(conn) == (3, 0, 3)


def waits_for_a_lock(pool):
    with pool.connection() as conn:
        return conn.execute(
            "SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
        ).fetchone()


def test_only_one_dispatcher_deletes_at_a_time(conn, pool, finished_deliveries):
    age(conn, 100)
    with pool.connection() as other, other.transaction():
        other.execute("SELECT pg_advisory_xact_lock(%s)", [PURGE_LOCK])
        assert purge(conn, RETENTION, NOT_STOPPED) == 0

    assert purge(conn, RETENTION, NOT_STOPPED) == 6


def test_a_running_dispatcher_deletes_old_deliveries_and_sends_new_ones(
    database, conn, store, pool, receiver, tmp_path, finished_deliveries
):
    age(conn, 100)
    rotate_webhook_secret(store, finished_deliveries[0][1].id, system())
    conn.execute("UPDATE hook.secrets SET expires_at = now() WHERE expires_at IS NOT NULL")

    with running_dispatcher(
        settings_for(database, tmp_path, webhook_retention_days=99, webhook_retry_seconds=())
    ):
        eventually(lambda: count(conn, "deliveries") == 0)
        new = open_ticket(store)
        eventually(lambda: statuses(pool) == {"delivered": 1, "dead": 1})

    assert new.id.encode() in receiver.at("/hook")[-1].body
    assert count(conn, "secrets") == 2
