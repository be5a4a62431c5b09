"""Creates our topics with the settings that the design needs, and checks those that exist.

docs/decisions/0004-event-stream.md gives the reasons for the settings.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any, NamedTuple

from kafka import KafkaAdminClient
from kafka.admin import ConfigResource, ConfigResourceType
from kafka.errors import InvalidReplicationFactorError, TopicAlreadyExistsError

from infrastructure.settings import Settings
from infrastructure.storage.kafka import CONNECT_SECONDS, make_admin
from infrastructure.storage.topics import (
    KEPT_FOREVER,
    PARTITIONS,
    checkpoints_topic,
    events_topic,
    position_topic,
)

# Kafka's default. The largest event has about a quarter of it: a text of 65,535 characters of 4 bytes each.
LARGEST_RECORD_BYTES = 1_048_588
INSPECT_SECONDS = 5
_NO_ID = "00000000-0000-0000-0000-000000000000"  # of brokers before Kafka 2.8


class WrongTopic(Exception):
    """A topic has settings with which events would be lost or refused. The message names the remedy."""


class TopicSpec(NamedTuple):
    """A topic as it is created. `required` settings are checked when it exists, `tuned` ones are not."""

    name: str
    partitions: int
    required: Mapping[str, str]
    tuned: Mapping[str, str]


class Topic(NamedTuple):
    """A topic that exists. Its `id` is another when it is deleted and created again; None if unknown."""

    name: str
    id: str | None
    partitions: int
    replicas: int


class TopicReport(NamedTuple):
    """A topic that the system needs. `topic` is None if it is absent. `fault` is what `create_topics` would
    raise."""

    spec: TopicSpec
    topic: Topic | None
    fault: WrongTopic | None


class _Fault(NamedTuple):
    setting: str
    found: str
    needed: str


_LAST_OF_EACH_KEY = {"cleanup.policy": "compact"}
_COMPACT_SOON = {
    "segment.bytes": str(16 * 1024 * 1024),  # small, because the open segment is never compacted
    "segment.ms": str(24 * 3600 * 1000),
    "min.cleanable.dirty.ratio": "0.1",
}


def create_topics(settings: Settings) -> dict[str, Topic]:
    """Create the topics of the relay that are missing, and return both by name. Raises WrongTopic."""
    present, _ = _ensure(settings, _relay_topics(settings))
    return present


def create_checkpoints_topic(settings: Settings) -> bool:
    """Create the topic of the notary if it is missing; return whether it was. Raises WrongTopic."""
    _, absent = _ensure(settings, [_checkpoints_spec(settings)])
    return bool(absent)


def absent_topics(settings: Settings) -> list[str]:
    """The names of the topics of the relay that the cluster does not have."""
    names = [spec.name for spec in _relay_topics(settings)]
    admin = make_admin(settings)
    try:
        present = _describe(admin, names)
    finally:
        admin.close()
    return [name for name in names if name not in present]


def inspect_topics(settings: Settings) -> list[TopicReport]:
    """Every topic of the relay and of the notary, without creating any. Raises KafkaError."""
    specs = [*_relay_topics(settings), _checkpoints_spec(settings)]
    admin = make_admin(settings, seconds=INSPECT_SECONDS)
    try:
        present = _describe(admin, [spec.name for spec in specs])
        configs = _read_configs(admin, list(present)) if present else {}
    finally:
        admin.close()
    return [_report(settings, spec, present.get(spec.name), configs.get(spec.name, {})) for spec in specs]


def _report(
    settings: Settings, spec: TopicSpec, topic: Topic | None, configs: Mapping[str, str]
) -> TopicReport:
    if topic is None:
        return TopicReport(spec, None, None)
    try:
        _require(settings, spec, configs, topic.replicas)
    except WrongTopic as fault:
        return TopicReport(spec, topic, fault)
    return TopicReport(spec, topic, None)


def _checkpoints_spec(settings: Settings) -> TopicSpec:
    return TopicSpec(checkpoints_topic(settings), 1, KEPT_FOREVER, {})


def _relay_topics(settings: Settings) -> list[TopicSpec]:
    return [
        TopicSpec(events_topic(settings), PARTITIONS, KEPT_FOREVER, {}),
        TopicSpec(position_topic(settings), 1, _LAST_OF_EACH_KEY, _COMPACT_SOON),
    ]


def _ensure(settings: Settings, specs: Sequence[TopicSpec]) -> tuple[dict[str, Topic], list[TopicSpec]]:
    """Return the topics by name, and those that were missing."""
    admin = make_admin(settings)
    try:
        present = _describe(admin, [spec.name for spec in specs])
        absent = [spec for spec in specs if spec.name not in present]
        for spec in absent:
            _create(admin, settings, spec)
        if absent:
            present |= _describe(admin, [spec.name for spec in absent])
        # Those just created are checked too: another process may have created them with other settings.
        configs = _read_configs(admin, [spec.name for spec in specs])
    finally:
        admin.close()
    for spec in specs:
        _require(settings, spec, configs.get(spec.name, {}), present[spec.name].replicas)
    return present, absent


def _create(admin: KafkaAdminClient, settings: Settings, spec: TopicSpec) -> None:
    replicas = settings.kafka_replication_factor
    configs = {
        **spec.required,
        **spec.tuned,
        "max.message.bytes": str(LARGEST_RECORD_BYTES),
        "min.insync.replicas": str(_least_in_sync(replicas)),
    }
    topic = {"num_partitions": spec.partitions, "replication_factor": replicas, "configs": configs}
    try:
        with suppress(TopicAlreadyExistsError):
            admin.create_topics({spec.name: topic}, timeout_ms=CONNECT_SECONDS * 1000)
    except InvalidReplicationFactorError:
        raise WrongTopic(
            f"The topic {spec.name} cannot be created with {replicas} replicas, because the Kafka cluster has"
            " fewer servers. Set KAFKA_REPLICATION_FACTOR to at most their number."
        ) from None
    admin.wait_for_topics([spec.name])


def _describe(admin: KafkaAdminClient, names: list[str]) -> dict[str, Topic]:
    """The topics that exist, by name."""
    return {
        topic["name"]: Topic(
            name=topic["name"],
            id=None if str(topic["topic_id"]) == _NO_ID else str(topic["topic_id"]),
            partitions=len(topic["partitions"]),
            replicas=min(len(partition["replica_nodes"]) for partition in topic["partitions"]),
        )
        for topic in admin.describe_topics(names)
        if topic["error_code"] == 0
    }


def _read_configs(admin: KafkaAdminClient, names: list[str]) -> dict[str, dict[str, str]]:
    """The settings of each topic, including defaults of the cluster."""
    resources = [ConfigResource(ConfigResourceType.TOPIC, name) for name in names]
    found: dict[str, dict[str, Any]] = admin.describe_configs(resources, config_filter="all").get("topic", {})
    return {
        topic: {setting: facts["value"] for setting, facts in settings.items()}
        for topic, settings in found.items()
    }


def _require(settings: Settings, spec: TopicSpec, configs: Mapping[str, str], replicas: int) -> None:
    """Raise WrongTopic unless the topic has the settings that it needs."""
    servers = settings.kafka_bootstrap_servers
    if not configs:
        raise WrongTopic(
            f"Kafka does not show the settings of the topic {spec.name}. Give the user of this process the"
            f" right to read them: kafka-acls.sh --bootstrap-server {servers} --add --operation"
            f" DescribeConfigs --topic {spec.name} --allow-principal User:NAME"
        )
    if faults := list(_find_faults(spec, configs, replicas)):
        wrong = "; ".join(f"{each.setting} is {each.found} and must be {each.needed}" for each in faults)
        changes = ",".join(f"{each.setting}={each.needed.split()[-1]}" for each in faults)
        raise WrongTopic(
            f"The topic {spec.name} has settings with which Kafka would delete or refuse records: {wrong}."
            f" Change them, then start again: kafka-configs.sh --bootstrap-server {servers} --alter"
            f" --entity-type topics --entity-name {spec.name} --add-config {changes}"
        )


def _find_faults(spec: TopicSpec, configs: Mapping[str, str], replicas: int) -> Iterator[_Fault]:
    """Yields the wrong settings. Those that Kafka does not name are left out: some servers lack a setting."""
    for setting, needed in spec.required.items():
        if (found := configs.get(setting, needed)) != needed:
            yield _Fault(setting, found, needed)
    largest = configs.get("max.message.bytes", str(LARGEST_RECORD_BYTES))
    if int(largest) < LARGEST_RECORD_BYTES:
        yield _Fault("max.message.bytes", largest, f"at least {LARGEST_RECORD_BYTES}")
    least = _least_in_sync(replicas)
    in_sync = configs.get("min.insync.replicas", str(least))
    if int(in_sync) < least:
        yield _Fault("min.insync.replicas", in_sync, f"at least {least}")
    if int(in_sync) > replicas:
        yield _Fault("min.insync.replicas", in_sync, f"at most {replicas}")


def _least_in_sync(replicas: int) -> int:
    """With three replicas, an acknowledged record must be on two, so that it survives the loss of one."""
    return 2 if replicas >= 3 else 1
