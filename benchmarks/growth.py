"""Measures reads of each role at several numbers of tickets, also during writes; rebuild, verify and disk."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import msgspec

from benchmarks.bench import Bench, run_ticketing, running_system
from benchmarks.bulk import vacuum
from benchmarks.growth_report import Latencies, Rebuilt, make_report
from benchmarks.http_client import HttpClient
from benchmarks.reads import TARGETS, Read, find_readers, find_reads
from benchmarks.report import Report
from benchmarks.steady_writes import Written, steady_writes
from infrastructure.storage.postgres import Connection, connect

WRITES_PER_SECOND = 100.0
REQUESTS = 8  # of each read in each round, unless they take SLICE_SECONDS
SLICE_SECONDS = 1.5
COPIED_UP_TO = (
    100_000  # larger databases are measured in place: the writes change them by less than a percent
)
_DISK = """
SELECT n.nspname || '.' || c.relname, pg_total_relation_size(c.oid), pg_indexes_size(c.oid)
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind = 'r' AND n.nspname !~ '^(pg_|information_schema)' ORDER BY 2 DESC
"""


class Site(msgspec.Struct, frozen=True):
    """A running system with a number of tickets."""

    size: int
    dsn: str
    base_url: str
    keys: dict[str, str]
    reads: dict[str, list[Read]]


def measure_growth(bench: Bench) -> Report:
    """The sizes are measured in turns for the growth, then each with and without writes."""
    sizes = sorted(bench.options.sizes)
    loaded = {size: load_tickets(bench, size) for size in sizes}
    quiet = _measure_quiet(bench, loaded)
    busy, written = {}, {}
    for size in sizes:
        busy[size], written[size] = _measure_busy(bench, size, loaded[size])
    disk = {size: _read_disk(dsn) for size, dsn in loaded.items()}
    rebuilt = {size: _rebuild_and_verify(bench, size, loaded[size]) for size in sizes}
    return make_report(quiet, busy, written, disk, rebuilt, TARGETS)


def load_tickets(bench: Bench, size: int) -> str:
    """The address of a database with that many tickets of demo data. It is loaded once and kept; a small
    one is copied for the run. `migrate` refills read tables of an earlier version."""
    kept = f"bench_growth_{size}"
    if not bench.has_database(kept):
        bench.console.log(f"{size:,} tickets are loaded")
        dsn, began = bench.create_database(kept), time.monotonic()
        run_ticketing(dsn, "demo", "load", "--tickets", str(size))
        bench.console.log(f"{size:,} tickets were loaded in {time.monotonic() - began:.0f} s")
        vacuum(dsn)
    dsn = bench.server.dsn(kept)
    run_ticketing(dsn, "migrate")
    return bench.copy_database(kept, "bench_growth_run_" + str(size)) if size <= COPIED_UP_TO else dsn


@contextmanager
def _running(size: int, dsn: str) -> Iterator[Site]:
    with running_system(dsn) as base_url:
        keys = {reader.role: reader.key for reader in find_readers(dsn)}
        reads = {role: find_reads(HttpClient(base_url, key)) for role, key in keys.items()}
        yield Site(size, dsn, base_url, keys, reads)


def _measure_quiet(bench: Bench, loaded: dict[int, str]) -> dict[int, Latencies]:
    """All sizes run at the same time, and each read is measured at one after the other."""
    found: dict[int, Latencies] = {size: {} for size in loaded}
    with ExitStack() as stack:
        sites = [stack.enter_context(_running(size, dsn)) for size, dsn in loaded.items()]
        for number in range(bench.options.rounds):
            bench.console.log(f"growth: round {number + 1} of {bench.options.rounds}")
            for role, reads in sites[0].reads.items():
                for index in range(len(reads)):
                    for site in sites if number % 2 else reversed(sites):
                        _measure_read(site, role, site.reads[role][index], found[site.size])
    return found


def _measure_busy(bench: Bench, size: int, dsn: str) -> tuple[dict[str, Latencies], list[Written]]:
    """The reads without and with writes, in turns, on a system that runs alone."""
    found: dict[str, Latencies] = {"quiet": {}, "busy": {}}
    all_written = []
    with _running(size, dsn) as site:
        key = site.keys["admin"]
        for number in range(bench.options.rounds):
            bench.console.log(f"{size:,} tickets with writes: round {number + 1} of {bench.options.rounds}")
            _measure_all(site, found["quiet"])
            with steady_writes(site.base_url, key, WRITES_PER_SECOND) as written:
                _measure_all(site, found["busy"])
            all_written.append(written)
    return found, all_written


def _measure_all(site: Site, found: Latencies) -> None:
    for role, reads in site.reads.items():
        for read in reads:
            _measure_read(site, role, read, found)


def _measure_read(site: Site, role: str, read: Read, found: Latencies) -> None:
    """Add the seconds of up to REQUESTS requests by one client, on a new connection: the server closes idle
    ones. The first request is not timed."""
    times = found.setdefault((role, read.name), [])
    if read.path is None:
        return
    client, until = HttpClient(site.base_url, site.keys[role]), time.perf_counter() + SLICE_SECONDS
    client.request("GET", read.path)
    for _ in range(REQUESTS):
        began = time.perf_counter()
        client.request("GET", read.path)
        times.append(time.perf_counter() - began)
        if time.perf_counter() > until:
            break


def _read_disk(dsn: str) -> dict[str, tuple[int, int]]:
    """Bytes by table: of the table with its indexes, and of the indexes."""
    with connect(dsn, application="benchmarks") as conn:
        return {name: (total, indexes) for name, total, indexes in conn.execute(_DISK).fetchall()}


def _rebuild_and_verify(bench: Bench, size: int, dsn: str) -> Rebuilt:
    """Rebuild the read tables while a client reads, and then compare them with the log."""
    bench.console.log(f"{size:,} tickets: rebuild and verify")
    with connect(dsn, application="benchmarks") as conn:
        events = _count_events(conn)
    with _running(size, dsn) as site:
        before = _read_until(site, threading.Event(), seconds=10.0)
        done, times = threading.Event(), list[float]()
        reading = threading.Thread(target=lambda: times.extend(_read_until(site, done)))
        reading.start()
        try:
            rebuild_seconds = _time(lambda: run_ticketing(dsn, "rebuild"))
        finally:
            done.set()
            reading.join()
    verify_seconds = _time(lambda: run_ticketing(dsn, "rebuild", "--verify"))
    return Rebuilt(
        events=events,
        rebuild_seconds=rebuild_seconds,
        verify_seconds=verify_seconds,
        p99_before=_p99(before),
        p99_during=_p99(times),
    )


def _read_until(site: Site, done: threading.Event, seconds: float = math.inf) -> list[float]:
    """The seconds of each of the reads of one ticket until then."""
    path = next(read.path for read in site.reads["admin"] if read.name == "one ticket")
    client, until, times = HttpClient(site.base_url, site.keys["admin"]), time.monotonic() + seconds, []
    while not done.wait(0.005) and time.monotonic() < until:
        began = time.perf_counter()
        client.request("GET", str(path))
        times.append(time.perf_counter() - began)
    return times


def _count_events(conn: Connection) -> int:
    return int(conn.execute("SELECT count(*) FROM es.stored_events").fetchall()[0][0])


def _time(action: object) -> float:
    began = time.monotonic()
    action()  # type: ignore[operator]
    return time.monotonic() - began


def _p99(times: list[float]) -> float:
    return sorted(times)[math.ceil(len(times) * 0.99) - 1]
