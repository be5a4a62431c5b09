"""Wrappers around a real Kafka producer that make its transactions fail."""

from __future__ import annotations

from typing import Any

from kafka import KafkaProducer, TopicPartition
from kafka.errors import KafkaTimeoutError

from infrastructure.settings import Settings
from infrastructure.storage.topics import PARTITIONS, events_topic, position_topic
from tests.support.kafka_server import KafkaProxy


class ForgottenMarks:
    """A producer whose transaction markers reach only half of the partitions, as when a broker is killed
    while it writes them. The client never sends AddPartitionsToTxn for the other partitions."""

    def __init__(self, producer: KafkaProducer, settings: Settings) -> None:
        self._producer = producer
        self._omitted = {TopicPartition(events_topic(settings), n) for n in range(PARTITIONS // 2)}
        self._omitted.add(TopicPartition(position_topic(settings), 0))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._producer, name)

    def begin_transaction(self) -> None:
        self._producer.begin_transaction()
        self._producer._transaction_manager._partitions_in_transaction |= self._omitted


class ForgottenAborts(ForgottenMarks):
    """Omits half of the markers, and aborts every transaction instead of committing it."""

    def commit_transaction(self) -> None:
        self._producer.abort_transaction()
        raise KafkaTimeoutError("injected timeout")


class CutHalfWay:
    """A producer whose records no longer reach the broker once `after` records of a batch were acknowledged.
    It retries until its delivery timeout; all other requests to Kafka succeed."""

    def __init__(self, producer: KafkaProducer, proxy: KafkaProxy, after: int) -> None:
        self._producer, self.proxy, self._left = producer, proxy, after

    def __getattr__(self, name: str) -> Any:
        return getattr(self._producer, name)

    def send(self, *arguments: Any, **options: Any) -> Any:
        if self._left == 0:
            self._producer.flush(timeout=20)
            self.proxy.takes_records = False
        self._left -= 1
        return self._producer.send(*arguments, **options)
