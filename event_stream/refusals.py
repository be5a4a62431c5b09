"""A record that Kafka refuses: which event it is, and what an operator can do about it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import structlog
from kafka.errors import (
    CorruptRecordError,
    InvalidRecordError,
    InvalidTimestampError,
    KafkaError,
    MessageSizeTooLargeError,
    PolicyViolationError,
    RecordListTooLargeError,
)

from event_stream.envelope import to_record
from infrastructure.settings import Settings
from infrastructure.storage.kafka_topics import LARGEST_RECORD_BYTES
from infrastructure.storage.recorder import StoredRow
from infrastructure.storage.topics import events_topic

TOO_LARGE = (MessageSizeTooLargeError, RecordListTooLargeError)
# Errors about the record itself: the same record is refused again until a setting is changed.
REFUSALS = (*TOO_LARGE, InvalidRecordError, InvalidTimestampError, CorruptRecordError, PolicyViolationError)
OVERHEAD_BYTES = 1_024  # of a batch with one record, without the record's key, value and headers

log = structlog.get_logger()


class RecordRefused(Exception):
    """Kafka refuses the record of `row`. `index` is the place of the row in its batch; the transaction is
    aborted."""

    def __init__(self, row: StoredRow, index: int, error: KafkaError) -> None:
        super().__init__(f"Kafka refuses the event at position {row.position}: {error}")
        self.row = row
        self.index = index
        self.error = error


def find_refusal(batch: Sequence[StoredRow], futures: Sequence[Any]) -> RecordRefused | None:
    """The refusal of the first record that failed with one of REFUSALS; None if none did."""
    for index, (row, future) in enumerate(zip(batch, futures, strict=False)):
        if future.is_done and isinstance(future.exception, REFUSALS):
            return RecordRefused(row, index, future.exception)
    return None


def explain(refused: RecordRefused, settings: Settings) -> str:
    """Log the refused record, and return a message that names it and the setting to change."""
    row, topic = refused.row, events_topic(settings)
    record = to_record(row, source=settings.base_url)
    size = len(record.key) + len(record.value) + sum(len(name) + len(value) for name, value in record.headers)
    advice = _advise(refused.error, size, topic, settings)
    log.error(
        "relay_record_refused",
        position=row.position,
        event_type=row.event_type,
        aggregate_id=row.aggregate_id,
        version=row.version,
        bytes=size,
        topic=topic,
        setting=_setting_of(refused.error),
        error=repr(refused.error)[:500],
        advice=advice,
    )
    return (
        f"Kafka refuses the record of the event {row.event_type} at position {row.position}, version"
        f" {row.version} of {row.aggregate_id}, with {size} bytes: {refused.error}. Earlier events are"
        f" published; nothing after it is, until Kafka accepts it. {advice}"
    )


def _setting_of(error: KafkaError) -> str | None:
    """The setting of the topic with which Kafka would accept the record, if the error shows it."""
    if isinstance(error, TOO_LARGE):
        return "max.message.bytes"
    if isinstance(error, InvalidTimestampError) or "imestamp" in str(error):
        return "message.timestamp.after.max.ms, message.timestamp.before.max.ms"
    return None


def _advise(error: KafkaError, size: int, topic: str, settings: Settings) -> str:
    setting = _setting_of(error)
    change = (
        f"kafka-configs.sh --bootstrap-server {settings.kafka_bootstrap_servers} --alter --entity-type topics"
        f" --entity-name {topic} --add-config"
    )
    if setting is None:
        return f"Change the setting of the topic {topic} that the error or the log of the Kafka server names."
    if isinstance(error, TOO_LARGE):
        least = max(size + OVERHEAD_BYTES, LARGEST_RECORD_BYTES)
        return f"Raise {setting} of the topic: {change} {setting}={least}"
    return (
        f"Correct the clock of this machine, or raise {setting} of the topic: {change} SETTING=MILLISECONDS"
    )
