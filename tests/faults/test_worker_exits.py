"""Workers of the API end in different ways under load: clients get answers, and no write is lost."""

from __future__ import annotations

import http.client
import os
import signal
import time
from collections import Counter
from contextlib import ExitStack, closing
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest
import requests
from prometheus_client.parser import text_string_to_metric_families

from infrastructure.storage.event_store import decode
from infrastructure.storage.postgres import connect
from tests.acceptance.site import Site
from tests.support.postgres import cloned_database
from tests.support.processes import Processes, kill
from tests.support.server import free_port
from tests.support.steady_load import SteadyLoad
from tests.support.waiting import eventually

pytestmark = pytest.mark.faults

IS_FULL = os.environ.get("FAULTS_FULL") == "1"
WORKERS = 3
TIMEOUT_SECONDS, FREEZE_SECONDS = (30, 40) if IS_FULL else (3, 4)
END_SECONDS = 8  # for a worker with only idle connections; each connection gets 2 s for a request
RELEASE_SECONDS = 10  # for workers without a master, to free its port
REQUESTS = 1_000 if IS_FULL else 100  # before a fault, and after it
OPENED = ("ticketing_http_requests_total", "POST", "/v1/tickets", "201")


@pytest.fixture(scope="module")
def system(postgres, template, tmp_path_factory):
    """An API of several workers with its projector, and what a test needs to stop them."""
    home = tmp_path_factory.mktemp("workers")
    with cloned_database(postgres, template) as dsn:
        port, metrics_port = free_port(), free_port()
        processes = Processes(
            dsn,
            home,
            PORT=str(port),
            METRICS_PORT=str(metrics_port),
            WORKERS=str(WORKERS),
            WORKER_TIMEOUT_SECONDS=str(TIMEOUT_SECONDS),
        )
        api = processes.start("api")
        processes.start("projector", METRICS_PORT="0")  # the API has it
        site = Site(dsn, f"http://127.0.0.1:{port}")
        site.populate()
        try:
            eventually(site.is_ready)
            yield SimpleNamespace(
                site=site,
                api=api,
                processes=processes,
                metrics=f"http://127.0.0.1:{metrics_port}",
                ticket_id=site.ticket()["id"],
            )
        finally:
            site.pool.close()
            processes.close()


def master_of(system):
    return psutil.Process(system.api.pid)


def workers_of(system):
    return master_of(system).children()


def ports_of(process):
    """The client ports of the connections that a process holds."""
    return {connection.raddr.port for connection in process.net_connections("tcp") if connection.raddr}


def reload(system):
    """SIGHUP to the master: every worker is replaced."""
    workers = workers_of(system)
    master_of(system).send_signal(signal.SIGHUP)
    return workers, set()


def end_one(system):
    worker = workers_of(system)[0]
    worker.terminate()
    return [worker], set()


def abort_one(system):
    worker = workers_of(system)[0]
    worker.send_signal(signal.SIGABRT)
    return [worker], set()


def kill_one(system):
    worker = workers_of(system)[0]
    worker.suspend()  # from now on its connections do not change
    lost = ports_of(worker)
    worker.kill()
    return [worker], lost


def freeze_workers(system):
    """Suspends all workers; the master kills them after TIMEOUT_SECONDS without a sign of life."""
    workers = workers_of(system)
    for worker in workers:
        worker.suspend()
    return workers, set().union(*(ports_of(worker) for worker in workers))


def freeze_all(system):
    """Suspends all processes, as `docker pause` does. No worker ends, so no request may be lost."""
    everyone = [master_of(system), *workers_of(system)]
    for process in everyone:
        process.suspend()
    time.sleep(FREEZE_SECONDS)  # the duration of the fault
    for process in everyone:
        process.resume()
    return [], set()


@pytest.mark.parametrize("fault", [reload, end_one, abort_one, kill_one, freeze_workers, freeze_all])
def test_clients_get_answers_while_workers_end(system, fault):
    before = read_counts(system)
    with SteadyLoad(system.site, system.ticket_id) as load:
        load.wait_for_requests(REQUESTS)
        ended, lost = fault(system)
        eventually(lambda: not any(worker.is_running() for worker in ended))
        load.wait_for_requests(REQUESTS)
        eventually(lambda: len(workers_of(system)) == WORKERS)
    after = read_counts(system)
    opened, maybe_opened = load.titles(acknowledged=True), load.titles(acknowledged=False)
    in_log = titles_in_log(system.site)

    print(f"{load.report()}; {len(maybe_opened & in_log.keys())} of {len(maybe_opened)} written unanswered")
    assert load.unserved(lost) == []
    assert [series for series in before if after[series] < before[series]] == []
    assert len(opened) <= after[OPENED] - before.get(OPENED, 0) <= len(opened | maybe_opened)
    assert {title: in_log[title] for title in opened if in_log[title] != 1} == {}
    assert {title: in_log[title] for title in maybe_opened if in_log[title] > 1} == {}


def read_counts(system):
    """Every count by name and labels, from the master; no count is lower than a worker reports it."""
    from_worker = counts(system.site.client().get("/metrics"))
    from_master = counts(requests.get(system.metrics, timeout=10))
    assert [series for series in from_worker if from_master[series] < from_worker[series]] == []
    return from_master


def counts(answer):
    assert answer.status_code == 200, answer.text
    return {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
        if family.type in ("counter", "histogram")
    }


def titles_in_log(site):
    """How many tickets of each title the log has."""
    with connect(site.dsn, application="tests") as conn:
        rows = conn.execute("SELECT state FROM es.stored_events WHERE topic LIKE 'ticket.opened%'")
        return Counter(decode(state).title for (state,) in rows)


def test_the_metrics_files_of_workers_have_no_holes(system):
    """A write through a memory map into a hole kills the writer (SIGBUS) when the disk has no room for it."""
    mapped = {Path(one.path) for worker in workers_of(system) for one in worker.memory_maps()}
    counting = [path.stat() for path in mapped if path.suffix == ".db"]

    assert len(counting) >= 3 * len(workers_of(system))
    assert [file for file in counting if file.st_blocks * 512 < file.st_size] == []


def test_a_worker_that_ends_answers_on_the_connections_it_holds_and_then_closes_them(system):
    worker = workers_of(system)[0]
    with ExitStack() as stack:
        busy, idle = (connection_to(worker, system, stack, asked_once=True) for _ in range(2))
        silent = connection_to(worker, system, stack, asked_once=False)
        worker.terminate()

        eventually(lambda: connection_after(busy) == "close")
        assert connection_after(idle) == "close"
        eventually(lambda: not worker.is_running(), END_SECONDS)
        assert silent.sock.recv(1) == b""


def connection_to(worker, system, stack, *, asked_once):
    """A client's connection that `worker` has accepted."""

    def connect_once():
        client = http.client.HTTPConnection(system.site.base_url.removeprefix("http://"), timeout=60)
        stack.enter_context(closing(client))
        client.connect()
        client.auto_open = False
        if asked_once:
            assert connection_after(client) == "keep-alive"
        holder = eventually(lambda: holder_of(client.sock.getsockname()[1], system))
        return client if holder == worker else None

    return eventually(connect_once)


def holder_of(port, system):
    return next((worker for worker in workers_of(system) if port in ports_of(worker)), None)


def connection_after(client):
    """Sends a request; returns the Connection header of the answer."""
    client.request("GET", "/health/live")
    answer = client.getresponse()
    answer.read()
    assert answer.status == 200
    return answer.getheader("Connection")


def test_the_api_can_be_started_again_soon_after_its_master_was_killed(system):
    orphans = workers_of(system)
    with SteadyLoad(system.site, system.ticket_id) as load:
        load.wait_for_requests(REQUESTS)
        kill(system.api)
        eventually(lambda: not any(is_listening(worker) for worker in orphans), RELEASE_SECONDS)
        system.api = system.processes.start("api")
        eventually(lambda: not any(worker.is_running() for worker in orphans))
        eventually(system.site.is_ready)
        load.wait_for_requests(REQUESTS)

    print(load.report())
    # Connections may be refused while no server runs.
    assert {one.status for one in load.unserved(set())} <= {None}


def is_listening(process):
    try:
        return any(one.status == psutil.CONN_LISTEN for one in process.net_connections("tcp"))
    except psutil.NoSuchProcess:
        return False


def test_a_stopping_api_answers_every_request_and_ends_soon_after_the_last_answer(system):
    """Requests arrive on kept and on new connections; a part of one has arrived before the signal."""
    address = system.site.base_url.removeprefix("http://")
    body = b'{"text": "Hello"}'
    with ExitStack() as stack:
        idle, used = (stack.enter_context(closing(http.client.HTTPConnection(address))) for _ in range(2))
        for client in (idle, used):
            assert connection_after(client) == "keep-alive"
        partly = stack.enter_context(closing(http.client.HTTPConnection(address, timeout=60)))
        partly.putrequest("POST", f"/v1/tickets/{system.ticket_id}/comments")
        for name, value in (
            ("Authorization", f"Bearer {system.site.keys['admin']}"),
            ("Content-Type", "application/json"),
            ("Content-Length", str(len(body))),
        ):
            partly.putheader(name, value)
        partly.endheaders(body[:5])
        eventually(lambda: holder_of(partly.sock.getsockname()[1], system))

        system.api.terminate()
        eventually(lambda: connection_after_new(address) == "close")
        assert connection_after(used) == "close"
        partly.send(body[5:])
        answer = partly.getresponse()

        assert (answer.status, answer.getheader("Connection")) == (201, "close")
        assert answer.read()
        assert system.api.wait(END_SECONDS) == 0


def connection_after_new(address):
    with closing(http.client.HTTPConnection(address, timeout=60)) as client:
        return connection_after(client)
