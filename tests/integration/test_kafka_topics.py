"""Creating the topics on a real Kafka, and checking those that exist."""

from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from functools import partial

import msgspec
import pytest

from cli.doctor.topics import check_topics
from infrastructure.storage.kafka import make_admin
from infrastructure.storage.kafka_topics import (
    LARGEST_RECORD_BYTES,
    WrongTopic,
    absent_topics,
    create_checkpoints_topic,
    create_topics,
)
from infrastructure.storage.topics import PARTITIONS, checkpoints_topic, events_topic, position_topic
from tests.support.stream import stream_settings
from tests.support.topic_settings import change_settings


@pytest.fixture
def settings(kafka, kafka_prefix, tmp_path):
    return stream_settings("", kafka, kafka_prefix, tmp_path)


def test_several_processes_may_create_the_topics_at_once(settings):
    with ThreadPoolExecutor(4) as threads:
        created = [threads.submit(create_topics, settings) for _ in range(4)]

    assert all(one.result() == created[0].result() for one in created)
    assert absent_topics(settings) == []


@pytest.fixture
def configure(settings):
    """A function that changes settings of a topic."""
    with closing(make_admin(settings)) as admin:
        yield partial(change_settings, admin)


def test_topics_with_settings_that_lose_or_refuse_records_are_refused(settings, configure):
    """The message names the topic, the setting, its value, the value it needs, and the command."""
    create_topics(settings)
    events, positions = events_topic(settings), position_topic(settings)
    cases = [
        (events, {"cleanup_policy": "compact"}, "cleanup.policy is compact and must be delete"),
        (events, {"cleanup_policy": "delete,compact"}, "cleanup.policy is delete,compact and must be delete"),
        (events, {"retention_ms": "604800000"}, "retention.ms is 604800000 and must be -1"),
        (events, {"retention_bytes": "1073741824"}, "retention.bytes is 1073741824 and must be -1"),
        (events, {"max_message_bytes": "500000"}, "max.message.bytes is 500000 and must be at least 1048588"),
        (events, {"min_insync_replicas": "2"}, "min.insync.replicas is 2 and must be at most 1"),
        (positions, {"cleanup_policy": "delete"}, "cleanup.policy is delete and must be compact"),
        (positions, {"max_message_bytes": "10"}, "max.message.bytes is 10 and must be at least 1048588"),
    ]
    needed = {
        "cleanup_policy": "delete",
        "retention_ms": "-1",
        "retention_bytes": "-1",
        "max_message_bytes": str(LARGEST_RECORD_BYTES),
        "min_insync_replicas": "1",
    }
    for topic, values, fault in cases:
        configure(topic, **values)
        with pytest.raises(WrongTopic) as refused:
            create_topics(settings)
        (name,) = values
        correct = "compact" if (topic, name) == (positions, "cleanup_policy") else needed[name]
        command = f"--entity-name {topic} --add-config {name.replace('_', '.')}={correct}"
        assert f"The topic {topic} has settings" in str(refused.value)
        assert f": {fault}. Change" in str(refused.value)
        assert str(refused.value).endswith(command)
        configure(topic, **{name: correct})  # what the command does
    assert create_topics(settings)[events].partitions == PARTITIONS


def test_a_topic_for_more_servers_than_there_are_is_refused_with_the_setting(settings):
    demanding = msgspec.structs.replace(settings, kafka_replication_factor=3)

    with pytest.raises(WrongTopic, match="Set KAFKA_REPLICATION_FACTOR"):
        create_topics(demanding)


def test_the_relay_and_the_notary_do_not_need_the_topics_of_each_other(settings, configure):
    create_checkpoints_topic(settings)
    configure(checkpoints_topic(settings), retention_ms="1000")
    create_topics(settings)
    configure(events_topic(settings), retention_ms="1000")

    with pytest.raises(WrongTopic, match=checkpoints_topic(settings)):
        create_checkpoints_topic(settings)
    with pytest.raises(WrongTopic, match=events_topic(settings)):
        create_topics(settings)
    configure(checkpoints_topic(settings), retention_ms="-1")
    assert create_checkpoints_topic(settings) is False


def test_doctor_names_topics_that_are_absent_wrong_or_of_another_size(settings, configure, conn):
    def check(partitions=PARTITIONS, **values):
        conn.execute("UPDATE relay.position SET position = 1, partitions = %s", [partitions])
        findings = check_topics(conn, msgspec.structs.replace(settings, **values))
        return [
            (one.level, f"{one.check}: {one.found} {one.remedy}") for one in findings if one.level != "OK"
        ]

    lost = check()
    create_topics(settings)
    ((absent_level, absent),) = check()
    create_checkpoints_topic(settings)
    healthy = check()
    ((partitions_level, partitions),) = check(partitions=30)
    replicas = check(kafka_replication_factor=3)
    configure(position_topic(settings), cleanup_policy="delete")
    ((policy_level, policy),) = check()

    assert [level for level, _ in lost] == ["PROBLEM", "PROBLEM", "WARNING"]
    assert f"topic {events_topic(settings)}: it is absent, although events were published" in lost[0][1]
    assert (absent_level, f"topic {checkpoints_topic(settings)}: it is absent." in absent) == (
        "WARNING",
        True,
    )
    assert healthy == []
    assert partitions_level == "PROBLEM"
    assert f"it has {PARTITIONS} partitions and must have 30" in partitions
    assert [level for level, _ in replicas] == ["WARNING"] * 3
    assert policy_level == "PROBLEM"
    assert "cleanup.policy is delete and must be compact" in policy
    assert "kafka-configs.sh" in policy


def test_doctor_names_a_kafka_that_does_not_answer(settings, conn):
    unreachable = msgspec.structs.replace(settings, kafka_bootstrap_servers="127.0.0.1:1")

    (finding,) = check_topics(conn, unreachable)

    assert (finding.level, finding.check) == ("PROBLEM", "Kafka")
    assert "KAFKA_BOOTSTRAP_SERVERS" in finding.remedy
