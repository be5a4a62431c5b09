"""Settings of topics: changes and reads them."""

from __future__ import annotations

from kafka import KafkaAdminClient
from kafka.admin import ConfigResource, ConfigResourceType

from tests.support.waiting import eventually


def read_settings(admin: KafkaAdminClient, topic: str) -> dict[str, str]:
    """The settings of the topic, with the names that Kafka gives them."""
    found = admin.describe_configs([ConfigResource(ConfigResourceType.TOPIC, topic)])
    (by_name,) = found.values()
    return {setting: data["value"] for setting, data in by_name[topic].items()}


def change_settings(admin: KafkaAdminClient, topic: str, **values: object) -> None:
    """Change settings of the topic, with `_` in their names for `.`, and wait until the server has applied
    them, which it does after its answer."""
    changes = {name.replace("_", "."): str(value) for name, value in values.items()}
    admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, topic, changes)])
    eventually(lambda: changes.items() <= read_settings(admin, topic).items())
