"""Clients that keep a copy with GET /v1/changes have exactly what their key may see, whatever happens."""

from __future__ import annotations

import os
import random
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import psutil
import pytest
import requests

from infrastructure.storage.event_store import EventStore
from infrastructure.storage.postgres import make_pool
from tests.support.arrange import change_user, register_property, register_user
from tests.support.follower import ROLES, Follower, RandomChanges, listed
from tests.support.keys import bearer, make_key, operator
from tests.support.postgres import cloned_database
from tests.support.processes import Processes
from tests.support.server import free_port
from tests.support.vault import VAULT
from tests.support.waiting import eventually

pytestmark = pytest.mark.faults

IS_FULL = os.environ.get("FAULTS_FULL") == "1"
HISTORIES = 1_000 if IS_FULL else 6
KILLS = 20 if IS_FULL else 1
WRITERS = 8
CHANGES_EACH = 12
ADMINS = 30  # histories in which the person may become an admin whose key is not restricted
KEYS = ((), (0, 1), (1,))  # the properties to which keys are restricted, by index; none: not restricted
BETWEEN_KILLS_SECONDS = (10.0, 40.0) if IS_FULL else (0.5, 1.0)


@pytest.fixture(scope="module")
def system(postgres, template, tmp_path_factory):
    """An API that a test can kill, with its projector."""
    with cloned_database(postgres, template) as dsn, make_pool(dsn, application="tests", max_size=12) as pool:
        port = free_port()
        processes = Processes(dsn, tmp_path_factory.mktemp("copies"), PORT=str(port), WORKERS="2")
        system = System(processes, EventStore(pool, VAULT), f"http://127.0.0.1:{port}")
        try:
            yield system
        finally:
            processes.close()


class System:
    def __init__(self, processes, store, base_url):
        self.store = store
        self.base_url = base_url
        self._processes = processes
        self._processes.start("projector")
        self.start()

    def start(self):
        self._api = self._processes.start("api")
        eventually(self._is_ready)

    def kill(self):
        """kill -9 of the master and its workers; then start again."""
        master = psutil.Process(self._api.pid)
        for process in (master, *master.children()):
            with suppress(psutil.NoSuchProcess):
                process.kill()
        self._api.wait()
        self.start()

    def listed(self, session):
        while True:
            with suppress(requests.ConnectionError):
                return listed(session, self.base_url)
            eventually(self._is_ready)

    def _is_ready(self):
        with suppress(requests.RequestException):
            return requests.get(f"{self.base_url}/health/ready", timeout=5).ok
        return False


def run_history(system, number):
    """Random changes by several writers, while a client keeps a copy; returns the copy and what the key may
    see."""
    property_ids = [f"{name}-{number}" for name in ("one", "two", "three")]
    for property_id in property_ids:
        register_property(system.store, property_id, operator())
    user_id = f"person-{number}"
    is_guest = number % 2 == 1  # and stays one
    role = "guest" if is_guest else "admin"
    register_user(system.store, user_id, operator(), role=role, property_ids=tuple(property_ids[:1]))
    other_id = f"other-{number}"
    register_user(system.store, other_id, operator(), role="admin")
    limited_to = tuple(property_ids[index] for index in KEYS[number % len(KEYS)])
    key = make_key(system.store, role=role, user_id=user_id, property_ids=limited_to).key
    has_admins = limited_to or number < ADMINS  # an admin sees the tickets of all histories
    roles = (*ROLES, "admin") if has_admins else ROLES
    if is_guest:
        roles = ("guest",)
    changes = RandomChanges(
        system.store, user_id, property_ids, roles, seed=number, other_requester_id=other_id
    )
    with requests.Session() as session, ThreadPoolExecutor(WRITERS) as threads:
        session.headers.update(bearer(key))
        follower = Follower(session, system.base_url)
        writers = [threads.submit(changes.make, CHANGES_EACH) for _ in range(WRITERS)]
        while not all(writer.done() for writer in writers):
            follower.follow_to(changes.last_position)
        for writer in writers:
            writer.result()
        last_position = changes.last_position
        if not has_admins:
            last_position = change_user(system.store, user_id, operator(), role="staff").position
        follower.follow_to(max(last_position, changes.last_position))
        return follower.copy, system.listed(session)


def test_a_copy_has_exactly_what_its_key_may_see_after_random_changes_and_kills_of_the_api(system):
    done = threading.Event()
    moments = random.Random(7)

    def kill_often():
        kills = 0
        while kills < KILLS and not done.wait(moments.uniform(*BETWEEN_KILLS_SECONDS)):
            system.kill()
            kills += 1
        return kills

    with ThreadPoolExecutor(1) as killer:
        killing = killer.submit(kill_often)
        try:
            tickets = 0
            for number in range(HISTORIES):
                copy, expected = run_history(system, number)
                assert copy == expected, number
                tickets += len(copy)
        finally:
            done.set()
    assert (killing.result(), tickets > HISTORIES) == (KILLS, True)
