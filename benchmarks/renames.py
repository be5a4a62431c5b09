"""Measures other writers while a property and a person with very many tickets are renamed."""

from __future__ import annotations

import json
import multiprocessing
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager

import msgspec

from benchmarks.bench import Bench, issue_key, run_ticketing, running_system
from benchmarks.bulk import append_tickets, refill
from benchmarks.growth_report import percentile
from benchmarks.http_client import HttpClient
from benchmarks.report import Plot, Report, Table
from benchmarks.tickets import FIELDS, benchmark_context
from domain.ticket import Ticket
from infrastructure.ids import new_id

PROPERTY, PERSON, OTHER_PERSON = "abc123", "user789", "user800"
PERSONS_SHARE = 0.4  # of the tickets of the property
WRITERS = 4
MOST_P99_MS = 250.0
_PAUSE_SECONDS = 0.02
_RENAME_PAUSE_SECONDS = 0.5


class Observed(msgspec.Struct):
    """`seconds` of each POST; `stale` lists that lacked the ticket just created; `mixed` pages that show two
    names of one property or person."""

    seconds: list[float] = msgspec.field(default_factory=list)
    lists: int = 0
    stale: int = 0
    mixed: int = 0


def measure_renames(bench: Bench) -> Report:
    """Open tickets and list them, without renames, and while the property or the person is renamed again and
    again. The property has the number of tickets of the option --tickets."""
    dsn = _load(bench)
    key, seconds = issue_key(dsn, "admin"), bench.options.seconds * bench.options.rounds
    found: dict[str, Observed] = {}
    renames: dict[str, int] = {}
    kinds = {"none": "", "property": f"/v1/properties/{PROPERTY}", "person": f"/v1/users/{PERSON}"}
    with running_system(dsn) as base_url:
        for kind, path in kinds.items():
            bench.console.log(f"renamed: {kind}")
            with _renaming(base_url, key, path) as count:
                found[kind] = _observe_in_a_process(base_url, key, seconds)
            renames[kind] = count[0]
    return make_report(bench.options.tickets, found, renames)


def _load(bench: Bench) -> str:
    """The address of a copy of a database that is loaded once and kept."""
    kept = f"bench_renames_{bench.options.tickets}"
    if not bench.has_database(kept):
        dsn = bench.create_database(kept)
        run_ticketing(dsn, "demo", "load", "--tickets", "1000")
        append_tickets(dsn, (_open_ticket(number) for number in range(bench.options.tickets)))
        refill(dsn)
    run_ticketing(bench.server.dsn(kept), "migrate")
    return bench.copy_database(kept, "bench_renames_run")


def _open_ticket(number: int) -> Ticket:
    requester = PERSON if number % 10 < PERSONS_SHARE * 10 else OTHER_PERSON
    return Ticket.open(new_id(), benchmark_context(), **{**FIELDS, "requester_id": requester})


@contextmanager
def _renaming(base_url: str, key: str, path: str) -> Iterator[list[int]]:
    """Rename again and again during the block; yields the number of renames as a list of one."""
    stopping, count, failures = threading.Event(), [0], list[BaseException]()

    def rename() -> None:
        client = HttpClient(base_url, key)
        try:
            while path and not stopping.wait(_RENAME_PAUSE_SECONDS):
                client.request("PATCH", path, {"name": f"Name {count[0]}"})
                count[0] += 1
        except Exception as failure:
            failures.append(failure)

    thread = threading.Thread(target=rename)
    thread.start()
    try:
        yield count
    finally:
        stopping.set()
        thread.join()
    if failures:
        raise failures[0]
    if path and not count[0]:
        raise SystemExit(f"{path} was not renamed while the writers ran, so nothing was measured.")


def _observe_in_a_process(base_url: str, key: str, seconds: float) -> Observed:
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=context) as executor:
        return executor.submit(observe, base_url, key, seconds).result()


def observe(base_url: str, key: str, seconds: float) -> Observed:
    """WRITERS clients open a ticket, then list the newest 100, until then."""
    found, lock, failures = Observed(), threading.Lock(), list[BaseException]()
    until = time.monotonic() + seconds

    def work() -> None:
        client = HttpClient(base_url, key)
        try:
            while time.monotonic() < until:
                _write_and_list(client, found, lock)
                time.sleep(_PAUSE_SECONDS)
        except Exception as failure:
            failures.append(failure)

    threads = [threading.Thread(target=work) for _ in range(WRITERS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]
    return found


def _write_and_list(client: HttpClient, found: Observed, lock: threading.Lock) -> None:
    body, began = {**FIELDS, "requester_id": PERSON}, time.monotonic()
    created = json.loads(client.request("POST", "/v1/tickets", body, expect=201))["data"]["id"]
    taken = time.monotonic() - began
    rows = json.loads(client.request("GET", f"/v1/tickets?property_id={PROPERTY}&per_page=100"))["data"]
    with lock:
        found.seconds.append(taken)
        found.lists += 1
        found.stale += created not in (row["id"] for row in rows)
        found.mixed += is_mixed(rows)


def is_mixed(rows: list[dict[str, dict[str, str]]]) -> bool:
    """Whether the page shows more than one name of one property or requester."""
    for part in ("property", "requester"):
        names: dict[str, str] = {}
        for row in rows:
            if names.setdefault(row[part]["id"], row[part]["name"]) != row[part]["name"]:
                return True
    return False


def make_report(tickets: int, found: dict[str, Observed], renames: dict[str, int]) -> Report:
    rows = []
    for kind, one in found.items():
        p99 = percentile(one.seconds, 0.99)
        verdict = "" if kind == "none" else ", reached" if p99 <= MOST_P99_MS else ", missed"
        rows.append([
            kind, f"{renames[kind]}", f"{len(one.seconds):,}", f"{percentile(one.seconds, 0.5):.1f}",
            f"{p99:.1f}{verdict}", f"{one.stale} of {one.lists:,}{', wrong' if one.stale else ''}",
            f"{one.mixed} of {one.lists:,}{', wrong' if one.mixed else ''}",
        ])  # fmt: skip
    columns = (
        "renamed",
        "renames",
        "POSTs",
        "p50 ms",
        f"p99 ms (<= {MOST_P99_MS:g})",
        "stale lists",
        "mixed pages",
    )
    title = f"Other writers; the property has {tickets:,} tickets, the person {PERSONS_SHARE * tickets:,.0f}"
    values: dict[str, list[float | None]] = {"p99": [percentile(one.seconds, 0.99) for one in found.values()]}
    return Report(
        tables=[Table(title, columns, rows)],
        figures={"observed": msgspec.to_builtins(found), "renames": renames},
        plots=[Plot(title=title, unit="ms", labels=list(found), values=values)],
    )
