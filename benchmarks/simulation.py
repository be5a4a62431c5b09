"""Predicts rates from the measured costs, and what ten times the load needs.

`python -m benchmarks.simulation` reads the figures of `make bench ARGS=costs`. The demand of a request is its
processor time in all processes, the load generator included; its delay is what a single client waits beyond
that, such as for the disk and for the next batch. The demand is measured with COSTED clients and the delay
with one. The rates at the other numbers of clients and of the mix are not used, so comparing them with the
predictions tests the model."""

from __future__ import annotations

import argparse
import json
import math
from pathlib import Path
from typing import Any

from rich.console import Console

from benchmarks import report
from benchmarks.bench import RESULTS
from benchmarks.costs import COSTED, MIX, costed
from benchmarks.other_load import MOST_PROCESSORS
from benchmarks.processor_time import CLIENTS
from benchmarks.queueing import bound_rate, needed, solve_rate
from benchmarks.report import Plot, Report, Table

UTILISATION = 0.7  # of processors, so that queues stay short
CORES = 8  # of each host
WRITES = ("create", "change status")
# What each part runs on, by the name of the process. A follower waits for its session in PostgreSQL, so the
# two together use at most one processor.
API, READS_OF_DATABASE = ("api",), ("session of ticketing-api",)
FOLLOWERS = {
    "projector": ("projector", "session of ticketing-projector"),
    "webhook dispatcher": ("webhook-dispatcher", "session of ticketing-webhook-consumer"),
    "notary": ("notary", "session of ticketing-notary"),
}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.simulation", description=__doc__)
    parser.add_argument("--costs", type=Path, default=RESULTS / "costs.json")
    parser.add_argument(
        "--times", type=float, default=10.0, help="the load, as a multiple of the measured mix"
    )
    options = parser.parse_args()
    costs = json.loads(options.costs.read_text())
    made = make_report(costs, options.times)
    report.show(Console(), made)
    report.write(RESULTS, "simulation", made, costs=str(options.costs), measured_at=costs["at"])
    report.draw_plots(RESULTS, "simulation", made.plots)


def make_report(costs: dict[str, Any], times: float) -> Report:
    processors, operations = costs["processors"], costs["operations"]
    predictions = {name: predict(operations, name, processors) for name in operations}
    errors = [
        abs(predicted / row["rate"] - 1)
        for name, rows in operations.items()
        for row, predicted in zip(rows, predictions[name], strict=True)
        if is_tested(name, row["clients"])
    ]
    note = (
        f"The predictions that use no part of their own measurement differ from it by"
        f" {sum(errors) / len(errors):.0%} on average and {max(errors):.0%} at most."
    )
    notes = [note]
    if max(costs["other_load"]) > MOST_PROCESSORS:
        notes.append(
            "Other programs used the machine when the costs were measured. The model assumes that the"
            " processors belong to the system, so these differences do not test it. Use an idle machine."
        )
    return Report(
        tables=[_tabulate(operations, predictions, processors), _tabulate_scale(operations, times)],
        notes=notes,
        figures={
            "predicted": predictions,
            "mean_error": sum(errors) / len(errors),
            "largest_error": max(errors),
        },
        plots=[_plot(name, operations, predictions) for name in ("mix", "create")],
    )


def is_tested(name: str, clients: int) -> bool:
    """Whether a prediction uses no part of the measurement that it is compared with."""
    return name == "mix" or clients not in (1, COSTED)


def demand_of(rows: list[dict[str, Any]], clients: int = COSTED) -> float:
    """Seconds of processor time for each request."""
    return sum(next(row["ms"] for row in rows if row["clients"] == clients).values()) / 1_000


def delay_of(rows: list[dict[str, Any]]) -> float:
    """Seconds that a single client waits beyond the demand. Then a request uses more processor time than
    that, because batches are small and processors wake up, but the model has one demand."""
    return max(0.0, 1 / next(row["rate"] for row in rows if row["clients"] == 1) - demand_of(rows))


def parameters(operations: dict[str, list[dict[str, Any]]], name: str) -> tuple[float, float]:
    """The demand and the delay in seconds; those of the mix from its operations alone."""
    if name != "mix":
        return demand_of(operations[name]), delay_of(operations[name])
    return (
        sum(share * demand_of(operations[one]) for one, share in MIX.items()),
        sum(share * delay_of(operations[one]) for one, share in MIX.items()),
    )


def predict(operations: dict[str, list[dict[str, Any]]], name: str, processors: int) -> list[float]:
    demand, delay = parameters(operations, name)
    return [solve_rate(row["clients"], demand, delay, processors) for row in operations[name]]


def _tabulate(
    operations: dict[str, list[dict[str, Any]]], predictions: dict[str, list[float]], processors: int
) -> Table:
    rows = []
    for name, measured in operations.items():
        demand, delay = parameters(operations, name)
        for row, predicted in zip(measured, predictions[name], strict=True):
            if not is_tested(name, row["clients"]):
                continue
            bound = bound_rate(row["clients"], demand, delay, processors)
            cells = (f"{bound:,.0f}", f"{predicted:,.0f}", f"{row['rate']:,.0f}")
            rows.append([f"{name}, {row['clients']} clients", *cells, f"{predicted / row['rate'] - 1:+.0%}"])
    columns = ("operation", "bound", "predicted", "measured", "difference")
    return Table("Requests per second: predicted from costs, and measured", columns, rows)


def _tabulate_scale(operations: dict[str, list[dict[str, Any]]], times: float) -> Table:
    """What the mix at `times` its measured rate needs, by the utilisation law."""
    rate = max(row["rate"] for row in operations["mix"]) * times
    costs = {name: costed(operations[name]) for name in MIX}

    def demand(processes: tuple[str, ...], names: tuple[str, ...] = tuple(MIX)) -> float:
        return sum(MIX[name] * costs[name].get(one, 0.0) / 1_000 for name in names for one in processes)

    written = tuple(name for name in MIX if name in WRITES)
    read = tuple(name for name in MIX if name not in WRITES)
    others = tuple({one for cost in costs.values() for one in cost} - {"api", CLIENTS, *READS_OF_DATABASE})
    sessions = tuple(one for one in others if one.startswith(("session", "PostgreSQL")))
    parts = {
        "API hosts": demand(API),
        "primary: writes and followers": demand(READS_OF_DATABASE, written) + demand(sessions),
        "replicas, or the primary: reads": demand(READS_OF_DATABASE, read),
    }
    rows = []
    for name, seconds in parts.items():
        cores = needed(rate, seconds, UTILISATION)
        rows.append([name, f"{seconds * 1e3:.2f}", f"{cores:.1f}", str(math.ceil(cores / CORES))])
    for name, processes in FOLLOWERS.items():
        cores = needed(rate, demand(processes), UTILISATION)
        rows.append([f"{name} (one processor each)", f"{demand(processes) * 1e3:.3f}", f"{cores:.2f}",
                     f"{math.ceil(cores)} process{'es' if cores > 1 else ''}"])  # fmt: skip
    columns = (
        "part",
        "ms for each request of the mix",
        f"processors at {UTILISATION:.0%}",
        f"hosts of {CORES}",
    )
    return Table(f"{times:g} times the measured mix: {rate:,.0f} requests/s", columns, rows)


def _plot(
    name: str, operations: dict[str, list[dict[str, Any]]], predictions: dict[str, list[float]]
) -> Plot:
    labels = [str(row["clients"]) for row in operations[name]]
    values: dict[str, list[float | None]] = {
        "measured": [row["rate"] for row in operations[name]],
        "predicted": list(predictions[name]),
    }
    return Plot(title=f"{name}: rate by number of clients", unit="requests/s", kind="lines", labels=labels,
                values=values)  # fmt: skip


if __name__ == "__main__":
    main()
