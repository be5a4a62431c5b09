"""A stored event as a Kafka record: CloudEvents 1.0, binary mode.

The value is the stored bytes, unchanged. Every header is derived from the event, so an event that is
published again gives the same record, byte for byte.
"""

from __future__ import annotations

import hashlib
from typing import NamedTuple

import msgspec

from infrastructure.storage.recorder import StoredRow

SCHEMAS_PATH = "/v1/event-types"
VERSION = 1  # of every schema: a change that is not additive needs a new event type

Headers = list[tuple[str, bytes]]


class Record(NamedTuple):
    key: bytes
    value: bytes
    headers: Headers


class _Facts(msgspec.Struct, frozen=True):
    """The fields of every stored event that the headers need."""

    event_id: str
    occurred_at: str
    request_id: str


_facts_of = msgspec.json.Decoder(_Facts).decode


def to_record(row: StoredRow, *, source: str) -> Record:
    """Convert a stored event; `source` is the base URL of the installation.

    `ce_sequence` is the log position with 20 digits, so that the order of the texts is that of the log.
    `ce_ticketversion` counts 1, 2, 3 ... for each aggregate, so that consumers see gaps and repeats.
    """
    facts = _facts_of(row.state)
    aggregate_id = row.aggregate_id.encode()
    headers = [
        ("ce_specversion", b"1.0"),
        ("ce_id", facts.event_id.encode()),
        ("ce_source", source.encode()),
        ("ce_type", row.event_type.encode()),
        ("ce_subject", aggregate_id),
        ("ce_time", facts.occurred_at.encode()),
        ("ce_dataschema", f"{source}{schema_path(row.event_type)}".encode()),
        ("ce_sequence", b"%020d" % row.position),
        ("ce_ticketversion", b"%d" % row.version),
        ("ce_partitionkey", aggregate_id),
        ("traceparent", traceparent(facts.request_id, facts.event_id)),
        ("content-type", b"application/json"),
    ]
    return Record(key=aggregate_id, value=row.state, headers=headers)


def as_cloudevent(record: Record) -> dict[str, str | msgspec.Raw]:
    """The event in the JSON format of CloudEvents: headers as attributes, the value as `data`."""
    event: dict[str, str | msgspec.Raw] = {
        name.removeprefix("ce_"): value.decode() for name, value in record.headers if name != "content-type"
    }
    return {**event, "datacontenttype": "application/json", "data": msgspec.Raw(record.value)}


def schema_path(event_type: str) -> str:
    """The path at which the API serves the JSON Schema of an event type."""
    return f"{SCHEMAS_PATH}/{event_type}.v{VERSION}"


def traceparent(request_id: str, event_id: str) -> bytes:
    """The W3C trace context of an event: one trace for each request, one span for each event.

    A request id that is a UUID is used as the trace id, so that a trace can be found by the X-Request-Id.
    """
    as_hex = request_id.replace("-", "").lower()
    if not _is_trace_id(as_hex):
        as_hex = hashlib.sha256(b"trace/" + request_id.encode()).hexdigest()[:32]
    span = hashlib.sha256(b"span/" + event_id.encode()).hexdigest()[:16]
    return f"00-{as_hex}-{span}-01".encode()


def _is_trace_id(text: str) -> bool:
    return len(text) == 32 and not text.strip("0123456789abcdef") and bool(text.strip("0"))
