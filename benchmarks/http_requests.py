"""Compares the API with bare Falcon handlers that execute one statement each (benchmarks/bare_app.py)."""

from __future__ import annotations

import json
import random
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.bare_app import sql
from benchmarks.clients import Clients, Operations
from benchmarks.comparison import Comparison, compare
from benchmarks.http_client import HttpClient
from benchmarks.tickets import FIELDS
from infrastructure.storage.postgres import connect
from tests.support.commands import environment, ticketing
from tests.support.server import free_port, running_api

TICKETS = 10_000
TICKETS_LOADED = 10_200  # more than TICKETS, because some of the demo tickets are deleted
WORKERS = 4
THREADS = 8
START_SECONDS = 30
REQUESTER = "user789"
TARGETS = {
    "GET list, 10 of 10,000": 0.6,
    "GET one": 0.6,
    "PATCH": None,
    "POST": 0.5,
}  # POST comes last, because it adds tickets
BARE, API = "bare handlers", "API"


def compare_requests(dsn: str, clients: int, rounds: int, seconds: float) -> list[Comparison]:
    """Compare lists, single tickets, changes and new tickets over HTTP."""
    ids, keys = _seed(dsn, clients)
    with (
        running_api(dsn, workers=WORKERS, threads=THREADS, forked=False) as api_url,
        _running_bare_app(dsn) as bare_url,
        Clients(clients, _prepare, api_url, bare_url, keys, ids) as running,
    ):
        return [
            comparison
            for name, target in TARGETS.items()
            for comparison in compare(
                name,
                contenders=[(API, target)],
                baseline=BARE,
                rounds=rounds,
                measure=lambda side, name=name: running.measure_rate(f"{side} {name}", seconds),  # type: ignore[misc]
            )
        ]


def _seed(dsn: str, clients: int) -> tuple[list[str], list[str]]:
    """Load the demo data, and return ticket ids and an admin's API key for each client."""
    settings = environment(DATABASE_URL=dsn, TICKETING_HOME=str(Path(".ticketing") / "bench"))
    run_command(settings, "migrate")
    run_command(settings, "demo", "load", "--tickets", str(TICKETS_LOADED))
    keys = [
        run_command(settings, "key", "create", "--name", f"client {number}", "--role", "admin",
             "--rate-limit", "1000000000").strip()
        for number in range(clients)
    ]  # fmt: skip
    with connect(dsn, application="benchmarks") as conn:
        conn.execute(sql["create_tickets"])
        conn.execute("VACUUM ANALYZE")
        ids = [ticket_id for (ticket_id,) in conn.execute("SELECT id FROM bare.tickets ORDER BY id")]
    return ids, keys


def run_command(settings: dict[str, str], *arguments: str) -> str:
    done = ticketing(*arguments, environ=settings)
    if done.returncode != 0:
        raise SystemExit(f"ticketing {' '.join(arguments)}: {done.stderr}")
    return done.stdout


@contextmanager
def _running_bare_app(dsn: str) -> Iterator[str]:
    port = free_port()
    settings = environment(
        DATABASE_URL=dsn, PORT=str(port), WORKERS=str(WORKERS), THREADS=str(THREADS), LOG_LEVEL="WARNING"
    )
    process = subprocess.Popen([sys.executable, "-m", "benchmarks.bare_app"], env=settings)
    try:
        base_url = f"http://127.0.0.1:{port}"
        deadline = time.monotonic() + START_SECONDS
        while not _answers(base_url):
            if process.poll() is not None or time.monotonic() > deadline:
                raise SystemExit("The bare handlers did not start.")
            time.sleep(0.1)
        yield base_url
    finally:
        process.terminate()
        process.wait(START_SECONDS)


def _answers(base_url: str) -> bool:
    try:
        with urllib.request.urlopen(f"{base_url}/health/ready", timeout=1) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False


def _prepare(number: int, api_url: str, bare_url: str, keys: list[str], ids: list[str]) -> Operations:
    operations: Operations = {}
    for side, client in ((API, HttpClient(api_url, keys[number])), (BARE, HttpClient(bare_url))):
        for name, operation in _operations(client, number, ids[number :: len(keys)]).items():
            operations[f"{side} {name}"] = operation
    return operations


def _operations(client: HttpClient, number: int, ids: list[str]) -> Operations:
    """Return the operations of one client. Clients change different tickets, so they never wait for locks."""
    chance = random.Random(number)
    listed = json.loads(client.request("GET", "/v1/tickets?per_page=10"))
    assert len(listed["data"]) == 10
    assert listed["meta"]["pagination"]["total"] >= TICKETS

    def change() -> bytes:
        path = f"/v1/tickets/{chance.choice(ids)}"
        return client.request("PATCH", path, {"title": f"Water leak {chance.random()}"})

    def create() -> bytes:
        body = {**FIELDS, "requester_id": REQUESTER}
        return client.request("POST", "/v1/tickets", body, expect=201)

    return {
        "GET list, 10 of 10,000": lambda: client.request("GET", "/v1/tickets?per_page=10"),
        "GET one": lambda: client.request("GET", f"/v1/tickets/{chance.choice(ids)}"),
        "PATCH": change,
        "POST": create,
    }
