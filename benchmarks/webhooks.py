"""Measures deliveries per second, the effect of slow receivers on others, and the latency of webhooks."""

from __future__ import annotations

import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
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
from commands.webhooks import delete_webhook
from domain.ticket import Ticket
from infrastructure.ids import new_id
from infrastructure.storage.event_store import EventStore
from infrastructure.storage.postgres import connect, make_pool
from tests.support.commands import TICKETING, environment
from tests.support.vault import VAULT

ENDPOINTS = 20
SLOW_SECONDS = 2.0  # of the answers of as many others
EVENTS, EVENTS_PER_SECOND = 200, 10.0
POSTS_SECONDS, POSTS_PER_SECOND = 10.0, 100.0


def measure_webhooks(bench: Bench) -> Report:
    """Deliveries a second, and the p99 of others while receivers are slow or hang."""
    dsn = bench.create_database("bench_webhooks")
    report = measure_deliveries(dsn, bench.options.clients, bench.options.rounds)
    with make_pool(dsn, application="benchmarks", max_size=4) as pool, running_receiver() as receiver:
        store = EventStore(pool, VAULT)
        others = [f"/{number}" for number in range(ENDPOINTS)]
        more = [f"/more{number}" for number in range(ENDPOINTS)]
        for path in others:
            register(store, receiver.url(path))
        alone = _measure_p99(dsn, store, receiver, others)
        added = [register(store, receiver.url(path)) for path in more]
        beside_fast = _measure_p99(dsn, store, receiver, others)
        for path in more:
            receiver.delay(path, SLOW_SECONDS)
        beside_slow = _measure_p99(dsn, store, receiver, others)
        for webhook_id in added:
            delete_webhook(store, webhook_id, benchmark_context())
        receiver.hang(others[0])
        beside_hanging = _measure_p99(dsn, store, receiver, others[1:])
    notes = (
        f"p99 of {ENDPOINTS} receivers alone: {alone * 1e3:,.0f} ms",
        f"the same beside {len(more)} more: {beside_fast * 1e3:,.0f} ms, {beside_fast / alone:.2f} times",
        f"the same while those {len(more)} answer after {SLOW_SECONDS:g} s: {beside_slow * 1e3:,.0f} ms,"
        f" {beside_slow / alone:.2f} times",
        f"p99 of {ENDPOINTS - 1} receivers while another hangs: {beside_hanging * 1e3:,.0f} ms,"
        f" {beside_hanging / alone:.2f} times",
    )
    figures = {
        "p99_alone": alone,
        "p99_beside_fast": beside_fast,
        "p99_beside_slow": beside_slow,
        "p99_beside_hanging": beside_hanging,
    }
    return msgspec.structs.replace(report, notes=notes, figures=report.figures | figures)


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


def _measure_p99(dsn: str, store: EventStore, receiver: Receiver, paths: Sequence[str]) -> float:
    """The p99 from a commit to the arrival at these paths, in seconds."""
    sent = {}
    with _running_dispatcher(dsn):
        receiver.wait_for(paths[0], {_open_ticket(store).id})  # returns when the dispatcher has started
        receiver.take()
        began = time.monotonic()
        for number in range(EVENTS):
            time.sleep(max(0.0, began + number / EVENTS_PER_SECOND - time.monotonic()))
            sent[_open_ticket(store).id] = time.monotonic()
        delays = []
        for path in paths:
            arrivals = receiver.wait_for(path, set(sent))
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
