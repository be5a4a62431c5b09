"""Measures deliveries per second, the effect of a hanging receiver on others, and the latency of webhooks."""

from __future__ import annotations

import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
from rich.console import Console

from benchmarks.bench import Bench
from benchmarks.comparison import Comparison
from benchmarks.deliveries import measure_deliveries, register
from benchmarks.http_client import HttpClient
from benchmarks.receivers import Receiver, running_receiver
from benchmarks.report import Report
from benchmarks.tickets import FIELDS, benchmark_context
from domain.ticket import Ticket
from infrastructure.ids import new_id
from infrastructure.storage.event_store import EventStore
from infrastructure.storage.postgres import connect, make_pool
from tests.support.commands import TICKETING, environment
from tests.support.vault import VAULT

ENDPOINTS = 20
EVENTS, EVENTS_PER_SECOND = 200, 10.0
POSTS_SECONDS, POSTS_PER_SECOND = 10.0, 100.0


def measure_webhooks(bench: Bench) -> Report:
    """Deliveries a second, and the p99 of others while one receiver hangs."""
    dsn = bench.create_database("bench_webhooks")
    report = measure_deliveries(dsn, bench.options.clients, bench.options.rounds)
    with make_pool(dsn, application="benchmarks", max_size=4) as pool, running_receiver() as receiver:
        store = EventStore(pool, VAULT)
        for number in range(ENDPOINTS):
            register(store, receiver.url(f"/{number}"))
        healthy = _measure_p99(dsn, store, receiver)
        receiver.hang("/0")
        hanging = _measure_p99(dsn, store, receiver)
    note = (
        f"p99 of {ENDPOINTS - 1} receivers: {healthy * 1e3:,.0f} ms; while another hangs:"
        f" {hanging * 1e3:,.0f} ms, {hanging / healthy:.2f} times"
    )
    return msgspec.structs.replace(report, notes=[note])


def measure_post_to_received(base_url: str, key: str, receiver: Receiver, path: str) -> tuple[float, float]:
    """Return p50 and p99 in seconds from a POST to the arrival of its webhook, at POSTS_PER_SECOND."""
    sent: dict[str, float] = {}
    receiver.take()
    threads = 8

    def post(number: int) -> None:
        client = HttpClient(base_url, key)
        for step in range(int(POSTS_SECONDS * POSTS_PER_SECOND / threads)):
            due = began + (step * threads + number) / POSTS_PER_SECOND
            time.sleep(max(0.0, due - time.monotonic()))
            at = time.monotonic()
            answer = client.request("POST", "/v1/tickets", {**FIELDS, "requester_id": "user789"}, expect=201)
            sent[msgspec.json.decode(answer)["data"]["id"]] = at

    began = time.monotonic() + 0.5
    running = [threading.Thread(target=post, args=(number,)) for number in range(threads)]
    for thread in running:
        thread.start()
    for thread in running:
        thread.join()
    arrivals = receiver.wait_for(path, set(sent))
    return _percentiles([arrivals[ticket_id] - at for ticket_id, at in sent.items()])


def _measure_p99(dsn: str, store: EventStore, receiver: Receiver) -> float:
    sent = {}
    with _running_dispatcher(dsn):
        receiver.wait_for("/1", {_open_ticket(store).id})  # returns when the dispatcher has started
        receiver.take()
        began = time.monotonic()
        for number in range(EVENTS):
            time.sleep(max(0.0, began + number / EVENTS_PER_SECOND - time.monotonic()))
            sent[_open_ticket(store).id] = time.monotonic()
        delays = []
        for number in range(1, ENDPOINTS):
            arrivals = receiver.wait_for(f"/{number}", set(sent))
            delays += [arrivals[ticket_id] - at for ticket_id, at in sent.items()]
        receiver.take()
    return _percentiles(delays)[1]


def _percentiles(values: list[float]) -> tuple[float, float]:
    ordered = sorted(values)
    return ordered[len(ordered) // 2], ordered[int(len(ordered) * 0.99)]


def _open_ticket(store: EventStore) -> Ticket:
    ticket = Ticket.open(new_id(), benchmark_context(), **FIELDS)
    store.save(ticket)
    return ticket


@contextmanager
def _running_dispatcher(dsn: str, **variables: str) -> Iterator[None]:
    with tempfile.TemporaryDirectory(prefix="ticketing-bench-") as home:
        settings = environment(
            DATABASE_URL=dsn,
            TICKETING_HOME=home,
            WEBHOOK_ALLOW_PRIVATE_ADDRESSES="1",
            LOG_LEVEL="WARNING",
            **variables,
        )
        process = subprocess.Popen([TICKETING, "webhook-dispatcher"], env=settings)
        try:
            yield
        finally:
            process.terminate()
            process.wait(30)


def measure_latency(dsn: str, clients: int, rounds: int, seconds: float) -> list[Comparison]:
    """Print the latency from a POST to its webhook, with a dispatcher on the log, then with one on Kafka."""
    from tests.support.server import running_api

    console = Console()
    settings = environment(DATABASE_URL=dsn, TICKETING_HOME=str((Path(".ticketing") / "bench").resolve()))
    subprocess.run(
        [TICKETING, "demo", "load", "--tickets", "100"], env=settings, check=True, capture_output=True
    )
    made = subprocess.run(
        [TICKETING, "key", "create", "--name", "bench", "--role", "admin", "--rate-limit", "unlimited"],
        env=settings, check=True, capture_output=True, text=True,
    )  # fmt: skip
    with make_pool(dsn, application="benchmarks", max_size=2) as pool, running_receiver() as receiver:
        register(EventStore(pool, VAULT), receiver.url("/latency"))
        with connect(dsn, application="benchmarks") as conn:
            conn.execute("VACUUM ANALYZE")
        with running_api(dsn, workers=2, threads=8, forked=False) as base_url, _running_dispatcher(dsn):
            key = made.stdout.strip()
            measure_post_to_received(base_url, key, receiver, "/latency")  # warm-up
            p50, p99 = measure_post_to_received(base_url, key, receiver, "/latency")
        console.print(
            f"POST to received at {POSTS_PER_SECOND:g}/s: p50 {p50 * 1e3:,.0f} ms, p99 {p99 * 1e3:,.0f} ms"
        )
        with (
            _running_kafka() as variables,
            _running_process("relay", dsn, variables),
            running_api(dsn, workers=2, threads=8, forked=False) as base_url,
            _running_dispatcher(dsn, **variables),
        ):
            measure_post_to_received(base_url, key, receiver, "/latency")
            p50, p99 = measure_post_to_received(base_url, key, receiver, "/latency")
        console.print(f"the same through Kafka: p50 {p50 * 1e3:,.0f} ms, p99 {p99 * 1e3:,.0f} ms")
    return []


@contextmanager
def _running_kafka() -> Iterator[dict[str, str]]:
    from tests.support.kafka_server import KafkaServer

    with tempfile.TemporaryDirectory(prefix="ticketing-bench-kafka-") as folder:
        server = KafkaServer(Path(folder) / "kafka")
        server.start()
        try:
            yield {"KAFKA_BOOTSTRAP_SERVERS": server.bootstrap_servers, "KAFKA_PREFIX": f"bench-{new_id()}"}
        finally:
            server.stop()


@contextmanager
def _running_process(name: str, dsn: str, variables: dict[str, str]) -> Iterator[None]:
    with tempfile.TemporaryDirectory(prefix="ticketing-bench-") as home:
        settings = environment(DATABASE_URL=dsn, TICKETING_HOME=home, LOG_LEVEL="WARNING", **variables)
        process = subprocess.Popen([TICKETING, name], env=settings)
        try:
            yield
        finally:
            process.terminate()
            process.wait(30)
