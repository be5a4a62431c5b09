"""The metrics that the API computes when Prometheus reads them, and those of its storage."""

import time

import pytest
from psycopg_pool import PoolTimeout

from api.monitoring.gauges import update_gauges
from infrastructure.process.metrics import REGISTRY, render_metrics
from infrastructure.settings import Settings
from infrastructure.storage.postgres import connect, make_pool
from notary.follower import sign_log
from tests.support.arrange import register_property
from tests.support.commands import environment, ticketing
from tests.support.keys import operator
from tests.support.server import free_port
from tests.support.vault import VAULT


def read_metrics(home, dsn, **settings):
    """The value of each series, after the gauges were computed."""
    update_gauges(Settings(home=home, database_url=dsn, **settings))
    lines = [line for line in render_metrics().decode().splitlines() if line[0] != "#"]
    return {name: float(value) for name, value in (line.rsplit(" ", 1) for line in lines)}


def test_positions_are_those_of_the_log_and_its_followers(store, conn, catch_up, database, tmp_path):
    register_property(store, "p1", operator(), name="P")
    catch_up()
    last = register_property(store, "p2", operator(), name="P").position

    metrics = read_metrics(tmp_path, database)

    assert metrics["ticketing_log_position"] == last
    assert metrics['ticketing_follower_position{follower="projector"}'] == last - 1
    assert metrics['ticketing_follower_position{follower="webhook_dispatcher"}'] == 0
    assert 0 < metrics["ticketing_log_bytes"] < metrics["ticketing_database_bytes"]


def test_attempts_are_counted_by_outcome_for_five_minutes(conn, database, tmp_path):
    conn.execute(
        "INSERT INTO hook.attempts (delivery_id, number, at, url, headers, status, milliseconds)"
        " SELECT row_number() OVER (), 1, now() - age, 'https://example.com', '{}', status, 5"
        "   FROM (VALUES (interval '1 s', 200), ('2 s', 204), ('3 s', 500), ('4 s', NULL), ('6 min', 200))"
        "     AS made (age, status)"
    )
    metrics = read_metrics(tmp_path, database)

    name = 'ticketing_webhook_attempts_recent{{outcome="{}"}}'
    assert metrics[name.format("delivered")] == 2
    assert metrics[name.format("refused")] == metrics[name.format("no_answer")] == 1


def test_a_process_without_a_session_has_zero_sessions(database, tmp_path):
    name = 'ticketing_database_sessions{application="notary"}'
    before = read_metrics(tmp_path, database)[name]
    with connect(database, application="ticketing-notary"):
        during = read_metrics(tmp_path, database)[name]

    assert (before, during) == (0, 1)


def test_the_times_of_the_last_checkpoint_and_verification_are_metrics(store, conn, database, tmp_path):
    register_property(store, "p1", operator(), name="P")
    before = read_metrics(tmp_path, database)
    sign_log(conn, VAULT)
    conn.execute(
        "INSERT INTO panel.verifications (id, started_at, started_by, finished_at, differences, problem)"
        " VALUES ('a', now() - interval '2 h', 'ada', to_timestamp(1000), 3, NULL),"
        " ('b', now(), 'ada', now(), NULL, 'Another verification is running.')"
    )
    after = read_metrics(tmp_path, database)

    names = ("ticketing_checkpoint_timestamp_seconds", "ticketing_verification_timestamp_seconds")
    assert [before[name] for name in names] == [0, 0]
    assert after[names[0]] == pytest.approx(time.time(), abs=60)
    assert after[names[1]] == 1000
    assert after["ticketing_verification_differences"] == 3


def test_verify_stores_its_outcome_for_the_metrics(store, catch_up, database, tmp_path):
    register_property(store, "p1", operator(), name="P")
    catch_up()
    done = ticketing("verify", environ=environment(DATABASE_URL=database, TICKETING_HOME=str(tmp_path)))
    metrics = read_metrics(tmp_path, database)

    assert done.returncode == 0, done.stderr
    assert metrics["ticketing_verification_timestamp_seconds"] == pytest.approx(time.time(), abs=60)
    assert metrics["ticketing_verification_differences"] == 0


def test_a_database_that_cannot_be_reached_is_down_and_the_other_gauges_keep_their_values(
    store, database, tmp_path
):
    register_property(store, "p1", operator(), name="P")
    up = read_metrics(tmp_path, database)
    down = read_metrics(tmp_path, f"postgresql://nobody@127.0.0.1:{free_port()}/nothing")

    assert (up["ticketing_database_up"], down["ticketing_database_up"]) == (1, 0)
    assert down["ticketing_log_position"] == up["ticketing_log_position"] > 0


def test_disk_clock_and_version_are_those_of_this_api(database, tmp_path):
    metrics = read_metrics(tmp_path, database, postgres_data_dir=tmp_path)

    assert metrics['ticketing_disk_free_bytes{folder="home"}'] > 0
    assert metrics['ticketing_disk_free_bytes{folder="database"}'] > 0
    assert abs(metrics["ticketing_clock_ahead_seconds"]) < 5
    assert [value for name, value in metrics.items() if name.startswith("ticketing_build_info{")] == [1]


def count(name):
    return REGISTRY.get_sample_value(name) or 0


def test_an_append_counts_its_events_and_its_duration(store):
    names = ("ticketing_append_seconds_count", "ticketing_events_appended_total")
    before = [count(name) for name in names]
    register_property(store, "p1", operator(), name="P")

    assert [count(name) for name in names] == [before[0] + 1, before[1] + 1]


def test_a_wait_for_a_connection_is_counted_when_it_is_long_and_when_it_is_in_vain(database):
    names = ("ticketing_database_pool_waits_total", "ticketing_database_pool_timeouts_total")
    with make_pool(database, application="tests", max_size=1) as pool, pool.connection():
        before = [count(name) for name in names]
        with pytest.raises(PoolTimeout), pool.connection(timeout=0.05):
            pass

    assert [count(name) for name in names] == [before[0] + 1, before[1] + 1]
