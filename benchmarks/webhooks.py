"""Measures deliveries per second, the effect of a hanging receiver on others, and the latency of webhooks."""

from __future__ import annotations

import asyncio
import multiprocessing
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection as Pipe
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
from rich.console import Console

from benchmarks.comparison import Comparison
from benchmarks.http_client import HttpClient
from benchmarks.tickets import FIELDS, benchmark_context
from commands.values import ValidValues
from commands.webhooks import NewWebhook, register_webhook
from domain.ticket import Ticket
from infrastructure.ids import new_id
from infrastructure.storage.event_store import EventStore
from infrastructure.storage.postgres import connect, make_pool
from tests.support.commands import TICKETING, environment
from tests.support.vault import VAULT

ENDPOINTS = 20
BACKLOG = 400  # events, each for every endpoint
EVENTS, EVENTS_PER_SECOND = 200, 10.0
POSTS_SECONDS, POSTS_PER_SECOND = 10.0, 100.0
WAIT_SECONDS = 120.0


class Arrival(NamedTuple):
    path: str
    ticket_id: str
    at: float  # time.monotonic, the same clock in all processes


class _Data(msgspec.Struct):
    id: str


class _Payload(msgspec.Struct):
    data: _Data


_decode = msgspec.json.Decoder(_Payload).decode


def measure_webhooks(dsn: str, clients: int, rounds: int, seconds: float) -> list[Comparison]:
    """Print rates and latencies. There is no comparison, because a dispatcher has no plain baseline."""
    console = Console()
    with make_pool(dsn, application="benchmarks", max_size=4) as pool, _running_receiver() as receiver:
        store = EventStore(pool, VAULT)
        for number in range(ENDPOINTS):
            _register(store, receiver.url(f"/{number}"))
        console.print(
            f"deliveries: {_measure_backlog_rate(dsn, store, receiver):,.0f}/s to {ENDPOINTS} receivers"
        )
        healthy = _measure_p99(dsn, store, receiver)
        receiver.hang("/0")
        hanging = _measure_p99(dsn, store, receiver)
        console.print(
            f"p99 of {ENDPOINTS - 1} receivers: {healthy * 1e3:,.0f} ms; while another hangs:"
            f" {hanging * 1e3:,.0f} ms, {hanging / healthy:.2f} times"
        )
    return []


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


def _measure_backlog_rate(dsn: str, store: EventStore, receiver: Receiver) -> float:
    ids = {_open_ticket(store).id for _ in range(BACKLOG)}
    with _running_dispatcher(dsn):
        for number in range(ENDPOINTS):
            receiver.wait_for(f"/{number}", ids)
        arrivals = [arrival.at for arrival in receiver.take()]
    return len(arrivals) / (max(arrivals) - min(arrivals))


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


def _register(store: EventStore, url: str) -> None:
    values = ValidValues(NewWebhook(url=url, events=("ticket.created",), secret="benchmark-secret"))
    register_webhook(store, values, benchmark_context(), vault=VAULT, allow_private=True)


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


class Receiver:
    """An HTTP server in a separate process that answers 204 and records arrivals."""

    def __init__(self, pipe: Any, port: int) -> None:
        self._pipe = pipe
        self._port = port
        self._arrivals: list[Arrival] = []

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self._port}{path}"

    def hang(self, path: str) -> None:
        """Never answer requests for this path again."""
        self._pipe.send(("hang", path))
        self._pipe.recv()

    def take(self) -> list[Arrival]:
        """Return the arrivals since the last call."""
        self._fetch()
        taken, self._arrivals = self._arrivals, []
        return taken

    def wait_for(self, path: str, ids: set[str]) -> dict[str, float]:
        """Wait for each of these tickets at that path, and return the times of their first arrival."""
        deadline = time.monotonic() + WAIT_SECONDS
        while True:
            self._fetch()
            found = {each.ticket_id: each.at for each in reversed(self._arrivals) if each.path == path}
            if ids <= found.keys():
                return found
            if time.monotonic() > deadline:
                raise SystemExit(f"{len(ids - found.keys())} deliveries to {path} did not arrive.")
            time.sleep(0.2)

    def _fetch(self) -> None:
        self._pipe.send(("take", ""))
        self._arrivals += self._pipe.recv()


@contextmanager
def _running_receiver() -> Iterator[Receiver]:
    context = multiprocessing.get_context("spawn")
    parent_end, child_end = context.Pipe()
    process = context.Process(target=_serve, args=(child_end,), daemon=True)
    process.start()
    try:
        yield Receiver(parent_end, parent_end.recv())
    finally:
        process.kill()
        process.join()


def _serve(pipe: Pipe) -> None:
    asyncio.run(_serve_until_killed(pipe))


async def _serve_until_killed(pipe: Pipe) -> None:
    arrivals: list[Arrival] = []
    hanging: set[str] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                path = head.split(b" ", 2)[1].decode()
                length = int(head.lower().split(b"content-length:")[1].split(b"\r\n")[0])
                body = await reader.readexactly(length)
                arrivals.append(Arrival(path, _decode(body).data.id, time.monotonic()))
                if path in hanging:
                    await asyncio.sleep(3_600)
                writer.write(b"HTTP/1.1 204 No Content\r\n\r\n")
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    def on_message() -> None:
        action, path = pipe.recv()
        if action == "hang":
            hanging.add(path)
            pipe.send(None)
        else:
            pipe.send(list(arrivals))
            arrivals.clear()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    asyncio.get_running_loop().add_reader(pipe.fileno(), on_message)
    pipe.send(server.sockets[0].getsockname()[1])
    await server.serve_forever()


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
    with make_pool(dsn, application="benchmarks", max_size=2) as pool, _running_receiver() as receiver:
        _register(EventStore(pool, VAULT), receiver.url("/latency"))
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
