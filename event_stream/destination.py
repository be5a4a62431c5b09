"""The events topic as the relay has recorded it in PostgreSQL, and the check that it is still that topic.

The partition of a record follows from its key and the recorded number of partitions, so partitions that are
added to the topic stay unused, and the events of a ticket stay in one partition.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import closing
from typing import NamedTuple

import structlog
from kafka import TopicPartition
from kafka.partitioner.default import murmur2

from event_stream.position import ADVICE, Position, RelayRefused, read_last_event_key, records_between, sql
from infrastructure.settings import Settings
from infrastructure.storage.kafka import make_consumer
from infrastructure.storage.kafka_topics import Topic
from infrastructure.storage.postgres import Connection
from infrastructure.storage.topics import PARTITIONS

NEVER = -1  # in place of an offset: nothing was published to the partition
SEARCHED_OFFSETS = (1_000, 100_000)  # before the end, for the last record if its offset is unknown

log = structlog.get_logger()


class Destination(NamedTuple):
    """Where the relay publishes. `offsets` has the last offset of each partition, or NEVER; an empty list
    means that nothing was published since `republish`, None that it is unknown."""

    topic: str
    topic_id: str | None
    partitions: int
    offsets: list[int] | None

    def partition_of(self, key: bytes) -> int:
        """The partition that Kafka's clients choose by default for a topic with `partitions` partitions."""
        return int(murmur2(key) & 0x7FFFFFFF) % self.partitions

    def is_other_topic(self, found: Topic) -> bool:
        """Whether the topic is certainly not the one that was recorded."""
        ids_differ = None not in (self.topic_id, found.id) and self.topic_id != found.id
        return self.topic != found.name or ids_differ


def require_destination(conn: Connection, settings: Settings, found: Topic, start: Position) -> Destination:
    """The destination of a relay that continues after `start`, which it records.

    Raises RelayRefused when the topic is not the one to which the events up to `start` were published, or no
    longer has the last of them.
    """
    recorded, mirror = _read(conn)
    if mirror == 0 and start.event_id is None and recorded is None:
        destination = _first_destination(settings, found)
    else:
        destination = _known_destination(recorded, found)
        if recorded is None or recorded.offsets != [] or start.position > mirror:
            _require_last_record(conn, settings, destination, start)
    if destination.offsets is None or (destination.offsets == [] and start.position > mirror):
        destination = destination._replace(offsets=[NEVER] * destination.partitions)
    record(conn, destination)
    return destination


def choose_destination(conn: Connection, settings: Settings, found: Topic) -> Destination:
    """The destination after `republish`. Raises RelayRefused when the records in the topic may have been
    placed by another number of partitions."""
    recorded, _ = _read(conn)
    known = PARTITIONS if recorded is None else recorded.partitions
    is_same = recorded is not None and not recorded.is_other_topic(found)
    if not _has_events(settings, found):
        partitions = found.partitions
    elif found.partitions == known or (is_same and found.partitions > known):
        partitions = known
    else:
        raise RelayRefused(
            f"The topic {found.name} has events and {found.partitions} partitions, but events were published"
            f" to {known} partitions: events of one ticket could be in two. Delete the topic, or set"
            " KAFKA_PREFIX to a new one, then run this command again."
        )
    return Destination(found.name, found.id, partitions, [])


def record(conn: Connection, destination: Destination) -> None:
    """Store the destination. Survives a crash of PostgreSQL from now on."""
    with conn.transaction():
        conn.execute("SET LOCAL synchronous_commit = on")
        conn.execute(sql["record_destination"], destination._asdict())


def with_offsets(offsets: Sequence[int], partitions: int, sent: Iterable[tuple[int, int]]) -> list[int]:
    """The offsets after records were published; `sent` has the partition and last offset of each."""
    updated = list(offsets) or [NEVER] * partitions
    for partition, offset in sent:
        updated[partition] = offset
    return updated


def _read(conn: Connection) -> tuple[Destination | None, int]:
    """The recorded destination, and the position in PostgreSQL."""
    row = conn.execute(sql["read_destination"]).fetchone()
    assert row is not None
    position, *facts = row
    return (None if facts[0] is None else Destination(*facts)), position


def _first_destination(settings: Settings, found: Topic) -> Destination:
    """Uses the number of partitions that the empty topic has."""
    if _has_events(settings, found):
        raise RelayRefused(
            f"The topic {found.name} has events, but nothing was published from this database: the topic"
            " belongs to another installation, or the topic with the position was deleted. Set KAFKA_PREFIX"
            f" to a name that no other installation uses, or delete the topic. See {ADVICE}"
        )
    return Destination(found.name, found.id, found.partitions, [NEVER] * found.partitions)


def _known_destination(recorded: Destination | None, found: Topic) -> Destination:
    if recorded is None:  # published by a version that did not record it, and that required PARTITIONS
        if found.partitions != PARTITIONS:
            raise RelayRefused(
                f"The topic {found.name} has {found.partitions} partitions, and had {PARTITIONS} when the"
                " relay began to publish: events of one ticket may be in two partitions. Publish again to a"
                f" new topic. See {ADVICE}"
            )
        return Destination(found.name, found.id, found.partitions, None)
    if recorded.is_other_topic(found):
        raise RelayRefused(
            f"The topic {found.name} is not the one to which this relay has published"
            f" ({recorded.topic}, id {recorded.topic_id}; found id {found.id}): it was deleted and created"
            " again, or KAFKA_BOOTSTRAP_SERVERS or KAFKA_PREFIX names other topics. Correct the setting, or"
            f" publish again. See {ADVICE}"
        )
    if found.partitions < recorded.partitions:
        raise RelayRefused(
            f"The topic {found.name} has {found.partitions} partitions, but events were published to"
            f" {recorded.partitions}: it was deleted and created again. Publish again. See {ADVICE}"
        )
    return recorded._replace(topic_id=recorded.topic_id or found.id)


def _require_last_record(
    conn: Connection, settings: Settings, destination: Destination, start: Position
) -> None:
    """Raise RelayRefused unless the topic has the record of the event at `start`, or it has expired."""
    offsets = destination.offsets or [NEVER] * destination.partitions
    partitions = [TopicPartition(destination.topic, number) for number in range(destination.partitions)]
    with closing(make_consumer(settings, client_id=f"{settings.kafka_prefix}-relay-check")) as consumer:
        first, ends = consumer.beginning_offsets(partitions), consumer.end_offsets(partitions)
        for partition, offset in zip(partitions, offsets, strict=True):
            if ends[partition] <= offset:
                raise RelayRefused(
                    f"Partition {partition.partition} of the topic {partition.topic} ends at offset"
                    f" {ends[partition]}, but offset {offset} was published: Kafka has lost records, or the"
                    f" topic was deleted and created again. Publish again. See {ADVICE}"
                )
        if start.event_id is None:
            return
        partition = partitions[destination.partition_of(read_last_event_key(conn, start))]
        known = offsets[partition.partition]
        from_offsets = [ends[partition] - count for count in SEARCHED_OFFSETS] if known == NEVER else [known]
        ids: set[bytes | None] = set()
        for offset in from_offsets:
            if start.event_id.encode() in ids:
                break
            begin = max(first[partition], offset)
            records = records_between(consumer, partition, begin, ends[partition])
            ids = {dict(record.headers).get("ce_id") for record in records}
    if not ids and first[partition] > 0:
        log.warning("relay_last_record_expired", topic=partition.topic, partition=partition.partition)
    elif start.event_id.encode() not in ids:
        raise RelayRefused(
            f"The topic {partition.topic} does not have the record that was published last: the event"
            f" {start.event_id} at position {start.position}, in partition {partition.partition}. Kafka has"
            " lost records, or the topic was deleted and created again, or belongs to another installation."
            f" Publish again. See {ADVICE}"
        )


def _has_events(settings: Settings, found: Topic) -> bool:
    """Whether consumers of committed records can read an event in the topic. Records that no relay has
    published, which have no id of an event, do not count."""
    partitions = [TopicPartition(found.name, number) for number in range(found.partitions)]
    with closing(make_consumer(settings, client_id=f"{settings.kafka_prefix}-relay-check")) as consumer:
        first, ends = consumer.beginning_offsets(partitions), consumer.end_offsets(partitions)
        return any(
            "ce_id" in dict(record.headers)
            for partition in partitions
            if first[partition] < ends[partition]
            for record in records_between(consumer, partition, first[partition], ends[partition])
        )
