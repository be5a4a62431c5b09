"""Deliveries that finished long ago are deleted; what is due or young stays, and nothing comes back."""

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
from webhook_dispatcher.enqueue import Enqueuer, LoggedEvent
from webhook_dispatcher.retention import PURGE_LOCK, purge

RETENTION = timedelta(days=90)
LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)
GOING_ON = threading.Event()


@pytest.fixture(scope="module")
def receiver():
    with running_receiver() as running:
        running.answers["/bad"] = answer(500)
        yield running


@pytest.fixture
def delivered(database, store, pool, receiver, tmp_path):
    """Two webhooks, /hook and /bad, and three tickets each has finished deliveries of: delivered and dead."""
    webhooks = [register(store, receiver.url(path)) for path in ("/hook", "/bad")]
    tickets = [open_ticket(store) for _ in range(3)]
    with running_dispatcher(settings_for(database, tmp_path, webhook_retry_seconds=())):
        eventually(lambda: is_settled(pool, 6))
    assert statuses(pool) == {"delivered": 3, "dead": 3}
    return webhooks, tickets


def age(conn, days, of="true"):
    """Make what is there so many days older."""
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


def test_what_finished_before_the_retention_is_deleted_whatever_came_of_it(conn, delivered):
    _, (first, *_) = delivered
    age(conn, 89)
    kept = purge(conn, RETENTION, GOING_ON)
    age(conn, 2, f"aggregate_id = '{first.id}'")

    gone = purge(conn, RETENTION, GOING_ON)

    assert (kept, gone) == (0, 2)
    assert counts(conn) == (4, 4, 2)
    age(conn, 2)
    assert purge(conn, RETENTION, GOING_ON, limit=3) == 4  # in two batches
    assert counts(conn) == (0, 0, 0)


def test_what_is_due_stays_however_old_and_its_message_with_it(conn, pool, delivered):
    (good, _), _ = delivered
    (oldest,) = conn.execute(
        "SELECT min(id) FROM hook.deliveries WHERE endpoint_id = %s", [good.id]
    ).fetchone()
    redeliver(pool, good.id, str(oldest))
    age(conn, 100)

    assert purge(conn, RETENTION, GOING_ON) == 5

    assert conn.execute("SELECT id, status FROM hook.deliveries").fetchall() == [(oldest, "pending")]
    assert counts(conn) == (1, 1, 1)


def test_what_waited_for_a_webhook_that_is_deleted_goes_too(conn, store, pool, delivered):
    (good, _), _ = delivered
    conn.execute("UPDATE hook.deliveries SET status = 'pending', finished_at = NULL")
    delete_webhook(store, good.id, system())
    assert purge(conn, RETENTION, GOING_ON) == 0
    conn.execute("UPDATE hook.endpoints SET deleted_at = deleted_at - interval '100 days'")

    assert purge(conn, RETENTION, GOING_ON) == 3

    assert conn.execute("SELECT DISTINCT endpoint_id FROM hook.deliveries").fetchall() == [
        (delivered[0][1].id,)
    ]


def test_a_replay_brings_back_nothing_that_was_deleted(conn, store, pool, receiver, delivered):
    (good, _), (_, _, last) = delivered
    age(conn, 100)
    purge(conn, RETENTION, GOING_ON)
    newcomer = register(store, receiver.url("/new"))
    missed = open_ticket(store)

    replayed = replay_missing(pool, store, good.id, LONG_AGO)
    to_newcomer = replay_missing(pool, store, newcomer.id, LONG_AGO)

    assert (replayed.queued, to_newcomer.queued) == (1, 4)
    assert conn.execute(
        "SELECT aggregate_id FROM hook.deliveries WHERE endpoint_id = %s", [good.id]
    ).fetchall() == [(missed.id,)]
    assert conn.execute("SELECT purged_position FROM hook.endpoints WHERE id = %s", [good.id]).fetchone() == (
        last.position,
    )


def test_a_source_that_is_read_again_from_its_beginning_brings_back_nothing_either(conn, store, delivered):
    age(conn, 100)
    purge(conn, RETENTION, GOING_ON)
    everything = [LoggedEvent(row[0], decode(row[4])) for row in read_log(conn, 0, 1_000)]

    assert Enqueuer(store).enqueue(conn, everything) == 0
    assert counts(conn) == (0, 0, 0)


def test_a_message_that_is_being_used_again_is_not_deleted_under_it(
    conn, database, store, pool, receiver, delivered
):
    """While a replay to a new webhook has not committed, the last old delivery of its message is deleted."""
    newcomer = register(store, receiver.url("/new"))
    age(conn, 100)
    events = [LoggedEvent(row[0], decode(row[4])) for row in read_log(conn, 0, 1_000)]
    with pool.connection() as replaying:
        with replaying.transaction():
            assert Enqueuer(store).enqueue_for(replaying, events, newcomer.id) == 3
            purging = threading.Thread(target=purge, args=(conn, RETENTION, GOING_ON))
            purging.start()
            eventually(lambda: waits_for_a_lock(pool))
        purging.join(30)

    assert counts(conn) == (3, 0, 3)


def waits_for_a_lock(pool):
    with pool.connection() as conn:
        return conn.execute(
            "SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
        ).fetchone()


def test_one_dispatcher_at_a_time_deletes(conn, pool, delivered):
    age(conn, 100)
    with pool.connection() as other, other.transaction():
        other.execute("SELECT pg_advisory_xact_lock(%s)", [PURGE_LOCK])
        assert purge(conn, RETENTION, GOING_ON) == 0

    assert purge(conn, RETENTION, GOING_ON) == 6


def test_a_dispatcher_deletes_by_itself_and_delivers_on(
    database, conn, store, pool, receiver, tmp_path, delivered
):
    age(conn, 100)
    rotate_webhook_secret(store, delivered[0][1].id, system())
    conn.execute("UPDATE hook.secrets SET expires_at = now() WHERE expires_at IS NOT NULL")

    with running_dispatcher(
        settings_for(database, tmp_path, webhook_retention_days=99, webhook_retry_seconds=())
    ):
        eventually(lambda: count(conn, "deliveries") == 0)
        new = open_ticket(store)
        eventually(lambda: statuses(pool) == {"delivered": 1, "dead": 1})

    assert new.id.encode() in receiver.at("/hook")[-1].body
    assert count(conn, "secrets") == 2
