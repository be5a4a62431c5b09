"""The projector: batches, poison, what passes later, two of them, and rows that are the fold of the log."""

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
from projections.runner import LEADER_KEY, Projector, catch_up, connect_projector
from projections.schema import LIVE, create_read_schema, drop_read_schema
from projections.visibility import Visibility
from tests.support.history import History, append
from tests.support.read_tables import folded_rows, rows_of, stored_rows
from tests.support.vault import VAULT
from tests.support.waiting import eventually

LIMIT_SECONDS = 60
OPEN_FILES = 1_100
OF_LISTENERS = "application_name = 'ticketing-visibility' AND datname = current_database()"
LISTENING = (
    f"EXISTS (SELECT FROM pg_stat_activity WHERE {OF_LISTENERS}"
    " AND state = 'idle' AND query LIKE '%projector_position%')"
)  # one has read the position and waits for notifications


@pytest.fixture
def projector(database):
    with connect_projector(database) as connection:
        yield connection


def position(conn):
    return conn.execute("SELECT position FROM read.projector_position").fetchone()[0]


def parked(conn):
    return conn.execute("SELECT originator_id, error FROM read.parked_events ORDER BY position").fetchall()


@contextmanager
def running(dsn):
    """A projector in a thread; what is yielded stops it."""
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


def leader(conn):
    """The backend that holds the leadership, if any does."""
    row = conn.execute(
        "SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND classid = 0 AND objid = %s AND granted"
        " AND database = (SELECT oid FROM pg_database WHERE datname = current_database())",
        [LEADER_KEY],
    ).fetchone()
    return row and row[0]


def projectors(conn):
    return conn.execute(
        "SELECT count(*) FROM pg_stat_activity"
        " WHERE application_name = 'ticketing-projector' AND datname = current_database()"
    ).fetchone()[0]


def test_at_the_end_of_the_log_there_is_nothing_to_do(projector, conn):
    assert catch_up(projector, VAULT) == 0
    assert position(conn) == 0


def test_batches_are_no_larger_than_asked_and_the_position_comes_with_the_rows(store, projector, conn):
    last = append(store, History(1).grow(30))

    sizes = []
    while size := catch_up(projector, VAULT, 7):
        sizes.append(size)
        assert position(conn) <= last
    assert (set(sizes[:-1]), sum(sizes), position(conn)) == ({7}, last, last)
    assert stored_rows(conn) == folded_rows(conn)


@pytest.mark.parametrize("batch_size", [1, 2, 13, 500])
def test_where_the_log_is_cut_makes_no_difference(store, projector, conn, batch_size):
    append(store, History(2).grow(250))

    while catch_up(projector, VAULT, batch_size):
        pass

    assert stored_rows(conn) == folded_rows(conn)
    assert parked(conn) == []


def test_up_to_stops_at_that_position_and_goes_on_from_there(store, projector, conn):
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


def test_who_must_not_wait_does_not_while_another_projects(store, projector, conn, database):
    append(store, History(5).grow(5))
    with connect(database, application="tests") as other, other.transaction():
        other.execute("SELECT position FROM read.projector_position FOR UPDATE")

        assert catch_up(projector, VAULT, wait=False) == 0

    assert catch_up(projector, VAULT, wait=False) > 0


# What no projection can digest: it cannot be decoded; PostgreSQL refuses the value, or its size; a
# version is missing.
def undecodable(event):
    return StoredEvent(event.originator_id, event.originator_version, event.topic, b'{"type": "no.such"}')


def indigestible(event):
    state = event.state.replace(b'"title":"', b'"title":"\\u0000')
    assert state != event.state
    return StoredEvent(event.originator_id, event.originator_version, event.topic, state)


def too_large(event):
    """For an index, whose entries have a limit."""
    category = b"".join(sha256(b"%d" % number).hexdigest().encode() for number in range(200))
    state = event.state.replace(b'"property_id":"', b'"property_id":"' + category)
    assert state != event.state
    return StoredEvent(event.originator_id, event.originator_version, event.topic, state)


def ahead(event):
    version = event.originator_version + 1
    state = event.state.replace(
        b'"originator_version":%d' % event.originator_version, b'"originator_version":%d' % version
    )
    assert state != event.state
    return StoredEvent(event.originator_id, version, event.topic, state)


@pytest.mark.parametrize(
    "spoil", [undecodable, indigestible, too_large, ahead], ids=lambda spoil: spoil.__name__
)
@pytest.mark.parametrize("batch_size", [1, 500])
def test_a_poison_event_is_parked_with_what_follows_it_and_the_others_go_on(
    store, projector, conn, spoil, batch_size
):
    events = [event for appended in History(6).grow(200) for event in appended]
    victim = next(event.originator_id for event in events if event.tag == "ticket.opened")
    of_victim = [event for event in events if event.originator_id == victim]
    assert len(of_victim) > 2
    for event in events:
        stored = store.mapper.to_stored_event(event)
        store.recorder.insert_events(
            [spoil(stored) if event is of_victim[0] else stored_later(stored, spoil, event, victim)]
        )

    while catch_up(projector, VAULT, batch_size):
        pass

    assert [aggregate_id for aggregate_id, _ in parked(conn)] == [victim] * len(of_victim)
    assert "waits behind" not in parked(conn)[0][1]
    assert all("waits behind" in error for _, error in parked(conn)[1:])
    assert stored_rows(conn) == rows_of(event for event in events if event.originator_id != victim)


def stored_later(stored, spoil, event, victim):
    """Later events of a stream that begins at version 2 come one version later too."""
    return ahead(stored) if spoil is ahead and event.originator_id == victim else stored


def test_what_comes_after_a_parked_event_later_waits_too(store, projector, conn):
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
    assert len(parked(conn)) == 1

    later = [event for event in events if event.originator_id == victim.originator_id][1:]
    append(store, [[event] for event in later])
    while catch_up(projector, VAULT):
        pass

    assert len(parked(conn)) == 1 + len(later)
    assert victim.originator_id not in stored_rows(conn)["tickets"]


def test_what_may_pass_later_is_not_parked(store, projector, conn):
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
    assert parked(conn) == []
    assert stored_rows(conn) == folded_rows(conn)


def test_a_lock_that_is_held_too_long_parks_nothing(store, projector, conn, database):
    append(store, History(9).grow(60))
    projector.execute("SET lock_timeout TO '50ms'")
    with connect(database, application="tests") as other, other.transaction():
        other.execute("LOCK TABLE read.tickets IN ACCESS EXCLUSIVE MODE")
        with pytest.raises(psycopg.errors.LockNotAvailable):
            catch_up(projector, VAULT)

    while catch_up(projector, VAULT):
        pass

    assert parked(conn) == []
    assert stored_rows(conn) == folded_rows(conn)


def test_a_projector_whose_connections_are_cut_goes_on(store, conn, database):
    history, last = History(10), 0
    with running(database):
        for _ in range(10):
            last = append(store, history.grow(20))
            eventually(lambda: leader(conn))
            conn.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE application_name = 'ticketing-projector' AND datname = current_database()"
            )
        eventually(lambda: position(conn) == last)

    assert parked(conn) == []
    assert stored_rows(conn) == folded_rows(conn)


def test_the_second_projector_stands_by_and_takes_over(store, conn, database):
    history = History(11)
    with running(database) as stop_the_first:
        first = eventually(lambda: leader(conn))
        with running(database):
            eventually(lambda: projectors(conn) == 2)
            last = append(store, history.grow(50))
            eventually(lambda: position(conn) == last)
            assert leader(conn) == first

            stop_the_first()
            second = eventually(lambda: (now := leader(conn)) != first and now)
            last = append(store, history.grow(50))
            eventually(lambda: position(conn) == last)

    assert second != first
    eventually(lambda: leader(conn) is None)  # the server notices a moment later that they have gone
    assert stored_rows(conn) == folded_rows(conn)


@pytest.fixture
def many_open_files():
    """As many as a worker with a thousand clients has."""
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(limits[0], 4 * OPEN_FILES), limits[1]))
    with ExitStack() as stack:
        for _ in range(OPEN_FILES):
            stack.enter_context(open(os.devnull))
        yield
    resource.setrlimit(resource.RLIMIT_NOFILE, limits)


def test_a_process_with_many_open_files_hears_of_what_is_projected(
    store, conn, database, pool, many_open_files
):
    history = History(13)
    visibility = Visibility(database, pool, VAULT)
    try:
        with running(database):
            for _ in range(2):
                assert visibility.wait_for(append(store, history.grow(20)))
            listeners = [thread for thread in threading.enumerate() if thread.name == "visibility"]
    finally:
        visibility.close()

    assert len(listeners) == 1


def test_a_server_that_is_not_as_far_as_the_one_before_is_not_taken_for_it(store, conn, database, pool):
    """A copy takes over that lacks the last commits, or the projector's last ones were lost in a crash."""
    last = append(store, History(15).grow(20))
    visibility = Visibility(database, pool, VAULT)
    try:
        assert eventually(lambda: visibility.wait_for(last), LIMIT_SECONDS)
        drop_read_schema(conn, LIVE)
        create_read_schema(conn)
        conn.execute(f"SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE {OF_LISTENERS}")

        def is_shown():
            return visibility.wait_for(last) and position_of(conn) == last

        assert eventually(is_shown, LIMIT_SECONDS)
    finally:
        visibility.close()


def position_of(conn):
    return conn.execute("SELECT position FROM read.projector_position").fetchone()[0]


def test_who_waits_is_woken_by_what_is_projected(store, projector, conn, database, pool, monkeypatch):
    """Not by looking now and then, which is for notifications that were lost."""
    for limit in ("WAIT_SECONDS", "LONGEST_WAIT_SECONDS", "LOOK_SECONDS"):
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


def test_a_projector_waits_for_read_tables_that_are_not_there_yet(store, conn, database):
    """As when processes start in any order: `migrate` makes the tables later."""
    last = append(store, History(12).grow(30))
    drop_read_schema(conn, LIVE)
    with running(database):
        eventually(lambda: projectors(conn))
        create_read_schema(conn)
        eventually(lambda: position(conn) == last)

    assert parked(conn) == []
    assert stored_rows(conn) == folded_rows(conn)
