"""/v1/event-types: the JSON Schemas of all events. /v1/asyncapi.json: the Kafka topic. No key needed."""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import sha256
from typing import ClassVar

import falcon
import msgspec

from api.http.bodies import respond
from api.http.errors import not_found
from api.http.openapi import answer_cached
from api.http.queries import NoQuery, read_query
from api.http.resource import Operation, Resource
from api.http.services import Services
from api.v1.examples import EVENT_TYPE
from domain.aggregate import DomainEvent
from event_stream.asyncapi import describe_stream
from event_stream.envelope import VERSION, schema_path
from event_stream.event_types import event_types, schema_of, versioned

SCHEMA_JSON = "application/schema+json"

Schemas = Mapping[str, tuple[bytes, str]]  # the encoded schema and its ETag by name


class EventType(msgspec.Struct, frozen=True, kw_only=True):
    """`name` is the last part of the schema's address. `type` is the attribute `type` of CloudEvents."""

    name: str
    type: str
    version: int
    title: str
    schema: str


class EventTypes(Resource):
    """Lists the types of events."""

    operations: ClassVar[dict[str, Operation]] = {
        "GET": Operation(
            summary="List the types of events",
            description="`schema` is the address of the JSON Schema of the event's data, as in `dataschema`."
            " `/v1/asyncapi.json` describes the Kafka topic to which the events are published.",
            public=True,
            query=NoQuery,
            answer=list[EventType],
            answer_example=[EVENT_TYPE],
        )
    }

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        read_query(req, NoQuery)
        base_url = self.services.settings.base_url
        respond(resp, [_event_type(name, kind, base_url) for name, kind in event_types().items()])


class EventSchema(Resource):
    """Serves the JSON Schema of one type of events."""

    operations: ClassVar[dict[str, Operation]] = {
        "GET": Operation(
            summary="Read the JSON Schema of a type of events",
            operation_id="getEventTypeSchema",
            description="For example `ticket.opened.v1`. The schema may later get further optional fields and"
            " values of enumerations. Ignore fields and values that you do not know.",
            public=True,
            query=NoQuery,
            media_type=SCHEMA_JSON,
            has_etag=True,
            answers_not_modified=True,
        )
    }

    def __init__(self, services: Services) -> None:
        super().__init__(services)
        base_url = services.settings.base_url
        self._schemas = {
            versioned(name): encode_with_etag(schema_of(kind, base_url))
            for name, kind in event_types().items()
        }

    def on_get(self, req: falcon.Request, resp: falcon.Response, name: str) -> None:
        answer_schema(req, resp, self._schemas, name)


class AsyncApi(Resource):
    """Serves the AsyncAPI document of the Kafka topic."""

    operations: ClassVar[dict[str, Operation]] = {
        "GET": Operation(
            summary="The AsyncAPI document of the Kafka topic",
            public=True,
            query=NoQuery,
            media_type="application/vnd.aai.asyncapi+json",
        )
    }

    def __init__(self, services: Services) -> None:
        super().__init__(services)
        self._document = encode_with_etag(describe_stream(services.settings))

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        read_query(req, NoQuery)
        resp.content_type = "application/vnd.aai.asyncapi+json;version=3.1.0"
        answer_cached(req, resp, *self._document)


def _event_type(name: str, kind: type[DomainEvent], base_url: str) -> EventType:
    return EventType(
        name=versioned(name),
        type=name,
        version=VERSION,
        title=kind.__name__,
        schema=f"{base_url}{schema_path(name)}",
    )


def answer_schema(req: falcon.Request, resp: falcon.Response, schemas: Schemas, name: str) -> None:
    """Answer with one of these schemas, or with 404."""
    if name not in schemas:
        raise not_found()
    read_query(req, NoQuery)
    resp.content_type = SCHEMA_JSON
    answer_cached(req, resp, *schemas[name])


def encode_with_etag(document: object) -> tuple[bytes, str]:
    data = msgspec.json.encode(document)
    return data, f'"{sha256(data).hexdigest()[:32]}"'
