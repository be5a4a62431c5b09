"""The consumer: reads events from Kafka or, without Kafka, from the log, and stores their deliveries.

The offset in Kafka is committed after the deliveries, the position in the log together with them. An event
that is read twice changes nothing.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

import msgspec
import structlog
from psycopg.types.json import Jsonb

from infrastructure.process import tracing
from infrastructure.process.following import keep_running, process_some
from infrastructure.process.loops import Loop, Loops
from infrastructure.settings import Settings
from infrastructure.storage.event_store import EventStore, decode
from infrastructure.storage.kafka import make_consumer
from infrastructure.storage.postgres import NOTICE_LOST_CLIENTS, Connection, connect
from infrastructure.storage.topics import events_topic
from webhook_dispatcher.enqueue import Enqueuer
from webhook_dispatcher.histories import LoggedEvent, sql
from webhook_dispatcher.log_follower import LogFollower
from webhook_dispatcher.membership import (
    UNASSIGNED_SECONDS,
    group_of,
    instance_id,
    leave_to_others,
    require_partitions,
    store_lag,
    take_member_id,
)
from webhook_dispatcher.payloads import wanted_types
from webhook_dispatcher.progress import store_reached_ends, store_read
from webhook_dispatcher.records import Record, to_record

POLL_SECONDS = 0.5
STORE_LAG_SECONDS = 2.0  # how often a dispatcher stores how far it is behind Kafka

log = structlog.get_logger()


class Consumer:
    """Follows Kafka or the log. Reconnects with back-off after every error.

    It calls `on_enqueued` after new deliveries are stored.
    """

    def __init__(
        self,
        settings: Settings,
        store: EventStore,
        on_enqueued: Callable[[], None],
        loop: Loop | None = None,
    ) -> None:
        self._loop = loop or Loops().add("consumer")
        self._settings = settings
        self._store = store
        self._on_enqueued = on_enqueued
        self._enqueuer = Enqueuer(store, settings.base_url)
        self._member_id: int | None = None

    def run(self, stop: threading.Event) -> None:
        keep_running(
            lambda: self._connect_and_follow(stop), stop, failure="webhook_consumer_failed", loop=self._loop
        )

    def _connect_and_follow(self, stop: threading.Event) -> None:
        # A new enqueuer: the cache of the old one may contain events of a transaction that was rolled back.
        self._enqueuer = Enqueuer(self._store, self._settings.base_url)
        follow = self._follow_kafka if self._settings.kafka_bootstrap_servers else self._follow_log
        with _connect(self._settings) as conn:
            follow(conn, stop)

    def take(self, conn: Connection, records: Sequence[Record]) -> int:
        """Enqueue the events of the records. Records that cannot be decoded become dead letters."""
        events: list[tuple[Record, LoggedEvent]] = []
        for record in records:
            try:
                if record.position is None:
                    raise ValueError("the header ce_sequence is missing or is not a number")
                events.append((record, LoggedEvent(record.position, decode(record.value or b""))))
            except (msgspec.MsgspecError, ValueError) as error:
                _insert_dead_letter(conn, record, error)
        return self._enqueue(conn, events)

    def _enqueue(self, conn: Connection, events: Sequence[tuple[Record, LoggedEvent]]) -> int:
        """Enqueue the deliveries of these events. An event that cannot be enqueued becomes a dead letter."""
        enqueued = 0
        while events:
            self._loop.turn()
            began, began_at = time.monotonic(), tracing.now()
            count, some = process_some(
                events,
                lambda batch: self._enqueue_batch(conn, [event for _, event in batch]),
                lambda failed, error: _insert_dead_letter(conn, failed[0], error),
            )
            self._loop.count_batch(count, time.monotonic() - began)
            enqueued += some or 0
            states = (record.value or b"" for record, _ in events[:count])
            tracing.note_handled(conn, "enqueue", states, began_at)
            events = events[count:]
        return enqueued

    def _enqueue_batch(self, conn: Connection, events: Sequence[LoggedEvent]) -> int:
        try:
            with conn.transaction():
                return self._enqueuer.enqueue(conn, events)
        except Exception:
            self._enqueuer = Enqueuer(self._store, self._settings.base_url)
            raise

    def _follow_log(self, conn: Connection, stop: threading.Event) -> None:
        LogFollower(conn, self.take, self._on_enqueued, self._loop.turn).run(stop)

    def _follow_kafka(self, conn: Connection, stop: threading.Event) -> None:
        """Store the deliveries of each poll in one transaction, then commit its offsets."""
        self._member_id = member_id = take_member_id(conn, self._member_id)
        group = group_of(self._settings)
        instance = instance_id(self._settings, member_id)
        consumer = make_consumer(self._settings, client_id=group, group_id=group, group_instance_id=instance)
        partitions: set[Any] = set()
        stored_at, assigned_at = 0.0, time.monotonic()
        try:
            consumer.subscribe([events_topic(self._settings)])
            while not stop.is_set():
                self._loop.turn()
                polled = consumer.poll(timeout_ms=int(POLL_SECONDS * 1_000))
                if consumer.assignment() != partitions:
                    partitions = set(consumer.assignment())
                    _log_assignment(member_id, consumer, len(partitions))
                if partitions:
                    assigned_at = time.monotonic()
                elif time.monotonic() > assigned_at + UNASSIGNED_SECONDS:
                    require_partitions(conn, self._settings, member_id)
                records = [to_record(message) for messages in polled.values() for message in messages]
                if records:
                    self._take_polled(conn, records)
                    consumer.commit()
                if time.monotonic() > stored_at + STORE_LAG_SECONDS:
                    store_lag(conn, member_id, consumer)
                    store_reached_ends(conn, consumer)
                    stored_at = time.monotonic()
        finally:
            consumer.close(autocommit=False)
        leave_to_others(conn, self._settings, member_id)

    def _take_polled(self, conn: Connection, records: Sequence[Record]) -> None:
        """Store the deliveries of records of Kafka. Decodes only those that a webhook wants."""
        with conn.transaction():
            types = wanted_types(name for (name,) in conn.execute(sql["select_subscribed"]))
            wanted = [record for record in records if record.event_type in (None, *types)]
            enqueued = self.take(conn, wanted) if wanted else 0
            store_read(conn, ((record.partition, record.position) for record in records))
        if enqueued:
            self._on_enqueued()


def _connect(settings: Settings) -> Connection:
    """Open a connection. Without Kafka, commits do not wait for the disk: after a crash, deliveries and
    position are equally old. With Kafka they do, because the offset is committed after the deliveries."""
    commits = f"-c synchronous_commit={'on' if settings.kafka_bootstrap_servers else 'off'}"
    options = f"{commits} -c statement_timeout=60s -c TimeZone=UTC {NOTICE_LOST_CLIENTS}"
    return connect(
        settings.direct_url,
        application="ticketing-webhook-consumer",
        options=options,
        prepare_threshold=1,
    )


def _log_assignment(member_id: int, consumer: Any, partitions: int) -> None:
    generation = consumer.group_metadata().generation_id
    log.info("webhook_consumer_assigned", member_id=member_id, partitions=partitions, generation=generation)


def _insert_dead_letter(conn: Connection, record: Record, error: Exception) -> None:
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
