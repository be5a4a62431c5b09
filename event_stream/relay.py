"""The relay: publishes the log to Kafka, in order, every event once for readers of committed records.

It dies of every error, and its supervisor starts it again. What was published is then read from Kafka, where
the position moves in the same transaction as the events: nothing is ever sent again from memory.
"""

from __future__ import annotations

import faulthandler
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress

import structlog
from kafka import KafkaProducer  # type: ignore[import-untyped]
from kafka.errors import (  # type: ignore[import-untyped]
    InvalidProducerEpochError,
    KafkaError,
    ProducerFencedError,
)

from event_stream.envelope import StoredRow, to_record
from event_stream.position import (
    KEY,
    Position,
    RelayRefused,
    encode,
    event_id_of,
    position_at,
    require_topics,
    sql,
    starting_position,
)
from infrastructure.kafka import (
    DELIVERY_SECONDS,
    create_topics,
    events_topic,
    make_producer,
    position_topic,
)
from infrastructure.postgres import Connection, connect
from infrastructure.recorder import read_log
from infrastructure.settings import BadSettings, Settings

PAGE_SIZE = 1_000
LEADER_KEY = 7_305_874  # the session advisory lock of the relay that leads
SHORTEST_PAUSE_SECONDS = 0.001
LONGEST_PAUSE_SECONDS = 0.02
STANDBY_SECONDS = 0.5
TAKEOVER_SECONDS = 10.0
ABORT_SECONDS = 5.0
CLOSE_SECONDS = 5.0
MARGIN_SECONDS = 15.0  # what a call may take beyond the time Kafka is given to take the records

log = structlog.get_logger()


def run_relay(settings: Settings, stop: threading.Event) -> None:
    """Publish until `stop` is set; a second relay stands by until the first is gone.

    Raises on any error. Where a call into Kafka never returns, the process ends on the spot: run one relay
    a process, under a supervisor.
    """
    with _connect(settings) as conn:
        if not _stand_by(conn, stop):
            return
        log.info("relay_leads")
        require_topics(conn, settings)
        create_topics(settings)
        with _transactions(settings) as producer:
            relay = Relay(conn, producer, settings, starting_position(conn, settings))
            log.info("relay_starts", position=relay.position)
            relay.run(stop)


def republish(settings: Settings, from_position: int) -> int:
    """Have the relay publish again what stands after `from_position`, and return how much that is.

    For topics that were lost: they are created anew. Readers of topics that were not lost see those events a
    second time. No relay may be running meanwhile, except one that refuses to start.
    """
    with _connect(settings) as conn:
        if not _take_leadership_within(conn, TAKEOVER_SECONDS):
            raise RelayRefused("A relay is publishing. Stop it, then say this again.")
        create_topics(settings)
        position = position_at(conn, from_position)
        with _transactions(settings) as producer:
            producer.begin_transaction()
            moved = producer.send(position_topic(settings), key=KEY, value=encode(position), partition=0)
            moved.get(timeout=DELIVERY_SECONDS)
            with _deadline(MARGIN_SECONDS):
                producer.commit_transaction()
        conn.execute(sql["reset_mirror"], {"position": position.position})
        row = conn.execute(sql["count_after"], {"position": position.position}).fetchone()
        return row[0] if row else 0


class Relay:
    """Publishes page after page; `position` is that of the last event Kafka has committed."""

    def __init__(
        self, conn: Connection, producer: KafkaProducer, settings: Settings, start: Position
    ) -> None:
        self.position = start.position
        self._conn = conn
        self._producer = producer
        self._events_topic = events_topic(settings)
        self._position_topic = position_topic(settings)
        self._source = settings.base_url

    def run(self, stop: threading.Event) -> None:
        """Follow the log until `stop` is set."""
        pause = SHORTEST_PAUSE_SECONDS
        while not stop.is_set():
            if self.publish_page():
                pause = SHORTEST_PAUSE_SECONDS
            else:
                stop.wait(pause)
                pause = min(pause * 2, LONGEST_PAUSE_SECONDS)

    def publish_page(self) -> int:
        """Publish the next events, at most PAGE_SIZE, in one transaction; return how many there were.

        The page is read on the connection that holds the leader's lock: a relay that has lost the lock
        has lost its connection and stops here. Should it be too late, Kafka fences it.
        """
        page = [StoredRow(*row) for row in read_log(self._conn, self.position, PAGE_SIZE)]
        if not page:
            return 0
        started = time.monotonic()
        try:
            self._publish(page)
        except KafkaError as error:
            log.error("relay_failed", position=self.position, events=len(page), error=repr(error))
            self._abort(error)
            raise
        self.position = page[-1].position
        self._conn.execute(sql["advance_mirror"], {"position": self.position})
        log.debug(
            "relay_published",
            position=self.position,
            events=len(page),
            milliseconds=round((time.monotonic() - started) * 1000, 1),
        )
        return len(page)

    def _publish(self, page: Sequence[StoredRow]) -> None:
        """One transaction: the events and the position. Every future is asked before the commit: a record
        that expired in the buffer does not keep kafka-python from committing the others."""
        last = page[-1]
        reached = Position(last.position, event_id_of(last.state))
        producer = self._producer
        producer.begin_transaction()
        futures = []
        for row in page:
            record = to_record(row, source=self._source)
            futures.append(
                producer.send(self._events_topic, key=record.key, value=record.value, headers=record.headers)
            )
        futures.append(producer.send(self._position_topic, key=KEY, value=encode(reached), partition=0))
        with _deadline(DELIVERY_SECONDS + MARGIN_SECONDS):
            producer.flush(timeout=DELIVERY_SECONDS + MARGIN_SECONDS / 2)
        for future in futures:
            future.get(timeout=0)
        with _deadline(MARGIN_SECONDS):
            producer.commit_transaction()

    def _abort(self, error: KafkaError) -> None:
        """Spare readers the wait for the transaction's timeout, if Kafka can be told."""
        if isinstance(error, ProducerFencedError | InvalidProducerEpochError):
            return
        with suppress(KafkaError), _deadline(ABORT_SECONDS):
            self._producer.abort_transaction()


def _connect(settings: Settings) -> Connection:
    if not settings.database_url:
        raise BadSettings("DATABASE_URL is not set; the relay has no log to publish.")
    # The copy of the position is for monitoring: its commits need not wait for the disk. The keepalives
    # let the server notice a leader whose host has vanished.
    options = (
        "-c synchronous_commit=off -c statement_timeout=60s"
        " -c tcp_keepalives_idle=5 -c tcp_keepalives_interval=2 -c tcp_keepalives_count=3"
    )
    return connect(settings.database_url, application="ticketing-relay", options=options, prepare_threshold=0)


def _stand_by(conn: Connection, stop: threading.Event) -> bool:
    """Return True when we lead, False when asked to stop before that."""
    while not stop.is_set():
        if _take_leadership(conn):
            return True
        stop.wait(STANDBY_SECONDS)
    return False


def _take_leadership_within(conn: Connection, seconds: float) -> bool:
    """A relay that refuses to start holds the lock for a moment each time its supervisor starts it."""
    deadline = time.monotonic() + seconds
    while not _take_leadership(conn):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def _take_leadership(conn: Connection) -> bool:
    row = conn.execute(sql["take_leadership"], {"key": LEADER_KEY}).fetchone()
    return bool(row and row[0])


@contextmanager
def _transactions(settings: Settings) -> Iterator[KafkaProducer]:
    """The producer with the one transactional id: whoever had it before is fenced from here on."""
    producer = make_producer(settings, transactional_id=f"{settings.kafka_prefix}-relay-0")
    try:
        producer.init_transactions()
        yield producer
    finally:
        with suppress(KafkaError), _deadline(CLOSE_SECONDS + MARGIN_SECONDS):
            producer.close(timeout=CLOSE_SECONDS)


@contextmanager
def _deadline(seconds: float) -> Iterator[None]:
    """End the process, with the stacks of its threads on standard error, unless the block is left in time.

    For kafka-python's calls that wait without a timeout. The timer is a C thread that needs no lock.
    """
    faulthandler.dump_traceback_later(seconds, exit=True, file=sys.stderr)
    try:
        yield
    finally:
        faulthandler.cancel_dump_traceback_later()
