"""Events in: from Kafka or, without one, from the log itself, to delivery rows that are durable.

Only then is the source told that they were taken: the offset is committed after the rows, the log's
position with them. What comes twice changes nothing.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import msgspec
import structlog
from psycopg.types.json import Jsonb

from infrastructure.process.following import Pause, keep_running, process_some
from infrastructure.settings import Settings
from infrastructure.storage.event_store import EventStore, decode
from infrastructure.storage.kafka import make_consumer
from infrastructure.storage.postgres import NOTICE_LOST_CLIENTS, Connection, connect
from infrastructure.storage.recorder import read_log
from infrastructure.storage.topics import events_topic
from webhook_dispatcher.enqueue import Enqueuer, LoggedEvent
from webhook_dispatcher.histories import sql
from webhook_dispatcher.membership import group_of, hand_over, name_of, take_seat, tell_behind

BATCH_SIZE = 500
POLL_SECONDS = 0.5
TELL_SECONDS = 2.0  # how often a dispatcher says how far behind Kafka it is
SHORTEST_PAUSE_SECONDS = 0.002
LONGEST_PAUSE_SECONDS = 0.02
STANDBY_SECONDS = 0.2
LOG = "log"  # what the source is called where there is no Kafka

log = structlog.get_logger()


class Record(NamedTuple):
    """One record of Kafka or of the log; `position` is None when the record does not state it."""

    topic: str
    partition: int
    offset: int
    position: int | None
    key: bytes | None
    value: bytes | None
    headers: list[tuple[str, bytes]]


class Consumer:
    """Runs until `stop`; starts again with back-off whatever happens. `on_enqueued` wakes the deliveries."""

    def __init__(self, settings: Settings, store: EventStore, on_enqueued: Callable[[], None]) -> None:
        self._settings = settings
        self._store = store
        self._on_enqueued = on_enqueued
        self._enqueuer = Enqueuer(store)
        self._seat: int | None = None

    def run(self, stop: threading.Event) -> None:
        keep_running(lambda: self._connect_and_follow(stop), stop, failure="webhook_consumer_failed")

    def _connect_and_follow(self, stop: threading.Event) -> None:
        self._enqueuer = Enqueuer(
            self._store
        )  # what it cached may belong to a transaction that was rolled back
        follow = self._follow_kafka if self._settings.kafka_bootstrap_servers else self._follow_log
        with _connect(self._settings) as conn:
            follow(conn, stop)

    def follow_once(self, conn: Connection, limit: int = BATCH_SIZE) -> int | None:
        """Take the next page of the log: rows and position in one transaction. Returns how many events it
        held, None when another dispatcher is just doing it."""
        with conn.transaction():
            row = conn.execute(sql["lock_position"]).fetchone()
            if row is None:
                return None
            page = read_log(conn, row[0], limit)
            if not page:
                return 0
            records = [Record(LOG, 0, position, position, None, state, []) for position, *_, state in page]
            enqueued = self.take(conn, records)
            conn.execute(sql["save_position"], {"position": page[-1][0]})
        if enqueued:
            self._on_enqueued()
        return len(page)

    def take(self, conn: Connection, records: Sequence[Record]) -> int:
        """Enqueue what the records say; those that say nothing intelligible are put aside with the reason."""
        events: list[tuple[Record, LoggedEvent]] = []
        for record in records:
            try:
                if record.position is None:
                    raise ValueError("the header ce_sequence is missing or is not a number")
                events.append((record, LoggedEvent(record.position, decode(record.value or b""))))
            except (msgspec.MsgspecError, ValueError) as error:
                _put_aside(conn, record, error)
        return self._enqueue(conn, events)

    def _enqueue(self, conn: Connection, events: Sequence[tuple[Record, LoggedEvent]]) -> int:
        """Enqueue the deliveries of these events. An event that cannot be enqueued is put aside."""
        enqueued = 0
        while events:
            count, some = process_some(
                events,
                lambda batch: self._enqueue_batch(conn, [event for _, event in batch]),
                lambda failed, error: _put_aside(conn, failed[0], error),
            )
            enqueued += some or 0
            events = events[count:]
        return enqueued

    def _enqueue_batch(self, conn: Connection, events: Sequence[LoggedEvent]) -> int:
        try:
            with conn.transaction():
                return self._enqueuer.enqueue(conn, events)
        except Exception:
            self._enqueuer = Enqueuer(self._store)
            raise

    def _follow_log(self, conn: Connection, stop: threading.Event) -> None:
        idle = Pause(SHORTEST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS)
        while not stop.is_set():
            taken = self.follow_once(conn)
            if taken:
                idle.reset()
            else:
                stop.wait(STANDBY_SECONDS if taken is None else idle.next_seconds())

    def _follow_kafka(self, conn: Connection, stop: threading.Event) -> None:
        """One transaction a poll, then its offsets. What an error leaves uncommitted comes again."""
        self._seat = seat = take_seat(conn, self._seat)
        group = group_of(self._settings)
        consumer = make_consumer(
            self._settings, client_id=group, group_id=group, group_instance_id=name_of(self._settings, seat)
        )
        partitions: set[Any] = set()
        told_at = 0.0
        try:
            consumer.subscribe([events_topic(self._settings)])
            while not stop.is_set():
                polled = consumer.poll(timeout_ms=int(POLL_SECONDS * 1_000))
                if consumer.assignment() != partitions:
                    partitions = set(consumer.assignment())
                    _report(seat, consumer, len(partitions))
                records = [_to_record(message) for messages in polled.values() for message in messages]
                if records:
                    with conn.transaction():
                        enqueued = self.take(conn, records)
                    if enqueued:
                        self._on_enqueued()
                    consumer.commit()
                if time.monotonic() > told_at + TELL_SECONDS:
                    tell_behind(conn, seat, consumer)
                    told_at = time.monotonic()
        finally:
            consumer.close(autocommit=False)
        hand_over(conn, self._settings, seat)


def _connect(settings: Settings) -> Connection:
    options = f"-c statement_timeout=60s -c TimeZone=UTC {NOTICE_LOST_CLIENTS}"
    return connect(
        settings.database_url or "",
        application="ticketing-webhook-consumer",
        options=options,
        prepare_threshold=1,
    )


def _to_record(message: Any) -> Record:
    headers = list(message.headers or [])
    sequence = dict(headers).get("ce_sequence", b"")
    position = int(sequence) if sequence.isdigit() and len(sequence) <= 20 else None
    return Record(
        message.topic, message.partition, message.offset, position, message.key, message.value, headers
    )


def _report(seat: int, consumer: Any, partitions: int) -> None:
    generation = consumer.group_metadata().generation_id
    log.info("webhook_consumer_assigned", seat=seat, partitions=partitions, generation=generation)


def _put_aside(conn: Connection, record: Record, error: Exception) -> None:
    parameters = {
        "topic": record.topic,
        "partition": record.partition,
        "offset": record.offset,
        "key": record.key,
        "value": record.value,
        "headers": Jsonb({name: value.decode(errors="replace") for name, value in record.headers}),
        "error": f"{type(error).__name__}: {error}"[:2_000].replace("\0", ""),
    }
    conn.execute(sql["insert_dead_letter"], parameters)
    log.error(
        "webhook_record_put_aside", topic=record.topic, partition=record.partition, offset=record.offset
    )
