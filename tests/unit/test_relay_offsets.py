"""The highest offsets of a batch, from Kafka's acknowledgements of its records."""

from __future__ import annotations

import pytest
from kafka import TopicPartition
from kafka.errors import KafkaError
from kafka.producer.future import RecordMetadata

from event_stream.relay import last_offsets


def test_an_acknowledgement_without_an_offset_is_an_error():
    """Without it, the relay could not check the partition for the transaction's marker."""
    acknowledged = RecordMetadata("t", 3, TopicPartition("t", 3), 7, 0, None, 0, 0, 0)
    earlier = acknowledged._replace(offset=5)

    assert last_offsets([acknowledged, earlier]) == {TopicPartition("t", 3): 7}
    with pytest.raises(KafkaError, match="without an offset"):
        last_offsets([acknowledged, acknowledged._replace(offset=-1)])
