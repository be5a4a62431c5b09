"""One verification at a time, also for who starts the next as soon as the one before has told its outcome."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from infrastructure.storage.postgres import connect
from pages.panel import verification
from tests.support.waiting import eventually


def test_the_next_waits_until_the_one_before_is_gone(database):
    with (
        connect(database, application="tests") as before,
        connect(database, application="tests") as next_one,
        ThreadPoolExecutor(1) as executor,
    ):
        assert verification._take_lock(before)
        waiting = executor.submit(verification._take_lock, next_one)
        asked = "SELECT query LIKE '%%advisory%%' FROM pg_stat_activity WHERE pid = %s"
        assert eventually(lambda: before.execute(asked, [next_one.info.backend_pid]).fetchone()[0])
        before.close()

        assert waiting.result() is True


def test_the_next_is_told_no_while_another_goes_on(database, monkeypatch):
    monkeypatch.setattr(verification, "LOCK_SECONDS", 0.1)
    with (
        connect(database, application="tests") as before,
        connect(database, application="tests") as next_one,
    ):
        assert verification._take_lock(before)

        assert verification._take_lock(next_one) is False
