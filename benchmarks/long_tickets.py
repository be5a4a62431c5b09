"""Compares requests for a ticket of 10,000 events with the same requests for short tickets, over HTTP."""

from __future__ import annotations

import random
from itertools import cycle

from benchmarks.clients import Clients, Operations
from benchmarks.comparison import Comparison, compare
from benchmarks.http_client import HttpClient
from benchmarks.http_requests import run_command
from benchmarks.tickets import FIELDS, benchmark_context, grow
from domain.ticket import Ticket
from infrastructure.ids import new_id
from infrastructure.storage.event_store import EventStore
from infrastructure.storage.postgres import connect, make_pool
from tests.support.commands import environment
from tests.support.server import running_api
from tests.support.vault import VAULT

EVENTS = 10_000
SHORT_EVENTS = 10
SHORT_TICKETS = 200  # for each client, so that they stay short
TARGET = 0.5
LONG, SHORT = f"ticket of {EVENTS:,} events", "short tickets"
OPERATIONS = ("GET", "PATCH", "comment", "history, first page", "history, last page")


def compare_long_tickets(dsn: str, clients: int, rounds: int, seconds: float) -> list[Comparison]:
    """Compare reading, changing and commenting, and the pages of the history."""
    settings = environment(DATABASE_URL=dsn, TICKETING_HOME=".ticketing/bench")
    run_command(settings, "migrate")
    run_command(settings, "demo", "load", "--tickets", "100")
    arguments = ("--role", "admin", "--rate-limit", "1000000000")
    key = run_command(settings, "key", "create", "--name", "benchmark", *arguments).strip()
    long_ids, short_ids = _seed(dsn, clients)
    with (
        running_api(dsn, workers=2, threads=8, forked=False) as api_url,
        Clients(clients, _prepare, api_url, key, long_ids, short_ids) as running,
    ):
        return [
            comparison
            for name in OPERATIONS
            for comparison in compare(
                name,
                contenders=[(LONG, TARGET)],
                baseline=SHORT,
                rounds=rounds,
                measure=lambda side, name=name: running.measure_rate(f"{side} {name}", seconds),  # type: ignore[misc]
            )
        ]


def _seed(dsn: str, clients: int) -> tuple[list[str], list[list[str]]]:
    """Store a long ticket and SHORT_TICKETS short ones for each client, and return their ids."""
    with make_pool(dsn, application="benchmarks", max_size=2) as pool:
        store = EventStore(pool, VAULT)
        long_ids = [_store_ticket(store, EVENTS) for _ in range(clients)]
        short_ids = [[_store_ticket(store, SHORT_EVENTS) for _ in range(SHORT_TICKETS)] for _ in long_ids]
    with connect(dsn, application="benchmarks") as conn:
        conn.execute("VACUUM ANALYZE")
    return long_ids, short_ids


def _store_ticket(store: EventStore, events: int) -> str:
    """Store a ticket; half of its events are comments."""
    ticket = Ticket.open(new_id(), benchmark_context(), **FIELDS)
    context = benchmark_context()
    while ticket.version < events:
        ticket.comment(new_id(), f"Comment {ticket.version} about the leak", "public", context)
        grow(ticket, ticket.version + 1)
    store.save(ticket)
    store.load(Ticket, ticket.id)  # stores its snapshots, as commands do that add the events one by one
    return ticket.id


def _prepare(
    number: int, api_url: str, key: str, long_ids: list[str], short_ids: list[list[str]]
) -> Operations:
    client, chance = HttpClient(api_url, key), random.Random(number)
    operations: Operations = {}
    for side, ids in ((LONG, cycle(long_ids[number : number + 1])), (SHORT, cycle(short_ids[number]))):

        def path(ids: cycle[str] = ids) -> str:
            return f"/v1/tickets/{next(ids)}"

        operations |= {
            f"{side} GET": lambda path=path: client.request("GET", path()),
            f"{side} PATCH": lambda path=path: client.request(
                "PATCH", path(), {"title": f"Leak {chance.random()}"}
            ),
            f"{side} comment": lambda path=path: client.request(
                "POST", f"{path()}/comments", {"text": "Comment"}, expect=201
            ),
            f"{side} history, first page": lambda path=path: client.request("GET", f"{path()}/history"),
            f"{side} history, last page": lambda path=path: client.request(
                "GET", f"{path()}/history?order=desc"
            ),
        }
    return operations
