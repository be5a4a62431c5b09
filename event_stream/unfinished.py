"""Transactions that Kafka lost track of: ended in its books, but not in all partitions.

A broker that is killed between the two, and has no other to take over, may forget to mark some partitions
when it comes back: those whose leaders it does not know yet count as deleted (seen with Kafka 4.4). Readers
of committed records then stop there for ever, and the relay does not find its position.

The marks that are missing are written by hand. Unlike a transaction for their sake, that can be broken off
and repeated: it never leaves anything that the next `init_transactions` would abort.
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
from infrastructure.storage.postgres import Connection
from infrastructure.storage.topics import PARTITIONS, events_topic, position_topic, relay_transactional_id

LOOK_SECONDS = 0.1
_UNDER_WAY = {
    TransactionState.PREPARE_COMMIT,
    TransactionState.PREPARE_ABORT,
    TransactionState.PREPARE_EPOCH_FENCE,
}

log = structlog.get_logger()


class Tail(NamedTuple):
    """The positions among what readers of committed records cannot read at the end of a partition."""

    lowest: int
    highest: int


def take_over(conn: Connection, producer: KafkaProducer, settings: Settings) -> None:
    """Be the one who writes, with nothing left open by those who were before. Raises as `finish` does.

    What they ended is finished first: `init_transactions` aborts what is open, wipes how the last transaction
    ended from Kafka's books, and may be forgotten in some partitions like any other end.
    """
    finish(conn, settings)
    producer.init_transactions()
    finish(conn, settings)


def finish(conn: Connection, settings: Settings) -> None:
    """Mark what hangs as what it is in Kafka's books: committed, or aborted.

    All that hangs is of one transaction, for the relay begins none before the last is finished everywhere
    (event_stream/marks.py). One that is open is left to `init_transactions`. Raises RelayRefused where nobody
    knows the end, or Kafka does not let the relay write it.
    """
    hanging = _hanging(settings)
    if not hanging:
        return
    state = _settled_state(settings)  # asked after the look: what hung then has ended if this says so
    if state == TransactionState.ONGOING:
        return
    is_commit = _is_committed(conn, settings, hanging, state)
    try:
        count = end_transactions(settings, list(hanging), is_commit=is_commit)
    except ClusterAuthorizationFailedError:
        raise RelayRefused(
            "Kafka forgot to mark the end of a transaction, and does not let the relay do it: give its user"
            " the right Alter on the cluster (kafka-acls.sh --add --operation Alter --cluster)."
        ) from None
    log.warning("relay_finished_transaction", is_commit=is_commit, state=state.value, partitions=count)
    _wait_until_finished(settings)


def _settled_state(settings: Settings) -> TransactionState:
    """How the relay's last transaction ended, or ONGOING. A coordinator that is starting is given time."""
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
        time.sleep(LOOK_SECONDS)


def _is_committed(
    conn: Connection, settings: Settings, hanging: Mapping[TopicPartition, Tail], state: TransactionState
) -> bool:
    """What the relay was told is committed is, whatever else. EMPTY is what `init_transactions` leaves: the
    transaction was open before it, for what had ended was finished."""
    row = conn.execute(sql["read_mirror"]).fetchone()
    readable = read_position(settings) or NOTHING
    acknowledged = max(row[0] if row else 0, readable.position)
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
        f" {partition.partition}, and does not know any more which it is to be. Abort them with"
        " kafka-transactions.sh (find-hanging, abort), then start the relay again."
    )


def _wait_until_finished(settings: Settings) -> None:
    deadline = time.monotonic() + READ_SECONDS
    while _hanging(settings):
        if time.monotonic() > deadline:
            raise RelayRefused("Kafka does not finish a transaction although its end is marked.")
        time.sleep(LOOK_SECONDS)


def _hanging(settings: Settings) -> dict[TopicPartition, Tail]:
    """The partitions that readers of committed records cannot read to the end."""
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
        tails = {each: _tail(everything, each, readable[each], ends[each]) for each in behind}
        return {partition: tail for partition, tail in tails.items() if tail is not None}
    finally:
        committed.close()
        everything.close()


def _tail(consumer: Any, partition: TopicPartition, start: int, end: int) -> Tail | None:
    """None where no record stands there: a mark that came between the two looks."""
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
    """Of an event, or the one the relay's position record tells."""
    sequence = dict(record.headers).get("ce_sequence")
    return int(sequence) if sequence is not None else decode_position(record.value).position
