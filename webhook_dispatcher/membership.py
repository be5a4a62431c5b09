"""Under which name a dispatcher is a member of the consumer group.

A member with a name (KIP-345) that comes back is given its partitions back at once, without a rebalance. One
without a name is somebody new: the partitions of the one that was killed wait for its session to time out.

Names are numbered seats, taken by a lock of the session in PostgreSQL that the deliveries are written with:
no two dispatchers of a database have the same, on whatever hosts, and that of a killed one is free at once.
Should one lose its session and its seat unnoticed, Kafka refuses its next commit, and it starts again.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import structlog
from kafka.errors import KafkaError

from infrastructure.settings import Settings
from infrastructure.storage.kafka import leave_group
from infrastructure.storage.postgres import Connection, named_queries

SEAT_CLASS = 7_305_880
SEATS = 1_000
POSITION_MILLISECONDS = 1_000

sql = named_queries(Path(__file__).parent / "sql" / "membership.sql")
log = structlog.get_logger()


def group_of(settings: Settings) -> str:
    return f"{settings.kafka_prefix}-webhook-dispatcher"


def take_seat(conn: Connection, last: int | None) -> int:
    """Take the seat we had last, or else the first that is free, until this connection closes."""
    seats = range(1, SEATS + 1)
    for seat in seats if last is None else (last, *seats):
        row = conn.execute(sql["take_seat"], {"class": SEAT_CLASS, "seat": seat}).fetchone()
        if row and row[0]:
            return seat
    raise RuntimeError(f"{SEATS} dispatchers are running on this database")


def name_of(settings: Settings, seat: int) -> str:
    return f"{group_of(settings)}-{seat}"


def hand_over(conn: Connection, settings: Settings, seat: int) -> None:
    """At the end: let the others have our partitions now. If there are none, we keep them for our return."""
    row = conn.execute(sql["count_seats"], {"class": SEAT_CLASS}).fetchone()
    if not row or row[0] < 2:
        return
    try:
        leave_group(settings, group_of(settings), name_of(settings, seat))
    except KafkaError as error:  # they get them when our session times out
        log.warning("webhook_consumer_not_left", seat=seat, error=repr(error)[:500])


def behind(consumer: Any) -> int:
    """How many records of its partitions a consumer has not taken yet, as far as it has heard from Kafka."""
    records = 0
    for partition in consumer.assignment():
        end = consumer.highwater(partition)
        position = None if end is None else consumer.position(partition, timeout_ms=POSITION_MILLISECONDS)
        records += 0 if position is None else max(0, end - position)
    return records


def tell_behind(conn: Connection, seat: int, consumer: Any) -> None:
    """Write it down for those who look how the dispatchers are doing, and that this one is there."""
    conn.execute(sql["tell_behind"], {"seat": seat, "behind": behind(consumer)})
