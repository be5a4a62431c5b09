"""The panel runs one verification at a time; the next one waits until the previous one has ended."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from infrastructure.storage.postgres import connect
from pages.panel import verification
from tests.support.waiting import eventually


def test_a_verification_waits_until_the_previous_one_has_ended(database):
    with (
        connect(database, application="tests") as previous,
        connect(database, application="tests") as next_one,
        ThreadPoolExecutor(1) as executor,
    ):
        assert verification._take_lock(previous)
        waiting = executor.submit(verification._take_lock, next_one)
        is_waiting = "SELECT query LIKE '%%advisory%%' FROM pg_stat_activity WHERE pid = %s"
        assert eventually(lambda: previous.execute(is_waiting, [next_one.info.backend_pid]).fetchone()[0])
        previous.close()

        assert waiting.result() is True


def test_a_verification_is_refused_while_another_one_runs(database, monkeypatch):
    monkeypatch.setattr(verification, "LOCK_SECONDS", 0.1)
    with (
        connect(database, application="tests") as previous,
        connect(database, application="tests") as next_one,
    ):
        assert verification._take_lock(previous)

        assert verification._take_lock(next_one) is False
