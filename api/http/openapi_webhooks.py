"""What the server posts to other servers: `webhooks` of the OpenAPI document, and the same as callbacks."""

from __future__ import annotations

from typing import Any

from api.http.openapi_schemas import Schemas
from webhook_dispatcher.payload_schemas import MEANINGS, SCHEMAS_PATH, bodies

_DESCRIPTION = f"""\
The post is signed as [Standard Webhooks](https://www.standardwebhooks.com) describes. It is sent at least
once. Repetitions have the same `webhook-id` and the same bytes, unless a comment in them was edited or
removed meanwhile. Later versions may add fields to the body. Its JSON Schema is at `{SCHEMAS_PATH}/{{name}}`.
"""
_HEADERS = {
    "webhook-id": "The id of the message, the same in every attempt",
    "webhook-timestamp": "The time of this attempt in seconds since 1970",
    "webhook-signature": "`v1,` and the HMAC-SHA256 in base64. After a rotation of the secret there are two,"
    " separated by a space",
}
_ANSWERS = {
    "2XX": {"description": "The message was received. Answer within 15 seconds and process it afterwards."},
    "410": {"description": "The webhook is disabled."},
    "default": {"description": "The message is sent again later."},
}

Document = dict[str, Any]


def describe_webhooks(schemas: Schemas) -> Document:
    """A description of each post by the name of its schema. That of version 1 is the event name."""
    return {_key(name): _post(name, f"receive{_words(_key(name))}", schemas) for name in bodies()}


def describe_callbacks(schemas: Schemas) -> Document:
    """The same posts as callbacks to the `url` in the body of an operation.

    oapi-codegen omits schemas to which only `webhooks` refers, and its code does not compile.
    """
    return {
        _key(name): {"{$request.body#/url}": _post(name, f"receiveRegistered{_words(_key(name))}", schemas)}
        for name in bodies()
    }


def webhook_headers() -> Document:
    """The parameters to which the descriptions refer."""
    return {
        _component(name): {
            "name": name,
            "in": "header",
            "required": True,
            "description": meaning,
            "schema": {"type": "string"},
        }
        for name, meaning in _HEADERS.items()
    }


def _post(name: str, operation_id: str, schemas: Schemas) -> Document:
    body = bodies()[name]
    described = {
        "operationId": operation_id,
        "summary": MEANINGS.get(body.event, body.event),
        "description": _DESCRIPTION.format(name=name),
        "tags": ["webhooks"],
        "security": [],
        "parameters": [{"$ref": f"#/components/parameters/{_component(header)}"} for header in _HEADERS],
        "requestBody": {
            "required": True,
            "content": {"application/json": {"schema": schemas.of(body.kind)}},
        },
        "responses": _ANSWERS,
    }
    return {"post": described}


def _key(schema_name: str) -> str:
    return schema_name.removesuffix(".v1")


def _component(header: str) -> str:
    return "".join(word.capitalize() for word in header.split("-"))


def _words(event_name: str) -> str:
    """The words of an operation id, which has no digits."""
    return "".join(word.capitalize() for word in event_name.replace(".v2", ".second").split("."))
