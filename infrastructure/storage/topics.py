"""The names of our topics and transactional ids in Kafka. Loads no Kafka client."""

from __future__ import annotations

from typing import Literal

from infrastructure.settings import Settings

PARTITIONS = 24  # never change it: later events of a ticket would go to another partition
KEPT_FOREVER = {"cleanup.policy": "delete", "retention.ms": "-1", "retention.bytes": "-1"}
COMPRESSION: Literal["lz4"] = "lz4"  # of every batch of records


def events_topic(settings: Settings) -> str:
    """The name of the topic with every event, keyed by aggregate id."""
    return f"{settings.kafka_prefix}.events"


def position_topic(settings: Settings) -> str:
    """The name of the topic with the position of the relay, written in the transaction of the events."""
    return f"{settings.kafka_prefix}.relay.position"


def relay_transactional_id(settings: Settings) -> str:
    """The transactional id of all relays. Kafka accepts records only from the last that has started."""
    return f"{settings.kafka_prefix}-relay-0"


def checkpoints_topic(settings: Settings) -> str:
    """The name of the topic with the notary's statements, one record for each line of its file."""
    return f"{settings.kafka_prefix}.checkpoints"
