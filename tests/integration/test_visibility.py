"""Waiting until the read tables show a write: how long, and what that leaves to the request."""

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
FORMER_LIMIT_SECONDS = 0.5  # after which a write was answered although no list showed it


@pytest.fixture
def visibility(database, pool):
    opened = Visibility(database, pool, VAULT)
    yield opened
    opened.close()


@contextmanager
def held_projection(database):
    """Nobody can project: the position is held by another transaction."""
    with connect(database, application="tests") as conn, conn.transaction():
        conn.execute("SELECT position FROM read.projector_position FOR UPDATE")
        yield


def set_longest_wait(monkeypatch, seconds):
    monkeypatch.setattr("projections.visibility.LONGEST_WAIT_SECONDS", float(seconds))


def test_slow_projection_is_waited_for(store, database, visibility, monkeypatch):
    """As on a busy machine. The threads share one connection to help with; all of them see it end."""
    set_longest_wait(monkeypatch, LIMIT_SECONDS)
    last = append(store, History(16).grow(20))
    with ThreadPoolExecutor(3) as threads:
        with held_projection(database):
            waiting = [threads.submit(visibility.wait_for, last) for _ in range(3)]
            ended, _ = wait(waiting, timeout=2 * FORMER_LIMIT_SECONDS)

        assert not ended
        assert [each.result(LIMIT_SECONDS / 2) for each in waiting] == [True] * 3


def test_while_projection_is_stuck_the_long_wait_is_not_repeated(store, database, visibility, monkeypatch):
    """Until something is projected again."""
    history = History(17)
    last = append(store, history.grow(20))
    with ThreadPoolExecutor(1) as thread:
        with held_projection(database):
            assert not visibility.wait_for(last)
            set_longest_wait(monkeypatch, LIMIT_SECONDS)
            assert not thread.submit(visibility.wait_for, last).result(LIMIT_SECONDS / 2)

        assert eventually(lambda: visibility.wait_for(last))
        last = append(store, history.grow(20))
        with held_projection(database):
            again = thread.submit(visibility.wait_for, last)
            assert not wait([again], timeout=2 * FORMER_LIMIT_SECONDS).done

        assert again.result(LIMIT_SECONDS / 2)


def test_a_request_keeps_time_for_what_follows_the_wait(store, database, visibility, monkeypatch):
    set_longest_wait(monkeypatch, LIMIT_SECONDS)
    last = append(store, History(18).grow(20))
    with held_projection(database):
        limit_request(2.0)
        try:
            is_shown, left = visibility.wait_for(last), seconds_left(LIMIT_SECONDS)
        finally:
            lift_request_limit()

    assert not is_shown
    assert left > 0
