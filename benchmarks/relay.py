"""Compares the relay with a producer that sends the same backlog without transactions."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
from kafka import KafkaProducer

from benchmarks.comparison import Comparison, compare
from benchmarks.tickets import FIELDS, benchmark_context, grow
from domain.ticket import Ticket
from event_stream.destination import require_destination
from event_stream.envelope import to_record
from event_stream.marks import Marks
from event_stream.position import NOTHING
from event_stream.relay import BATCH_SIZE, Relay, transactions
from infrastructure.ids import new_id
from infrastructure.process.logs import configure_logs
from infrastructure.settings import Settings, load_settings
from infrastructure.storage.event_store import EventStore
from infrastructure.storage.kafka import DELIVERY_SECONDS
from infrastructure.storage.kafka_topics import create_topics
from infrastructure.storage.postgres import Connection, connect, make_pool
from infrastructure.storage.recorder import read_log
from infrastructure.storage.topics import events_topic
from tests.support.kafka_server import KafkaServer
from tests.support.vault import VAULT

TICKETS, EVENTS_EACH = 2_000, 10
PLAIN = "plain producer"
MIN_EVENTS_PER_SECOND = 5_000.0


def compare_relay(dsn: str, clients: int, rounds: int, seconds: float) -> list[Comparison]:
    """Compare the events per second that are read from the log, converted and accepted by Kafka."""
    configure_logs("INFO")
    _seed(dsn)
    with _running_kafka() as servers, connect(dsn, application="benchmarks") as conn:
        prefix = f"bench-{new_id()}"  # the cluster may still have the topics of an earlier run
        settings = msgspec.structs.replace(
            load_settings({}), database_url=dsn, kafka_bootstrap_servers=servers, kafka_prefix=prefix
        )
        topic = create_topics(settings)[events_topic(settings)]
        destination = require_destination(conn, settings, topic, NOTHING)
        with (
            transactions(conn, settings, DELIVERY_SECONDS) as producer,
            Marks(settings) as marks,
            _plain_producer(servers) as plain,
        ):
            sides: dict[str, Callable[[], float]] = {
                "relay": lambda: _measure_relay(
                    Relay(conn, producer, marks, settings, NOTHING, destination), seconds
                ),
                PLAIN: lambda: _measure_plain_producer(conn, plain, settings, seconds),
            }
            return compare(
                "publish",
                contenders=[("relay", None)],
                baseline=PLAIN,
                rounds=rounds,
                measure=lambda side: sides[side](),
                min_rate=MIN_EVENTS_PER_SECOND,
            )


def _measure_relay(relay: Relay, seconds: float) -> float:
    published, began = 0, time.monotonic()
    while (elapsed := time.monotonic() - began) < seconds:
        count = relay.publish_batch()
        published += count
        if not count:
            relay.position = NOTHING.position
    return published / elapsed


def _measure_plain_producer(
    conn: Connection, producer: KafkaProducer, settings: Settings, seconds: float
) -> float:
    """Send the same batches and records, and wait for the results once, at the end."""
    began, position, futures = time.monotonic(), 0, []
    topic = events_topic(settings)
    while time.monotonic() - began < seconds:
        batch = read_log(conn, position, BATCH_SIZE)
        for row in batch:
            record = to_record(row, source=settings.base_url)
            futures.append(producer.send(topic, key=record.key, value=record.value, headers=record.headers))
        position = batch[-1].position if batch else 0
    producer.flush()
    for future in futures:
        future.get(timeout=0)
    return len(futures) / (time.monotonic() - began)


def _seed(dsn: str) -> None:
    with make_pool(dsn, application="benchmarks", max_size=2) as pool:
        store = EventStore(pool, VAULT)
        for _ in range(TICKETS):
            ticket = Ticket.open(new_id(), benchmark_context(), **FIELDS)
            grow(ticket, EVENTS_EACH)
            store.save(ticket)


@contextmanager
def _running_kafka() -> Iterator[str]:
    """Yield KAFKA_BOOTSTRAP_SERVERS, or the address of a node in a temporary folder."""
    if configured := load_settings().kafka_bootstrap_servers:
        yield configured
        return
    with tempfile.TemporaryDirectory(prefix="ticketing-bench-") as folder:
        server = KafkaServer(Path(folder) / "kafka")
        server.start()
        try:
            yield server.bootstrap_servers
        finally:
            server.stop()


@contextmanager
def _plain_producer(servers: str) -> Iterator[KafkaProducer]:
    """Yield an idempotent producer with the batch size and compression of the relay."""
    options: dict[str, Any] = {"linger_ms": 5, "batch_size": 131_072, "compression_type": "lz4"}
    producer = KafkaProducer(bootstrap_servers=servers, acks="all", metrics_enabled=False, **options)
    try:
        yield producer
    finally:
        producer.close(timeout=10)
