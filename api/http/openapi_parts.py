"""The parts of the OpenAPI document that all operations share: errors, headers, parameters, descriptions."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

from api.http.errors import STATUS_OF
from api.http.scopes import SCOPE_LABELS
from domain.text import VISIBLE_FOR_JSON_SCHEMA

METADATA_PATH = "/.well-known/oauth-authorization-server"

DESCRIPTION = """\
Maintenance tickets of managed properties: open, assign, discuss and close them.

Send your API key, or an OAuth 2.0 access token, with every request: `Authorization: Bearer YOUR_API_KEY`.
Answers are JSON, times are UTC, ids are opaque strings. A key may send 1,000 requests an hour, unless
another limit was set for it. An application may send as many for each user for whom it acts. The headers
`X-RateLimit-*` contain the limit and the number of requests left.

A change is answered when later answers, also those of lists, show it. If that takes too long, the change is
stored all the same, and its answer and your later ones have the header `Pending-Position` until they show it.

Web pages of other origins can call the API in a browser if the operator has allowed their origin, or an
application was registered with it.
"""

TAGS: list[dict[str, str]] = [
    {"name": "tickets", "description": "Maintenance requests for properties and units."},
    {"name": "attachments", "description": "Files of tickets."},
    {"name": "users", "description": "Residents, staff, managers and administrators."},
    {"name": "properties", "description": "Managed buildings and their units."},
    {"name": "events", "description": "The events of the log, for other systems to follow."},
    {"name": "event-types", "description": "The JSON Schemas of all events."},
    {"name": "webhooks", "description": "Signed HTTP posts to your server when a ticket changes."},
    {"name": "webhook-events", "description": "The JSON Schemas of the bodies that webhooks receive."},
    {"name": "audit", "description": "The audit trail: who did what and when."},
    {"name": "health", "description": "Checks for load balancers and supervisors."},
    {"name": "metrics", "description": "Metrics in the format of Prometheus."},
]

_MEANINGS = {
    "bad_request": "the request is malformed",
    "invalid_json": "the body is not a JSON object",
    "unauthenticated": "the key or token is missing, unknown, expired or revoked",
    "forbidden": "the caller's role does not allow it",
    "insufficient_scope": "the key lacks the scope named in the message",
    "not_found": "the object does not exist, or the caller may not see it",
    "method_not_allowed": "this address does not support the method; the Allow header lists those it does",
    "conflict": "the current state does not allow it",
    "invalid_transition": "reserved; not used, because every status can follow every other",
    "idempotency_in_progress": "the first request with this Idempotency-Key is still in progress",
    "precondition_failed": "the version in If-Match is not current",
    "payload_too_large": "the body is too large",
    "uri_too_long": "the address is too long",
    "unsupported_media_type": "this address does not support the media type of the body",
    "validation_error": "some fields or parameters are not valid; details lists all of them",
    "idempotency_key_reused": "the Idempotency-Key was used for another request",
    "rate_limited": "the key has reached its limit of requests an hour",
    "headers_too_large": "the headers are too large",
    "internal_error": "the server failed to handle the request; the error has been logged",
    "not_implemented": "not supported",
    "unavailable": "the service is temporarily unavailable; try again",
}


def _codes_of(status: int) -> list[str]:
    return [code for code, its_status in STATUS_OF.items() if its_status == status]


def _example_of(code: str) -> dict[str, Any]:
    message, details = f"{_MEANINGS[code].capitalize()}.", {}
    if code == "validation_error":
        message = "The title field is required."
        details = {"title": [message]}
    request_id = "01890a5d-ac96-774b-bcce-b302099a8057"
    error = {"code": code, "message": message, "details": details, "request_id": request_id}
    return {"status": "error", "error": error}


def _error_response(status: int) -> dict[str, Any]:
    codes = _codes_of(status)
    headers = {"X-Request-Id": {"$ref": "#/components/headers/X-Request-Id"}}
    if status in (429, 503):
        headers["Retry-After"] = {"$ref": "#/components/headers/Retry-After"}
    if status in (401, 403):
        headers["WWW-Authenticate"] = {"$ref": "#/components/headers/WWW-Authenticate"}
    return {
        "description": f"{HTTPStatus(status).phrase}. "
        + " ".join(f"`{code}`: {_MEANINGS[code]}." for code in codes),
        "headers": headers,
        "content": {
            "application/json": {
                "schema": {"$ref": "#/components/schemas/Error"},
                "example": _example_of(codes[0]),
            }
        },
    }


ERROR_RESPONSES = {f"Error{status}": _error_response(status) for status in sorted(set(STATUS_OF.values()))}

_PAGINATION = {
    "total": 100,
    "count": 10,
    "per_page": 10,
    "current_page": 1,
    "total_pages": 10,
    "links": {"next": "https://api.example.com/v1/tickets?page=2"},
}
_COUNT = {"type": "integer", "format": "int64", "minimum": 0}
COMMON_SCHEMAS: dict[str, Any] = {
    "Id": {"type": "string", "pattern": "^[A-Za-z0-9_-]{1,64}$", "description": "An opaque id"},
    "DottedName": {
        "type": "string",
        "pattern": "^[A-Za-z0-9_-][A-Za-z0-9._-]*$",
        "description": "Words joined by dots",
    },
    "ExternalSource": {
        "type": "string",
        "pattern": "^[a-z0-9]+([_-][a-z0-9]+)*$",
        "maxLength": 50,
        "description": "A lower-case slug that names another system",
    },
    "ExternalId": {
        "type": "string",
        "pattern": VISIBLE_FOR_JSON_SCHEMA,
        "minLength": 1,
        "maxLength": 255,
        "description": "The id in the other system",
    },
    "Error": {
        "type": "object",
        "required": ["status", "error"],
        "properties": {
            "status": {"type": "string", "const": "error"},
            "error": {"$ref": "#/components/schemas/ErrorBody"},
        },
        "additionalProperties": True,
    },
    "ErrorBody": {
        "type": "object",
        "required": ["code", "message", "details", "request_id"],
        "properties": {
            "code": {"type": "string", "description": "A code for programs. More may be added"},
            "message": {"type": "string", "description": "A description for people"},
            "details": {
                "type": "object",
                "additionalProperties": {"type": "array", "items": {"type": "string"}},
                "description": "The messages for each invalid field; nested names are joined by dots",
            },
            "request_id": {"type": "string", "description": "The same as X-Request-Id"},
        },
        "additionalProperties": True,
    },
    "Meta": {
        "type": "object",
        "required": ["pagination"],
        "properties": {"pagination": {"$ref": "#/components/schemas/Pagination"}},
        "additionalProperties": True,
        "examples": [{"pagination": _PAGINATION}],
    },
    "Pagination": {
        "type": "object",
        "description": "Where the page is in the list. With `page` there are totals. With `cursor` (empty for"
        " the first page) there is `next_cursor` instead, null on the last page.",
        "required": ["count", "per_page", "links"],
        "properties": {
            **dict.fromkeys(("total", "count", "per_page", "current_page", "total_pages"), _COUNT),
            "next_cursor": {"type": ["string", "null"]},
            "links": {"$ref": "#/components/schemas/Links"},
        },
        "additionalProperties": True,
    },
    "Links": {
        "type": "object",
        "description": "The addresses of the next and the previous page; absent if there is none",
        "properties": {name: {"type": "string", "format": "uri"} for name in ("next", "previous")},
        "additionalProperties": True,
    },
}

_TEXT = {"type": "string"}
HEADERS: dict[str, Any] = {
    "X-Request-Id": {"description": "The id of this request in the logs", "schema": _TEXT},
    "X-RateLimit-Limit": {
        "description": "The number of requests the key may send an hour",
        "schema": _COUNT,
    },
    "X-RateLimit-Remaining": {
        "description": "The number of requests left in this hour",
        "schema": _COUNT,
    },
    "X-RateLimit-Reset": {
        "description": "When the hour ends, in seconds since 1970",
        "schema": _COUNT,
    },
    "ETag": {
        "description": 'The version, such as "7"; for answers that can also change for other reasons, the'
        ' version and a digest, such as "7-0f3b9a61c2d4e587"',
        "schema": _TEXT,
    },
    "Location": {
        "description": "The address of the new object",
        "schema": {"type": "string", "format": "uri"},
    },
    "Pending-Position": {
        "description": "Present only while lists lag behind your changes. With a write: the change is stored,"
        " at this position of the log of events, but lists do not show it yet. With a read: the answer may"
        " lack your own changes up to this position, although it has waited for them; ask again.",
        "schema": _COUNT,
    },
    "Retry-After": {"description": "Seconds to wait", "schema": _COUNT},
    "WWW-Authenticate": {
        "description": "With 401 and a missing scope: `Bearer` with `error` (unless no credential was sent),"
        " `scope`, and the address of the `resource_metadata`",
        "schema": _TEXT,
    },
}

PARAMETERS: dict[str, Any] = {
    "RequestId": {
        "name": "X-Request-Id",
        "in": "header",
        "description": "Your own id for the request, `[A-Za-z0-9_-]{1,64}`; a malformed one is replaced.",
        "schema": _TEXT,
    },
    "IdempotencyKey": {
        "name": "Idempotency-Key",
        "in": "header",
        "description": "Makes it safe to send the request again within 24 hours: it is executed once, and"
        " repetitions get the same answer with `Idempotent-Replayed: true`."
        " 1 to 255 printable ASCII characters.",
        "schema": {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[!-~]([ -~]*[!-~])?$"},
        "example": "7c1f6f0e-4f37-4a5f-9c0e-0f6f2d9b8a11",
    },
    "IfMatch": {
        "name": "If-Match",
        "in": "header",
        "description": "The ETag of your copy. If it is no longer current, the answer is 412. A tag that a"
        ' proxy made weak (`W/"7"`) or marked with a coding (`"7-gzip"`) is accepted.',
        "schema": _TEXT,
        "example": '"7"',
    },
    "IfNoneMatch": {
        "name": "If-None-Match",
        "in": "header",
        "description": "The ETag of your copy. If it is current, the answer is 304 without a body.",
        "schema": _TEXT,
        "example": '"7"',
    },
}


def oauth2_scheme(base_url: str) -> dict[str, Any]:
    """The security scheme of OAuth 2.0: the addresses of its endpoints and the descriptions of the scopes."""
    token_url = f"{base_url}/oauth/token"
    return {
        "type": "oauth2",
        "description": "An access token. It allows what its scopes, the role of the user and the role of the"
        f" application all allow. {base_url}{METADATA_PATH} lists the endpoints.",
        "flows": {
            "authorizationCode": {
                "authorizationUrl": f"{base_url}/oauth/authorize",
                "tokenUrl": token_url,
                "refreshUrl": token_url,
                "scopes": SCOPE_LABELS,
            },
            "clientCredentials": {"tokenUrl": token_url, "scopes": SCOPE_LABELS},
        },
    }
