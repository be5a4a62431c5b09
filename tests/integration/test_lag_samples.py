"""The samples of lags, and the figures of webhooks, for the page of the system's health."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta

import pytest

from api.monitoring.lag_samples import KEPT_FOR, LagSample, list_samples, sample_regularly, store_sample
from api.monitoring.sizes import read_checkpoint, read_sizes
from api.monitoring.webhook_rates import count_unfinished, measure_webhooks
from infrastructure.process.threads import start_watched
from notary.follower import sign_log
from notary.signing import last_checkpoint
from pages.panel.lag_charts import FOLLOWERS, lag_lines, lag_rows, shown_followers
from tests.support.arrange import register_property
from tests.support.keys import operator
from tests.support.vault import VAULT
from tests.support.waiting import eventually
from tests.unit.builders import NOON

EARLY = datetime(2000, 1, 1, tzinfo=UTC)


def test_one_sample_is_stored_in_each_span_of_30_seconds(conn, pool, store):
    register_property(store, "p1", operator(), name="P")
    for _ in range(3):
        store_sample(conn, has_kafka=False)

    samples = list_samples(pool, EARLY)

    assert len(samples) in (1, 2), "two if a span has ended meanwhile"
    assert samples[0].at.second % 30 == samples[0].at.microsecond == 0
    assert samples[-1].relay is None
    assert samples[-1].projector >= 0


def test_samples_older_than_a_day_are_deleted(conn, pool):
    for age in (KEPT_FOR * 2, KEPT_FOR / 2):
        conn.execute("INSERT INTO monitoring.lag_samples VALUES (now() - %s::interval, 1, 1, 1, 1)", [age])
    store_sample(conn, has_kafka=True)

    samples = list_samples(pool, EARLY)

    assert len(samples) == 2
    assert samples[-1].relay == 0


def test_a_process_that_follows_the_log_samples_at_once_and_ends(database, pool):
    stop = threading.Event()
    thread = start_watched(lambda: sample_regularly(database, False, stop), name="lags")
    eventually(lambda: list_samples(pool, EARLY))
    stop.set()
    thread.join(10)

    assert not thread.is_alive()


def sample(seconds, lag):
    return LagSample(NOON - timedelta(seconds=seconds), lag, None, lag, lag)


def test_a_line_is_divided_where_samples_are_missing():
    samples = [sample(3000, 0), sample(2970, 4), sample(600, 40), sample(570, 20), sample(0, 1)]
    projector, dispatcher, notary = lag_lines(samples, shown_followers(False), NOON)

    assert [len(line.split()) for line in projector.lines] == [2, 2, 2]
    assert projector.lines[1].split() == ["200.0,0.0", "202.0,28.0"]
    assert (projector.name, projector.most, projector.last) == ("Projector", 40, 1)
    assert [dispatcher.name, notary.name] == ["Webhook dispatcher", "Notary"]


def test_the_table_has_the_longest_lag_of_each_five_minutes():
    rows = lag_rows([sample(400, 3), sample(310, 7), sample(10, 1)], FOLLOWERS, NOON)

    assert len(rows) == 12
    assert [row.most for row in rows[:3]] == [[1, None, 1, 1], [7, None, 7, 7], [None] * 4]
    assert rows[0].at == NOON - timedelta(minutes=5)


@pytest.fixture
def attempts(conn):
    """Two webhooks: one with a failure in the last hour, and one with a success a while ago."""
    for name in ("failing", "good"):
        conn.execute(
            "INSERT INTO hook.endpoints (id, version, url, event_names, owner_role, owner_auth, is_enabled,"
            " created_at, updated_at) VALUES (%(id)s, 1, %(id)s, '{ticket.*}', 'admin', 'session', true,"
            " now(), now())",
            {"id": name},
        )
    posts = [("failing", 0, 500, 30, "dead"), ("failing", 0, 200, 10, "delivered")]
    posts += [("good", 5, 204, 20, "delivered"), ("good", 30, None, 9, "dead")]
    for number, (endpoint, hours, status, milliseconds, outcome) in enumerate(posts):
        conn.execute(
            "WITH d AS (INSERT INTO hook.deliveries (endpoint_id, message_id, aggregate_id, version, status)"
            " VALUES (%(endpoint)s, %(message)s, 'a', 1, %(outcome)s) RETURNING id)"
            " INSERT INTO hook.attempts (delivery_id, number, at, url, headers, status, milliseconds)"
            " SELECT id, 1, now() - make_interval(hours => %(hours)s), 'u', '{}', %(status)s, %(ms)s FROM d",
            {
                "endpoint": endpoint,
                "message": str(number),
                "hours": hours,
                "status": status,
                "ms": milliseconds,
                "outcome": outcome,
            },
        )


def test_webhooks_with_failures_come_first_with_the_rates_of_the_hour_and_the_day(pool, attempts):
    failing, good = measure_webhooks(pool)

    assert (failing.id, failing.hour, failing.hour.success) == ("failing", failing.day, 0.5)
    assert (failing.hour.median_milliseconds, failing.hour.p95_milliseconds) == (10, 30)
    assert (good.id, good.hour, good.day.attempts, good.day.success) == ("good", None, 1, 1.0)


def test_failed_deliveries_and_those_that_are_retried_are_counted(conn, pool, attempts):
    conn.execute(
        "INSERT INTO hook.deliveries (endpoint_id, message_id, aggregate_id, version, failures)"
        " VALUES ('good', 'retried', 'a', 1, 2), ('good', 'new', 'a', 2, 0)"
    )
    found = count_unfinished(pool)
    assert (found.retried, found.dead) == (1, 2)


def test_the_sizes_and_the_last_checkpoint_are_read(conn, pool, store):
    assert read_checkpoint(pool) is None
    managed = register_property(store, "p1", operator(), name="P")
    sign_log(conn, VAULT)
    conn.execute("ANALYZE es.stored_events")

    sizes, checkpoint = read_sizes(pool), read_checkpoint(pool)

    assert (sizes.events, sizes.last_position) == (1, managed.position)
    assert 0 < sizes.log_bytes < sizes.database_bytes
    signed = last_checkpoint(conn)
    assert (checkpoint.position, checkpoint.number) == (managed.position, signed.number)
    assert checkpoint.signed_by == signed.facts["signed_by"]
