"""The position of the relay: a record in Kafka, written in the same transaction as the events."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
from kafka import KafkaConsumer, TopicPartition

from infrastructure.settings import Settings
from infrastructure.storage.kafka import make_consumer
from infrastructure.storage.kafka_topics import absent_topics
from infrastructure.storage.postgres import Connection, fetch_value, named_queries
from infrastructure.storage.topics import position_topic

KEY = b"relay"
READ_SECONDS = 30.0
FIRST_LOOK = 100  # offsets from the end; a transaction takes two: the record and its commit marker

ADVICE = "docs/how-to/operating.md, Kafka; to publish again: ticketing relay republish --from POSITION"

sql = named_queries(Path(__file__).parent / "sql" / "relay.sql")


class RelayRefused(Exception):
    """Publishing would lose or repeat events without an error. The message names the remedy."""


class Position(msgspec.Struct, frozen=True):
    """All events up to `position` are in the topic; `event_id` is the id of the event at that position."""

    position: int
    event_id: str | None


class _Identified(msgspec.Struct, frozen=True):
    event_id: str


NOTHING = Position(0, None)
encode = msgspec.json.Encoder().encode
decode_position = msgspec.json.Decoder(Position).decode
_identify = msgspec.json.Decoder(_Identified).decode


def event_id_of(state: bytes) -> str:
    return _identify(state).event_id


def read_position(settings: Settings) -> Position | None:
    """The last committed position, or None.

    Call it after `init_transactions`, which ends a transaction that an earlier relay left open.
    """
    consumer = make_consumer(settings, client_id=f"{settings.kafka_prefix}-relay-position")
    try:
        value = _last_value(consumer, TopicPartition(position_topic(settings), 0))
    finally:
        consumer.close()
    return None if value is None else decode_position(value)


def starting_position(conn: Connection, settings: Settings) -> Position:
    """The position to continue from. Raises RelayRefused when Kafka and the log contradict each other."""
    found = read_position(settings)
    start = found or NOTHING
    row = conn.execute(sql["read_log_state"], {"position": start.position}).fetchone()
    assert row is not None
    mirror, last, state = row
    if mirror > start.position:
        raise RelayRefused(
            f"Kafka has the events up to position {start.position}, but those up to position {mirror} were"
            " published: Kafka has lost records, or KAFKA_BOOTSTRAP_SERVERS or KAFKA_PREFIX names other"
            f" topics. See {ADVICE}"
        )
    if start.position > last:
        raise RelayRefused(
            f"Position {start.position} is published but the log ends at {last}: this database is older than"
            f" the topic, or another database. See {ADVICE}"
        )
    if start.event_id is not None and (state is None or event_id_of(state) != start.event_id):
        raise RelayRefused(
            f"The event at position {start.position} of the log is not the one that was published: the topic"
            f" belongs to another database. See {ADVICE}"
        )
    return start


def read_last_event_key(conn: Connection, position: Position) -> bytes:
    """The key of the record of the event at `position`, which must be in the log."""
    key: str = fetch_value(conn, sql["read_key"], {"position": position.position}, default="")
    return key.encode()


def require_topics(conn: Connection, settings: Settings) -> None:
    """Raise RelayRefused when a topic with published events is missing: a new one would lack them."""
    published = fetch_value(conn, sql["read_mirror"], default=0)
    if published and (absent := absent_topics(settings)):
        raise RelayRefused(
            f"The events up to position {published} were published, but Kafka has no topic"
            f" {' and no topic '.join(absent)}. See {ADVICE}"
        )


def require_published(conn: Connection, settings: Settings, position: Position) -> None:
    """Raise RelayRefused for a position that the relay has not reached: events would be lost."""
    found = read_position(settings)
    mirror = fetch_value(conn, sql["read_mirror"], default=0)
    published = max(found.position if found else 0, mirror)
    if position.position > published:
        raise RelayRefused(
            f"Only the events up to position {published} were published: republishing from position"
            f" {position.position} would leave out those in between."
        )


def position_at(conn: Connection, position: int) -> Position:
    """The position of the last event at or before `position`."""
    row = conn.execute(sql["read_event_at_or_before"], {"position": position}).fetchone()
    if row is None:
        return NOTHING
    found, state = row
    return Position(found, event_id_of(state))


def _last_value(consumer: KafkaConsumer, partition: TopicPartition) -> bytes | None:
    """The value of the last committed record, searched from the end in growing steps."""
    consumer.assign([partition])
    first = consumer.beginning_offsets([partition])[partition]
    end = consumer.end_offsets([partition])[partition]
    look = FIRST_LOOK
    while first < end:
        start = max(first, end - look)
        if (value := _last_between(consumer, partition, start, end)) is not None or start == first:
            return value
        look *= 10
    return None


def _last_between(consumer: KafkaConsumer, partition: TopicPartition, start: int, end: int) -> bytes | None:
    value: bytes | None = None
    for record in records_between(consumer, partition, start, end):
        value = record.value
    return value


def records_between(
    consumer: KafkaConsumer, partition: TopicPartition, start: int, end: int
) -> Iterator[Any]:
    """Yields the records with offsets from `start` to before `end`. Raises TimeoutError after
    READ_SECONDS."""
    consumer.assign([partition])
    consumer.seek(partition, start)
    deadline = time.monotonic() + READ_SECONDS
    while consumer.position(partition) < end:
        polled: dict[Any, list[Any]] = consumer.poll(timeout_ms=200)
        yield from polled.get(partition, [])
        if time.monotonic() > deadline:
            raise TimeoutError(f"The topic {partition.topic} could not be read in {READ_SECONDS:g} s.")
