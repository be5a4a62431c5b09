"""Reads the event stream as a consumer does, compares it with the log, and runs relay processes."""

from __future__ import annotations

import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from kafka import KafkaAdminClient, KafkaConsumer, TopicPartition

from event_stream.destination import NEVER, Destination
from event_stream.envelope import to_record
from event_stream.relay import run_relay
from infrastructure.settings import Settings
from infrastructure.storage.kafka import make_consumer
from infrastructure.storage.postgres import connect
from infrastructure.storage.recorder import read_log
from infrastructure.storage.topics import PARTITIONS, checkpoints_topic, events_topic, position_topic
from tests.support.commands import environment
from tests.support.forks import Program, TicketingProcess, ticketing
from tests.support.waiting import eventually

READ_SECONDS = 120


def stream_settings(dsn: str, servers: str, prefix: str, home: Path) -> Settings:
    return Settings(home=home, database_url=dsn, kafka_bootstrap_servers=servers, kafka_prefix=prefix)


def destination_of(settings: Settings) -> Destination:
    """Where a relay publishes whose topic is new."""
    return Destination(events_topic(settings), None, PARTITIONS, [NEVER] * PARTITIONS)


class Reader:
    """Consumes committed records of all partitions in a thread and collects them in `records`."""

    def __init__(self, settings: Settings, partitions: int = PARTITIONS) -> None:
        self.records: list[Any] = []
        self._partitions = [TopicPartition(events_topic(settings), number) for number in range(partitions)]
        self._consumer = make_consumer(settings, client_id="tests", max_poll_records=2_000)
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Reader:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop at the end of the topic."""
        self._stopping.set()
        self._thread.join()
        self._consumer.close()

    def _run(self) -> None:
        self._consumer.assign(self._partitions)
        ends: dict[TopicPartition, int] | None = None
        deadline = float("inf")
        while ends is None or any(self._consumer.position(p) < end for p, end in ends.items()):
            for polled in self._consumer.poll(timeout_ms=100).values():
                self.records += polled
            if self._stopping.is_set() and ends is None:
                ends = self._consumer.end_offsets(self._partitions)
                deadline = time.monotonic() + READ_SECONDS
            assert time.monotonic() < deadline, "the end of the topic is not reached"


def read_stream(settings: Settings, partitions: int = PARTITIONS) -> list[Any]:
    """All records committed so far to these partitions."""
    with Reader(settings, partitions) as reader:
        pass
    return reader.records


class Verdict(NamedTuple):
    """The number of events of a stream with each kind of error."""

    lost: int = 0
    repeated: int = 0
    out_of_order: int = 0
    unknown: int = 0
    altered: int = 0
    misplaced: int = 0


def judge(dsn: str, records: Sequence[Any], source: str) -> Verdict:
    """Compare the records, in the order in which a consumer received them, with the whole log."""
    with connect(dsn, application="tests") as conn:
        log = {row.position: row for row in read_log(conn, 0, 10_000_000)}
    counts: Counter[int] = Counter()
    versions: dict[bytes, int] = {}
    partitions: dict[bytes, int] = {}
    wrong: Counter[str] = Counter()
    for record in records:
        position = int(dict(record.headers)["ce_sequence"])
        counts[position] += 1
        row = log.get(position)
        if row is None:
            wrong["unknown"] += 1
            continue
        expected = to_record(row, source=source)
        if (record.key, record.value, record.headers) != (expected.key, expected.value, expected.headers):
            wrong["altered"] += 1
        if counts[position] == 1:
            wrong["out_of_order"] += row.version != versions.get(record.key, 0) + 1
            versions[record.key] = row.version
        wrong["misplaced"] += partitions.setdefault(record.key, record.partition) != record.partition
    lost = len(log.keys() - counts.keys())
    return Verdict(lost=lost, repeated=sum(counts.values()) - len(counts), **wrong)


class Ends:
    """Reads the end offsets of the topic, which include uncommitted records."""

    def __init__(self, settings: Settings) -> None:
        self._partitions = [TopicPartition(events_topic(settings), number) for number in range(PARTITIONS)]
        self._consumer = KafkaConsumer(bootstrap_servers=settings.kafka_bootstrap_servers)

    def total(self) -> int:
        return sum(self._consumer.end_offsets(self._partitions).values())

    def count_records(self) -> int:
        """The number of records ever sent, including those of aborted transactions."""
        self._consumer.assign(self._partitions)
        self._consumer.seek_to_beginning()
        ends = self._consumer.end_offsets(self._partitions)
        count, deadline = 0, time.monotonic() + READ_SECONDS
        while any(self._consumer.position(p) < end for p, end in ends.items()):
            count += sum(map(len, self._consumer.poll(timeout_ms=100).values()))
            assert time.monotonic() < deadline, "the end of the topic is not reached"
        return count

    def close(self) -> None:
        self._consumer.close()


class RelayProcess:
    """A `ticketing relay` process that can be killed or frozen."""

    def __init__(self, settings: Settings, *, program: Program = ticketing, **variables: str) -> None:
        self.log = settings.home / f"relay-{time.monotonic_ns()}.log"
        environ = environment(**relay_variables(settings), **variables)
        self.process = TicketingProcess("relay", environ=environ, stdout=self.log, program=program)

    def __enter__(self) -> RelayProcess:
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    @property
    def output(self) -> str:
        return self.log.read_text(errors="replace")

    def wait_for(self, event: str, within: float = 60) -> None:
        """Return when the relay has logged the event."""
        entry = f'"event":"{event}"'
        eventually(lambda: entry in self.output or self.process.poll() is not None, within)
        assert entry in self.output, self.output[-3_000:]

    def wait_for_end(self, within: float = 60) -> int:
        """Wait until the relay ends by itself and return its exit code."""
        return self.process.wait(within)

    def kill(self) -> None:
        """kill -9."""
        self.process.kill()
        self.process.wait()

    def freeze(self) -> None:
        self.process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self.process.send_signal(signal.SIGCONT)


def relay_variables(settings: Settings) -> dict[str, str]:
    """The settings as environment variables for a process."""
    return {
        "DATABASE_URL": settings.database_url or "",
        "TICKETING_HOME": str(settings.home),
        "KAFKA_BOOTSTRAP_SERVERS": settings.kafka_bootstrap_servers or "",
        "KAFKA_PREFIX": settings.kafka_prefix,
        "LOG_LEVEL": "DEBUG",
    }


def everything_sent(settings: Settings) -> bytes:
    """Keys, values and headers of all records in our topics, including those of aborted transactions."""
    topics = (events_topic(settings), position_topic(settings), checkpoints_topic(settings))
    consumer = KafkaConsumer(bootstrap_servers=settings.kafka_bootstrap_servers)
    partitions = [TopicPartition(t, n) for t in topics for n in consumer.partitions_for_topic(t) or ()]
    consumer.assign(partitions)
    consumer.seek_to_beginning()
    ends = consumer.end_offsets(partitions)
    parts: list[bytes] = []
    deadline = time.monotonic() + READ_SECONDS
    while any(consumer.position(p) < end for p, end in ends.items()):
        for polled in consumer.poll(timeout_ms=100).values():
            for record in polled:
                headers = [part for name, value in record.headers for part in (name.encode(), value)]
                parts += [record.key or b"", record.value or b"", *headers]
        assert time.monotonic() < deadline, "the end of the topics is not reached"
    consumer.close()
    return b"\n".join(parts)


def published_position(dsn: str) -> int:
    """The relay's position as operators see it."""
    with connect(dsn, application="tests") as conn:
        row = conn.execute("SELECT position FROM relay.position").fetchone()
    return row[0] if row else 0


def end_of_log(dsn: str) -> int:
    """The position of the last event."""
    with connect(dsn, application="tests") as conn:
        row = conn.execute("SELECT coalesce(max(notification_id), 0) FROM es.stored_events").fetchone()
    return row[0] if row else 0


def publish_all(settings: Settings, *, until: Callable[[], bool] | None = None) -> None:
    """Run the relay in this process until it has published the whole log, or until `until` returns true.
    Raises the error that ended it."""
    stop = threading.Event()
    failures: list[Exception] = []

    def run() -> None:
        try:
            run_relay(settings, stop, refused_pause_seconds=0)
        except Exception as error:
            failures.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        eventually(lambda: failures or (until or partial(is_published, settings))(), 60)
    finally:
        stop.set()
        thread.join()
    if failures:
        raise failures[0]


def is_published(settings: Settings) -> bool:
    dsn = settings.database_url or ""
    return published_position(dsn) == end_of_log(dsn)


def delete_topics(settings: Settings, *names: str) -> None:
    admin = KafkaAdminClient(bootstrap_servers=settings.kafka_bootstrap_servers)
    admin.delete_topics(list(names))
    eventually(lambda: not set(names) & set(admin.list_topics()), within=60)
    admin.close()
