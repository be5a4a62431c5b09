"""Ends transactions whose end Kafka has recorded, but not marked in all partitions.

When the only broker is killed between the two steps, it may leave some partitions unmarked after its restart:
it treats partitions whose leader it does not know yet as deleted (seen with Kafka 4.4). Consumers of
committed records then stop there for ever, and the relay cannot read its position.

This module writes the missing markers through the admin API. That can be interrupted and repeated, and leaves
no transaction that the next `init_transactions` would abort.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any, NamedTuple

import structlog
from kafka import KafkaProducer, TopicPartition
from kafka.admin import TransactionState
from kafka.errors import ClusterAuthorizationFailedError, KafkaError

from event_stream.position import NOTHING, READ_SECONDS, RelayRefused, decode_position, read_position, sql
from infrastructure.settings import Settings
from infrastructure.storage.kafka import make_consumer
from infrastructure.storage.kafka_transactions import end_transactions, transaction_state
from infrastructure.storage.postgres import Connection, fetch_value
from infrastructure.storage.topics import events_topic, position_topic, relay_transactional_id

POLL_SECONDS = 0.1
_UNDER_WAY = {
    TransactionState.PREPARE_COMMIT,
    TransactionState.PREPARE_ABORT,
    TransactionState.PREPARE_EPOCH_FENCE,
}

log = structlog.get_logger()


class Tail(NamedTuple):
    """The lowest and highest log position of the records that consumers of committed records cannot read."""

    lowest: int
    highest: int


def take_over(conn: Connection, producer: KafkaProducer, settings: Settings) -> None:
    """Fence earlier producers and end their transactions in all partitions. Raises the errors of `finish`.

    `finish` runs before `init_transactions`, which aborts an open transaction and erases Kafka's record of
    how the last one ended, and again after it, because that abort may be unmarked in some partitions too.
    """
    finish(conn, settings)
    producer.init_transactions()
    finish(conn, settings)


def finish(conn: Connection, settings: Settings) -> None:
    """Mark the hanging transaction as committed or aborted, as Kafka has recorded its end.

    At most one transaction hangs, because the relay begins none before the last is marked in all partitions
    (event_stream/marks.py). An open transaction is left to `init_transactions`. Raises RelayRefused when the
    end is unknown, or when Kafka does not allow the relay to write the markers.
    """
    hanging = _find_hanging(settings)
    if not hanging:
        return
    # Read after `hanging`, which therefore contains no transaction that ends in between.
    state = _read_settled_state(settings)
    if state == TransactionState.ONGOING:
        return
    is_commit = _is_committed(conn, settings, hanging, state)
    try:
        count = end_transactions(settings, list(hanging), is_commit=is_commit)
    except ClusterAuthorizationFailedError:
        raise RelayRefused(
            "Kafka has not marked the end of a transaction, and does not allow the relay to do it. Give"
            " its user the right Alter on the cluster (kafka-acls.sh --add --operation Alter --cluster)."
        ) from None
    log.warning("relay_finished_transaction", is_commit=is_commit, state=state.value, partitions=count)
    _wait_until_finished(settings)


def _read_settled_state(settings: Settings) -> TransactionState:
    """The state of the relay's last transaction: ended, or ONGOING. Waits for a coordinator that starts."""
    deadline = time.monotonic() + READ_SECONDS
    while True:
        try:
            state = transaction_state(settings, relay_transactional_id(settings))
        except KafkaError as error:
            if not error.retriable or time.monotonic() > deadline:
                raise
        else:
            if state not in _UNDER_WAY:
                return state
            if time.monotonic() > deadline:
                raise TimeoutError(f"Kafka does not end a transaction: it is in the state {state.value}.")
        time.sleep(POLL_SECONDS)


def _is_committed(
    conn: Connection, settings: Settings, hanging: Mapping[TopicPartition, Tail], state: TransactionState
) -> bool:
    """Whether the hanging transaction was committed.

    A transaction whose commit Kafka has acknowledged was committed. `init_transactions` leaves the state
    EMPTY: the transaction was open before, because ended ones were finished first, so it was aborted.
    """
    readable = read_position(settings) or NOTHING
    acknowledged = max(fetch_value(conn, sql["read_mirror"], default=0), readable.position)
    if state == TransactionState.COMPLETE_COMMIT:
        return True
    if all(tail.highest <= acknowledged for tail in hanging.values()):
        return True
    if all(tail.lowest > acknowledged for tail in hanging.values()) and state in (
        TransactionState.COMPLETE_ABORT,
        TransactionState.EMPTY,
    ):
        return False
    partition = next(iter(hanging))
    raise RelayRefused(
        f"Kafka has neither committed nor aborted the records at the end of {partition.topic}, partition"
        f" {partition.partition}, and has no record of how their transaction ended. Abort them with"
        " kafka-transactions.sh (find-hanging, abort), then start the relay again."
    )


def _wait_until_finished(settings: Settings) -> None:
    deadline = time.monotonic() + READ_SECONDS
    while _find_hanging(settings):
        if time.monotonic() > deadline:
            raise RelayRefused("Kafka does not finish a transaction although its end is marked.")
        time.sleep(POLL_SECONDS)


def _find_hanging(settings: Settings) -> dict[TopicPartition, Tail]:
    """The partitions that consumers of committed records cannot read to the end."""
    committed = make_consumer(settings, client_id=f"{settings.kafka_prefix}-relay-ends")
    everything = make_consumer(
        settings, client_id=f"{settings.kafka_prefix}-relay-tails", isolation_level="read_uncommitted"
    )
    try:
        topics = (events_topic(settings), position_topic(settings))
        partitions = [TopicPartition(t, n) for t in topics for n in committed.partitions_for_topic(t) or ()]
        readable = committed.end_offsets(partitions)
        ends = everything.end_offsets(partitions)
        behind = [partition for partition in partitions if readable[partition] < ends[partition]]
        tails = {each: _read_tail(everything, each, readable[each], ends[each]) for each in behind}
        return {partition: tail for partition, tail in tails.items() if tail is not None}
    finally:
        committed.close()
        everything.close()


def _read_tail(consumer: Any, partition: TopicPartition, start: int, end: int) -> Tail | None:
    """The tail, or None if it contains only a marker, which was written in between."""
    consumer.assign([partition])
    consumer.seek(partition, start)
    deadline = time.monotonic() + READ_SECONDS
    positions: list[int] = []
    while consumer.position(partition) < end:
        for record in consumer.poll(timeout_ms=200).get(partition, []):
            positions.append(_position_of(record))
        if time.monotonic() > deadline:
            raise TimeoutError(f"The end of {partition.topic} could not be read in {READ_SECONDS:g} s.")
    return Tail(min(positions), max(positions)) if positions else None


def _position_of(record: Any) -> int:
    """The log position of an event record or of a position record."""
    sequence = dict(record.headers).get("ce_sequence")
    return int(sequence) if sequence is not None else decode_position(record.value).position
