"""Compares this system, with everything that `make run` runs, with django-helpdesk on the same server."""

from __future__ import annotations

import json
import random
import statistics
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from typing import Any

import msgspec

from benchmarks import helpdesk
from benchmarks.bench import Bench, issue_key, run_ticketing, running_system
from benchmarks.bulk import append_tickets, refill, vacuum
from benchmarks.clients import Clients, Operations
from benchmarks.comparison import Comparison, as_report
from benchmarks.http_client import HttpClient
from benchmarks.other_load import watch_other_load
from benchmarks.processor_time import CLIENTS, SERVER, difference, read_processor_seconds
from benchmarks.report import Report, Table
from benchmarks.static_server import measure_ceiling
from benchmarks.tickets import FIELDS, benchmark_context
from domain.ticket import Ticket
from infrastructure.ids import new_id
from infrastructure.storage.postgres import connect

TICKETS = 10_000
MORE_OPEN_TICKETS = 75_000
OURS, PEER, OURS_WITH_MORE = "this system", "django-helpdesk", "this system, 75,000 more open"
TARGETS = {"get one": 20.0, "list open": 30.0, "change status": 8.0, "create": 10.0}
WARM_UP_SECONDS = 1.0  # of each operation, because each round starts the processes
TARGET_WITH_MORE = 14.0
_OPEN = "SELECT id FROM read.tickets WHERE status = 'open' AND NOT is_deleted ORDER BY id"
_COUNT = "SELECT count(*) FROM read.tickets WHERE NOT is_deleted"


class _Side(msgspec.Struct, frozen=True):
    """`template` is the database that each round begins with."""

    template: str
    operations: tuple[str, ...]
    serve: Callable[[str], AbstractContextManager[Clients]]


def compare_peers(bench: Bench) -> Report:
    """Compare creating, changing the status, reading one and listing the open tickets of TICKETS tickets."""
    sides = _make_sides(bench)
    rates: dict[tuple[str, str], list[float]] = {}
    costs: dict[tuple[str, str], list[float]] = {}
    for number in range(bench.options.rounds):
        order = list(sides) if number % 2 else list(reversed(sides))
        for name in order:
            bench.console.log(f"round {number + 1} of {bench.options.rounds}: {name}")
            bench.other_loads.append(watch_other_load())
            for operation, (rate, cost) in _measure(bench, sides[name]).items():
                rates.setdefault((name, operation), []).append(rate)
                costs.setdefault((name, operation), []).append(cost)
    pairs = [(OURS, operation, target) for operation, target in TARGETS.items()]
    pairs.append((OURS_WITH_MORE, "list open", TARGET_WITH_MORE))
    comparisons = [
        Comparison(
            name=operation,
            contender=side,
            baseline=PEER,
            target=target,
            contender_rates=rates[side, operation],
            baseline_rates=rates[PEER, operation],
        )
        for side, operation, target in pairs
    ]
    ceiling = measure_ceiling(bench.options.clients, bench.options.seconds)
    note = f"The load generator alone, against a static server: {ceiling:,.0f} requests a second."
    report = as_report(comparisons, clients=bench.options.clients, notes=[note], ceiling=ceiling)
    report.figures["processor_ms"] = [
        {"side": side, "operation": operation, "rounds": values}
        for (side, operation), values in costs.items()
    ]
    return msgspec.structs.replace(report, tables=[*report.tables, _tabulate_costs(pairs, costs)])


def _tabulate_costs(pairs: list[tuple[str, str, float]], costs: dict[tuple[str, str], list[float]]) -> Table:
    """Processor time compares the sides on a busy machine too, where their rates vary."""
    rows = []
    for side, operation, _ in pairs:
        ours, peer = costs[side, operation], costs[PEER, operation]
        ratios = [theirs / own for own, theirs in zip(ours, peer, strict=True)]
        figures = (statistics.median(ours), statistics.median(peer), statistics.median(ratios))
        cells = [f"{value:.2f}" for value in (*figures, min(ratios), max(ratios))]
        rows.append([operation, f"{side} / {PEER}", *cells])
    columns = ("operation", "sides", "ms", "peer's ms", "ratio", "lowest", "highest")
    return Table("Processor time per request of all processes, without the load generator", columns, rows)


def _make_sides(bench: Bench) -> dict[str, _Side]:
    """Create the template of each side: TICKETS tickets, the same number of them open."""
    clients = bench.options.clients
    dsn = bench.create_database("bench_peers_ours")
    run_ticketing(dsn, "demo", "load", "--tickets", str(TICKETS))
    open_ids, count = _prepare_ours(dsn)
    keys = [issue_key(dsn, "admin") for _ in range(clients)]
    bench.copy_database("bench_peers_ours", "bench_peers_more")
    more = bench.server.dsn("bench_peers_more")
    append_tickets(more, map(_open_ticket, range(MORE_OPEN_TICKETS)))
    refill(more)
    helpdesk.install()
    bench.drop_database("bench_peers_helpdesk")
    peer = bench.server.dsn("bench_peers_helpdesk")
    seed = helpdesk.fill(peer, tickets=count, open_tickets=len(open_ids), clients=clients)
    vacuum(peer)
    return {
        OURS: _Side("bench_peers_ours", tuple(TARGETS), partial(_serve_ours, keys, open_ids)),
        OURS_WITH_MORE: _Side("bench_peers_more", ("list open",), partial(_serve_ours, keys, open_ids)),
        PEER: _Side("bench_peers_helpdesk", tuple(TARGETS), partial(_serve_peer, seed, clients)),
    }


def _measure(bench: Bench, side: _Side) -> dict[str, tuple[float, float]]:
    """Start the side on a copy of its template, measure each operation's rate and milliseconds of processor
    time per request, and remove the copy."""
    dsn = bench.copy_database(side.template, "bench_peers_round")
    seconds = bench.options.seconds
    try:
        with side.serve(dsn) as clients:
            return {name: _measure_operation(clients, dsn, name, seconds) for name in side.operations}
    finally:
        bench.drop_database("bench_peers_round")


def _measure_operation(clients: Clients, dsn: str, operation: str, seconds: float) -> tuple[float, float]:
    clients.measure(operation, WARM_UP_SECONDS)
    before = read_processor_seconds(dsn)
    measured = clients.measure(operation, seconds)
    used = difference(before, read_processor_seconds(dsn))
    served = sum(value for name, value in used.items() if name not in (CLIENTS, SERVER))
    return measured.rate, served / measured.count * 1_000


@contextmanager
def _serve_ours(keys: list[str], ids: list[str], dsn: str) -> Iterator[Clients]:
    with running_system(dsn) as base_url, Clients(len(keys), prepare, base_url, keys, ids) as clients:
        yield clients


@contextmanager
def _serve_peer(seed: dict[str, Any], count: int, dsn: str) -> Iterator[Clients]:
    with (
        helpdesk.running(dsn) as base_url,
        Clients(count, helpdesk.prepare, base_url, seed, count) as clients,
    ):
        yield clients


def _prepare_ours(dsn: str) -> tuple[list[str], int]:
    """The ids of the open tickets, and the number of all."""
    vacuum(dsn)
    with connect(dsn, application="benchmarks") as conn:
        ids = [ticket_id for (ticket_id,) in conn.execute(_OPEN)]
        return ids, int(conn.execute(_COUNT).fetchall()[0][0])


def _open_ticket(number: int) -> Ticket:
    return Ticket.open(new_id(), benchmark_context(), **FIELDS)


def prepare(number: int, base_url: str, keys: list[str], open_ids: list[str]) -> Operations:
    """The operations of one client. Clients change different tickets."""
    client, chance = HttpClient(base_url, keys[number]), random.Random(number)
    own = open_ids[number :: len(keys)]
    changed: dict[str, str] = {}

    def create() -> None:
        body = {**FIELDS, "requester_id": "user789"}
        answer = client.request("POST", "/v1/tickets", body, expect=201)
        assert json.loads(answer)["data"]["status"] == "open"

    def change_status() -> None:
        ticket = chance.choice(own)
        status = changed[ticket] = "open" if changed.get(ticket) == "in_progress" else "in_progress"
        answer = client.request("PATCH", f"/v1/tickets/{ticket}", {"status": status})
        assert json.loads(answer)["data"]["status"] == status

    def get_one() -> None:
        assert b'"description"' in client.request("GET", f"/v1/tickets/{chance.choice(own)}")

    def list_open() -> None:
        answer = client.request("GET", "/v1/tickets?status=open&per_page=10")
        assert len(json.loads(answer)["data"]) == 10

    return {"create": create, "change status": change_status, "get one": get_one, "list open": list_open}
