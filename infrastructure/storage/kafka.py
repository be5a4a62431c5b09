"""Creates Kafka clients and our topics, with all important options set explicitly.

docs/decisions/0004-event-stream.md explains the options.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Any, Literal

from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer
from kafka.admin import MemberToRemove
from kafka.coordinator.assignors.cooperative_sticky import CooperativeStickyAssignor
from kafka.errors import TopicAlreadyExistsError

from infrastructure.settings import BadSettings, Settings
from infrastructure.storage.topics import (
    COMPRESSION,
    PARTITIONS,
    checkpoints_topic,
    events_topic,
    position_topic,
)

CONNECT_SECONDS = 30
LEAVE_SECONDS = 3
DELIVERY_SECONDS = 30

RETENTION_FOREVER = {"cleanup.policy": "delete", "retention.ms": "-1", "retention.bytes": "-1"}
LAST_OF_EACH_KEY = {
    "cleanup.policy": "compact",
    "segment.bytes": str(16 * 1024 * 1024),  # small, because the open segment is never compacted
    "segment.ms": str(24 * 3600 * 1000),
    "min.cleanable.dirty.ratio": "0.1",
}


class WrongTopic(Exception):
    """A topic has the wrong number of partitions. The message names the remedy."""


def make_producer(
    settings: Settings,
    *,
    transactional_id: str,
    delivery_seconds: float = DELIVERY_SECONDS,
) -> KafkaProducer:
    """Connect a transactional producer. Raises KafkaError if no broker answers in CONNECT_SECONDS.

    Check every future before `commit_transaction`: it succeeds even if records have expired in the buffer.
    `commit_transaction` and `abort_transaction` wait without a timeout.
    """
    return KafkaProducer(
        bootstrap_servers=_servers(settings),
        client_id=transactional_id,
        transactional_id=transactional_id,
        transaction_timeout_ms=60_000,
        enable_idempotence=True,
        acks="all",
        retries=float("inf"),  # until delivery_timeout_ms; idempotence prevents duplicates
        max_in_flight_requests_per_connection=5,
        delivery_timeout_ms=int(delivery_seconds * 1000),
        request_timeout_ms=int(delivery_seconds * 1000 / 2),
        max_block_ms=int(delivery_seconds * 1000),
        retry_backoff_ms=5,  # also the wait of the sender if a transaction begins before the last has ended
        reconnect_backoff_ms=50,
        reconnect_backoff_max_ms=1_000,
        linger_ms=5,
        batch_size=131_072,
        compression_type=COMPRESSION,
        max_request_size=1_048_576,
        allow_auto_create_topics=False,
        bootstrap_timeout_ms=CONNECT_SECONDS * 1000,
        metadata_max_age_ms=60_000,
        metrics_enabled=False,
    )


def make_consumer(
    settings: Settings,
    *,
    client_id: str,
    group_id: str | None = None,
    group_instance_id: str | None = None,
    max_poll_records: int = 200,
    isolation_level: Literal["read_committed", "read_uncommitted"] = "read_committed",
) -> KafkaConsumer:
    """Connect a consumer that starts at the beginning and commits offsets only when `commit` is called.

    Without a group, the caller must assign partitions with `assign`.
    """
    return KafkaConsumer(
        bootstrap_servers=_servers(settings),
        client_id=client_id,
        group_id=group_id,
        group_instance_id=group_instance_id,
        isolation_level=isolation_level,
        auto_offset_reset="earliest",
        enable_auto_commit=False,
        partition_assignment_strategy=[CooperativeStickyAssignor],
        max_poll_records=max_poll_records,
        max_poll_interval_ms=300_000,
        session_timeout_ms=10_000,
        heartbeat_interval_ms=3_000,
        fetch_min_bytes=1,
        fetch_max_wait_ms=500,
        max_partition_fetch_bytes=1_048_576,
        request_timeout_ms=30_000,
        retry_backoff_ms=50,
        reconnect_backoff_ms=50,
        reconnect_backoff_max_ms=1_000,
        allow_auto_create_topics=False,
        bootstrap_timeout_ms=CONNECT_SECONDS * 1000,
        metadata_max_age_ms=60_000,
        metrics_enabled=False,
    )


def make_admin(settings: Settings, seconds: int = CONNECT_SECONDS) -> KafkaAdminClient:
    """Connect a client for topics, groups and transactions. `seconds` limits each request."""
    return KafkaAdminClient(
        bootstrap_servers=_servers(settings),
        client_id=f"{settings.kafka_prefix}-admin",
        request_timeout_ms=seconds * 1000,
        bootstrap_timeout_ms=seconds * 1000,
    )


def create_topics(settings: Settings) -> None:
    """Create the missing topics. Raises WrongTopic if a topic has another number of partitions."""
    wanted: dict[str, tuple[int, dict[str, str]]] = {
        events_topic(settings): (PARTITIONS, RETENTION_FOREVER),
        position_topic(settings): (1, LAST_OF_EACH_KEY),
        checkpoints_topic(settings): (1, RETENTION_FOREVER),
    }
    admin = make_admin(settings)
    try:
        present = _partition_counts(admin, list(wanted))
        absent = [name for name in wanted if name not in present]
        for name in absent:
            _create(admin, settings, name, *wanted[name])
        if absent:  # another process may have created them with another number of partitions
            present |= _partition_counts(admin, absent)
        for name, (partitions, _) in wanted.items():
            if present.get(name, partitions) != partitions:
                raise WrongTopic(
                    f"The topic {name} has {present[name]} partitions and needs {partitions}: with another"
                    " number, events of a ticket could be out of order. Delete it and publish again:"
                    " ticketing relay republish --from 0"
                )
    finally:
        admin.close()


def absent_topics(settings: Settings) -> list[str]:
    """The names of the topics of the relay that the cluster does not have."""
    names = [events_topic(settings), position_topic(settings)]
    admin = make_admin(settings)
    try:
        present = _partition_counts(admin, names)
    finally:
        admin.close()
    return [name for name in names if name not in present]


def leave_group(settings: Settings, group_id: str, group_instance_id: str) -> None:
    """Remove a closed member from its group, so that the others need not wait for its session to time out.
    Raises KafkaError."""
    admin = make_admin(settings, seconds=LEAVE_SECONDS)
    try:
        admin.remove_group_members(group_id, [MemberToRemove(group_instance_id=group_instance_id)])
    finally:
        admin.close()


def _create(
    admin: KafkaAdminClient, settings: Settings, name: str, partitions: int, options: dict[str, str]
) -> None:
    replicas = settings.kafka_replication_factor
    configs = {**options, "min.insync.replicas": "2" if replicas >= 3 else "1"}
    topic: dict[str, Any] = {"num_partitions": partitions, "replication_factor": replicas, "configs": configs}
    with suppress(TopicAlreadyExistsError):
        admin.create_topics({name: topic}, timeout_ms=CONNECT_SECONDS * 1000)
    admin.wait_for_topics([name])


def _partition_counts(admin: KafkaAdminClient, names: list[str]) -> dict[str, int]:
    topics = admin.describe_topics(names)
    return {topic["name"]: len(topic["partitions"]) for topic in topics if topic["error_code"] == 0}


def _servers(settings: Settings) -> list[str]:
    if not settings.kafka_bootstrap_servers:
        raise BadSettings(
            "KAFKA_BOOTSTRAP_SERVERS is not set. Set it to servers such as kafka-1:9092,kafka-2:9092."
        )
    return settings.kafka_bootstrap_servers.split(",")
