"""Static membership of the dispatchers in the consumer group (KIP-345).

A member with a `group.instance.id` gets its partitions back immediately when it returns, without a rebalance.
Without that id, a restarted dispatcher is a new member, and the partitions of the killed one are not read
until its session has timed out.

The instance id contains a member id: a number that a dispatcher locks in PostgreSQL for as long as it is
connected. No two dispatchers of a database have the same member id, on any host, and the id of a killed one
is free immediately. If a dispatcher loses its lock unnoticed, Kafka refuses its next commit, and it starts
again.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import structlog
from kafka.errors import KafkaError

from infrastructure.process.failures import describe_error
from infrastructure.settings import Settings
from infrastructure.storage.kafka import leave_group
from infrastructure.storage.postgres import Connection, fetch_value, named_queries
from infrastructure.storage.topics import PARTITIONS

MEMBER_CLASS = 7_305_880
MAX_MEMBERS = 1_000
POSITION_MILLISECONDS = 1_000
UNASSIGNED_SECONDS = 20.0  # longer than a rebalance takes

sql = named_queries(Path(__file__).parent / "sql" / "membership.sql")
log = structlog.get_logger()


def group_of(settings: Settings) -> str:
    return f"{settings.kafka_prefix}-webhook-dispatcher"


def take_member_id(conn: Connection, last: int | None) -> int:
    """Lock the member id `last`, or else the lowest free one, until the connection closes."""
    member_ids = range(1, MAX_MEMBERS + 1)
    for member_id in member_ids if last is None else (last, *member_ids):
        parameters = {"class": MEMBER_CLASS, "member_id": member_id}
        if fetch_value(conn, sql["lock_member_id"], parameters, default=False):
            return member_id
    raise RuntimeError(f"{MAX_MEMBERS} dispatchers are running on this database")


def instance_id(settings: Settings, member_id: int) -> str:
    return f"{group_of(settings)}-{member_id}"


def leave_to_others(conn: Connection, settings: Settings, member_id: int) -> None:
    """Leave the group, so that others get the partitions now. Does nothing if there are no others."""
    if fetch_value(conn, sql["count_members"], {"class": MEMBER_CLASS}, default=0) < 2:
        return
    try:
        leave_group(settings, group_of(settings), instance_id(settings, member_id))
    except KafkaError as error:  # the others get the partitions when the session times out
        log.warning("webhook_consumer_not_left", member_id=member_id, error=describe_error(error))


class NoPartitions(Exception):
    """The group has given this dispatcher no partition, although it has fewer members than partitions."""


def require_partitions(conn: Connection, settings: Settings, member_id: int) -> None:
    """Called when a dispatcher has had no partition for UNASSIGNED_SECONDS. Unless there are more dispatchers
    than partitions, leave the group and raise NoPartitions.

    A member that distributes the partitions before its client knows the topic gives none to anybody, and
    Kafka keeps that assignment: a static member gets it back each time it joins, until it has left.
    """
    if fetch_value(conn, sql["count_members"], {"class": MEMBER_CLASS}, default=0) > PARTITIONS:
        return
    leave_group(settings, group_of(settings), instance_id(settings, member_id))
    raise NoPartitions(f"no partition was assigned for {UNASSIGNED_SECONDS:g} s; joining the group again")


def count_behind(consumer: Any) -> int:
    """The number of records that a consumer has not read, by the ends that Kafka last reported."""
    records = 0
    for partition in consumer.assignment():
        end = consumer.highwater(partition)
        position = None if end is None else consumer.position(partition, timeout_ms=POSITION_MILLISECONDS)
        records += 0 if position is None else max(0, end - position)
    return records


def store_lag(conn: Connection, member_id: int, consumer: Any) -> None:
    """Store the lag of this member and the current time, for the overview page."""
    conn.execute(sql["store_lag"], {"seat": member_id, "behind": count_behind(consumer)})
