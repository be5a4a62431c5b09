"""The projector: batches, parked events, temporary errors, leadership; rows are the fold of the log."""

from __future__ import annotations

import os
import resource
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from hashlib import sha256

import psycopg
import pytest
from eventsourcing.persistence import StoredEvent

from infrastructure.storage.postgres import connect
from projections.batch import Overtaken, project_batch, read_batch
from projections.live_tables import LEADER_KEY
from projections.runner import Projector, catch_up, connect_projector
from projections.schema import LIVE, create_read_schema, drop_read_schema
from projections.visibility import Visibility
from tests.support.history import History, append
from tests.support.read_tables import folded_rows, rows_of, stored_rows
from tests.support.vault import VAULT
from tests.support.waiting import eventually

LIMIT_SECONDS = 60
OPEN_FILES = 1_100
OF_LISTENERS = "application_name LIKE 'ticketing-visibility%' AND datname = current_database()"
LISTENING = (
    f"EXISTS (SELECT FROM pg_stat_activity WHERE {OF_LISTENERS}"
    " AND state = 'idle' AND query LIKE '%projector_position%')"
)  # a listener has read the position and waits for notifications


@pytest.fixture
def projector(database):
    with connect_projector(database) as connection:
        yield connection


def position(conn):
    return conn.execute("SELECT position FROM read.projector_position").fetchone()[0]


def parked_events(conn):
    return conn.execute("SELECT originator_id, error FROM read.parked_events ORDER BY position").fetchall()


@contextmanager
def running_projector(dsn):
    """Runs a projector in a thread; yields a function that stops it."""
    stop = threading.Event()
    thread = threading.Thread(target=Projector(dsn, VAULT).run, args=(stop,))
    thread.start()

    def end():
        stop.set()
        thread.join(LIMIT_SECONDS)
        assert not thread.is_alive()

    try:
        yield end
    finally:
        end()


def leader_of(conn):
    """The process id of the backend that holds the lock of the leader, or None."""
    row = conn.execute(
        "SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND classid = 0 AND objid = %s AND granted"
        " AND database = (SELECT oid FROM pg_database WHERE datname = current_database())",
        [LEADER_KEY],
    ).fetchone()
    return row and row[0]


def count_projectors(conn):
    return conn.execute(
        "SELECT count(*) FROM pg_stat_activity"
        " WHERE application_name LIKE 'ticketing-projector%' AND datname = current_database()"
    ).fetchone()[0]


def test_at_the_end_of_the_log_there_is_nothing_to_do(projector, conn):
    assert catch_up(projector, VAULT) == 0
    assert position(conn) == 0


def test_batches_have_at_most_the_given_size_and_commit_the_position_with_the_rows(store, projector, conn):
    last = append(store, History(1).grow(30))

    sizes = []
    while size := catch_up(projector, VAULT, 7):
        sizes.append(size)
        assert position(conn) <= last
    assert (set(sizes[:-1]), sum(sizes), position(conn)) == ({7}, last, last)
    assert stored_rows(conn) == folded_rows(conn)


@pytest.mark.parametrize("batch_size", [1, 2, 13, 500])
def test_the_rows_do_not_depend_on_the_batch_size(store, projector, conn, batch_size):
    append(store, History(2).grow(250))

    while catch_up(projector, VAULT, batch_size):
        pass

    assert stored_rows(conn) == folded_rows(conn)
    assert parked_events(conn) == []


def test_catch_up_stops_at_a_given_position_and_continues_from_there(store, projector, conn):
    append(store, History(3).grow(50))

    while catch_up(projector, VAULT, 8, up_to=20):
        pass
    assert position(conn) == 20
    while catch_up(projector, VAULT, 8):
        pass

    assert stored_rows(conn) == folded_rows(conn)


def test_a_batch_that_was_projected_is_not_projected_again(store, projector, conn):
    append(store, History(4).grow(20))
    batch = read_batch(projector, 500)
    project_batch(projector, VAULT, batch, wait=True)
    before = stored_rows(conn)

    with pytest.raises(Overtaken):
        project_batch(projector, VAULT, batch, wait=True)

    assert stored_rows(conn) == before == folded_rows(conn)


def test_catch_up_without_waiting_returns_while_another_process_projects(store, projector, conn, database):
    append(store, History(5).grow(5))
    with connect(database, application="tests") as other, other.transaction():
        other.execute("SELECT position FROM read.projector_position FOR UPDATE")

        assert catch_up(projector, VAULT, wait=False) == 0

    assert catch_up(projector, VAULT, wait=False) > 0


# Four events that cannot be projected: one that does not decode, one with a value that PostgreSQL refuses,
# one with a value too large for an index, and one after a missing version.
def undecodable(event):
    return StoredEvent(event.originator_id, event.originator_version, event.topic, b'{"type": "no.such"}')


def with_refused_value(event):
    state = event.state.replace(b'"title":"', b'"title":"\\u0000')
    assert state != event.state
    return StoredEvent(event.originator_id, event.originator_version, event.topic, state)


def with_large_value(event):
    """Returns the event with a requester id that exceeds the size of index entries."""
    suffix = b"".join(sha256(b"%d" % number).hexdigest().encode() for number in range(200))
    state = event.state.replace(b'"requester_id":"', b'"requester_id":"' + suffix)
    assert state != event.state
    return StoredEvent(event.originator_id, event.originator_version, event.topic, state)


def after_missing_version(event):
    version = event.originator_version + 1
    state = event.state.replace(
        b'"originator_version":%d' % event.originator_version, b'"originator_version":%d' % version
    )
    assert state != event.state
    return StoredEvent(event.originator_id, version, event.topic, state)


@pytest.mark.parametrize(
    "spoil",
    [undecodable, with_refused_value, with_large_value, after_missing_version],
    ids=lambda spoil: spoil.__name__,
)
@pytest.mark.parametrize("batch_size", [1, 500])
def test_an_event_that_cannot_be_projected_is_parked_with_later_events_of_its_aggregate_only(
    store, projector, conn, spoil, batch_size
):
    events = [event for appended in History(6).grow(200) for event in appended]
    deleted = {event.originator_id for event in events if event.tag == "ticket.deleted"}  # not in every index
    opened = [event.originator_id for event in events if event.tag == "ticket.opened"]
    victim = next(ticket_id for ticket_id in opened if ticket_id not in deleted)
    of_victim = [event for event in events if event.originator_id == victim]
    assert len(of_victim) > 2
    for event in events:
        stored = store.mapper.to_stored_event(event)
        store.recorder.insert_events(
            [spoil(stored) if event is of_victim[0] else move_version(stored, spoil, event, victim)]
        )

    while catch_up(projector, VAULT, batch_size):
        pass

    assert [aggregate_id for aggregate_id, _ in parked_events(conn)] == [victim] * len(of_victim)
    assert "waits behind" not in parked_events(conn)[0][1]
    assert all("waits behind" in error for _, error in parked_events(conn)[1:])
    others = [each for each in enumerate(events, start=1) if each[1].originator_id != victim]
    assert stored_rows(conn) == rows_of(others)


def move_version(stored, spoil, event, victim):
    """Moves later events of the aggregate by one version as well, if `spoil` has moved the first one."""
    is_moved = spoil is after_missing_version and event.originator_id == victim
    return after_missing_version(stored) if is_moved else stored


def test_events_appended_after_a_parked_event_of_their_aggregate_are_parked_too(store, projector, conn):
    history = History(7)
    events = [event for appended in history.grow(60) for event in appended]
    victim = next(event for event in events if event.tag == "ticket.opened")
    append(
        store,
        [[event] for event in events if event is not victim and event.originator_id != victim.originator_id],
    )
    store.recorder.insert_events([undecodable(store.mapper.to_stored_event(victim))])
    while catch_up(projector, VAULT):
        pass
    assert len(parked_events(conn)) == 1

    later = [event for event in events if event.originator_id == victim.originator_id][1:]
    append(store, [[event] for event in later])
    while catch_up(projector, VAULT):
        pass

    assert len(parked_events(conn)) == 1 + len(later)
    assert victim.originator_id not in stored_rows(conn)["tickets"]


def test_an_event_that_meets_a_temporary_error_is_not_parked(store, projector, conn):
    append(store, History(8).grow(120))
    conn.execute("ALTER TABLE read.comments RENAME TO elsewhere")

    with pytest.raises(psycopg.errors.UndefinedTable):
        while catch_up(projector, VAULT):
            pass
    stopped_at = position(conn)
    conn.execute("ALTER TABLE read.elsewhere RENAME TO comments")
    while catch_up(projector, VAULT):
        pass

    assert stopped_at < position(conn)
    assert parked_events(conn) == []
    assert stored_rows(conn) == folded_rows(conn)


def test_a_lock_timeout_parks_nothing(store, projector, conn, database):
    append(store, History(9).grow(60))
    projector.execute("SET lock_timeout TO '50ms'")
    with connect(database, application="tests") as other, other.transaction():
        other.execute("LOCK TABLE read.tickets IN ACCESS EXCLUSIVE MODE")
        with pytest.raises(psycopg.errors.LockNotAvailable):
            catch_up(projector, VAULT)

    while catch_up(projector, VAULT):
        pass

    assert parked_events(conn) == []
    assert stored_rows(conn) == folded_rows(conn)


def test_a_projector_whose_connections_are_cut_goes_on(store, conn, database):
    history, last = History(10), 0
    with running_projector(database):
        for _ in range(10):
            last = append(store, history.grow(20))
            eventually(lambda: leader_of(conn))
            conn.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE application_name LIKE 'ticketing-projector%' AND datname = current_database()"
            )
        eventually(lambda: position(conn) == last)

    assert parked_events(conn) == []
    assert stored_rows(conn) == folded_rows(conn)


def test_the_second_projector_stands_by_and_takes_over(store, conn, database):
    history = History(11)
    with running_projector(database) as stop_the_first:
        first = eventually(lambda: leader_of(conn))
        with running_projector(database):
            eventually(lambda: count_projectors(conn) == 2)
            last = append(store, history.grow(50))
            eventually(lambda: position(conn) == last)
            assert leader_of(conn) == first

            stop_the_first()
            second = eventually(lambda: (now := leader_of(conn)) != first and now)
            last = append(store, history.grow(50))
            eventually(lambda: position(conn) == last)

    assert second != first
    eventually(lambda: leader_of(conn) is None)  # the server ends their sessions a moment later
    assert stored_rows(conn) == folded_rows(conn)


@pytest.fixture
def many_open_files():
    """Opens as many files as a worker with a thousand clients."""
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(limits[0], 4 * OPEN_FILES), limits[1]))
    with ExitStack() as stack:
        for _ in range(OPEN_FILES):
            stack.enter_context(open(os.devnull))
        yield
    resource.setrlimit(resource.RLIMIT_NOFILE, limits)


def test_a_process_with_many_open_files_is_notified_of_projected_events(
    store, conn, database, pool, many_open_files
):
    history = History(13)
    visibility = Visibility(database, pool, VAULT)
    try:
        with running_projector(database):
            for _ in range(2):
                assert visibility.wait_for(append(store, history.grow(20)))
            listeners = [thread for thread in threading.enumerate() if thread.name == "visibility"]
    finally:
        visibility.close()

    assert len(listeners) == 1


def test_visibility_does_not_use_the_position_of_a_previous_server(store, conn, database, pool):
    """A standby without the last commits takes over, or a crash lost the last commits of the projector."""
    last = append(store, History(15).grow(20))
    visibility = Visibility(database, pool, VAULT)
    try:
        assert eventually(lambda: visibility.wait_for(last), LIMIT_SECONDS)
        drop_read_schema(conn, LIVE)
        create_read_schema(conn)
        conn.execute(f"SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE {OF_LISTENERS}")

        def is_shown():
            return visibility.wait_for(last) and position(conn) == last

        assert eventually(is_shown, LIMIT_SECONDS)
    finally:
        visibility.close()


def test_a_notification_of_the_projector_ends_a_wait(store, projector, conn, database, pool, monkeypatch):
    """The regular reads of the position, meant for lost notifications, come too late in this test."""
    for limit in ("WAIT_SECONDS", "LONGEST_WAIT_SECONDS", "POLL_SECONDS"):
        monkeypatch.setattr(f"projections.visibility.{limit}", float(LIMIT_SECONDS))
    last = append(store, History(14).grow(20))
    visibility = Visibility(database, pool, VAULT)
    with connect(database, application="tests") as leader, ThreadPoolExecutor(1) as thread:
        leader.execute("SELECT pg_advisory_lock(%s)", [LEADER_KEY])
        began = time.monotonic()
        waiting = thread.submit(visibility.wait_for, last)
        eventually(lambda: conn.execute(f"SELECT {LISTENING}").fetchone()[0])

        while catch_up(projector, VAULT):
            pass

        assert waiting.result()
        assert time.monotonic() - began < LIMIT_SECONDS / 2
    monkeypatch.undo()
    conn.execute(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE {OF_LISTENERS}")
    visibility.close()


def test_a_projector_waits_for_read_tables_that_do_not_exist_yet(store, conn, database):
    """Processes may start in any order: `migrate` creates the tables later."""
    last = append(store, History(12).grow(30))
    drop_read_schema(conn, LIVE)
    with running_projector(database):
        eventually(lambda: count_projectors(conn))
        create_read_schema(conn)
        eventually(lambda: position(conn) == last)

    assert parked_events(conn) == []
    assert stored_rows(conn) == folded_rows(conn)
