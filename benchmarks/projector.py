"""Measures the projector: rate and memory from a backlog, and its lag while clients write at full rate."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing import get_context

import msgspec
import psutil

from benchmarks.bench import Bench, issue_key, run_ticketing, running_system
from benchmarks.bulk import vacuum
from benchmarks.clients import Clients
from benchmarks.costs import open_tickets, prepare
from benchmarks.growth_report import percentile
from benchmarks.processor_time import read_processor_seconds
from benchmarks.report import Plot, Report, Table
from infrastructure.storage.postgres import connect
from projections.runner import BACKLOG_BATCH_SIZE, catch_up, connect_projector
from projections.schema import create_read_schema
from tests.support.vault import VAULT

BACKLOG_TICKETS = 100_000
TICKETS = 10_000  # while clients write
LEAST_RATE = 20_000
MOST_LAG_MS = 100.0
WRITES = ("create", "change status", "comment")
READINGS = 10  # of the rate and the memory, from one backlog
_LOOK_SECONDS = 0.002
_MEGABYTE = 1_000_000
_POSITIONS = """
SELECT (SELECT coalesce(max(notification_id), 0) FROM es.stored_events),
    (SELECT position FROM read.projector_position)
"""


class Reading(msgspec.Struct, frozen=True):
    """Of the events since the reading before: their number, and the seconds and processor seconds."""

    events: int
    seconds: float
    projector_seconds: float
    session_seconds: float
    megabytes: float  # of the process, now


def measure_projector(bench: Bench) -> Report:
    readings = _measure_backlog(bench)
    lags = _measure_lags(bench)
    return _make_report(readings, lags)


def _measure_backlog(bench: Bench) -> list[Reading]:
    """Fill empty read tables from a log, in a process that does nothing else."""
    kept = f"bench_growth_{BACKLOG_TICKETS}"
    if not bench.has_database(kept):
        run_ticketing(bench.create_database(kept), "demo", "load", "--tickets", str(BACKLOG_TICKETS))
    dsn = bench.copy_database(kept, "bench_projector_backlog")
    with connect(dsn, application="benchmarks", limit_seconds=600) as conn:
        conn.execute("DROP SCHEMA read CASCADE")
        create_read_schema(conn)
    with ProcessPoolExecutor(1, get_context("spawn")) as process:
        return process.submit(project_backlog, dsn).result()


def project_backlog(dsn: str) -> list[Reading]:
    """Project the whole log as the projector does from a backlog."""
    process, found = psutil.Process(), list[Reading]()
    with connect(dsn, application="benchmarks") as conn:
        last, _ = conn.execute(_POSITIONS).fetchall()[0]
    with connect_projector(dsn) as conn:
        events, began, used = 0, time.perf_counter(), _processor_seconds(dsn)
        while count := catch_up(conn, VAULT, BACKLOG_BATCH_SIZE):
            events += count
            if events < last / READINGS:
                continue
            now, now_used = time.perf_counter(), _processor_seconds(dsn)
            megabytes = process.memory_info().rss / _MEGABYTE
            spent = [after - before for before, after in zip(used, now_used, strict=True)]
            found.append(Reading(events, now - began, spent[0], spent[1], megabytes))
            events, began, used = 0, now, now_used
    return found


def _processor_seconds(dsn: str) -> tuple[float, float]:
    """Of this process, and of its session of the projector."""
    return time.process_time(), read_processor_seconds(dsn)["session of ticketing-projector"]


def _measure_lags(bench: Bench) -> dict[str, tuple[float, list[float]]]:
    """By operation: the rate at which it was done, and the lags in seconds."""
    dsn = bench.create_database("bench_projector_lag")
    run_ticketing(dsn, "demo", "load", "--tickets", str(TICKETS))
    vacuum(dsn)
    keys = [issue_key(dsn, "admin") for _ in range(bench.options.clients)]
    found: dict[str, tuple[float, list[float]]] = {}
    with running_system(dsn) as base_url:
        for name in WRITES:  # with new connections, because the server closes idle ones
            bench.console.log(f"lag: {name}")
            with (
                Clients(len(keys), prepare, base_url, keys, open_tickets(dsn)) as clients,
                _watching_lag(dsn) as lags,
            ):
                rate = clients.measure_rate(name, bench.options.seconds * bench.options.rounds)
            found[name] = rate, lags
    return found


@contextmanager
def _watching_lag(dsn: str) -> Iterator[list[float]]:
    """Note the end of the log every _LOOK_SECONDS during the block, and the seconds until the read tables
    have reached it. The list is complete when the block ends."""
    stopping, lags = threading.Event(), list[float]()

    def watch() -> None:
        waiting: list[tuple[int, float]] = []
        with connect(dsn, application="benchmarks") as conn:
            while not stopping.wait(_LOOK_SECONDS) or waiting:
                asked = time.perf_counter()
                end, projected = conn.execute(_POSITIONS).fetchall()[0]
                now = time.perf_counter()
                if not stopping.is_set() and (not waiting or end > waiting[-1][0]):
                    waiting.append((end, asked))
                while waiting and waiting[0][0] <= projected:
                    lags.append(now - waiting.pop(0)[1])

    watching = threading.Thread(target=watch)
    watching.start()
    try:
        yield lags
    finally:
        stopping.set()
        watching.join()


def _make_report(readings: list[Reading], lags: dict[str, tuple[float, list[float]]]) -> Report:
    events = sum(one.events for one in readings)
    rate = events / sum(one.seconds for one in readings)
    done, rows = 0, list[list[str]]()
    for one in readings:
        done += one.events
        per_event = [1e6 * part / one.events for part in (one.projector_seconds, one.session_seconds)]
        costs = [f"{part:.0f}" for part in per_event]
        rows.append([f"{done:,}", f"{one.events / one.seconds:,.0f}", *costs, f"{one.megabytes:.0f}"])
    columns = ("events", "events/s", "projector, us an event", "its session, us an event", "memory, MB")
    title = "The projector from a backlog, into empty read tables"
    lag_rows = []
    for name, (operations, seconds) in lags.items():
        p99 = percentile(seconds, 0.99)
        verdict = "reached" if p99 <= MOST_LAG_MS else "missed"
        shown = (percentile(seconds, 0.5), p99, 1_000 * max(seconds))
        half, most, longest = (f"{one:.1f}" for one in shown)
        lag_rows.append([name, f"{operations:,.0f}", half, f"{most}, {verdict}", longest])
    lag_columns = ("operation", "operations/s", "p50 ms", f"p99 ms (<= {MOST_LAG_MS:g})", "longest ms")
    verdict = "reached" if rate >= LEAST_RATE else "missed"
    growth = readings[-1].megabytes / readings[0].megabytes
    labels = [row[0] for row in rows]
    rates: dict[str, list[float | None]] = {"projector": [one.events / one.seconds for one in readings]}
    return Report(
        tables=[Table(title, columns, rows), Table("Lag of the lists at full rate", lag_columns, lag_rows)],
        notes=[
            f"From a backlog of {events:,} events {rate:,.0f} events/s (at least {LEAST_RATE:,}): {verdict}",
            f"Memory after the last events is {growth:.2f} of that after the first",
        ],
        figures={
            "readings": msgspec.to_builtins(readings),
            "lags": {name: {"rate": found[0], "seconds": found[1]} for name, found in lags.items()},
        },
        plots=[Plot(title=title, unit="events/s", kind="lines", labels=labels, values=rates)],
    )
