"""The proof of the log protocol of migrations/0001_event_log.sql: a follower skips no event.

A control reads the same log without the watermark and must lose events. This shows that the tests can fail.
"""

from __future__ import annotations

import multiprocessing
import os
import threading
from concurrent.futures import ProcessPoolExecutor

import psycopg
import pytest
from eventsourcing.persistence import IntegrityError, StoredEvent

from infrastructure.storage.event_store import EventStore
from infrastructure.storage.log_triggers import WatermarkMissing, verify_triggers
from infrastructure.storage.postgres import connect
from infrastructure.storage.recorder import WatermarkRecorder, read_log
from tests.support.log_writers import INSERT, Follower, read_without_watermark, write

FULL = os.environ.get("FAULTS_FULL") == "1"
WATERMARK_SECONDS = float(os.environ.get("WATERMARK_SECONDS") or (30 if FULL else 6))
WRITERS = 16
PROCESSES = 4


@pytest.fixture
def other(database):
    """The connection of a second writer."""
    with connect(database, application="other") as connection:
        yield connection


@pytest.fixture
def recorder(store: EventStore) -> WatermarkRecorder:
    return store.recorder


def append(conn, stream, version=1):
    return conn.execute(INSERT, [stream, version]).fetchone()[0]


def streams(conn, position=0):
    """What a follower at `position` can read now."""
    return [row.aggregate_id for row in read_log(conn, position, 100)]


def begin(conn):
    conn.execute("BEGIN")


@pytest.mark.faults
def test_a_follower_reads_every_event_of_sixteen_writers_once_and_in_order(database, conn):
    context = multiprocessing.get_context("spawn")
    per_process = WRITERS // PROCESSES
    with (
        Follower(database, read_log) as follower,
        Follower(database, read_without_watermark) as control,
        ProcessPoolExecutor(PROCESSES, context) as processes,
    ):
        parts = [
            processes.submit(write, database, number * per_process, per_process, WATERMARK_SECONDS)
            for number in range(PROCESSES)
        ]
        done = {kind: sum(part.result()[kind] for part in parts) for kind in parts[0].result()}

    stored = read_without_watermark(conn, 0, 10_000_000)
    print(f"\n{len(stored)} stored, {len(follower.seen)} followed in {follower.polls} polls, {done}")
    print(f"control: {len(stored) - len(control.seen)} of {len(stored)} lost")
    assert all(
        done[kind] for kind in ("slow", "rolled_back", "rolled_back_to_savepoint", "refused", "race_lost")
    )
    assert follower.seen == stored, "skipped, repeated or out of order"
    assert out_of_order(follower.seen) == []
    assert set(control.seen) < set(stored), "the control lost nothing: this run proves nothing"


def out_of_order(seen):
    newest: dict[str, int] = {}
    wrong = []
    for _, stream, version in seen:
        if version != newest.get(stream, 0) + 1:
            wrong.append((stream, version))
        newest[stream] = version
    return wrong


def test_the_watermark_never_moves_back_while_positions_are_drawn(database, conn):
    """nextval() stores a value that is 32 too high for a moment; a plain SELECT can read it."""
    conn.execute(
        """
        CREATE FUNCTION pg_temp.times_moved_back(reads int) RETURNS int LANGUAGE plpgsql AS $$
        DECLARE
            before bigint := 0;
            found bigint;
            times int := 0;
        BEGIN
            FOR i IN 1..reads LOOP
                found := es.stored_events_watermark();
                times := times + (found < before)::int;
                before := found;
            END LOOP;
            RETURN times;
        END $$
        """
    )
    stopping = threading.Event()

    def draw():
        with connect(database, application="writer") as writer:
            while not stopping.is_set():
                writer.execute(
                    "SELECT count(nextval('es.stored_events_notification_id_seq'))"
                    " FROM generate_series(1, 2000)"
                )

    writers = [threading.Thread(target=draw) for _ in range(3)]
    for writer in writers:
        writer.start()
    moved_back = [conn.execute("SELECT pg_temp.times_moved_back(20000)").fetchone()[0] for _ in range(3)]
    stopping.set()
    for writer in writers:
        writer.join()

    assert moved_back == [0] * 3


def test_an_event_is_not_read_before_an_earlier_append_has_ended(conn, other):
    begin(conn)
    early = append(conn, "early")
    late = append(other, "late")

    assert early < late
    assert [row[1] for row in read_without_watermark(other, 0, 100)] == ["late"]
    assert streams(other) == []

    conn.execute("COMMIT")

    assert read_without_watermark(other, late, 100) == [], "the control can never read `early`"
    assert streams(other) == ["early", "late"]


def test_events_stored_before_the_append_of_a_slow_writer_are_read_at_once(conn, other):
    append(other, "before")
    begin(conn)
    append(conn, "slow")

    assert streams(other) == ["before"]


def test_a_rolled_back_append_leaves_a_gap_for_which_readers_do_not_wait(conn, other):
    begin(conn)
    append(conn, "never")
    append(other, "stored")

    conn.execute("ROLLBACK")

    assert streams(other) == ["stored"]


def test_readers_do_not_wait_for_a_killed_writer(database, conn):
    writer = connect(database, application="writer")
    begin(writer)
    append(writer, "killed")
    append(conn, "stored")

    conn.execute("SELECT pg_terminate_backend(%s, 5000)", [writer.info.backend_pid])

    assert streams(conn) == ["stored"]
    writer.close()


def test_after_rolling_back_to_a_savepoint_readers_still_wait_for_earlier_appends(conn, other):
    begin(conn)
    append(conn, "first")
    conn.execute("SAVEPOINT s")
    append(conn, "undone")
    conn.execute("ROLLBACK TO SAVEPOINT s")
    append(other, "other")

    assert streams(other) == []

    append(conn, "second")
    conn.execute("COMMIT")

    assert streams(other) == ["first", "other", "second"]


def test_after_rolling_back_to_a_savepoint_readers_wait_for_the_next_append(conn, other):
    begin(conn)
    conn.execute("SAVEPOINT s")
    append(conn, "undone")
    conn.execute("ROLLBACK TO SAVEPOINT s")
    seen = append(other, "other")

    assert streams(other) == ["other"], "the open transaction has no append to wait for"

    append(conn, "again")
    append(other, "late")

    assert streams(other, seen) == []

    conn.execute("COMMIT")

    assert streams(other, seen) == ["again", "late"]


@pytest.mark.parametrize("isolation", ["REPEATABLE READ", "SERIALIZABLE"])
def test_a_writer_may_use_any_isolation(conn, other, isolation):
    conn.execute(f"BEGIN ISOLATION LEVEL {isolation}")
    append(conn, "early")
    append(other, "late")

    assert streams(other) == []

    conn.execute("COMMIT")

    assert streams(other) == ["early", "late"]


@pytest.mark.parametrize("isolation", ["REPEATABLE READ", "SERIALIZABLE"])
def test_a_reader_with_one_snapshot_is_refused(conn, isolation):
    conn.execute(f"BEGIN ISOLATION LEVEL {isolation}")

    with pytest.raises(psycopg.errors.RaiseException, match="READ COMMITTED"):
        read_log(conn, 0, 100)


def test_readers_wait_for_copy_and_for_the_replication_role_too(conn, other):
    conn.execute("SET session_replication_role = replica")
    begin(conn)
    with conn.cursor().copy(
        "COPY es.stored_events (originator_id, originator_version, topic, state) FROM STDIN"
    ) as copy:
        copy.write_row(("copied", 1, "test", b"{}"))
    append(other, "late")

    assert streams(other) == []

    conn.execute("COMMIT")

    assert streams(other) == ["copied", "late"]


def test_readers_do_not_wait_for_other_databases_and_other_advisory_locks(conn, other, postgres):
    with psycopg.connect(postgres) as elsewhere:
        elsewhere.execute("SELECT pg_advisory_xact_lock_shared(17747::bigint << 48)")
        begin(conn)
        conn.execute("SELECT pg_advisory_xact_lock(17747, 1), pg_advisory_xact_lock(1)")
        append(other, "stored")

        assert streams(other) == ["stored"]


def test_reading_can_be_limited_to_topics(conn):
    append(conn, "one")

    assert [row.aggregate_id for row in read_log(conn, 0, 100, ["test"])] == ["one"]
    assert read_log(conn, 0, 100, ["another"]) == []


@pytest.mark.parametrize("trigger", ["stored_events_enter", "stored_events_append_only"])
@pytest.mark.parametrize(
    "change",
    ["DISABLE TRIGGER {0}", "ENABLE TRIGGER {0}", "ENABLE REPLICA TRIGGER {0}", "DISABLE TRIGGER ALL"],
)
def test_a_disabled_trigger_is_detected(conn, trigger, change):
    verify_triggers(conn)

    conn.execute("ALTER TABLE es.stored_events " + change.format(trigger))

    with pytest.raises(WatermarkMissing):
        verify_triggers(conn)


@pytest.mark.parametrize(
    "statement",
    ["UPDATE es.stored_events SET state = ''", "DELETE FROM es.stored_events", "TRUNCATE es.stored_events"],
)
def test_the_log_is_append_only(conn, statement):
    append(conn, "stored")

    with pytest.raises(psycopg.errors.InsufficientPrivilege, match="append-only"):
        conn.execute(statement)

    assert streams(conn) == ["stored"]


def test_the_recorder_returns_the_positions_that_a_follower_reads(conn, recorder):
    positions = recorder.insert_events([StoredEvent("s", version, "test", b"{}") for version in (1, 2, 3)])

    assert [row[:3] for row in read_log(conn, 0, 100)] == [
        (position, "s", version) for position, version in zip(positions, (1, 2, 3), strict=True)
    ]
    assert recorder.max_notification_id() == positions[-1]


def test_an_append_with_a_taken_version_stores_none_of_its_events(conn, recorder):
    recorder.insert_events([StoredEvent("s", 2, "test", b"{}")])

    with pytest.raises(IntegrityError):
        recorder.insert_events([StoredEvent("s", version, "test", b"{}") for version in (1, 2, 3)])

    assert [row.version for row in read_log(conn, 0, 100)] == [2]


def test_with_the_table_lock_appends_run_one_at_a_time(conn, other, pool):
    recorder = WatermarkRecorder(pool, lock="table")
    recorder.insert_events([StoredEvent("s", 1, "test", b"{}")])
    begin(conn)
    append(conn, "early")

    with pytest.raises(psycopg.errors.LockNotAvailable):  # after the pool's lock_timeout
        recorder.insert_events([StoredEvent("s", 2, "test", b"{}")])
    conn.execute("COMMIT")
    recorder.insert_events([StoredEvent("s", 2, "test", b"{}"), StoredEvent("s", 3, "test", b"{}")])

    assert streams(other) == ["s", "early", "s", "s"]
