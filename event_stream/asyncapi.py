"""Describes the stream as an AsyncAPI 3.1 document: servers, topic, keys, headers and every event type."""

from __future__ import annotations

from typing import Any

from domain.aggregate import DomainEvent
from event_stream.envelope import schema_path
from event_stream.event_types import components, event_types
from infrastructure.settings import Settings
from infrastructure.storage.topics import COMPRESSION, KEPT_FOREVER, PARTITIONS, events_topic

Document = dict[str, Any]

DESCRIPTION = """\
Every event of the ticketing system, in the order of each aggregate, once for consumers that read committed
records (`isolation.level=read_committed`). The key is the aggregate's id: its events are in one partition.
Records are CloudEvents 1.0 in binary mode; the value is the event's JSON. Later versions may add fields and
values of enumerations: ignore unknown ones. They do not rename or remove any, or change their types.

Batches of records are compressed with {compression}: a consumer needs a client that can decompress it.
"""
_PLAINTEXT = "The listener to which this installation connects: without TLS and without authentication."
_NO_KAFKA = (
    "A server of the cluster. This installation publishes to none: KAFKA_BOOTSTRAP_SERVERS is not set."
)


def describe_stream(settings: Settings) -> Document:
    """The document of this installation's topic."""
    types = event_types()
    topic, servers = events_topic(settings), _servers(settings)
    return {
        "asyncapi": "3.1.0",
        "info": {
            "title": "Modern Management Ticketing System events",
            "version": "1.0.0",
            "description": DESCRIPTION.format(compression=COMPRESSION),
        },
        "defaultContentType": "application/json",
        "servers": servers,
        "channels": {
            "events": {
                "address": topic,
                "title": "All events",
                "servers": [{"$ref": f"#/servers/{name}"} for name in servers],
                "messages": {name: {"$ref": _message(name)} for name in types},
                "bindings": {"kafka": _describe_topic(topic, settings)},
            }
        },
        "operations": {
            "publishEvents": {
                "action": "send",
                "channel": {"$ref": "#/channels/events"},
                "summary": "The events that the system publishes.",
                "messages": [{"$ref": f"#/channels/events/messages/{name}"} for name in types],
            }
        },
        "components": {
            "messages": {
                name: _describe_message(name, kind, settings.base_url) for name, kind in types.items()
            },
            "messageTraits": {"cloudEvent": {"headers": _HEADERS}},
            "schemas": components(types.values(), "#/components/schemas/{name}"),
        },
    }


def _servers(settings: Settings) -> Document:
    """The servers that consumers can connect to, by name."""
    common = {"protocol": "kafka", "security": []}
    if not settings.kafka_bootstrap_servers:
        bootstrap = {"default": "localhost:9092", "description": "Host and port of a server of the cluster"}
        unknown = {"host": "{bootstrap}", "variables": {"bootstrap": bootstrap}, "description": _NO_KAFKA}
        return {"kafka1": {**common, **unknown}}
    hosts = [host.strip() for host in settings.kafka_bootstrap_servers.split(",")]
    return {
        f"kafka{number}": {**common, "host": host, "description": _PLAINTEXT}
        for number, host in enumerate(hosts, 1)
    }


def _describe_topic(topic: str, settings: Settings) -> Document:
    configuration: Document = {
        name: [value] if name == "cleanup.policy" else int(value) for name, value in KEPT_FOREVER.items()
    }
    return {
        "topic": topic,
        "partitions": PARTITIONS,
        "replicas": settings.kafka_replication_factor,
        "topicConfiguration": configuration,
        "x-compression": COMPRESSION,
        "bindingVersion": "0.5.0",
    }


def _message(event_type: str) -> str:
    return f"#/components/messages/{event_type}"


def _describe_message(event_type: str, kind: type[DomainEvent], base_url: str) -> Document:
    return {
        "name": event_type,
        "title": kind.__name__,
        "contentType": "application/json",
        "payload": {"$ref": f"#/components/schemas/{kind.__name__}"},
        "bindings": {"kafka": _KEY},
        "traits": [{"$ref": "#/components/messageTraits/cloudEvent"}],
        "externalDocs": {
            "description": "The JSON Schema",
            "url": f"{base_url}{schema_path(event_type)}",
        },
    }


def _text(description: str, **more: str) -> Document:
    return {"type": "string", "description": description, **more}


_KEY: Document = {"key": _text("The aggregate's id"), "bindingVersion": "0.5.0"}
_FIELDS: Document = {
    "ce_specversion": {"const": "1.0"},
    "ce_id": _text("The event's id, which stays the same when it is published again"),
    "ce_source": _text("The installation", format="uri"),
    "ce_type": _text("The event's type, such as ticket.opened"),
    "ce_subject": _text("The aggregate's id"),
    "ce_time": _text("When the event occurred", format="date-time"),
    "ce_dataschema": _text("The URL of the JSON Schema of the value", format="uri"),
    "ce_sequence": _text("The position in the log, as 20 digits", pattern="^[0-9]{20}$"),
    "ce_ticketversion": _text(
        "The version of the aggregate: 1, 2, 3 ...; shows gaps and repeats", pattern="^[0-9]+$"
    ),
    "ce_partitionkey": _text("The same as the key"),
    "traceparent": _text("W3C trace context: one trace for each request, one span for each event"),
    "content-type": {"const": "application/json"},
}
_HEADERS: Document = {"type": "object", "required": list(_FIELDS), "properties": _FIELDS}
