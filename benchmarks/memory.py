"""Measures the memory of the API's workers after a number of mixed requests."""

from __future__ import annotations

import statistics
from pathlib import Path

import psutil

from benchmarks.bench import Bench, issue_key, run_ticketing, running_system
from benchmarks.bulk import vacuum
from benchmarks.clients import Clients
from benchmarks.costs import open_tickets, prepare
from benchmarks.report import Plot, Report, Table

TICKETS = 10_000
FIRST = 10_000  # requests before the first reading
READINGS = 10
MOST_GROWTH = 1.1
_SECONDS = 2.0  # between two looks at the number of requests
_MEGABYTE = 1_000_000


def measure_memory(bench: Bench) -> Report:
    """Measure after FIRST requests, and at READINGS places up to the number of the option --requests."""
    wanted = bench.options.requests
    dsn = bench.create_database("bench_memory")
    run_ticketing(dsn, "demo", "load", "--tickets", str(TICKETS))
    vacuum(dsn)
    keys = [issue_key(dsn, "admin") for _ in range(bench.options.clients)]
    found: list[tuple[int, list[float]]] = []
    with (
        running_system(dsn) as base_url,
        Clients(len(keys), prepare, base_url, keys, open_tickets(dsn)) as clients,
    ):
        port, done, due = int(base_url.rpartition(":")[2]), 0, FIRST
        while True:
            done += clients.measure("mix", _SECONDS).count
            if done < due:
                continue
            found.append((done, _read_memory(port)))
            bench.console.log(f"{done:,} requests: {statistics.mean(found[-1][1]):.1f} MB")
            if done >= wanted:
                break
            due = min(wanted, max(due, done) + max(1, (wanted - FIRST) // READINGS))
    return _make_report(found)


def _make_report(found: list[tuple[int, list[float]]]) -> Report:
    first = statistics.mean(found[0][1])
    rows = []
    for done, workers in found:
        mean = statistics.mean(workers)
        rows.append([f"{done:,}", f"{mean:.1f}", f"{max(workers):.1f}", f"{mean / first:.3f}"])
    ratio = statistics.mean(found[-1][1]) / first
    verdict = "reached" if ratio <= MOST_GROWTH else "missed"
    title = "Memory of the API's workers, MB (proportional set size)"
    labels = [f"{done:,}" for done, _ in found]
    means: dict[str, list[float | None]] = {
        "mean of the workers": [statistics.mean(each) for _, each in found]
    }
    return Report(
        tables=[Table(title, ("requests to all workers", "mean", "largest", "ratio to the first"), rows)],
        notes=[f"After {found[-1][0]:,} requests {ratio:.3f} of the memory after {found[0][0]:,}"
               f" (at most {MOST_GROWTH:g}): {verdict}"],
        figures={"readings": [{"requests": done, "megabytes": workers} for done, workers in found]},
        plots=[Plot(title=title, unit="MB", kind="lines", labels=labels, values=means)],
    )  # fmt: skip


def _read_memory(port: int) -> list[float]:
    """The megabytes of each worker: its own pages, and its part of those that it shares."""
    master = next(
        one.pid for one in psutil.net_connections("tcp")
        if one.status == psutil.CONN_LISTEN and one.laddr.port == port and one.pid
    )  # fmt: skip
    parent = psutil.Process(master).parent()
    arbiter = parent if parent is not None and parent.cmdline()[-1:] == ["api"] else psutil.Process(master)
    return [_read_pss(worker.pid) / _MEGABYTE for worker in arbiter.children()]


def _read_pss(pid: int) -> int:
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().split("\n")
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:"))
