"""The disk of TICKETING_HOME becomes full while clients work.

Reads are answered and writes are refused. Writes succeed again, without a restart, when space is free.
"""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import tempfile
import threading
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil
import psycopg
import pytest
import requests

from tests.support.api import SEASIDE
from tests.support.commands import TICKETING, environment
from tests.support.keys import bearer
from tests.support.receivers import running_receiver
from tests.support.server import free_port
from tests.support.waiting import eventually

pytestmark = [
    pytest.mark.faults,
    pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount a disk of its own size"),
]

DISK = "320m"
START_SECONDS = 120
ANSWER_SECONDS = 5
STOP_SECONDS = 60
# Runs a command on a new disk that only it and its children can see; the disk disappears with them.
ON_A_SMALL_DISK = 'mount -t tmpfs -o size="$1",mode=755 tmpfs "$2" && shift 2 && exec "$@"'


class Up:
    """A running `ticketing up`. `home` is the path by which the test reaches its TICKETING_HOME."""

    def __init__(self, mount: Path, log: Path, link: Path) -> None:
        self.url = f"http://127.0.0.1:{free_port()}"
        self._log = log
        mount.mkdir()
        command = ["unshare", "--mount", "sh", "-c", ON_A_SMALL_DISK, "sh", DISK, mount]
        with log.open("wb") as output:
            self.process = subprocess.Popen(
                [*command, TICKETING, "up", "--no-demo", "--workers", "2"],
                env=environment(
                    TICKETING_HOME=str(mount),
                    PORT=self.url.rpartition(":")[2],
                    WEBHOOK_ALLOW_PRIVATE_ADDRESSES="1",
                    WEBHOOK_RETRY_SECONDS=",".join(["0.2"] * 40),
                ),
                stdout=output,
                stderr=output,
            )
        # A short path, because the path of a socket has a maximum length.
        link.symlink_to(f"/proc/{self.process.pid}/root{mount}")
        self.home = link

    def wait_until_ready(self) -> None:
        ready = f"READY {self.url}"
        eventually(lambda: ready in self.output or self.process.poll() is not None, START_SECONDS)
        assert self.process.poll() is None, self.output
        self.headers = bearer((self.home / "admin-key").read_text().strip())

    @property
    def output(self) -> str:
        return self._log.read_text()

    def request(self, method: str, path: str, body: object = None) -> requests.Response:
        return requests.request(
            method, self.url + path, json=body, headers=self.headers, timeout=ANSWER_SECONDS
        )

    def sql(self, statement: str) -> list[tuple[object, ...]]:
        dsn = f"postgresql://postgres@/ticketing?host={self.home / 'postgres'}"
        with psycopg.connect(dsn, autocommit=True) as conn:
            cur = conn.execute(statement)
            return cur.fetchall() if cur.description else []

    def postgresql(self) -> int:
        return int((self.home / "postgres" / "postmaster.pid").read_text().split()[0])

    def fill(self) -> None:
        """Writes until no byte is free."""
        with (self.home / "filler").open("ab", buffering=0) as file:
            for size in (1_048_576, 4_096, 1):
                with suppress(OSError):
                    while True:
                        file.write(b"\0" * size)

    def free(self) -> None:
        (self.home / "filler").unlink()


@pytest.fixture(scope="module")
def up(tmp_path_factory):
    log_folder = tmp_path_factory.mktemp("up")
    with tempfile.TemporaryDirectory(prefix="full-") as folder:
        running = Up(log_folder / "home", log_folder / "up.log", Path(folder) / "home")
        try:
            running.wait_until_ready()
            yield running
        finally:
            running.process.terminate()
            running.process.wait(STOP_SECONDS)


class Load:
    """Clients that write and clients that read without a pause; stores the statuses of the answers."""

    def __init__(self, up: Up, property_id: str) -> None:
        self._property_id = property_id
        self.written: dict[str, int] = {}  # the status, by title
        self.unavailable: list[requests.Response] = []
        self.read: list[tuple[str, int]] = []
        self._up = up
        self._numbers = itertools.count()
        self._stop = threading.Event()
        self._threads = [
            threading.Thread(target=self._repeat, args=(work,)) for work in (self._write, self._read) * 2
        ]

    @property
    def acknowledged(self) -> list[str]:
        return [title for title, status in list(self.written.items()) if status == 201]

    def _repeat(self, work) -> None:
        while not self._stop.is_set():
            work()

    def _write(self) -> None:
        title = f"Leak {next(self._numbers)}"
        answer = self._up.request("POST", "/v1/tickets", {"title": title, "property_id": self._property_id})
        self.written[title] = answer.status_code
        if answer.status_code == 503:
            self.unavailable.append(answer)
            self._stop.wait(0.02)  # shorter than Retry-After, to send more requests

    def _read(self) -> None:
        for path in ("/v1/tickets", "/health/live", "/v1/properties", "/health/ready"):
            self.read.append((path, self._up.request("GET", path).status_code))


@contextmanager
def running_clients(load):
    for thread in load._threads:
        thread.start()
    try:
        yield load
    finally:
        load._stop.set()
        for thread in load._threads:
            thread.join()


def test_reads_answer_writes_are_refused_and_nothing_is_lost(up):
    property_id = make_property(up).json()["data"]["id"]
    with running_receiver() as receiver:
        hook = {"url": receiver.url(), "events": ["ticket.created"]}
        assert up.request("POST", "/v1/webhooks", hook).ok
        before = up.postgresql()
        with running_clients(Load(up, property_id)) as load:
            eventually(lambda: len(load.acknowledged) >= 50)
            up.fill()
            refused, read = len(load.unavailable), len(load.read)
            eventually(lambda: len(load.unavailable) >= refused + 50)
            eventually(lambda: len(load.read) >= read + 100)
            up.sql("CHECKPOINT")
            up.fill()
            read = len(load.read)
            eventually(lambda: len(load.read) >= read + 100)
            up.free()
            written = len(load.acknowledged)
            eventually(lambda: len(load.acknowledged) >= written + 20)
        titles = [title for (title,) in up.sql(TITLES)]
        eventually(lambda: len(receiver.posts) >= len(titles))

    assert {status for _, status in load.read} == {200}
    assert set(load.written.values()) == {201, 503}
    assert all(int(answer.headers["Retry-After"]) >= 1 for answer in load.unavailable)
    assert sorted(titles) == sorted(load.acknowledged)
    assert sorted(json.loads(post.body)["data"]["title"] for post in unique(receiver.posts)) == sorted(titles)
    assert up.postgresql() == before
    assert "PANIC" not in (up.home / "postgres" / "server.log").read_text()


def make_property(up):
    address = {name: getattr(SEASIDE, name) for name in SEASIDE.__struct_fields__}
    return up.request("POST", "/v1/properties", {"name": "Seaside", "address": address})


TITLES = """
SELECT convert_from(state, 'UTF8')::json ->> 'title' FROM es.stored_events WHERE topic = 'ticket.opened'
"""


def unique(posts):
    return {post.id: post for post in posts}.values()


def test_postgresql_starts_again_on_a_full_disk(up):
    up.fill()
    killed = psutil.Process(up.postgresql())

    killed.kill()

    eventually(lambda: is_served_by_another(up, killed.pid), message=up.output)
    up.free()
    eventually(lambda: make_property(up).status_code == 201)
    eventually(lambda: (up.home / "disk-reserve").exists())


def is_served_by_another(up, pid):
    with suppress(OSError, ValueError, requests.RequestException):
        return up.postgresql() != pid and up.request("GET", "/v1/tickets").status_code == 200
    return False
