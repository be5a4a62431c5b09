"""What goes wrong while clients work: processes are killed, connections are cut, answers are lost."""

from __future__ import annotations

import random
import threading
from collections import Counter
from collections.abc import Callable

import psutil

from infrastructure.storage.postgres import connect
from tests.support.processes import Processes, kill
from tests.support.proxy import Proxy
from tests.support.waiting import eventually

LIMIT_SECONDS = 120
LOST = (b"ticket.opened", b"ticket.title_changed", b"ticket.commented")


class System:
    """An API with its workers and the processes that follow the log, reaching PostgreSQL through a proxy."""

    def __init__(self, dsn: str, proxy: Proxy, processes: Processes, followers: list[str]) -> None:
        self._dsn = dsn
        self._proxy = proxy
        self._processes = processes
        self._api = processes.start("api")
        self._followers = {name: processes.start(name) for name in followers}
        self._random = random.Random(5)
        self.done: Counter[str] = Counter()

    def break_things(self, left: Callable[[], int], faults: int) -> None:
        """`faults` of them, spread over what is left to do: the next one when enough of it is done."""
        at_first = left()
        kinds = [
            self.kill_a_worker,
            *self._kills(),
            self.end_sessions,
            self.cut_connections,
            self.lose_an_answer,
        ]
        order = [kinds[number % len(kinds)] for number in range(faults)]
        self._random.shuffle(order)
        for number, fault in enumerate(order, start=1):
            due = at_first - number * at_first // (faults + 2)
            eventually(lambda due=due: self.runs() and left() <= due, LIMIT_SECONDS)  # type: ignore[misc]
            fault()
            self.done[getattr(fault, "__name__", "")] += 1

    def runs(self) -> bool:
        """Start again what has ended because it could not begin, as a supervisor does. True."""
        for name, process in self._followers.items():
            if process.poll() is not None:
                self._followers[name] = self._processes.start(name)
                self.done[f"{name}_started_again"] += 1
        return self._api.poll() is None

    def _kills(self) -> list[Callable[[], None]]:
        return [self._killer(name) for name in self._followers]

    def _killer(self, name: str) -> Callable[[], None]:
        def fault() -> None:
            kill(self._followers[name])
            self._followers[name] = self._processes.start(name)

        fault.__name__ = f"kill_{name}"
        return fault

    def kill_a_worker(self) -> None:
        """kill -9 of one of the processes that answer requests."""
        workers = psutil.Process(self._api.pid).children()
        if workers:
            self._random.choice(workers).kill()

    def end_sessions(self) -> None:
        """As an administrator does, or PostgreSQL when it runs out of something."""
        with connect(self._dsn, application="tests") as conn:
            conn.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE datname = current_database() AND application_name LIKE 'ticketing%'"
            )

    def cut_connections(self) -> None:
        """All of them at once, for a moment in which none can be made."""
        self._proxy.become("reset")
        threading.Event().wait(self._random.uniform(0, 0.3))  # the outage; nothing is waited for
        self._proxy.become("pass")

    def lose_an_answer(self) -> None:
        """The next append is committed, and whoever made it never hears of it."""
        self._proxy.lose_reply_to(self._random.choice(LOST))
