"""Creating the topics on a real Kafka, and checking those that exist."""

from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from functools import partial

import msgspec
import pytest

from cli.doctor.topics import check_topics, judge_topic
from infrastructure.storage.kafka import make_admin
from infrastructure.storage.kafka_topics import (
    LARGEST_RECORD_BYTES,
    WrongTopic,
    absent_topics,
    create_checkpoints_topic,
    create_topics,
    inspect_topics,
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


def judge(settings, partitions=None):
    """The findings of `ticketing doctor` that are not OK."""
    findings = []
    for report in inspect_topics(settings):
        recorded = partitions if report.spec.name == events_topic(settings) else None
        findings += judge_topic(report, settings, has_published=True, recorded_partitions=recorded)
    return [(one.level, f"{one.check}: {one.found} {one.remedy}") for one in findings if one.level != "OK"]


def test_doctor_names_topics_that_are_absent_wrong_or_of_another_size(settings, configure):
    create_topics(settings)
    ((_, absent),) = judge(settings)
    create_checkpoints_topic(settings)
    healthy = judge(settings)
    more_partitions = judge(settings, partitions=30)
    more_replicas = judge(msgspec.structs.replace(settings, kafka_replication_factor=3))
    configure(position_topic(settings), cleanup_policy="delete")
    ((level, wrong),) = judge(settings)

    assert healthy == []
    assert absent.startswith(
        f"topic {checkpoints_topic(settings)}: it is absent, although events were published"
    )
    assert [level for level, _ in more_partitions] == ["PROBLEM"]
    assert f"it has {PARTITIONS} partitions and must have 30" in more_partitions[0][1]
    assert [level for level, _ in more_replicas] == ["WARNING"] * 3
    assert level == "PROBLEM"
    assert "cleanup.policy is delete and must be compact" in wrong
    assert "kafka-configs.sh" in wrong


def test_doctor_names_a_kafka_that_does_not_answer(settings, conn):
    unreachable = msgspec.structs.replace(settings, kafka_bootstrap_servers="127.0.0.1:1")

    (finding,) = check_topics(conn, unreachable)

    assert (finding.level, finding.check) == ("PROBLEM", "Kafka")
    assert "KAFKA_BOOTSTRAP_SERVERS" in finding.remedy
