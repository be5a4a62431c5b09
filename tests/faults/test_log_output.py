"""Every process goes on with its work when it cannot write to standard error.

The causes are a full disk, a pipe whose reader has ended (`ticketing api 2>&1 | head -8`), and a pipe whose
reader has stopped reading.
"""

from __future__ import annotations

import fcntl
import json
import os
import threading
from contextlib import contextmanager, suppress

import pytest
import requests

from infrastructure.storage.kafka_topics import create_topics
from notary.places import FILE
from tests.support.keys import bearer, make_key
from tests.support.processes import Processes
from tests.support.receivers import running_receiver
from tests.support.server import free_port
from tests.support.stream import stream_settings
from tests.support.waiting import eventually
from tests.support.webhooks import open_ticket, register, statuses

pytestmark = pytest.mark.faults

REQUESTS = 2_500 if os.environ.get("FAULTS_FULL") == "1" else 250
ANSWER_SECONDS = 5
LINES_READ = 8


@contextmanager
def full_disk():
    yield "/dev/full"


@contextmanager
def reader_ended():
    """The reader ends after LINES_READ lines, like `head -8`."""
    reading, writing = os.pipe()

    def head():
        with open(reading, "rb") as lines:
            for _ in range(LINES_READ):
                lines.readline()

    threading.Thread(target=head, daemon=True).start()
    yield f"/proc/{os.getpid()}/fd/{writing}"
    os.close(writing)


@contextmanager
def reader_stopped():
    """The reader keeps the pipe open and reads nothing; the pipe has room for 4 KiB."""
    reading, writing = os.pipe()
    fcntl.fcntl(writing, fcntl.F_SETPIPE_SZ, 4_096)
    yield f"/proc/{os.getpid()}/fd/{writing}"
    os.close(reading)
    os.close(writing)


@pytest.mark.parametrize("output", [full_disk, reader_ended, reader_stopped])
def test_every_request_is_answered_and_every_post_arrives(output, database, store, tmp_path):
    port = free_port()
    make_property(store)
    headers = bearer(make_key(store).key)
    with output() as target, running_receiver() as receiver:
        register(store, receiver.url(), "ticket.created")
        (tmp_path / "processes.log").symlink_to(target)
        processes = Processes(database, tmp_path, PORT=str(port), WORKERS="2")
        try:
            names = ("api", "projector", "webhook-dispatcher", "notary")
            running = {name: processes.start(name) for name in names}
            address = f"http://127.0.0.1:{port}"
            eventually(lambda: is_ready(address), message="the API does not become ready")
            statuses_of_answers = [send_request(address, headers, number) for number in range(REQUESTS)]
            created = statuses_of_answers.count(201)
            eventually(lambda: len(receiver.posts) >= created)
            eventually(lambda: has_signed(tmp_path))
            ended = {name for name, process in running.items() if process.poll() is not None}
        finally:
            processes.close()

    live, ready, *others = (set(statuses_of_answers[kind::5]) for kind in range(5))
    assert (live, ready - {503}) == ({200}, {200})  # a worker that is starting is not ready
    assert others == [{201}, {200}, {404}]
    assert len({post.id for post in receiver.posts}) == created
    assert ended == set()


def make_property(store):
    from tests.support.arrange import register_property
    from tests.support.keys import operator

    register_property(store, "p1", operator(), name="Seaside")


def is_ready(address):
    with suppress(requests.RequestException):
        return requests.get(f"{address}/health/ready", timeout=ANSWER_SECONDS).status_code == 200
    return False


def send_request(address, headers, number):
    """Sends one of five kinds of requests; returns the status."""
    ticket = {"title": f"Leak {number}", "property_id": "p1"}
    method, path, body = (
        ("GET", "/health/live", None),
        ("GET", "/health/ready", None),
        ("POST", "/v1/tickets", ticket),
        ("GET", "/v1/tickets", None),
        ("GET", "/v1/tickets/none", None),
    )[number % 5]
    return requests.request(
        method, address + path, headers=headers, json=body, timeout=ANSWER_SECONDS
    ).status_code


def has_signed(home):
    file = home / "notary" / FILE
    return file.exists() and [json.loads(line) for line in file.read_text().splitlines()]


def test_the_relay_publishes_while_it_cannot_write_to_standard_error(
    database, store, pool, kafka, kafka_prefix, tmp_path
):
    settings = stream_settings(database, kafka, kafka_prefix, tmp_path)
    create_topics(settings)
    (tmp_path / "processes.log").symlink_to("/dev/full")
    processes = Processes(database, tmp_path, KAFKA_BOOTSTRAP_SERVERS=kafka, KAFKA_PREFIX=kafka_prefix)
    with running_receiver() as receiver:
        register(store, receiver.url())
        open_ticket(store)
        try:
            relay, dispatcher = processes.start("relay"), processes.start("webhook-dispatcher")
            eventually(lambda: receiver.posts)
            open_ticket(store)
            eventually(lambda: len(receiver.posts) == 2)
            eventually(lambda: statuses(pool) == {"delivered": 2})
            codes = (relay.poll(), dispatcher.poll())
        finally:
            processes.close()

    assert codes == (None, None)
