"""Says what an operator must decide after a restore: above all, which events consumers must get again."""

from __future__ import annotations

from backups.reading import Backup
from cli.output import note
from infrastructure.settings import Settings
from infrastructure.storage.topics import checkpoints_topic, events_topic, position_topic
from notary.places import StatementFile
from notary.statements import parse


def last_position(file: StatementFile) -> int:
    """The last position of the log that the statements of a file sign or name."""
    statements = map(parse, file.lines())
    return max((one.position or one.facts.get("event_position", 0) for one in statements), default=0)


def advise(settings: Settings, backup: Backup, signed_to: int, published: int | None) -> None:
    """Write the decisions to standard error. `signed_to` is the last position that the notary signed,
    `published` that of `published_position`."""
    facts = backup.manifest.facts
    note(
        f"The backup is of {backup.manifest.created_at:%Y-%m-%d %H:%M:%S} UTC. Later changes are lost, also"
        " those of access: revoke again the keys that were revoked, and deactivate again the people who were"
        " deactivated."
    )
    if signed_to > facts.log_end:
        note(f"The events from position {facts.log_end + 1} to {signed_to}, which were signed, are lost.")
    _advise_on_kafka(settings, backup, published)
    note(
        f"Webhooks: {facts.pending_deliveries} deliveries were pending and are posted again, so receivers may"
        " get them twice, with the same webhook-id."
    )
    if backup.manifest.lost_attachments:
        lost = len(backup.manifest.lost_attachments)
        note(f"The backup lacks {lost} attachments: copy them from an older one.")
    note(
        "Consumers of /v1/events and /v1/changes whose position is beyond the log are refused until the next"
        " event. Let them begin again, because they have events that are lost."
    )


def _advise_on_kafka(settings: Settings, backup: Backup, published: int | None) -> None:
    if not settings.kafka_bootstrap_servers:
        note(
            "Kafka: KAFKA_BOOTSTRAP_SERVERS is not set, so nothing was checked. If the system used it before,"
            " see docs/how-to/backup.md."
        )
        return
    facts = backup.manifest.facts
    if published is None:
        note(
            "Kafka does not answer or has no position of the relay. When it does, see docs/how-to/backup.md,"
            " or run `ticketing relay republish --from 0` for new topics."
        )
    elif published > facts.log_complete_to:
        topics = f"{checkpoints_topic(settings)}, {events_topic(settings)} and {position_topic(settings)}"
        note(
            f"Kafka: events up to position {published} are published, and the backup is complete to position"
            f" {facts.log_complete_to}, so the topic has events that never happened. Keep a copy of"
            f" {checkpoints_topic(settings)}, delete the topics {topics}, run `ticketing relay republish"
            " --from 0`, and inform the consumers. Do not start the relay before that."
        )
    else:
        note(
            f"Kafka: all published events, up to position {published}, are in the log, so consumers need"
            " nothing. Webhook deliveries that were stored after the backup are lost. To store them again,"
            f" run `ticketing relay republish --from {min(facts.dispatched_to, published)}`; consumers then"
            " get these events twice."
        )


def published_position(settings: Settings) -> int | None:
    """The position up to which Kafka has the events; None without Kafka, or if it does not answer."""
    if not settings.kafka_bootstrap_servers:
        return None
    from kafka.errors import KafkaError  # here, because it loads a Kafka client

    from event_stream.position import read_position
    from infrastructure.storage.kafka_topics import absent_topics

    try:
        found = None if absent_topics(settings) else read_position(settings)
    except (KafkaError, TimeoutError):
        return None
    return found.position if found is not None else None
