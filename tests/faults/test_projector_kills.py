"""`ticketing projector` is killed at any moment: another takes over, and the rows are the fold of the log."""

from __future__ import annotations

import os
import random
import signal
import threading
import time
from contextlib import contextmanager

import pytest

from tests.support.commands import environment
from tests.support.forks import TicketingProcess
from tests.support.history import History, append
from tests.support.read_tables import folded_rows, stored_rows
from tests.support.waiting import eventually

pytestmark = pytest.mark.faults

KILLS = 200 if os.environ.get("FAULTS_FULL") == "1" else 8
LIMIT_SECONDS = 60


@pytest.fixture
def start(database, tmp_path):
    """Returns a function that starts a projector; kills all of them after the test."""
    environ = environment(DATABASE_URL=database, TICKETING_HOME=str(tmp_path))
    started = []

    def process():
        started.append(TicketingProcess("projector", environ=environ))
        return started[-1]

    yield process
    for one in started:
        one.kill()
        one.wait()


def position(conn):
    return conn.execute("SELECT position FROM read.projector_position").fetchone()[0]


def count_projectors(conn):
    return conn.execute(
        "SELECT count(*) FROM pg_stat_activity"
        " WHERE application_name LIKE 'ticketing-projector%' AND datname = current_database()"
    ).fetchone()[0]


@contextmanager
def busy_writer(store):
    """Appends events in a thread without a pause."""
    stopping = threading.Event()
    history = History(1)

    def write():
        while not stopping.is_set():
            append(store, history.grow(10))

    thread = threading.Thread(target=write)
    thread.start()
    try:
        yield
    finally:
        stopping.set()
        thread.join()


def test_another_projector_takes_over_from_one_killed_at_any_moment(store, conn, start):
    """Two projectors run; each round kills the older one, leader or standby, and starts a new one."""
    moments = random.Random(7)
    running = [start(), start()]
    with busy_writer(store):
        for _ in range(KILLS):
            seen = position(conn)
            eventually(lambda seen=seen: position(conn) > seen)
            time.sleep(moments.uniform(0, 0.02))  # a random moment for the kill; waits for nothing
            victim = running.pop(0)
            victim.kill()
            victim.wait()
            running.append(start())
    last = conn.execute("SELECT es.stored_events_watermark()").fetchone()[0]
    eventually(lambda: position(conn) == last)

    assert stored_rows(conn) == folded_rows(conn)
    assert conn.execute("SELECT count(*) FROM read.parked_events").fetchone() == (0,)


def test_of_two_projectors_the_second_takes_over_when_the_first_is_killed(store, conn, start):
    first = start()
    eventually(lambda: count_projectors(conn) == 1)
    history = History(2)
    last = append(store, history.grow(20))
    eventually(lambda: position(conn) == last)
    second = start()
    eventually(lambda: count_projectors(conn) == 2)

    first.kill()
    first.wait()
    last = append(store, history.grow(20))
    eventually(lambda: position(conn) == last)

    assert second.poll() is None
    assert stored_rows(conn) == folded_rows(conn)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_ends_it_with_0_after_its_batch(store, conn, start, number):
    projector = start()
    last = append(store, History(3).grow(20))
    eventually(lambda: position(conn) == last)

    projector.send_signal(number)

    assert projector.wait(LIMIT_SECONDS) == 0
    assert stored_rows(conn) == folded_rows(conn)
