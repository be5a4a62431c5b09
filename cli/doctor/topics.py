"""Checks the topics in Kafka: present, with the partitions, replicas and settings that the system needs."""

from __future__ import annotations

from collections.abc import Iterator

from cli.doctor.finding import Finding, ok, problem, warning
from cli.doctor.server import sql
from infrastructure.settings import Settings
from infrastructure.storage.kafka_topics import TopicReport, inspect_topics
from infrastructure.storage.postgres import Connection
from infrastructure.storage.topics import checkpoints_topic, events_topic


def check_topics(conn: Connection, settings: Settings) -> list[Finding]:
    from kafka.errors import KafkaError

    ((published, partitions),) = conn.execute(sql["read_published"]).fetchall()
    try:
        reports = inspect_topics(settings)
    except (KafkaError, TimeoutError) as error:
        found = f"it does not answer: {str(error) or type(error).__name__}."
        return [problem("Kafka", found, "Start Kafka, or correct KAFKA_BOOTSTRAP_SERVERS.")]
    findings: list[Finding] = []
    for report in reports:
        recorded = partitions if report.spec.name == events_topic(settings) else None
        has_published = published > 0 and report.spec.name != checkpoints_topic(settings)
        findings += judge_topic(report, settings, has_published=has_published, recorded_partitions=recorded)
    return findings


def judge_topic(
    report: TopicReport, settings: Settings, *, has_published: bool, recorded_partitions: int | None
) -> Iterator[Finding]:
    """Yields the findings for one topic. `has_published`: the relay has published to it; the notary publishes
    again to a topic that was lost. `recorded_partitions`: their number when the relay began."""
    check, topic = f"topic {report.spec.name}", report.topic
    if topic is None and has_published:
        remedy = 'See "Publish again" in docs/how-to/operating.md, or correct KAFKA_PREFIX.'
        yield problem(check, "it is absent, although events were published.", remedy)
        return
    if topic is None:
        yield warning(check, "it is absent.", "The relay and the notary create their topics when they start.")
        return
    faults = [
        *([problem(check, "its settings are wrong.", str(report.fault))] if report.fault else []),
        *_judge_partitions(check, report, recorded_partitions),
        *_judge_replicas(check, topic.replicas, settings.kafka_replication_factor),
    ]
    yield from faults or [ok(check, f"{topic.partitions} partitions, replication factor {topic.replicas}.")]


def _judge_partitions(check: str, report: TopicReport, recorded: int | None) -> Iterator[Finding]:
    needed = recorded or report.spec.partitions
    found = report.topic.partitions if report.topic else 0
    if found == needed:
        return
    text = f"it has {found} partitions and must have {needed}."
    yield problem(check, text, 'Use another topic: see "Add partitions" in docs/how-to/operating.md.')


def _judge_replicas(check: str, found: int, needed: int) -> Iterator[Finding]:
    if found < needed:
        text = f"its replication factor is {found}, less than KAFKA_REPLICATION_FACTOR {needed}."
        yield warning(check, text, "Add replicas with kafka-reassign-partitions.sh.")
