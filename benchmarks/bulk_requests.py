"""Compares new tickets in bulk requests with new tickets in single requests."""

from __future__ import annotations

import json

from benchmarks.bench import issue_key, run_ticketing, running_system
from benchmarks.clients import Clients, Operations
from benchmarks.comparison import Comparison, compare
from benchmarks.http_client import HttpClient
from benchmarks.tickets import FIELDS

TICKETS_OF_A_REQUEST = 100
TARGET = 5.0
SINGLE, BULK = "single requests", "bulk requests"
_NEW = {**FIELDS, "requester_id": "user789"}


def compare_bulk(dsn: str, clients: int, rounds: int, seconds: float) -> list[Comparison]:
    """Compare tickets a second, each shown by the lists when the request is answered."""
    run_ticketing(dsn, "demo", "load", "--tickets", "1000")
    keys = [issue_key(dsn, "admin") for _ in range(clients)]
    tickets = {SINGLE: 1, BULK: TICKETS_OF_A_REQUEST}
    with running_system(dsn) as base_url, Clients(clients, prepare, base_url, keys) as running:
        return compare(
            f"create, {TICKETS_OF_A_REQUEST} in each bulk request",
            contenders=[(BULK, TARGET)],
            baseline=SINGLE,
            rounds=rounds,
            measure=lambda side: running.measure_rate(side, seconds) * tickets[side],
        )


def prepare(number: int, base_url: str, keys: list[str]) -> Operations:
    client = HttpClient(base_url, keys[number])
    operation = {"op": "create", "data": _NEW}
    body = {"operations": [operation] * TICKETS_OF_A_REQUEST}

    def create_in_bulk() -> None:
        results = json.loads(client.request("POST", "/v1/tickets/bulk", body))["data"]
        assert [result["status"] for result in results] == [201] * TICKETS_OF_A_REQUEST

    return {
        SINGLE: lambda: client.request("POST", "/v1/tickets", _NEW, expect=201),
        BULK: create_in_bulk,
    }
