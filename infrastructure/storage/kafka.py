"""Creates Kafka clients with all important options set explicitly.

docs/decisions/0004-event-stream.md explains the options.
"""

from __future__ import annotations

from typing import Literal

from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer
from kafka.admin import MemberToRemove
from kafka.coordinator.assignors.cooperative_sticky import CooperativeStickyAssignor

from infrastructure.settings import BadSettings, Settings
from infrastructure.storage.topics import COMPRESSION

CONNECT_SECONDS = 30
LEAVE_SECONDS = 3
DELIVERY_SECONDS = 30
CONSUMER_METADATA_MS = 10_000  # how soon a consumer notices a topic that is created after it has subscribed


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
        max_request_size=16 * 1_048_576,  # above every max.message.bytes of a topic, which is the real limit
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
        metadata_max_age_ms=CONSUMER_METADATA_MS,
        metrics_enabled=False,
    )


def make_admin(settings: Settings, seconds: int | None = None) -> KafkaAdminClient:
    """Connect a client for topics, groups and transactions. `seconds` limits each request; by default
    CONNECT_SECONDS."""
    seconds = seconds or CONNECT_SECONDS
    return KafkaAdminClient(
        bootstrap_servers=_servers(settings),
        client_id=f"{settings.kafka_prefix}-admin",
        request_timeout_ms=seconds * 1000,
        bootstrap_timeout_ms=seconds * 1000,
    )


def leave_group(settings: Settings, group_id: str, group_instance_id: str) -> None:
    """Remove a closed member from its group, so that the others need not wait for its session to time out.
    Raises KafkaError."""
    admin = make_admin(settings, seconds=LEAVE_SECONDS)
    try:
        admin.remove_group_members(group_id, [MemberToRemove(group_instance_id=group_instance_id)])
    finally:
        admin.close()


def _servers(settings: Settings) -> list[str]:
    if not settings.kafka_bootstrap_servers:
        raise BadSettings(
            "KAFKA_BOOTSTRAP_SERVERS is not set. Set it to servers such as kafka-1:9092,kafka-2:9092."
        )
    return settings.kafka_bootstrap_servers.split(",")
