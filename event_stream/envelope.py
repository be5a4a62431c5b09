"""A stored event as a Kafka record: CloudEvents 1.0, binary mode.

The value is the stored bytes, unchanged. Every header is derived from the event, so an event that is
published again gives the same record, byte for byte; except `traceparent` if the client sent a trace context
or the request was not sampled, because traces are not stored for ever.
"""

from __future__ import annotations

from typing import NamedTuple

import msgspec

from infrastructure.process.trace_ids import Trace
from infrastructure.storage.recorder import StoredRow
from infrastructure.storage.traces import Lookup

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


def to_record(row: StoredRow, *, source: str, trace_of: Lookup = Trace.of_request) -> Record:
    """Convert a stored event; `source` is the base URL of the installation, `trace_of` finds the trace of a
    request.

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
        ("traceparent", trace_of(facts.request_id).traceparent(facts.event_id).encode()),
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


def request_id_of(state: bytes) -> str:
    """The id of the request that caused a stored event."""
    return _facts_of(state).request_id
