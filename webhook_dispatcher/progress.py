"""How far the dispatchers have read the topic, stored in PostgreSQL for the gauges of the lag.

A partition has been read up to the log position of its last record, or up to the position that the relay had
reached before the end of the partition was looked up, if nothing before that end is unread.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from kafka.errors import KafkaError

from infrastructure.storage.postgres import Connection, fetch_value, named_queries

KAFKA_MILLISECONDS = 1_000
LARGEST_POSITION = 2**63 - 1

_sql = named_queries(Path(__file__).parent / "sql" / "progress.sql")


def store_read(conn: Connection, read: Iterable[tuple[int, int | None]]) -> None:
    """Store the log positions of records whose deliveries are stored in the same transaction.

    `read` has the partition and position of each record, in the order of each partition. None is the position
    of a record that does not state it.
    """
    reached = {
        partition: position
        for partition, position in read
        if position is not None and position <= LARGEST_POSITION
    }
    _store(conn, reached)


def store_reached_ends(conn: Connection, consumer: Any) -> None:
    """Store the position of the relay for the partitions that this member has read to the end. Does nothing
    while Kafka does not answer."""
    published = fetch_value(conn, _sql["read_published"], default=0)
    partitions = list(consumer.assignment())
    try:
        ends = consumer.end_offsets(partitions, timeout_ms=KAFKA_MILLISECONDS) if partitions else {}
        positions = {each: consumer.position(each, timeout_ms=KAFKA_MILLISECONDS) for each in partitions}
    except KafkaError:
        return
    read = [each for each, at in positions.items() if at is not None and at >= ends[each]]
    _store(conn, {each.partition: published for each in read})


def _store(conn: Connection, reached: dict[int, int]) -> None:
    if reached:
        partitions = sorted(reached)  # in one order in all dispatchers, so that they cannot deadlock
        positions = [reached[partition] for partition in partitions]
        conn.execute(_sql["store_positions"], {"partitions": partitions, "positions": positions})
