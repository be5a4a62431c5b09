"""Where the records of a page stand, as Kafka tells it."""

from __future__ import annotations

import pytest
from kafka import TopicPartition
from kafka.errors import KafkaError
from kafka.producer.future import RecordMetadata

from event_stream.relay import last_offsets


def test_a_record_of_which_kafka_does_not_say_where_it_stands_is_not_committed():
    """Nobody could look whether its partition is marked."""
    told = RecordMetadata("t", 3, TopicPartition("t", 3), 7, 0, None, 0, 0, 0)
    earlier = told._replace(offset=5)

    assert last_offsets([told, earlier]) == {TopicPartition("t", 3): 7}
    with pytest.raises(KafkaError, match="without an offset"):
        last_offsets([told, told._replace(offset=-1)])
