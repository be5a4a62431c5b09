"""The Kafka topic to which statements are published."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing

from kafka import KafkaConsumer, TopicPartition
from kafka.errors import KafkaError

from infrastructure.settings import Settings
from infrastructure.storage.kafka import DELIVERY_SECONDS, make_consumer, make_producer
from infrastructure.storage.kafka_topics import WrongTopic, create_checkpoints_topic
from infrastructure.storage.topics import checkpoints_topic
from notary.places import PlaceUnavailable, last_of
from notary.statements import parse


class StatementTopic:
    """The topic `<KAFKA_PREFIX>.checkpoints`, with one partition and one record for each statement."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._partition = TopicPartition(checkpoints_topic(settings), 0)

    def lines(self) -> Iterator[str]:
        """Yields every committed record in order, up to the current end. Raises PlaceUnavailable."""
        client_id = f"{self._settings.kafka_prefix}-notary-reader"
        try:
            with closing(make_consumer(self._settings, client_id=client_id)) as consumer:
                if not consumer.partitions_for_topic(self._partition.topic):
                    return
                consumer.assign([self._partition])
                consumer.seek_to_beginning(self._partition)
                yield from self._until_end(consumer)
        except KafkaError as error:
            raise PlaceUnavailable(f"Kafka: {error!r}") from None

    def last_line(self) -> str | None:
        """Return the last line, or None. Raises PlaceUnavailable."""
        return last_of(self.lines())

    def append(self, lines: Sequence[str]) -> None:
        """Send all lines in one transaction. Raises PlaceUnavailable."""
        try:
            self._append(lines)
        except WrongTopic as error:
            raise PlaceUnavailable(str(error)) from None
        except (KafkaError, OSError) as error:
            raise PlaceUnavailable(f"Kafka: {error!r}") from None

    def _append(self, lines: Sequence[str]) -> None:
        if create_checkpoints_topic(self._settings) and parse(lines[0]).number > 1:
            raise PlaceUnavailable(
                f"The topic {self._partition.topic} was missing and has been created; every statement will be"
                " published to it again."
            )
        producer = make_producer(self._settings, transactional_id=f"{self._settings.kafka_prefix}-notary-0")
        with closing(producer):
            producer.init_transactions()
            producer.begin_transaction()
            futures = [
                producer.send(self._partition.topic, key=b"statement", value=line.encode(), partition=0)
                for line in lines
            ]
            for future in futures:
                future.get(timeout=DELIVERY_SECONDS)
            producer.commit_transaction()

    def _until_end(self, consumer: KafkaConsumer) -> Iterator[str]:
        end = consumer.end_offsets([self._partition])[self._partition]
        while consumer.position(self._partition) < end:
            for record in consumer.poll(timeout_ms=500).get(self._partition, []):
                yield record.value.decode(errors="replace")
