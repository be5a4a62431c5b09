"""The tables and plots of `make bench ARGS=growth`."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping
from typing import Any

import msgspec

from benchmarks.reads import FIRST_PAGE, Target
from benchmarks.report import Plot, Report, Table
from benchmarks.steady_writes import Written

Latencies = dict[tuple[str, str], list[float]]  # seconds of each request, by role and read
MOST_BUSY = 2.0
MOST_REBUILD_SECONDS = 300.0  # for LARGE
LARGE = 1_000_000


class Rebuilt(msgspec.Struct, frozen=True, kw_only=True):
    """Seconds, and the p99 of reading one ticket before and during the rebuild."""

    events: int
    rebuild_seconds: float
    verify_seconds: float
    p99_before: float
    p99_during: float


def make_report(
    quiet: Mapping[int, Latencies],
    busy: Mapping[int, Mapping[str, Latencies]],
    written: Mapping[int, list[Written]],
    disk: Mapping[int, Mapping[str, tuple[int, int]]],
    rebuilt: Mapping[int, Rebuilt],
    targets: Mapping[str, Target],
) -> Report:
    roles = list(dict.fromkeys(role for role, _ in quiet[min(quiet)]))
    tables = [_tabulate_growth(role, quiet, targets) for role in roles]
    largest = max(busy)  # the figures have the other sizes too
    tables += [_tabulate_busy(largest, busy[largest]), _tabulate_rebuilds(rebuilt), _tabulate_disk(disk)]
    return Report(
        tables=tables,
        notes=[_describe_writes(size, rounds) for size, rounds in written.items()],
        figures={
            "quiet": _as_rows(quiet),
            "with_writes": {str(size): {name: _as_rows({size: one}) for name, one in both.items()}
                            for size, both in busy.items()},
            "writes": {str(size): msgspec.to_builtins(rounds) for size, rounds in written.items()},
            "rebuild": {str(size): msgspec.to_builtins(one) for size, one in rebuilt.items()},
            "disk": {str(size): msgspec.to_builtins(one) for size, one in disk.items()},
        },
        plots=[_plot(role, quiet) for role in roles],
    )  # fmt: skip


def percentile(times: list[float], share: float) -> float:
    """In milliseconds; nan without times."""
    return sorted(times)[math.ceil(len(times) * share) - 1] * 1_000 if times else math.nan


def _tabulate_growth(role: str, quiet: Mapping[int, Latencies], targets: Mapping[str, Target]) -> Table:
    small, large = min(quiet), max(quiet)
    columns = ["read", *(f"{name} {size:,}" for size in quiet for name in ("p50", "p95")), "growth", "target"]
    rows = []
    for name in (name for owner, name in quiet[small] if owner == role):
        times = {size: latencies[role, name] for size, latencies in quiet.items()}
        if not all(times.values()):
            continue
        cells = [f"{percentile(each, share):.1f}" for each in times.values() for share in (0.5, 0.95)]
        first, last = percentile(times[small], 0.5), percentile(times[large], 0.5)
        front = percentile(quiet[large][role, FIRST_PAGE], 0.5)
        target = targets[name]
        verdict = "missed" if is_missed(target, first, last, front) else "reached"
        rows.append([name, *cells, f"{last / first:.2f}", f"{target.describe()}, {verdict}"])
    return Table(f"Reads as {role}, one client, milliseconds", columns, rows)


def is_missed(target: Target, first: float, last: float, front: float) -> bool:
    """Whether `last`, the milliseconds at the largest size, misses the target. `first` are those at the
    smallest size, `front` those of the first page at the largest."""
    limits = (
        target.growth and target.growth * first,
        target.ms,
        target.of_first_page and target.of_first_page * front,
    )
    return any(limit is not None and last > limit for limit in limits)


def _tabulate_busy(size: int, latencies: Mapping[str, Latencies]) -> Table:
    rows = []
    for (role, name), quiet in latencies["quiet"].items():
        busy = latencies["busy"][role, name]
        if not quiet or not busy:
            continue
        before, during = percentile(quiet, 0.95), percentile(busy, 0.95)
        ratio = during / before
        halves = (percentile(quiet, 0.5), percentile(busy, 0.5))
        cells = [f"{value:.1f}" for value in (*halves, before, during)]
        rows.append(
            [f"{role}: {name}", *cells, f"{ratio:.2f}, {'missed' if ratio > MOST_BUSY else 'reached'}"]
        )
    columns = ("read", "p50", "p50 with writes", "p95", "p95 with writes", f"ratio of p95 (<= {MOST_BUSY:g})")
    return Table(f"Reads of {size:,} tickets while 100 writes/s go on, milliseconds", columns, rows)


def _tabulate_rebuilds(rebuilt: Mapping[int, Rebuilt]) -> Table:
    rows = []
    for size, one in rebuilt.items():
        rate, ratio = one.events / one.verify_seconds, one.p99_during / one.p99_before
        judged = ", missed" if one.rebuild_seconds > MOST_REBUILD_SECONDS else ", reached"
        rows.append([
            f"{size:,}",
            f"{one.events:,}",
            f"{one.rebuild_seconds:.0f}{judged if size >= LARGE else ''}",
            f"{one.events / one.rebuild_seconds:,.0f}",
            f"{rate:,.0f}",
            f"{one.p99_before * 1e3:.1f}",
            f"{one.p99_during * 1e3:.1f}",
            f"{ratio:.2f}, {'missed' if ratio > MOST_BUSY else 'reached'}",
        ])  # fmt: skip
    columns = (
        "tickets",
        "events",
        "rebuild s",
        "events/s",
        "rebuild --verify events/s",
        "GET p99 ms before",
        "during",
        "ratio",
    )
    return Table("Rebuild while serving, and comparison of the read tables with the log", columns, rows)


def _tabulate_disk(disk: Mapping[int, Mapping[str, tuple[int, int]]]) -> Table:
    tables = [name for name, _ in sorted(disk[max(disk)].items(), key=lambda item: -item[1][0])]
    shown = [name for name in tables if disk[max(disk)][name][0] >= 1_000_000]
    rows = [
        [name, *(f"{one[kind] / 1e6:,.0f}" for size in disk for one in [disk[size].get(name, (0, 0))]
                 for kind in (0, 1))]
        for name in shown
    ]  # fmt: skip
    sums = [sum(one[kind] for one in disk[size].values()) for size in disk for kind in (0, 1)]
    rows.append(["all", *(f"{value / 1e6:,.0f}" for value in sums)])
    columns = ("table", *(f"{text} {size:,}" for size in disk for text in ("MB", "indexes")))
    return Table("Disk by table, megabytes with indexes, and of the indexes", columns, rows)


def _describe_writes(size: int, rounds: list[Written]) -> str:
    rate, late = statistics.median(one.per_second for one in rounds), sum(one.late for one in rounds)
    errors = [error for one in rounds for error in one.errors]
    told = f"; errors: {errors[0]}" if errors else ""
    return (
        f"{size:,} tickets: {rate:.0f} writes/s went on, {late} of them began more than a second late{told}."
    )


def _as_rows(measured: Mapping[int, Latencies]) -> list[dict[str, Any]]:
    return [
        {"tickets": size, "role": role, "read": name, "requests": len(times),
         "p50_ms": percentile(times, 0.5), "p95_ms": percentile(times, 0.95)}
        for size, latencies in measured.items() for (role, name), times in latencies.items() if times
    ]  # fmt: skip


def _plot(role: str, quiet: Mapping[int, Latencies]) -> Plot:
    labels = [name for owner, name in quiet[min(quiet)] if owner == role and quiet[min(quiet)][owner, name]]
    values = {
        f"{size:,} tickets": [percentile(latencies[role, name], 0.5) for name in labels]
        for size, latencies in quiet.items()
    }
    title = f"Median of each read as {role}"
    return Plot(title=title, unit="ms", labels=labels, values=values, is_logarithmic=True)
