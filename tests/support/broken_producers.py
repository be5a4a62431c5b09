"""Producers around a real one whose transactions end as accidents would have them end."""

from __future__ import annotations

from typing import Any

from kafka import KafkaProducer, TopicPartition
from kafka.errors import KafkaTimeoutError

from infrastructure.settings import Settings
from infrastructure.storage.topics import PARTITIONS, events_topic, position_topic
from tests.support.kafka_server import KafkaProxy


class ForgottenMarks:
    """A producer whose transactions end in only half of the partitions: what a broker leaves behind that is
    killed meanwhile. It does not tell Kafka that the others belong to the transaction."""

    def __init__(self, producer: KafkaProducer, settings: Settings) -> None:
        self._producer = producer
        self._forgotten = {TopicPartition(events_topic(settings), n) for n in range(PARTITIONS // 2)}
        self._forgotten.add(TopicPartition(position_topic(settings), 0))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._producer, name)

    def begin_transaction(self) -> None:
        self._producer.begin_transaction()
        self._producer._transaction_manager._partitions_in_transaction |= self._forgotten


class ForgottenAborts(ForgottenMarks):
    """And which cannot commit."""

    def commit_transaction(self) -> None:
        self._producer.abort_transaction()
        raise KafkaTimeoutError("as if its time were up")


class CutHalfWay:
    """A producer whose records do not arrive any more when half of a page is there for sure. They are sent
    again until their time is up, while all else in Kafka works."""

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
