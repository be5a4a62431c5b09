"""Waiting until the read tables contain a write: for how long, and what time the request has left."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager

import pytest

from infrastructure.process.deadlines import lift_request_limit, limit_request, seconds_left
from infrastructure.storage.postgres import connect
from projections.visibility import Visibility
from tests.support.history import History, append
from tests.support.vault import VAULT
from tests.support.waiting import eventually

LIMIT_SECONDS = 60
FORMER_LIMIT_SECONDS = 0.5  # earlier versions answered after this time, before lists contained the write


@pytest.fixture
def visibility(database, pool):
    opened = Visibility(database, pool, VAULT)
    yield opened
    opened.close()


@contextmanager
def blocked_projection(database):
    """Prevents projection in the block: a transaction holds the lock on the position."""
    with connect(database, application="tests") as conn, conn.transaction():
        conn.execute("SELECT position FROM read.projector_position FOR UPDATE")
        yield


def set_longest_wait(monkeypatch, seconds):
    monkeypatch.setattr("projections.visibility.LONGEST_WAIT_SECONDS", float(seconds))


def test_a_write_waits_for_slow_projection(store, database, visibility, monkeypatch):
    """Three threads wait; they share one connection on which they project. All of them return True."""
    set_longest_wait(monkeypatch, LIMIT_SECONDS)
    last = append(store, History(16).grow(20))
    with ThreadPoolExecutor(3) as threads:
        with blocked_projection(database):
            waiting = [threads.submit(visibility.wait_for, last) for _ in range(3)]
            ended, _ = wait(waiting, timeout=2 * FORMER_LIMIT_SECONDS)

        assert not ended
        assert [each.result(LIMIT_SECONDS / 2) for each in waiting] == [True] * 3


def test_after_a_long_wait_without_progress_the_next_waits_are_short(
    store, database, visibility, monkeypatch
):
    """Waits are long again after the projector has made progress."""
    history = History(17)
    last = append(store, history.grow(20))
    with ThreadPoolExecutor(1) as thread:
        with blocked_projection(database):
            assert not visibility.wait_for(last)
            set_longest_wait(monkeypatch, LIMIT_SECONDS)
            assert not thread.submit(visibility.wait_for, last).result(LIMIT_SECONDS / 2)

        assert eventually(lambda: visibility.wait_for(last))
        last = append(store, history.grow(20))
        with blocked_projection(database):
            again = thread.submit(visibility.wait_for, last)
            assert not wait([again], timeout=2 * FORMER_LIMIT_SECONDS).done

        assert again.result(LIMIT_SECONDS / 2)


def test_the_wait_leaves_time_for_the_rest_of_the_request(store, database, visibility, monkeypatch):
    set_longest_wait(monkeypatch, LIMIT_SECONDS)
    last = append(store, History(18).grow(20))
    with blocked_projection(database):
        limit_request(2.0)
        try:
            is_shown, left = visibility.wait_for(last), seconds_left(LIMIT_SECONDS)
        finally:
            lift_request_limit()

    assert not is_shown
    assert left > 0
