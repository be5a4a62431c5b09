"""Measures the processor time of each operation in each process, and rates at several numbers of clients."""

from __future__ import annotations

import json
import random

from benchmarks.bench import Bench, issue_key, run_ticketing, running_system
from benchmarks.bulk import vacuum
from benchmarks.clients import Clients, Operations
from benchmarks.http_client import HttpClient
from benchmarks.peers import prepare as prepare_common
from benchmarks.processor_time import difference, read_processor_seconds
from benchmarks.report import Plot, Report, Table
from infrastructure.storage.postgres import connect

TICKETS = 10_000
CLIENT_NUMBERS = (1, 2, 4, 8, 16)
COSTED = 8  # the number of clients whose costs are printed
MIX = {"get one": 0.5, "list open": 0.3, "change status": 0.1, "create": 0.1}
OPERATIONS = ("get one", "list open", "comment", "change status", "create", "mix")
_OPEN = "SELECT id FROM read.tickets WHERE status = 'open' AND NOT is_deleted ORDER BY id"


def measure_costs(bench: Bench) -> Report:
    """Measure each operation alone and a mix of them, with everything of `make run` running."""
    dsn = bench.create_database("bench_costs")
    run_ticketing(dsn, "demo", "load", "--tickets", str(TICKETS))
    vacuum(dsn)
    ids = open_tickets(dsn)
    keys = [issue_key(dsn, "admin") for _ in range(max(CLIENT_NUMBERS))]
    figures: dict[str, list[dict[str, object]]] = {name: [] for name in OPERATIONS}
    with running_system(dsn) as base_url:
        for count in CLIENT_NUMBERS:
            with Clients(count, prepare, base_url, keys[:count], ids) as clients:
                for name in OPERATIONS:
                    bench.console.log(f"{count} clients: {name}")
                    before = read_processor_seconds(dsn)
                    measured = clients.measure(name, bench.options.seconds)
                    used = difference(before, read_processor_seconds(dsn))
                    costs = {process: value / measured.count * 1_000 for process, value in used.items()}
                    figures[name].append({"clients": count, "rate": measured.rate, "ms": costs})
    return Report(
        tables=[_tabulate_costs(figures), _tabulate_rates(figures)],
        figures={"operations": figures, "mix": MIX},
        plots=[_plot(figures)],
    )


def open_tickets(dsn: str) -> list[str]:
    """The ids of the open tickets."""
    with connect(dsn, application="benchmarks") as conn:
        return [ticket_id for (ticket_id,) in conn.execute(_OPEN)]


def prepare(number: int, base_url: str, keys: list[str], ids: list[str]) -> Operations:
    """The operations of `make bench ARGS=peers`, comments, and a mix of them."""
    operations = prepare_common(number, base_url, keys, ids)
    client, chance = HttpClient(base_url, keys[number]), random.Random(number)
    own = ids[number :: len(keys)]

    def comment() -> None:
        path = f"/v1/tickets/{chance.choice(own)}/comments"
        answer = client.request("POST", path, {"text": "We come tomorrow"}, expect=201)
        assert json.loads(answer)["data"]["text"]

    def mix() -> None:
        (name,) = chance.choices(list(MIX), list(MIX.values()))
        operations[name]()

    return {**operations, "comment": comment, "mix": mix}


def costed(rows: list[dict[str, object]]) -> dict[str, float]:
    """The milliseconds by process with COSTED clients."""
    return next(row["ms"] for row in rows if row["clients"] == COSTED)  # type: ignore[return-value]


def _tabulate_costs(figures: dict[str, list[dict[str, object]]]) -> Table:
    by_operation = {name: costed(rows) for name, rows in figures.items()}
    totals = {name: sum(costs.values()) for name, costs in by_operation.items()}
    processes = {process for costs in by_operation.values() for process in costs}
    shown = [
        process
        for process in sorted(
            processes, key=lambda one: -sum(costs.get(one, 0) for costs in by_operation.values())
        )
        if max(costs.get(process, 0.0) for costs in by_operation.values()) >= 0.005
    ]
    rows = [[one, *(f"{by_operation[name].get(one, 0.0):.2f}" for name in OPERATIONS)] for one in shown]
    rows.append(["all", *(f"{totals[name]:.2f}" for name in OPERATIONS)])
    rates = {name: next(row["rate"] for row in figures[name] if row["clients"] == COSTED) for name in figures}
    in_use = [float(str(rates[name])) * totals[name] / 1_000 for name in OPERATIONS]
    rows.append(["processors in use", *(f"{value:.2f}" for value in in_use)])
    title = f"Milliseconds of processor time per request, {COSTED} clients"
    return Table(title, ("process", *OPERATIONS), rows)


def _tabulate_rates(figures: dict[str, list[dict[str, object]]]) -> Table:
    rows = [[name, *(f"{row['rate']:,.0f}" for row in rows)] for name, rows in figures.items()]
    columns = ("operation", *(f"{count} client{'s' if count > 1 else ''}" for count in CLIENT_NUMBERS))
    return Table("Requests per second by number of clients", columns, rows)


def _plot(figures: dict[str, list[dict[str, object]]]) -> Plot:
    values = {name: [float(str(row["rate"])) for row in rows] for name, rows in figures.items()}
    labels = [str(count) for count in CLIENT_NUMBERS]
    title = "Requests per second by number of clients"
    return Plot(title=title, unit="requests/s", kind="lines", labels=labels, values=values)
