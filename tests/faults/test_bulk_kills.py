"""Workers of the API are killed during bulk requests: every retry answers the same, and every operation is
stored once."""

from __future__ import annotations

import os
import random
import threading
from collections import Counter
from contextlib import suppress

import psutil
import pytest
import requests

from domain.ticket import TicketCommented, TicketOpened
from infrastructure.storage.event_store import decode
from infrastructure.storage.postgres import connect
from tests.acceptance.site import LEAK, Site
from tests.support.postgres import cloned_database
from tests.support.processes import Processes
from tests.support.server import free_port
from tests.support.waiting import eventually

pytestmark = pytest.mark.faults

IS_FULL = os.environ.get("FAULTS_FULL") == "1"
CLIENTS, REQUESTS_EACH, KILLS = (10, 100, 50) if IS_FULL else (4, 10, 2)
COMMENT = 10  # the index of the comment in each request
RETRY_SECONDS = 60.0  # a killed worker holds its claims of idempotency keys for 10 s


@pytest.fixture
def system(postgres, template, tmp_path):
    """An API with its projector; yields the site and the process id of the API's master."""
    with cloned_database(postgres, template) as dsn:
        port = free_port()
        processes = Processes(dsn, tmp_path, PORT=str(port), WORKERS="3")
        api = processes.start("api")
        processes.start("projector")
        site = Site(dsn, f"http://127.0.0.1:{port}")
        site.populate()
        try:
            eventually(site.is_ready)
            yield site, api.pid
        finally:
            site.pool.close()
            processes.close()


def operations(name, ticket_id):
    """Ten new tickets, a comment on a ticket that all requests comment on, and a refused operation."""
    return [
        *({"op": "create", "data": LEAK | {"title": f"{name}/{number}"}} for number in range(10)),
        {"op": "comment", "ticket_id": ticket_id, "data": {"text": name}},
        {"op": "create", "data": {"title": name}},
    ]


def send(site, name, ticket_id):
    """Send the request until it is answered, and return its results."""
    body = {"operations": operations(name, ticket_id), "atomic": False}

    def answered():
        with suppress(requests.RequestException):
            answer = site.client().post("/v1/tickets/bulk", json=body, headers={"Idempotency-Key": name})
            if answer.status_code == 200:
                return answer.json()["data"]
            assert answer.status_code in (409, 503), answer.text
        return None

    return eventually(answered, within=RETRY_SECONDS)


def test_kills_of_workers_lose_and_double_no_operation(system):
    site, master = system
    ticket_id = site.ticket()["id"]
    names = [f"{client}-{number}" for client in range(CLIENTS) for number in range(REQUESTS_EACH)]
    left, answers, lock = list(names), {}, threading.Lock()
    kill_at = {len(names) * (number + 1) // (KILLS + 1) for number in range(KILLS)}
    killed = []

    def work():
        while True:
            with lock:
                if not left:
                    return
                name = left.pop()
                if len(left) in kill_at:
                    worker = random.choice(psutil.Process(master).children())
                    worker.kill()
                    killed.append(worker.pid)
            answers[name] = send(site, name, ticket_id)

    threads = [threading.Thread(target=work) for _ in range(CLIENTS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(killed) == KILLS
    assert {name: send(site, name, ticket_id) for name in names} == answers
    opened, comments = stored(site)
    expected = {f"{name}/{number}" for name in names for number in range(10)}
    assert {title: count for title, count in opened.items() if "/" in title} == dict.fromkeys(expected, 1)
    statuses = {name: answers[name][COMMENT]["status"] for name in names}
    assert set(statuses.values()) <= {201, 409}  # 409: others changed the ticket at every attempt
    accepted = [name for name in names if statuses[name] == 201]
    assert comments == dict.fromkeys(accepted, 1)
    assert len(accepted) >= 0.99 * len(names)


def stored(site):
    """How often the log has each title of a new ticket, and each comment."""
    with connect(site.dsn, application="tests") as conn:
        events = [decode(state) for (state,) in conn.execute("SELECT state FROM es.stored_events")]
    opened = Counter(event.title for event in events if isinstance(event, TicketOpened))
    return opened, Counter(event.text for event in events if isinstance(event, TicketCommented))
