"""Compares `ticketing verify` and exports of the whole log with reading the log once."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from typing import Any

from rich.console import Console

from benchmarks.comparison import Comparison, compare
from cli.database import Database
from cli.demo import load
from cli.verify import finish_check, start_check
from infrastructure.storage.event_store import EventStore
from infrastructure.storage.postgres import Connection, connect, make_pool
from notary.blocks import Row, sql
from notary.export import data, digest, find_range, manifest
from notary.follower import sign_log
from tests.support.commands import TICKETING, environment
from tests.support.vault import VAULT

EVENTS = int(os.environ.get("BENCH_AUDIT_EVENTS") or 100_000)
EVENTS_PER_TICKET = 5.1  # average of the demo data
MIN_VERIFIED_PER_SECOND = 60_000.0
MAX_GROWTH_MB = 50
PLAIN_VERIFY, PLAIN_EXPORT = "every event read and hashed", "COPY of the same columns"
_PEAK_PROGRAM = """
import resource, subprocess, sys
subprocess.run(sys.argv[1:], check=True, stderr=subprocess.DEVNULL)
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
"""  # a separate small process, because ru_maxrss of a child includes the memory of its parent


def compare_verify(dsn: str, clients: int, rounds: int, seconds: float) -> list[Comparison]:
    """Compare `ticketing verify`, with and without the read tables, with reading and hashing each event."""
    events = _seed(dsn)
    with connect(dsn, application="benchmarks") as conn:
        found = conn.execute(sql["statements_after"], {"number": 0, "limit": None}).fetchall()
        outside = [line for _, line in found]

        def verify(*, read_tables: bool) -> None:
            with start_check(dsn, {"outside": outside}, audit=read_tables) as log:
                report, compared = finish_check(
                    dsn, VAULT, log, _ignore_progress, _ignore_progress if read_tables else None
                )
            if report.findings or report.events != events or (compared is not None and compared.count):
                raise SystemExit("The verification has findings, but a new log must have none.")

        sides: dict[str, Callable[[], object]] = {
            PLAIN_VERIFY: lambda: _hash_events(conn),
            "log alone": lambda: verify(read_tables=False),
            "with read tables": lambda: verify(read_tables=True),
        }
        return _compare("verify", sides, events, rounds, min_rate=MIN_VERIFIED_PER_SECOND)


def compare_export(dsn: str, clients: int, rounds: int, seconds: float) -> list[Comparison]:
    """Compare an export of the whole log with COPY, and print how much more memory the command needs for it
    than for one event."""
    events = _seed(dsn)
    with make_pool(dsn, application="benchmarks", max_size=2) as pool:

        def export() -> None:
            with pool.connection() as conn:
                chosen = find_range(conn, VAULT)
            content = digest(data(pool, chosen, "ndjson"), "ndjson")
            with pool.connection() as conn:
                manifest(conn, VAULT, chosen, content)

        with connect(dsn, application="benchmarks") as conn:
            sides = {PLAIN_EXPORT: lambda: _copy_events(conn), "ndjson": export}
            results = _compare("export", sides, events, rounds)
    growth = (_measure_peak_memory(dsn) - _measure_peak_memory(dsn, "--to", "1")) / 1024
    colour = "red" if growth >= MAX_GROWTH_MB else "green"
    Console().print(
        f"export of {events:,} events: [{colour}]{growth:.0f} MB[/] more peak memory than for one event"
        f" (< {MAX_GROWTH_MB})"
    )
    return results


def _compare(
    name: str,
    sides: Mapping[str, Callable[[], object]],
    events: int,
    rounds: int,
    min_rate: float | None = None,
) -> list[Comparison]:
    """Measure events per second over the whole log. The first side is the baseline."""

    def measure(side: str) -> float:
        began = time.monotonic()
        sides[side]()
        return events / (time.monotonic() - began)

    baseline, *others = sides
    contenders = [(side, None) for side in others]
    return compare(
        name,
        contenders=contenders,
        baseline=baseline,
        rounds=rounds,
        measure=measure,
        min_rate=min_rate,
    )


def _seed(dsn: str) -> int:
    """Load demo tickets in bulk, chain and sign the log, and return the number of events."""
    with make_pool(dsn, application="benchmarks", max_size=2) as pool:
        store = EventStore(pool, VAULT)
        load(Database(dsn, pool, VAULT, store), tickets=int(EVENTS / EVENTS_PER_TICKET), seed=1)
        store.close()
    with connect(dsn, application="benchmarks") as conn:
        sign_log(conn, VAULT)
        conn.execute("VACUUM ANALYZE")
        return int(conn.execute("SELECT count(*) FROM es.stored_events").fetchall()[0][0])


def _hash_events(conn: Connection) -> None:
    after, rows = 0, [()]
    while rows:
        with conn.cursor(binary=True) as cur:
            rows = cur.execute(sql["read_events"], {"after": after, "last": 2**62, "limit": 1_000}).fetchall()
        for row in map(Row._make, rows):
            row.leaf  # noqa: B018 - computes it
            after = row.position


def _copy_events(conn: Connection) -> None:
    statement = (
        "COPY (SELECT notification_id, originator_id, originator_version, topic, state"
        " FROM es.stored_events ORDER BY notification_id) TO STDOUT"
    )
    with conn.cursor() as cur, cur.copy(statement) as copy:
        for _ in copy:
            pass


def _measure_peak_memory(dsn: str, *options: str) -> int:
    """Return the peak memory of `ticketing export` in KiB."""
    with tempfile.TemporaryDirectory(prefix="ticketing-bench-") as home:
        output: Any = f"{home}/export.ndjson"
        done = subprocess.run(
            [sys.executable, "-c", _PEAK_PROGRAM, TICKETING, "export", "--output", output, *options],
            env=environment(DATABASE_URL=dsn, TICKETING_HOME=home),
            check=True,
            capture_output=True,
            text=True,
        )
    return int(done.stdout)


def _ignore_progress(done: int, total: int) -> None:
    """Do nothing."""
