"""Creating the topics on a real Kafka, by several processes at once."""

from concurrent.futures import ThreadPoolExecutor

import pytest
from kafka import KafkaAdminClient

from infrastructure.storage.kafka import WrongTopic, absent_topics, create_topics
from infrastructure.storage.topics import events_topic
from tests.support.stream import stream_settings


@pytest.fixture
def settings(kafka, kafka_prefix, tmp_path):
    return stream_settings("", kafka, kafka_prefix, tmp_path)


def test_several_processes_may_create_the_topics_at_once(settings):
    with ThreadPoolExecutor(4) as threads:
        created = [threads.submit(create_topics, settings) for _ in range(4)]

    assert [one.result() for one in created] == [None] * 4
    assert absent_topics(settings) == []


def test_a_topic_with_another_number_of_partitions_is_refused(settings):
    admin = KafkaAdminClient(bootstrap_servers=settings.kafka_bootstrap_servers)
    admin.create_topics({events_topic(settings): {"num_partitions": 3, "replication_factor": 1}})
    admin.close()

    with pytest.raises(WrongTopic, match="has 3 partitions and needs 24"):
        create_topics(settings)
