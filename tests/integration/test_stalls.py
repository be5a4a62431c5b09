"""Sessions that keep the followers from reading on: the lag gauges count them, and the log names them."""

import threading
from datetime import UTC, datetime, timedelta

import msgspec
import pytest
from psycopg.conninfo import make_conninfo
from structlog.testing import capture_logs

from api.monitoring.gauges import update_gauges
from api.monitoring.lags import Lags, read_lags
from domain.access import system_context
from infrastructure.ids import new_id
from infrastructure.process.metrics import render_metrics
from infrastructure.process.stalls import STALL_SECONDS, WATCH_KEY, StallWatch
from infrastructure.settings import Settings
from infrastructure.storage.postgres import connect
from infrastructure.storage.roles import APPLICATION, grant_to_application
from notary.follower import sign_log
from projections.overview import system_state
from tests.support.arrange import register_property
from tests.support.commands import environment
from tests.support.forks import TicketingProcess
from tests.support.keys import operator
from tests.support.log_writers import INSERT
from tests.support.vault import VAULT
from tests.support.waiting import eventually

MINUTE = 60.0


@pytest.fixture
def other(database):
    """The session of another program."""
    with connect(database, application="import of 2019") as session:
        yield session


def begin_append(session, stream="unfinished"):
    session.execute("BEGIN")
    session.execute(INSERT, [stream, 1])


def register_a_minute_ago(store, property_id):
    context = system_context(datetime.now(UTC) - timedelta(seconds=MINUTE), auth="cli", command_id=new_id())
    register_property(store, property_id, context, name="P")


def handle_everything(conn, catch_up):
    catch_up()
    sign_log(conn, VAULT)
    conn.execute("UPDATE relay.position SET position = (SELECT max(notification_id) FROM es.stored_events)")
    conn.execute("UPDATE hook.position SET position = (SELECT max(notification_id) FROM es.stored_events)")


def lags(conn):
    return read_lags(conn, has_kafka=False)


def test_the_lag_is_the_age_of_the_oldest_event_that_a_follower_has_not_handled(store, conn, catch_up):
    register_a_minute_ago(store, "p1")
    register_property(store, "p2", operator(), name="P")
    waiting = lags(conn)

    handle_everything(conn, catch_up)

    assert all(MINUTE <= seconds < 2 * MINUTE for seconds in waiting)
    assert lags(conn) == (0, 0, 0, 0)


def test_events_that_an_unfinished_append_holds_back_count_for_every_follower(
    store, conn, catch_up, other, database, pool, tmp_path
):
    begin_append(other)
    register_a_minute_ago(store, "p1")
    catch_up()  # no effect, because followers cannot read the event
    sign_log(conn, VAULT)

    held_back = lags(conn)
    update_gauges(Settings(home=tmp_path, database_url=database, kafka_bootstrap_servers="127.0.0.1:1"))
    metrics = dict(line.split(" ") for line in render_metrics().decode().splitlines() if line[0] != "#")
    shown = system_state(pool)
    other.execute("ROLLBACK")
    handle_everything(conn, catch_up)

    assert all(MINUTE <= seconds < 2 * MINUTE for seconds in held_back)
    assert all(float(metrics[f"ticketing_{name}_lag_seconds"]) >= MINUTE for name in Lags._fields)
    assert float(metrics["ticketing_projector_lag_events"]) == shown.projector_lag > 0
    assert lags(conn) == (0, 0, 0, 0)


def test_an_unfinished_append_counts_before_other_events_wait_behind_it(conn, other, store, catch_up):
    register_property(store, "p1", operator(), name="P")
    handle_everything(conn, catch_up)
    begin_append(other)

    waiting = lags(conn)
    other.execute("ROLLBACK")

    assert min(waiting) > 0
    assert lags(conn) == (0, 0, 0, 0)


def test_a_transaction_counts_from_its_append_and_not_from_its_beginning(conn, other, store, catch_up):
    other.execute("BEGIN")
    register_property(store, "p1", operator(), name="P")
    handle_everything(conn, catch_up)
    other.execute(INSERT, ["late", 1])

    (last,) = conn.execute("SELECT state FROM es.stored_events WHERE topic <> 'test'").fetchone()
    (now,) = conn.execute("SELECT clock_timestamp()").fetchone()
    stored_at = datetime.fromisoformat(msgspec.json.decode(last)["occurred_at"])
    (began,) = other.execute("SELECT now()").fetchone()

    assert lags(conn).projector < (datetime.now(UTC) - stored_at).total_seconds() + 0.001
    assert began < stored_at < now


def test_with_kafka_the_dispatchers_lag_is_that_of_the_partition_furthest_behind(store, conn):
    for number, context in enumerate((None, operator(), operator())):
        if context is None:
            register_a_minute_ago(store, f"p{number}")
        else:
            register_property(store, f"p{number}", context, name="P")
    (end,) = conn.execute("SELECT max(notification_id) FROM es.stored_events").fetchone()
    conn.execute("UPDATE relay.position SET position = %s, partitions = 2", [end])

    def lag_with(*positions):
        conn.execute("DELETE FROM hook.partitions")
        for partition, position in enumerate(positions):
            conn.execute("INSERT INTO hook.partitions VALUES (%s, %s)", [partition, position])
        return read_lags(conn, has_kafka=True).webhook_dispatcher

    assert lag_with() >= MINUTE  # no dispatcher has ever read the topic
    assert lag_with(end) >= MINUTE  # no dispatcher has read the second partition
    assert lag_with(end, 0) >= MINUTE
    assert 0 < lag_with(end, end - 1) < MINUTE
    assert lag_with(end, end) == 0
    assert lag_with(end, end, 0) == 0  # the third partition is not used


def checked(conn, *times):
    """The log lines of a watch that checks at these times, in seconds."""
    watch = StallWatch()
    lines = []
    for at in times:
        with capture_logs() as found:
            watch.check(conn, at)
        lines.append(found)
    return lines


def test_a_session_that_stalls_the_followers_is_logged_once_and_then_with_back_off(conn, other):
    begin_append(other)

    first, early, late, again, repeated, soon = checked(
        conn, 0, STALL_SECONDS - 0.1, STALL_SECONDS, 29, 30, 69
    )

    assert [first, early, again, soon] == [[], [], [], []]
    (line,) = late
    assert [each["event"] for each in repeated] == ["followers_stalled"]
    assert line["event"] == "followers_stalled"
    assert (line["pid"], line["application"]) == (other.info.backend_pid, "import of 2019")
    assert (line["user"], line["state"]) == (other.info.user, "idle in transaction")
    assert line["client_address"] in ("local", "127.0.0.1")
    assert line["since"] == other.execute("SELECT now()").fetchone()[0]
    assert f"pg_terminate_backend({other.info.backend_pid})" in line["advice"]


def test_the_end_of_a_stall_is_logged_and_short_appends_are_not(conn, other):
    watch = StallWatch()
    with capture_logs() as lines:
        for at in (0, 6, 12):  # three transactions of one session
            begin_append(other, f"short-{at}")
            watch.check(conn, at)
            other.execute("ROLLBACK")
        watch.check(conn, 14)
        begin_append(other)
        for at in (20, 31):
            watch.check(conn, at)
        other.execute("ROLLBACK")
        watch.check(conn, 33)

    assert [line["event"] for line in lines] == ["followers_stalled", "followers_continue"]
    assert lines[1]["after_seconds"] == 13


def test_the_work_of_a_follower_is_no_stall_when_the_beginning_of_its_transaction_is_not_visible(conn, other):
    other.execute("SET application_name TO 'ticketing-webhook-consumer'")
    other.execute(
        "SET track_activities TO off"
    )  # as for an owner of the database who may not see other roles
    other.execute("BEGIN")
    other.execute("SELECT position FROM hook.position FOR UPDATE")

    assert checked(conn, 0, STALL_SECONDS + 1) == [[], []]


def test_a_session_whose_lock_a_follower_waits_for_is_logged(database, conn, other):
    other.execute("BEGIN")
    other.execute("LOCK TABLE read.tickets IN ACCESS EXCLUSIVE MODE")
    with connect(database, application="ticketing-projector") as follower:
        waiting = threading.Thread(target=lambda: follower.execute("SELECT count(*) FROM read.tickets"))
        waiting.start()
        waits = "SELECT FROM pg_locks WHERE pid = %s AND NOT granted"
        eventually(lambda: conn.execute(waits, [follower.info.backend_pid]).fetchone() is not None, 10)
        _, (line,) = checked(conn, 0, STALL_SECONDS)
        other.execute("ROLLBACK")
        waiting.join()

    assert line["pid"] == other.info.backend_pid
    assert line["advice"].startswith("ticketing-projector waits for a lock")


def test_a_session_that_locks_the_position_of_the_dispatchers_is_logged(conn, other):
    """They do not wait for the lock, so PostgreSQL reports no blocked session."""
    conn.execute("BEGIN; SELECT position FROM hook.position")  # a reader, which is in nobody's way
    other.execute("BEGIN; SELECT position FROM hook.position FOR UPDATE")

    _, (line,) = checked(conn, 0, STALL_SECONDS)
    conn.execute("ROLLBACK")

    assert line["pid"] == other.info.backend_pid
    assert line["advice"].startswith("ticketing-webhook-consumer waits for a lock")


def test_the_role_of_the_processes_sees_the_sessions_of_other_roles(database, other):
    application = make_conninfo(database, user=APPLICATION, password="test")
    grant_to_application(database, application)
    begin_append(other)

    with connect(application, application="tests") as conn:
        _, (line,) = checked(conn, 0, STALL_SECONDS)
        assert lags(conn).projector > 0

    assert (line["state"], line["user"]) == ("idle in transaction", other.info.user)


def test_every_process_that_follows_the_log_watches_and_one_of_them_writes(database, conn, tmp_path):
    environ = environment(DATABASE_URL=database, TICKETING_HOME=str(tmp_path))
    watchers = (
        "SELECT count(*), count(l.pid) FROM pg_stat_activity a LEFT JOIN pg_locks l"
        "  ON l.pid = a.pid AND l.locktype = 'advisory' AND l.objid = %s AND l.granted"
        " WHERE a.application_name ^@ 'ticketing-stalls' AND a.datname = current_database()"
    )
    processes = [
        TicketingProcess(name, environ=environ, stdout=tmp_path / f"{name}.log")
        for name in ("projector", "webhook-dispatcher", "notary")
    ]
    try:
        eventually(lambda: conn.execute(watchers, [WATCH_KEY]).fetchone() == (3, 1), 30)
    finally:
        for process in processes:
            process.kill()
            process.wait()
