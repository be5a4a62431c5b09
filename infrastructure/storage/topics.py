"""The names of what is ours in Kafka and the shapes of our topics, without a Kafka client."""

from __future__ import annotations

from infrastructure.settings import Settings

PARTITIONS = 24  # for ever: another count would send a ticket's later events to another partition


def events_topic(settings: Settings) -> str:
    """Every event, keyed by aggregate id."""
    return f"{settings.kafka_prefix}.events"


def position_topic(settings: Settings) -> str:
    """How far the relay has come, moved in the transaction of the events themselves."""
    return f"{settings.kafka_prefix}.relay.position"


def relay_transactional_id(settings: Settings) -> str:
    """The one id of all relays: whoever has it last may write."""
    return f"{settings.kafka_prefix}-relay-0"


def checkpoints_topic(settings: Settings) -> str:
    """What the notary has signed, one record a line of its file."""
    return f"{settings.kafka_prefix}.checkpoints"
