"""Measures GET /v1/changes: following a whole log from zero, and other requests while many feeds wait."""

from __future__ import annotations

import asyncio
import json
import re
import statistics
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing import get_context
from multiprocessing.connection import Connection as Pipe

from benchmarks.bench import Bench, running_system
from benchmarks.growth import load_tickets
from benchmarks.growth_report import percentile
from benchmarks.http_client import HttpClient
from benchmarks.reads import find_readers
from benchmarks.report import Report, Table
from benchmarks.tickets import FIELDS
from infrastructure.storage.postgres import connect

PAGE_ITEMS = 500
MOST_SECONDS, OF_TICKETS = 120.0, 1_000_000
FEEDS, PER_SECOND, MOST_RATIO = 500, 100.0, 1.5
CHANGED_EACH = 5  # every fifth of the other requests is a PATCH, the others read one ticket
WAKES_PER_SECOND = 1.0
_THREADS = 16
_WAIT_SECONDS = 25
_SETTLE_SECONDS = 2.0
_TICKETS = """
SELECT id FROM read.tickets
WHERE NOT is_deleted AND status = 'open' AND NOT property_id = ANY (%s) ORDER BY id LIMIT 1000
"""
_LENGTH = re.compile(rb"content-length: (\d+)", re.IGNORECASE)
_POSITION = re.compile(rb'"position":"([0-9.]+)"')


def measure_changes(bench: Bench) -> Report:
    """The pages of an admin and of a member of the staff at the largest size of --sizes; then the p99 of
    other clients without feeds, with feeds that wait, and with feeds that are woken together."""
    size = max(bench.options.sizes)
    dsn = load_tickets(bench, size)
    with running_system(dsn) as base_url:
        readers = {reader.role: reader for reader in find_readers(dsn)}
        walks, position = {}, ""
        for role in ("admin", "staff"):
            bench.console.log(f"{role} follows {size:,} tickets from zero")
            walks[role] = _follow(HttpClient(base_url, readers[role].key))
            position = walks[role].position
        listed = HttpClient(base_url, readers["staff"].key).request("GET", "/v1/properties?per_page=100")
        properties = [one["id"] for one in json.loads(listed)["data"]]
        with connect(dsn, application="benchmarks") as conn:
            ids = [ticket_id for (ticket_id,) in conn.execute(_TICKETS, [properties])]
        others = _Others(base_url, readers["admin"].key, ids, bench.options.seconds)
        feeds = _Feeds(base_url, readers["staff"].key, position, properties[0])
        found = _measure_feeds(bench, others, feeds)
    return _make_report(size, walks, found)


class _Walk:
    """Seconds of each page, and what was read."""

    def __init__(self) -> None:
        self.seconds: list[float] = []
        self.items = 0
        self.position = "0"


def _follow(client: HttpClient) -> _Walk:
    walk, has_more = _Walk(), True
    while has_more:
        began = time.perf_counter()
        answer = client.request("GET", f"/v1/changes?after={walk.position}&limit={PAGE_ITEMS}")
        walk.seconds.append(time.perf_counter() - began)
        page = json.loads(answer)["data"]
        walk.items += len(page["items"])
        walk.position, has_more = page["position"], page["has_more"]
    return walk


class _Others:
    """Requests at a fixed rate (open loop) from a process of their own."""

    def __init__(self, base_url: str, key: str, ids: Sequence[str], seconds: float) -> None:
        self.key = key
        self._arguments = (base_url, key, ids, seconds)

    def measure(self) -> list[float]:
        """The seconds from the moment when each request was due to its answer."""
        with ProcessPoolExecutor(1, get_context("spawn")) as process:
            return process.submit(time_others, *self._arguments).result()


def time_others(base_url: str, key: str, ids: Sequence[str], seconds: float) -> list[float]:
    times: list[float] = []
    began = time.perf_counter() + 0.5

    def work(number: int) -> None:
        client = HttpClient(base_url, key)
        for step in range(number, int(seconds * PER_SECOND), _THREADS):
            due = began + step / PER_SECOND
            time.sleep(max(0.0, due - time.perf_counter()))
            path = f"/v1/tickets/{ids[step % len(ids)]}"
            if step % CHANGED_EACH:
                client.request("GET", path)
            else:
                client.request("PATCH", path, {"title": f"Water leak {step} {began}"})
            times.append(time.perf_counter() - due)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(_THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if len(times) < int(seconds * PER_SECOND):
        raise RuntimeError("Some of the other requests failed.")
    return times


class _Feeds:
    """FEEDS connections in a process of their own, which wait for changes that the caller sees."""

    def __init__(self, base_url: str, key: str, position: str, property_id: str) -> None:
        self._base_url, self._key, self._position = base_url, key, position
        self._property_id = property_id

    @contextmanager
    def waiting(self) -> Iterator[list[int]]:
        """Keep the feeds waiting during the block; yields the number of their answers as a list of one,
        filled in when the block ends."""
        context = get_context("spawn")
        parent_end, child_end = context.Pipe()
        arguments = (child_end, self._base_url, self._key, self._position)
        process = context.Process(target=keep_waiting, args=arguments, daemon=True)
        process.start()
        answers = [0]
        try:
            parent_end.recv()  # all feeds wait
            yield answers
        finally:
            parent_end.send(None)
            answers[0] = parent_end.recv()
            process.join(10)
            process.kill()

    @contextmanager
    def woken(self, admin_key: str) -> Iterator[None]:
        """Open tickets in a property that the feeds see, WAKES_PER_SECOND times a second."""
        stopping = threading.Event()
        client = HttpClient(self._base_url, admin_key)
        body = {name: value for name, value in FIELDS.items() if name not in ("unit_id", "requester_id")}

        def wake() -> None:
            while not stopping.wait(1 / WAKES_PER_SECOND):
                client.request("POST", "/v1/tickets", {**body, "property_id": self._property_id}, expect=201)

        waking = threading.Thread(target=wake)
        waking.start()
        try:
            yield
        finally:
            stopping.set()
            waking.join()


def keep_waiting(pipe: Pipe, base_url: str, key: str, position: str) -> None:
    asyncio.run(_keep_waiting(pipe, base_url, key, position))


async def _keep_waiting(pipe: Pipe, base_url: str, key: str, position: str) -> None:
    host, _, port = base_url.partition("//")[2].partition(":")
    answers = 0

    async def feed() -> None:
        nonlocal answers
        reader, writer = await asyncio.open_connection(host, int(port))
        after = position
        while True:
            path = f"/v1/changes?after={after}&wait={_WAIT_SECONDS}"
            writer.write(f"GET {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {key}\r\n\r\n".encode())
            head = await reader.readuntil(b"\r\n\r\n")
            length = _LENGTH.search(head)
            if not head.startswith(b"HTTP/1.1 200") or length is None:
                raise RuntimeError(f"A feed was answered {head[:100]!r}")
            answer = await reader.readexactly(int(length[1]))
            after = _POSITION.findall(answer)[-1].decode()
            answers += 1

    running = [asyncio.create_task(feed()) for _ in range(FEEDS)]
    await asyncio.sleep(_SETTLE_SECONDS)
    answers = 0
    pipe.send(None)
    stopped = asyncio.create_task(asyncio.to_thread(pipe.recv))
    done, _ = await asyncio.wait([stopped, *running], return_when=asyncio.FIRST_COMPLETED)
    for task in running:
        task.cancel()
    pipe.send(answers)
    for task in done:
        task.result()  # raises the error of a feed


def _measure_feeds(bench: Bench, others: _Others, feeds: _Feeds) -> dict[str, list[tuple[list[float], int]]]:
    """By kind, for each round: the seconds of the other requests, and the answers to feeds."""
    found: dict[str, list[tuple[list[float], int]]] = {"none": [], "waiting": [], "woken together": []}
    others.measure()
    for number in range(bench.options.rounds):
        bench.console.log(f"feeds: round {number + 1} of {bench.options.rounds}")
        found["none"].append((others.measure(), 0))
        with feeds.waiting() as answers:
            times = others.measure()
        found["waiting"].append((times, answers[0]))
        with feeds.waiting() as answers, feeds.woken(others.key):
            times = others.measure()
        found["woken together"].append((times, answers[0]))
    return found


def _make_report(
    size: int, walks: dict[str, _Walk], found: dict[str, list[tuple[list[float], int]]]
) -> Report:
    return Report(
        tables=[_tabulate_walks(size, walks), _tabulate_feeds(found)],
        figures={
            "pages": {role: walk.seconds for role, walk in walks.items()},
            "others": {kind: [times for times, _ in rounds] for kind, rounds in found.items()},
        },
    )


def _tabulate_walks(size: int, walks: dict[str, _Walk]) -> Table:
    rows = []
    for role, walk in walks.items():
        tenth = max(1, len(walk.seconds) // 10)
        first, last = (
            statistics.median(part) for part in (walk.seconds[:tenth], walk.seconds[-tenth - 1 : -1])
        )
        total = f"{sum(walk.seconds):.1f}"
        if size >= OF_TICKETS and role == "admin":
            total += ", reached" if sum(walk.seconds) <= MOST_SECONDS else ", missed"
        pages, items = f"{len(walk.seconds):,}", f"{walk.items:,}"
        rows.append([role, items, pages, total, f"{first * 1_000:.1f}", f"{last * 1_000:.1f}"])
    columns = (
        "role", "items", "pages", f"s (<= {MOST_SECONDS:g} for {OF_TICKETS:,})", "first tenth, ms a page",
        "last tenth, ms a page",
    )  # fmt: skip
    return Table(f"Following {size:,} tickets from zero, {PAGE_ITEMS} items a page", columns, rows)


def _tabulate_feeds(found: dict[str, list[tuple[list[float], int]]]) -> Table:
    alone = [percentile(times, 0.99) for times, _ in found["none"]]
    rows = []
    for kind, rounds in found.items():
        p50, p99 = ([percentile(times, share) for times, _ in rounds] for share in (0.5, 0.99))
        ratios = [with_feeds / without for with_feeds, without in zip(p99, alone, strict=True)]
        ratio = statistics.median(ratios)
        shown = f"{ratio:.2f}"
        if kind == "waiting":
            shown += ", reached" if ratio <= MOST_RATIO else ", missed"
        answers = f"{sum(count for _, count in rounds):,}"
        half, most = (f"{statistics.median(values):.1f}" for values in (p50, p99))
        rows.append([kind, half, most, shown, f"{min(ratios):.2f}", f"{max(ratios):.2f}", answers])
    columns = (
        "feeds", "p50", "p99", f"ratio of p99 (<= {MOST_RATIO:g})", "lowest", "highest", "answers to feeds",
    )  # fmt: skip
    title = f"{PER_SECOND:g} other requests/s beside {FEEDS} feeds, milliseconds, medians of rounds"
    return Table(title, columns, rows)
