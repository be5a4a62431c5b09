"""Transactions that Kafka lost track of: committed in its books, but not in all partitions.

A broker that is killed between the two, and has no other to take over, may forget to mark some partitions as
committed when it comes back (seen with Kafka 4.4). Readers of committed records then stop there for ever, and
the relay does not find its position. It finishes what it was told is committed, and does not guess the rest.
"""

from __future__ import annotations

import time
from typing import Any

import structlog
from kafka import KafkaProducer, TopicPartition  # type: ignore[import-untyped]

from event_stream.position import READ_SECONDS, RelayRefused, decode_position, sql
from infrastructure.kafka import make_consumer
from infrastructure.postgres import Connection
from infrastructure.settings import Settings
from infrastructure.topics import PARTITIONS, events_topic, position_topic

log = structlog.get_logger()


def finish_acknowledged(conn: Connection, producer: KafkaProducer, settings: Settings) -> None:
    """Have Kafka mark as committed what it once told the relay was committed.

    To be called after `init_transactions`: nothing of ours is open any more then, and no one else writes
    here. Raises RelayRefused where the outcome of a transaction is not known.
    """
    hanging = _hanging(settings)
    if not hanging:
        return
    row = conn.execute(sql["read_mirror"]).fetchone()
    acknowledged = row[0] if row else 0
    for partition, last in hanging.items():
        if last > acknowledged:
            raise RelayRefused(
                f"Kafka has neither committed nor aborted the records at the end of {partition.topic},"
                f" partition {partition.partition}, and the relay was not told which it is to be. Abort them"
                " with kafka-transactions.sh (find-hanging, abort), then start the relay again."
            )
    log.warning("relay_finishes_transaction", position=acknowledged, partitions=len(hanging))
    producer.begin_transaction()
    for partition in hanging:  # a transaction without records, for the sake of its marks alone
        producer._transaction_manager.maybe_add_partition_to_transaction(partition)
    producer.commit_transaction()
    _wait_until_finished(settings)


def _wait_until_finished(settings: Settings) -> None:
    deadline = time.monotonic() + READ_SECONDS
    while _hanging(settings):
        if time.monotonic() > deadline:
            raise RelayRefused("Kafka does not finish a transaction that it told the relay was committed.")
        time.sleep(0.1)


def _hanging(settings: Settings) -> dict[TopicPartition, int]:
    """The partitions that readers of committed records cannot read to the end, with the highest position
    among what they cannot read."""
    partitions = [TopicPartition(events_topic(settings), number) for number in range(PARTITIONS)]
    partitions.append(TopicPartition(position_topic(settings), 0))
    committed = make_consumer(settings, client_id=f"{settings.kafka_prefix}-relay-ends")
    everything = make_consumer(
        settings, client_id=f"{settings.kafka_prefix}-relay-tails", isolation_level="read_uncommitted"
    )
    try:
        readable = committed.end_offsets(partitions)
        ends = everything.end_offsets(partitions)
        behind = [partition for partition in partitions if readable[partition] < ends[partition]]
        return {each: _highest(everything, each, readable[each], ends[each]) for each in behind}
    finally:
        committed.close()
        everything.close()


def _highest(consumer: Any, partition: TopicPartition, start: int, end: int) -> int:
    consumer.assign([partition])
    consumer.seek(partition, start)
    deadline = time.monotonic() + READ_SECONDS
    highest = 0
    while consumer.position(partition) < end:
        for record in consumer.poll(timeout_ms=200).get(partition, []):
            highest = max(highest, _position_of(record))
        if time.monotonic() > deadline:
            raise TimeoutError(f"The end of {partition.topic} could not be read in {READ_SECONDS:g} s.")
    return highest


def _position_of(record: Any) -> int:
    """Of an event, or the one the relay's position record tells."""
    sequence = dict(record.headers).get("ce_sequence")
    return int(sequence) if sequence is not None else decode_position(record.value).position
