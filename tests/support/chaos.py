"""Injects faults while clients work: kills processes, cuts connections, loses answers."""

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
    """An API with its workers, and followers of the log. All use PostgreSQL through a proxy."""

    def __init__(self, dsn: str, proxy: Proxy, processes: Processes, followers: list[str]) -> None:
        self._dsn = dsn
        self._proxy = proxy
        self._processes = processes
        self._api = processes.start("api")
        self._followers = {name: processes.start(name) for name in followers}
        self._random = random.Random(5)
        self.done: Counter[str] = Counter()

    def inject_faults(self, left: Callable[[], int], faults: int) -> None:
        """Inject `faults` faults, spread evenly over the requests that are left to make."""
        total = left()
        kinds = [
            self.kill_a_worker,
            *self._make_kills(),
            self.end_sessions,
            self.cut_connections,
            self.lose_an_answer,
        ]
        order = [kinds[number % len(kinds)] for number in range(faults)]
        self._random.shuffle(order)
        for number, fault in enumerate(order, start=1):
            due = total - number * total // (faults + 2)
            eventually(lambda due=due: self.restart_followers() and left() <= due, LIMIT_SECONDS)  # type: ignore[misc]
            fault()
            self.done[getattr(fault, "__name__", "")] += 1

    def restart_followers(self) -> bool:
        """Restart followers that have ended, as a supervisor does. Returns whether the API runs."""
        for name, process in self._followers.items():
            if process.poll() is not None:
                self._followers[name] = self._processes.start(name)
                self.done[f"{name}_started_again"] += 1
        return self._api.poll() is None

    def _make_kills(self) -> list[Callable[[], None]]:
        return [self._make_kill(name) for name in self._followers]

    def _make_kill(self, name: str) -> Callable[[], None]:
        def fault() -> None:
            kill(self._followers[name])
            self._followers[name] = self._processes.start(name)

        fault.__name__ = f"kill_{name}"
        return fault

    def kill_a_worker(self) -> None:
        """kill -9 one of the API's worker processes."""
        workers = psutil.Process(self._api.pid).children()
        if workers:
            self._random.choice(workers).kill()

    def end_sessions(self) -> None:
        """Terminate every database session of the system, as an administrator can."""
        with connect(self._dsn, application="tests") as conn:
            conn.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE datname = current_database() AND application_name LIKE 'ticketing%'"
            )

    def cut_connections(self) -> None:
        """Reset all connections at once and refuse new ones for up to 0.3 s."""
        self._proxy.set_mode("reset")
        threading.Event().wait(self._random.uniform(0, 0.3))  # the length of the outage
        self._proxy.set_mode("pass")

    def lose_an_answer(self) -> None:
        """Let the next append of one kind commit, and lose the server's reply."""
        self._proxy.lose_reply_to(self._random.choice(LOST))
