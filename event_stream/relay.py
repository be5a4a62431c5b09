"""The relay: publishes the log to Kafka in order, each event once for consumers of committed records.

The relay ends after every error, and the supervisor restarts it. It then reads its position from Kafka, where
the position is written in the same transaction as the events. It does not retry a batch within one run.
"""

from __future__ import annotations

import faulthandler
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Any

import structlog
from kafka import KafkaProducer, TopicPartition
from kafka.errors import InvalidProducerEpochError, KafkaError, ProducerFencedError, UnknownError

from event_stream.destination import (
    Destination,
    choose_destination,
    record,
    require_destination,
    with_offsets,
)
from event_stream.envelope import request_id_of, to_record
from event_stream.leadership import HUNG_AFTER_SECONDS, stand_by, take_leadership_soon
from event_stream.marks import WAIT_SECONDS, Marks
from event_stream.position import (
    KEY,
    Position,
    RelayRefused,
    encode,
    event_id_of,
    position_at,
    require_published,
    require_topics,
    sql,
    starting_position,
)
from event_stream.refusals import RecordRefused, explain, find_refusal
from event_stream.unfinished import take_over
from infrastructure.process import standard_error, tracing
from infrastructure.process.following import Pause
from infrastructure.process.loops import Loop, Loops
from infrastructure.settings import BadSettings, Settings
from infrastructure.storage.kafka import DELIVERY_SECONDS, make_producer
from infrastructure.storage.kafka_topics import Topic, create_topics
from infrastructure.storage.postgres import NOTICE_LOST_CLIENTS, Connection, connect, fetch_value
from infrastructure.storage.recorder import StoredRow, read_log
from infrastructure.storage.topics import events_topic, position_topic, relay_transactional_id
from infrastructure.storage.traces import Lookup

BATCH_SIZE = 1_000
SHORTEST_PAUSE_SECONDS = 0.001
LONGEST_PAUSE_SECONDS = 0.02
ABORT_SECONDS = 5.0
CLOSE_SECONDS = 5.0
FINISH_SECONDS = 120.0
REFUSED_PAUSE_SECONDS = 10.0
MARGIN_SECONDS = 15.0  # a call of the Kafka client may take the delivery time plus this

log = structlog.get_logger()


def run_relay(
    settings: Settings,
    stop: threading.Event,
    *,
    loop: Loop | None = None,
    delivery_seconds: float = DELIVERY_SECONDS,
    hung_after_seconds: float = HUNG_AFTER_SECONDS,
    refused_pause_seconds: float = REFUSED_PAUSE_SECONDS,
) -> None:
    """Publish until `stop` is set; a second relay waits until the first has ended or hangs.

    `delivery_seconds` is the time in which Kafka must accept the records of a batch. Raises on any error; for
    a record that Kafka refuses after `refused_pause_seconds`, so that restarts do not follow at once.
    When a call of the Kafka client does not return, the whole process ends: run one relay in each process,
    under a supervisor.
    """
    loop = loop or Loops().add("relay")
    with _connect(settings) as conn:
        if not stand_by(conn, stop, loop, hung_after_seconds=hung_after_seconds):
            return
        log.info("relay_leads")
        require_topics(conn, settings)
        found = create_topics(settings)[events_topic(settings)]
        limit = BATCH_SIZE
        while not stop.is_set():
            try:
                with loop.leading():
                    _publish(conn, settings, stop, loop, found, limit, delivery_seconds)
            except RecordRefused as refused:
                loop.count_error(refused)
                if refused.index == 0:
                    message = explain(refused, settings)
                    if stop.wait(refused_pause_seconds):
                        return
                    raise RelayRefused(message) from None
                limit = refused.index  # the events before it first, then it alone


def _publish(
    conn: Connection,
    settings: Settings,
    stop: threading.Event,
    loop: Loop,
    topic: Topic,
    limit: int,
    delivery_seconds: float,
) -> None:
    """Publish until `stop` is set, with a new producer; at most `limit` events in the first batch."""
    with (
        transactions(conn, settings, delivery_seconds) as producer,
        Marks(settings, wait_seconds=min(WAIT_SECONDS, delivery_seconds)) as marks,
    ):
        loop.turn()
        start = starting_position(conn, settings)
        destination = require_destination(conn, settings, topic, start)
        # The copy of the position lags when its last update was lost.
        conn.execute(sql["advance_mirror"], {"position": start.position})
        relay = Relay(
            *(conn, producer, marks, settings, start, destination),
            loop=loop,
            delivery_seconds=delivery_seconds,
        )
        log.info("relay_starts", position=relay.position, partitions=destination.partitions)
        relay.publish_batch(limit)
        relay.run(stop)


def republish(settings: Settings, from_position: int) -> int:
    """Make the relay publish the events after `from_position` again, and return their number.

    Creates missing topics. Consumers of topics that were not lost see those events a second time. No relay
    may run meanwhile, except one that refuses to start. Raises RelayRefused when events would be left out.
    """
    with _connect(settings) as conn:
        if not take_leadership_soon(conn):
            raise RelayRefused("A relay is publishing. Stop it, then run this command again.")
        found = create_topics(settings)[events_topic(settings)]
        position = position_at(conn, from_position)
        with transactions(conn, settings, DELIVERY_SECONDS) as producer:
            require_published(conn, settings, position)
            destination = choose_destination(conn, settings, found)
            producer.begin_transaction()
            moved = producer.send(position_topic(settings), key=KEY, value=encode(position), partition=0)
            moved.get(timeout=DELIVERY_SECONDS)
            with _deadline(MARGIN_SECONDS):
                producer.commit_transaction()
        conn.execute(sql["reset_mirror"], {"position": position.position})
        record(conn, destination)
        return fetch_value(conn, sql["count_after"], {"position": position.position}, default=0)


class Relay:
    """Publishes batch after batch; `position` is the position of the last event that Kafka has committed."""

    def __init__(
        self,
        conn: Connection,
        producer: KafkaProducer,
        marks: Marks,
        settings: Settings,
        start: Position,
        destination: Destination,
        *,
        loop: Loop | None = None,
        delivery_seconds: float = DELIVERY_SECONDS,
    ) -> None:
        self.position = start.position
        self._conn = conn
        self._producer = producer
        self._marks = marks
        self._destination = destination
        self._offsets = list(destination.offsets or [])
        self._position_topic = position_topic(settings)
        self._source = settings.base_url
        self._loop = loop or Loops().add("relay")
        self._delivery_seconds = delivery_seconds

    def run(self, stop: threading.Event) -> None:
        """Follow the log until `stop` is set."""
        idle = Pause(SHORTEST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS)
        while not stop.is_set():
            if self.publish_batch():
                idle.reset()
            else:
                stop.wait(idle.next_seconds())

    def publish_batch(self, limit: int = BATCH_SIZE) -> int:
        """Publish the next events, at most `limit`, in one transaction, and return their number.

        Raises RecordRefused if Kafka refuses a record, and KafkaError.

        Reads the batch on the connection that holds the leader's lock. A relay that has lost the lock has
        lost this connection too and fails here, or Kafka fences it. On return the batch is committed in every
        partition, so that no later abort can include it.
        """
        self._loop.turn()
        batch = read_log(self._conn, self.position, limit)
        if not batch:
            return 0
        started, began_at = time.monotonic(), tracing.now()
        try:
            offsets = self._publish(batch)
        except RecordRefused as refused:
            self._abort(refused.error)
            raise
        except KafkaError as error:
            log.error("relay_failed", position=self.position, events=len(batch), error=repr(error))
            self._abort(error)
            raise
        self.position = batch[-1].position
        self._store_position(offsets)
        tracing.note_handled(self._conn, "publish", (row.state for row in batch), began_at)
        with _deadline(2 * WAIT_SECONDS + MARGIN_SECONDS):
            self._marks.wait_for(offsets)
        seconds = time.monotonic() - started
        self._loop.count_batch(len(batch), seconds)
        log.debug(
            "relay_published",
            position=self.position,
            events=len(batch),
            milliseconds=round(seconds * 1000, 1),
        )
        return len(batch)

    def _store_position(self, offsets: Mapping[TopicPartition, int]) -> None:
        topic = self._destination.topic
        sent = [(each.partition, offset) for each, offset in offsets.items() if each.topic == topic]
        self._offsets = with_offsets(self._offsets, self._destination.partitions, sent)
        parameters = {"position": self.position, "offsets": self._offsets}
        self._conn.execute(sql["advance_mirror_and_offsets"], parameters)

    def _publish(self, batch: Sequence[StoredRow]) -> dict[TopicPartition, int]:
        """Send the events and the position in one transaction. Returns the last offset of each partition.

        Checks every future before the commit: kafka-python commits a transaction although records of it have
        expired in the buffer.
        """
        last = batch[-1]
        reached = Position(last.position, event_id_of(last.state))
        producer = self._producer
        trace_of = tracing.traces_of(self._conn, (request_id_of(row.state) for row in batch))
        with _deadline(self._delivery_seconds + MARGIN_SECONDS):
            producer.begin_transaction()
            futures = [self._send(row, trace_of) for row in batch]
            futures.append(producer.send(self._position_topic, key=KEY, value=encode(reached), partition=0))
        with _deadline(self._delivery_seconds + MARGIN_SECONDS):
            with suppress(UnknownError):  # kafka-python raises it after splitting a batch that is too large
                producer.flush(timeout=self._delivery_seconds + MARGIN_SECONDS / 2)
            _wait_for(futures, self._delivery_seconds + MARGIN_SECONDS / 2)
        if refused := find_refusal(batch, futures):
            raise refused
        offsets = last_offsets([future.get(timeout=0) for future in futures])
        with _deadline(MARGIN_SECONDS):
            producer.commit_transaction()
        return offsets

    def _send(self, row: StoredRow, trace_of: Lookup) -> Any:
        record = to_record(row, source=self._source, trace_of=trace_of)
        return self._producer.send(
            self._destination.topic,
            key=record.key,
            value=record.value,
            headers=record.headers,
            partition=self._destination.partition_of(record.key),
        )

    def _abort(self, error: KafkaError) -> None:
        """Abort the transaction if possible, so that consumers need not wait for its timeout."""
        if is_fenced(error):
            return
        with suppress(KafkaError), _deadline(ABORT_SECONDS):
            self._producer.abort_transaction()


def _wait_for(futures: Sequence[Any], seconds: float) -> None:
    """Wait until every future has a result or an error, which the caller reads, or the time has passed."""
    deadline = time.monotonic() + seconds
    for future in futures:
        with suppress(KafkaError):
            future.get(timeout=max(0.0, deadline - time.monotonic()))


def last_offsets(sent: Sequence[Any]) -> dict[TopicPartition, int]:
    """The highest offset of each partition in `RecordMetadata`. Raises KafkaError when one has no offset."""
    offsets: dict[TopicPartition, int] = {}
    for metadata in sent:
        if metadata.offset < 0:
            raise KafkaError(f"Kafka accepted a record of {metadata.topic_partition} without an offset.")
        offsets[metadata.topic_partition] = max(metadata.offset, offsets.get(metadata.topic_partition, 0))
    return offsets


def is_fenced(error: KafkaError) -> bool:
    """Whether Kafka reports that another relay took over. kafka-python often wraps the error."""
    causes = (error, *error.args)
    return any(isinstance(cause, ProducerFencedError | InvalidProducerEpochError) for cause in causes)


def _connect(settings: Settings) -> Connection:
    """Open a connection. Its commits do not wait for the disk, because PostgreSQL has only a copy of the
    position."""
    if not settings.direct_url:
        raise BadSettings("DATABASE_URL is not set. Set it to the database whose log the relay publishes.")
    options = f"-c synchronous_commit=off -c statement_timeout=60s {NOTICE_LOST_CLIENTS}"
    return connect(
        settings.direct_url,
        application="ticketing-relay",
        options=options,
        prepare_threshold=0,
    )


@contextmanager
def transactions(conn: Connection, settings: Settings, delivery_seconds: float) -> Iterator[KafkaProducer]:
    """Yields the producer with the relay's transactional id. Earlier producers are fenced, and their
    transactions have ended."""
    producer = make_producer(
        settings, transactional_id=relay_transactional_id(settings), delivery_seconds=delivery_seconds
    )
    try:
        with _deadline(FINISH_SECONDS):
            take_over(conn, producer, settings)
        yield producer
    finally:
        with suppress(KafkaError), _deadline(CLOSE_SECONDS + MARGIN_SECONDS):
            producer.close(timeout=CLOSE_SECONDS)


@contextmanager
def _deadline(seconds: float) -> Iterator[None]:
    """End the process, and print the stacks of its threads, unless the block ends in time.

    For calls of kafka-python that wait without a limit. The timer is a C thread, which needs no Python lock.
    """
    faulthandler.dump_traceback_later(seconds, exit=True, file=standard_error.output.fileno())
    try:
        yield
    finally:
        faulthandler.cancel_dump_traceback_later()
