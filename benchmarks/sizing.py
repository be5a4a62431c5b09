"""Measures what the life of a ticket needs: disk by part, processor time and memory by process. The report
multiplies it for numbers of tickets a month."""

from __future__ import annotations

import itertools
import json
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path

import psutil

from benchmarks.bench import Bench, issue_key, run_ticketing, running_system
from benchmarks.bulk import vacuum
from benchmarks.http_client import HttpClient
from benchmarks.processor_time import difference, process_name, read_processor_seconds
from benchmarks.receivers import running_receiver
from benchmarks.report import Report
from benchmarks.sizing_report import Measured, make_report
from benchmarks.tickets import FIELDS
from infrastructure.storage.postgres import connect, named_queries
from tests.support.kafka_server import KafkaServer

TICKETS = 10_000  # in the database before
WARM_UP_LIVES, LIVES = 50, 400
CLIENTS = 4
IDLE_SECONDS = 20.0
WORKERS, THREADS = 2, 8  # the defaults of the Helm chart
CHANGES = ({"assigned_to": "user101"}, {"status": "in_progress"}, {"status": "closed"})
COMMENTS, GETS, LISTS = 4, 24, 16
EVENTS = 1 + len(CHANGES) + COMMENTS
REQUESTS = EVENTS + GETS + LISTS
FILTERS = ("status=open", "property_id=abc123", "q=leak", "sort=priority")
HOOK = {"events": ["ticket.created", "ticket.updated", "ticket.commented"]}  # all EVENTS
OTHERS = ("webhook-dispatcher", "notary", "relay")
_PRIVATE = {"WEBHOOK_ALLOW_PRIVATE_ADDRESSES": "1"}  # the receiver is on loopback

_sql = named_queries(Path(__file__).parent / "sql" / "sizing.sql")


def measure_sizing(bench: Bench) -> Report:
    """Run LIVES lives of tickets on a system with Kafka and one webhook, on a database of TICKETS tickets."""
    dsn = bench.create_database("bench_sizing")
    run_ticketing(dsn, "demo", "load", "--tickets", str(TICKETS))
    key = issue_key(dsn, "admin")
    with ExitStack() as opened:
        receiver = opened.enter_context(running_receiver())
        kafka = opened.enter_context(_running_kafka())
        options = {"workers": WORKERS, "threads": THREADS, "others": OTHERS}
        variables = {"KAFKA_BOOTSTRAP_SERVERS": kafka.bootstrap_servers, **_PRIVATE}
        base_url = opened.enter_context(running_system(dsn, **options, **variables))
        hook = {"url": receiver.url("/hook"), **HOOK}
        HttpClient(base_url, key).request("POST", "/v1/webhooks", hook, expect=201)
        live(base_url, key, WARM_UP_LIVES)
        receiver.wait_for_count(WARM_UP_LIVES * EVENTS)
        bench.console.log("idle")
        idle = _measure_idle(dsn)
        disk, in_kafka = _read_disk(dsn), _bytes_of(kafka.folder)
        before = read_processor_seconds(dsn)
        bench.console.log(f"{LIVES:,} lives of {REQUESTS} requests")
        began = time.monotonic()
        live(base_url, key, LIVES)
        seconds = time.monotonic() - began
        receiver.wait_for_count(LIVES * EVENTS)
        run_ticketing(dsn, "notary", "sign")
        used = difference(before, read_processor_seconds(dsn))
        memory = _read_memory(bench.server.pid)
        disk = _subtract(_read_disk(dsn), disk)
        disk["Kafka, one copy"] = _bytes_of(kafka.folder) - in_kafka
    return make_report(
        Measured(
            lives=LIVES,
            requests=REQUESTS,
            seconds=seconds,
            disk={name: value / LIVES for name, value in disk.items()},
            processor={name: value / LIVES for name, value in used.items()},
            idle=idle,
            memory=memory,
        )
    )


def live(base_url: str, key: str, lives: int) -> None:
    """Let so many tickets live, CLIENTS at the same time."""
    with ThreadPoolExecutor(CLIENTS) as pool:
        shares = [len(range(number, lives, CLIENTS)) for number in range(CLIENTS)]
        list(pool.map(lambda share: _live(HttpClient(base_url, key), share), shares))


def _live(client: HttpClient, lives: int) -> None:
    """One ticket after the other is opened, changed, commented and read. Reads are spread over its life."""
    filters = itertools.cycle(FILTERS)
    for _ in range(lives):
        answer = client.request("POST", "/v1/tickets", FIELDS, expect=201)
        path = f"/v1/tickets/{json.loads(answer)['data']['id']}"
        for change in CHANGES:
            client.request("PATCH", path, change)
            _read(client, path, filters)
        for number in range(COMMENTS):
            comment = {"text": f"The plumber comes on Monday at {number + 8}. Please leave the door open."}
            client.request("POST", f"{path}/comments", comment, expect=201)
            _read(client, path, filters)
        _read(client, path, filters)


def _read(client: HttpClient, path: str, filters: Iterator[str]) -> None:
    for _ in range(GETS // EVENTS):
        client.request("GET", path)
    for _ in range(LISTS // EVENTS):
        client.request("GET", f"/v1/tickets?{next(filters)}")


def _measure_idle(dsn: str) -> dict[str, float]:
    """The processors that each process uses while nothing happens."""
    before = read_processor_seconds(dsn)
    time.sleep(IDLE_SECONDS)
    return {
        name: value / IDLE_SECONDS for name, value in difference(before, read_processor_seconds(dsn)).items()
    }


def _read_disk(dsn: str) -> dict[str, int]:
    """Bytes by part of the database, after a vacuum."""
    vacuum(dsn)
    with connect(dsn, application="benchmarks") as conn:
        return dict(conn.execute(_sql["read_disk"]).fetchall())


def _subtract(after: dict[str, int], before: dict[str, int]) -> dict[str, int]:
    return {name: value - before.get(name, 0) for name, value in after.items()}


def _bytes_of(folder: Path) -> int:
    """The bytes on disk; files that grow in large steps count with what is written."""
    return sum(file.stat().st_blocks * 512 for file in folder.rglob("*.log"))


def _read_memory(postmaster: int) -> dict[str, float]:
    """The bytes of each process with its children: their own, and their part of what they share."""
    found: Counter[str] = Counter()
    for process in psutil.Process().children(recursive=True):
        if name := process_name(process):
            found[name] += _pss(process.pid)
    server = psutil.Process(postmaster)
    found["PostgreSQL"] = sum(_pss(each.pid) for each in [server, *server.children(recursive=True)])
    return dict(found)


def _pss(pid: int) -> int:
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().split("\n")
    except OSError:  # the process has ended
        return 0
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:")), 0)


@contextmanager
def _running_kafka() -> Iterator[KafkaServer]:
    """A node in a temporary folder."""
    with tempfile.TemporaryDirectory(prefix="ticketing-bench-") as folder:
        server = KafkaServer(Path(folder) / "kafka")
        server.start()
        try:
            yield server
        finally:
            server.stop()
