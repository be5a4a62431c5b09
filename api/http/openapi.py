"""/v1/openapi.json: the OpenAPI 3.1 document, generated from the declarations of the resources."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from hashlib import sha256
from typing import Any, ClassVar

import falcon
import msgspec

from api.http.errors import STATUS_OF
from api.http.openapi_parts import (
    COMMON_SCHEMAS,
    DESCRIPTION,
    ERROR_RESPONSES,
    HEADERS,
    PARAMETERS,
    TAGS,
    oauth2_scheme,
)
from api.http.openapi_schemas import Schemas, add_text_patterns
from api.http.openapi_webhooks import describe_callbacks, describe_webhooks, webhook_headers
from api.http.operation_ids import operation_id
from api.http.queries import NoQuery, read_query
from api.http.resource import JSON, Operation, Resource
from api.http.services import Services
from domain.access import SCOPES
from webhook_dispatcher.payload_schemas import bodies

_TEMPLATE_FIELD = re.compile(r"\{(\w+)\}")
_PATH_SCHEMAS = {"source": "ExternalSource", "id": "ExternalId"}
_NUMBER_OR_TIME = {
    "type": "string",
    "pattern": "^([0-9]{1,18}|[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt ][0-9:.]+([Zz]|[+-][0-9]{2}:[0-9]{2}))$",
}

Document = dict[str, Any]


class OpenApi(Resource):
    """Serves the document as JSON."""

    operations: ClassVar[dict[str, Operation]] = {
        "GET": Operation(summary="This document", public=True, query=NoQuery)
    }

    def __init__(self, services: Services, document: Document) -> None:
        super().__init__(services)
        self._data = msgspec.json.encode(document)
        self._etag = f'"{sha256(self._data).hexdigest()[:32]}"'

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        read_query(req, NoQuery)
        answer_cached(req, resp, self._data, self._etag)


def answer_cached(req: falcon.Request, resp: falcon.Response, data: bytes, etag: str) -> None:
    """Answer with `data`, or with 304 if the client's copy is current. Clients must always revalidate it."""
    resp.set_header("ETag", etag)
    resp.set_header("Cache-Control", "no-cache")
    if etag in (req.get_header("If-None-Match") or ""):
        resp.status = falcon.HTTP_304
    else:
        resp.data = data


def describe(routes: Sequence[tuple[str, type[Resource]]], base_url: str) -> Document:
    """The OpenAPI document of these routes."""
    operations = [
        (path.replace(":path}", "}"), method, operation)  # how Falcon marks an id with slashes
        for path, resource in routes
        for method, operation in resource.operations.items()
        if isinstance(operation, Operation)
    ]
    schemas = Schemas([operation for *_, operation in operations], [body.kind for body in bodies().values()])
    paths: Document = {}
    for path, method, operation in operations:
        paths.setdefault(path, {})[method.lower()] = _operation(path, method, operation, schemas)
    document = {
        "openapi": "3.1.0",
        "info": {
            "title": "Modern Management Ticketing System API",
            "version": "1.0.0",
            "description": DESCRIPTION,
            "contact": {"name": "API documentation", "url": f"{base_url}/docs"},
        },
        "servers": [{"url": base_url}],
        "tags": [tag for tag in TAGS if any(f"/{tag['name']}" in path for path in paths)],
        "security": [{"bearer": []}, {"oauth2": []}],
        "paths": paths,
        "webhooks": describe_webhooks(schemas),
        "components": {
            "schemas": {**COMMON_SCHEMAS, **dict(sorted(schemas.components.items()))},
            "responses": _used_errors(paths),
            "headers": HEADERS,
            "parameters": {**PARAMETERS, **webhook_headers()},
            "securitySchemes": {
                "bearer": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "An API key. Its scopes: " + ", ".join(SCOPES) + ".",
                },
                "oauth2": oauth2_scheme(base_url),
            },
        },
    }
    plain: Document = msgspec.json.decode(msgspec.json.encode(document))
    return plain


def _operation(path: str, method: str, operation: Operation, schemas: Schemas) -> Document:
    described: Document = {
        "operationId": operation_id(path, method, operation),
        "summary": operation.summary,
        "tags": [_tag(path)],
        "parameters": _parameters(path, method, operation, schemas),
        "responses": _responses(path, method, operation, schemas),
    }
    if text := _description(operation):
        described["description"] = text
    if operation.public:
        described["security"] = []
    elif operation.scopes:
        described["security"] = [{"bearer": []}, *({"oauth2": [scope]} for scope in operation.scopes)]
    if operation.body is not None:
        content: Document = {"schema": schemas.of(operation.body)}
        if operation.body_example is not None:
            content["example"] = operation.body_example
        described["requestBody"] = {"required": True, "content": {operation.body_media_type: content}}
    if operation.registers_url:
        described["callbacks"] = describe_callbacks(schemas)
    return described


def _used_errors(paths: Document) -> Document:
    """The responses to which operations refer. The others, such as 405, are answers to other requests."""
    used = {status for path in paths.values() for one in path.values() for status in one["responses"]}
    return {
        name: response for name, response in ERROR_RESPONSES.items() if name.removeprefix("Error") in used
    }


def _tag(path: str) -> str:
    names = [tag["name"] for tag in TAGS]
    return next((part for part in path.split("/") if part in names), "health")


def _description(operation: Operation) -> str:
    lines = [operation.description] if operation.description else []
    if operation.public:
        lines.append("No key needed.")
    if operation.scopes:
        lines.append(f"Scope: {' or '.join(f'`{scope}`' for scope in operation.scopes)}.")
    if operation.roles:
        lines.append(f"Roles: {operation.roles}.")
    return "\n\n".join(lines)


def _parameters(path: str, method: str, operation: Operation, schemas: Schemas) -> list[Document]:
    parameters: list[Document] = [
        {"name": name, "in": "path", "required": True, "schema": _path_schema(name)}
        for name in _TEMPLATE_FIELD.findall(path)
    ]
    if operation.query is not None:
        parameters += _query_parameters(schemas.of_query(operation.query))
    references = ["RequestId"]
    if method in ("POST", "PATCH") and not operation.public:
        references.append("IdempotencyKey")
    if operation.takes_if_match:
        references.append("IfMatch")
    if operation.answers_not_modified:
        references.append("IfNoneMatch")
    return parameters + [{"$ref": f"#/components/parameters/{name}"} for name in references]


def _path_schema(name: str) -> Document:
    kind = _PATH_SCHEMAS.get(name, "Id" if name.endswith("_id") else "DottedName")
    return {"$ref": f"#/components/schemas/{kind}"}


def _query_parameters(schema: Mapping[str, Any]) -> list[Document]:
    """One parameter for each field, without null and empty lists, which a query string cannot express.

    A parameter that is a number or a time is a text: clients in Java cannot write a choice of types in a URL.
    """
    parameters = []
    for name, found in schema["properties"].items():
        field = dict(found)
        branches = [branch for branch in field.pop("anyOf", []) if branch != {"type": "null"}]
        if len(branches) == 1:
            field |= branches[0]
        elif branches:
            field |= _NUMBER_OR_TIME
            field.pop("default", None)
        parameter: Document = {"name": name, "in": "query", "required": name in schema.get("required", ())}
        if description := field.pop("description", None):
            parameter["description"] = description
        if field.get("type") == "array":
            field.pop("default", None)
            field |= {"minItems": 1}
            parameter |= {"style": "form", "explode": False}
        if field.get("default", 0) is None:
            del field["default"]
        add_text_patterns(field, {})
        parameters.append(parameter | {"schema": field})
    return parameters


def _responses(path: str, method: str, operation: Operation, schemas: Schemas) -> Document:
    responses: Document = {str(operation.status): _success(operation, schemas)}
    if operation.may_create:
        responses["201"] = _success(msgspec.structs.replace(operation, status=201), schemas)
    if operation.answers_not_modified:
        responses["304"] = {"description": "Your copy is current.", "headers": _headers(operation)}
    statuses = sorted({STATUS_OF[code] for code in _codes(path, method, operation)})
    return responses | {str(s): {"$ref": f"#/components/responses/Error{s}"} for s in statuses}


def _codes(path: str, method: str, operation: Operation) -> set[str]:
    codes = {*operation.errors, "internal_error", "bad_request"}
    if not operation.public:
        codes |= {"unauthenticated", "rate_limited", "unavailable"}
        if method in ("POST", "PATCH"):
            codes |= {"idempotency_in_progress", "idempotency_key_reused"}
    if operation.scope is not None:
        codes.add("insufficient_scope")
    if operation.query is not None or operation.body is not None or method == "DELETE":
        codes.add("validation_error")  # a DELETE refuses query parameters
    if operation.body is not None:
        codes |= {"invalid_json", "payload_too_large", "unsupported_media_type"}
    if operation.takes_if_match:
        codes.add("precondition_failed")
    if "{" in path:
        codes.add("not_found")
    return codes


def _success(operation: Operation, schemas: Schemas) -> Document:
    described: Document = {"description": operation.summary + ".", "headers": _headers(operation)}
    if operation.media_type != JSON:
        media_types = (operation.media_type, *operation.other_media_types)
        names = [media_type.partition(";")[0] for media_type in media_types]
        described["content"] = {name: {"schema": _content_schema(name)} for name in names}
        return described
    content: Document = {"schema": schemas.envelope(operation)}
    others = {name: {"schema": _content_schema(name)} for name in operation.other_media_types}
    if operation.answer_example is not None:
        example: Document = {"status": "success", "data": operation.answer_example}
        if operation.is_list:
            example["meta"] = COMMON_SCHEMAS["Meta"]["examples"][0]
        content["example"] = example
    described["content"] = {JSON: content, **others}
    return described


def _content_schema(media_type: str) -> Document:
    """The schema of an answer without the envelope: an object, a text or a file."""
    if media_type.endswith(("/json", "+json")):
        return {"type": "object", "additionalProperties": True}
    return {"type": "string"} if media_type.startswith("text/") else {"type": "string", "format": "binary"}


def _headers(operation: Operation) -> Document:
    names = ["X-Request-Id"]
    if not operation.public:
        names += ["X-RateLimit-Limit", "X-RateLimit-Remaining", "X-RateLimit-Reset"]
    if operation.has_etag:
        names.append("ETag")
    if operation.may_lag:
        names.append("Pending-Position")
    if operation.status == 201:
        names.append("Location")
    return {name: {"$ref": f"#/components/headers/{name}"} for name in names}
