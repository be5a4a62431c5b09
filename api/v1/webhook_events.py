"""/v1/webhook-events: the JSON Schemas of the bodies of webhook posts. No key needed."""

from __future__ import annotations

from typing import ClassVar

import falcon
import msgspec

from api.http.bodies import respond
from api.http.queries import NoQuery, read_query
from api.http.resource import Operation, Resource
from api.http.services import Services
from api.v1.event_types import SCHEMA_JSON, answer_schema, encode_with_etag
from api.v1.examples import WEBHOOK_EVENT
from webhook_dispatcher.payload_schemas import (
    MEANINGS,
    SCHEMAS_PATH,
    bodies,
    payload_schema,
)


class WebhookEvent(msgspec.Struct, frozen=True, kw_only=True):
    """`name` is the last part of the schema's address. `event` is the field `event` of the body."""

    name: str
    event: str
    version: int
    description: str
    schema: str


class WebhookEvents(Resource):
    """Lists the events that webhooks receive."""

    operations: ClassVar[dict[str, Operation]] = {
        "GET": Operation(
            summary="List the events of webhooks",
            description="`schema` is the address of the JSON Schema of the body that is posted.",
            public=True,
            query=NoQuery,
            answer=list[WebhookEvent],
            answer_example=[WEBHOOK_EVENT],
        )
    }

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        read_query(req, NoQuery)
        base_url = self.services.settings.base_url
        respond(resp, [_webhook_event(name, base_url) for name in bodies()])


class WebhookEventSchema(Resource):
    """Serves the JSON Schema of the bodies with one event name."""

    operations: ClassVar[dict[str, Operation]] = {
        "GET": Operation(
            summary="Read the JSON Schema of the body of a webhook event",
            operation_id="getWebhookEventSchema",
            description="For example `ticket.created.v1`. The schema may later get further fields. Ignore"
            " fields that you do not know.",
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
        self._schemas = {name: encode_with_etag(payload_schema(name, base_url)) for name in bodies()}

    def on_get(self, req: falcon.Request, resp: falcon.Response, name: str) -> None:
        answer_schema(req, resp, self._schemas, name)


def _webhook_event(name: str, base_url: str) -> WebhookEvent:
    body = bodies()[name]
    return WebhookEvent(
        name=name,
        event=body.event,
        version=body.version,
        description=MEANINGS.get(body.event, body.event),
        schema=f"{base_url}{SCHEMAS_PATH}/{name}",
    )
