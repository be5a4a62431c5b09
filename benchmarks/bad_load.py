"""Measures how long other clients wait during bad load: many open connections, simultaneous writes to one
ticket, large deep pages, and sockets that send one byte a second."""

from __future__ import annotations

import json
import multiprocessing
import resource
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack, contextmanager, nullcontext

from benchmarks.bench import Bench, issue_key, run_ticketing, running_system
from benchmarks.bulk import vacuum
from benchmarks.costs import open_tickets
from benchmarks.growth_report import percentile
from benchmarks.http_client import HttpClient
from benchmarks.report import Plot, Report, Table
from benchmarks.slow_clients import TRICKLES, trickling

TICKETS = 100_000
CONNECTIONS, WRITES, DEEP_READERS = 10_000, 1_000, 8
OTHERS = 4  # clients whose requests are timed
MOST_P99_MS = 500.0
_PAUSE_SECONDS = 0.01
_WAIT_SECONDS = 60.0
Address = tuple[str, int]


def measure_bad_load(bench: Bench) -> Report:
    """Time reads and writes of OTHERS clients during each kind of bad load, and without any."""
    dsn = bench.create_database("bench_bad_load")
    run_ticketing(dsn, "demo", "load", "--tickets", str(min(TICKETS, bench.options.tickets)))
    vacuum(dsn)
    key, ids = issue_key(dsn, "admin"), open_tickets(dsn)
    _allow_open_files(CONNECTIONS + 1_000)
    found: dict[str, list[float]] = {}
    notes: list[str] = []
    with running_system(dsn) as base_url:
        address = ("127.0.0.1", int(base_url.rpartition(":")[2]))
        kinds = {
            "none": lambda: nullcontext(),
            f"{CONNECTIONS:,} connections opened (see the note)": lambda: _open_connections(address, notes),
            f"{WRITES:,} simultaneous writes to one ticket": lambda: _writing(base_url, key, ids[0], notes),
            f"{DEEP_READERS} clients read 100 at the last page": lambda: _reading_deep(base_url, key, notes),
            f"{TRICKLES} trickling sockets": lambda: _trickling(address, key, ids[1]),
        }
        for kind, bad_load in kinds.items():
            bench.console.log(kind)
            with bad_load():
                found[kind] = _time_others(
                    base_url, key, ids[2:], bench.options.seconds * bench.options.rounds
                )
    return _make_report(found, notes)


def _make_report(found: dict[str, list[float]], notes: list[str]) -> Report:
    rows = []
    for kind, times in found.items():
        p99 = percentile(times, 0.99)
        verdict = "" if kind == "none" else ", reached" if p99 <= MOST_P99_MS else ", missed"
        cells = (percentile(times, 0.5), p99, max(times) * 1_000)
        rows.append([kind, str(len(times)), f"{cells[0]:.1f}", f"{cells[1]:.1f}{verdict}", f"{cells[2]:.1f}"])
    columns = ("bad load", "requests", "p50", f"p99 (<= {MOST_P99_MS:g})", "longest")
    title = f"Requests of {OTHERS} other clients during bad load, milliseconds"
    values: dict[str, list[float | None]] = {"p99": [percentile(times, 0.99) for times in found.values()]}
    return Report(
        tables=[Table(title, columns, rows)],
        notes=notes,
        figures={"seconds": found},
        plots=[Plot(title=title, unit="ms", labels=list(found), values=values)],
    )


def _time_others(base_url: str, key: str, ids: list[str], seconds: float) -> list[float]:
    """The seconds of each request. The clients are in a process of their own, so that they do not wait for
    the threads that make the bad load."""
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=context) as executor:
        return executor.submit(time_requests, base_url, key, ids, seconds).result()


def time_requests(base_url: str, key: str, ids: list[str], seconds: float) -> list[float]:
    """The seconds of each request. Half of them are on new connections; a quarter change a ticket. One that
    is refused or not answered ends the run."""
    times, failures = list[float](), list[BaseException]()
    until = time.monotonic() + seconds

    def work(number: int) -> None:
        kept, step = HttpClient(base_url, key), 0
        try:
            while time.monotonic() < until:
                ticket, step = ids[(step * OTHERS + number) % len(ids)], step + 1
                began = time.monotonic()
                client = kept if step % 2 else HttpClient(base_url, key)
                if step % 4 == 0:
                    client.request("PATCH", f"/v1/tickets/{ticket}", {"title": f"Leak {step}"})
                else:
                    client.request("GET", f"/v1/tickets/{ticket}")
                times.append(time.monotonic() - began)
                time.sleep(_PAUSE_SECONDS)
        except Exception as failure:
            failures.append(failure)

    _run_threads([lambda number=number: work(number) for number in range(OTHERS)])  # type: ignore[misc]
    if failures:
        raise failures[0]
    return times


@contextmanager
def _open_connections(address: Address, notes: list[str]) -> Iterator[None]:
    """Connections of which every second has been used once."""
    with ExitStack() as stack:
        opened = []
        for number in range(CONNECTIONS):
            one = stack.enter_context(socket.create_connection(address, timeout=_WAIT_SECONDS))
            opened.append(one)
            if number % 2:
                one.sendall(b"GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n")
                one.recv(4_096)
        yield
        closed = sum(_is_closed(one) for one in opened)
        notes.append(f"Of {CONNECTIONS:,} connections the server had closed {closed:,} at the end.")


def _is_closed(one: socket.socket) -> bool:
    one.setblocking(False)
    try:
        return one.recv(1) == b""
    except BlockingIOError:
        return False
    except OSError:
        return True


@contextmanager
def _writing(base_url: str, key: str, ticket: str, notes: list[str]) -> Iterator[None]:
    """Wave after wave of WRITES changes of one ticket, each on its own connection, sent at the same time."""
    statuses: Counter[str] = Counter()
    with _repeated(lambda: statuses.update(_write_at_once(base_url, key, ticket))):
        yield
    told = ", ".join(f"{count:,} with {status}" for status, count in sorted(statuses.items()))
    notes.append(f"Simultaneous writes were answered: {told}.")


def _write_at_once(base_url: str, key: str, ticket: str) -> Counter[str]:
    port = int(base_url.rpartition(":")[2])
    statuses: Counter[str] = Counter()
    with ExitStack() as stack:
        writers = []
        for number in range(WRITES):
            one = stack.enter_context(socket.create_connection(("127.0.0.1", port), timeout=_WAIT_SECONDS))
            body = json.dumps({"title": f"Leak {number} {time.time()}"}).encode()
            head = f"PATCH /v1/tickets/{ticket} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {key}\r\n"
            head += (
                f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
            )
            one.sendall(head.encode() + body[:-1])
            writers.append((one, body[-1:]))
        for one, last in writers:
            one.sendall(last)
        for one, _ in writers:
            try:
                statuses[one.recv(4_096)[9:12].decode() or "no answer"] += 1
            except OSError:
                statuses["no answer"] += 1
    return statuses


@contextmanager
def _reading_deep(base_url: str, key: str, notes: list[str]) -> Iterator[None]:
    counts: Counter[str] = Counter()
    first = json.loads(HttpClient(base_url, key).request("GET", "/v1/tickets?per_page=100"))
    path = f"/v1/tickets?per_page=100&page={first['meta']['pagination']['total_pages']}"

    def read() -> None:
        HttpClient(base_url, key).request("GET", path)
        counts["read"] += 1

    with ExitStack() as stack:
        for _ in range(DEEP_READERS):
            stack.enter_context(_repeated(read))
        yield
    notes.append(f"{counts['read']:,} pages were read at the end of the list meanwhile.")


@contextmanager
def _trickling(address: Address, key: str, ticket: str) -> Iterator[None]:
    with trickling(address, key, ticket) as send_byte:

        def send() -> None:
            send_byte()
            time.sleep(1.0)

        with _repeated(send):
            yield


@contextmanager
def _repeated(action: Callable[[], object]) -> Iterator[None]:
    """Repeat the action in a thread during the block. Its error is raised after the block."""
    stopping, failures = threading.Event(), list[BaseException]()

    def repeat() -> None:
        try:
            while not stopping.is_set():
                action()
        except Exception as failure:
            failures.append(failure)

    thread = threading.Thread(target=repeat, daemon=True)
    thread.start()
    try:
        yield
    finally:
        stopping.set()
        thread.join(_WAIT_SECONDS)
    if failures:
        raise failures[0]


def _run_threads(actions: list[Callable[[], None]]) -> None:
    threads = [threading.Thread(target=action) for action in actions]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def _allow_open_files(count: int) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < count:
        raise SystemExit(f"The limit of open files is {hard}; {count} are needed. Raise it with ulimit -Hn.")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, count), hard))
