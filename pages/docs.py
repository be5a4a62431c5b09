"""/docs: the API documentation as a web page, rendered once from the OpenAPI document."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import falcon
import jinja2
import msgspec

from api.http.openapi import Document
from api.http.openapi_parts import ERROR_RESPONSES
from api.http.resource import Operation, Resource
from api.http.scopes import SCOPE_LABELS
from api.http.services import Services
from pages.common.static_files import Content, StaticFile, answer_compressed
from pages.docs_examples import examples_of, request_of

_HERE = Path(__file__).parent
_STATIC = _HERE / "static"
_POLICY = (
    "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; base-uri 'none';"
    " form-action 'none'; frame-ancestors 'none'"
)


class Docs(Resource):
    """Serves the page."""

    operations: ClassVar[dict[str, Operation]] = {
        "GET": Operation(summary="The API documentation", public=True, media_type="text/html")
    }

    def __init__(self, services: Services, document: Document) -> None:
        super().__init__(services)
        self._content = Content.of(_render(document).encode())

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        resp.content_type = falcon.MEDIA_HTML
        resp.set_header("Content-Security-Policy", _POLICY)
        resp.set_header("Referrer-Policy", "no-referrer")
        answer_compressed(req, resp, self._content)


class DocsStyle(StaticFile):
    """Serves the style sheet of the page."""

    folder, pattern = _STATIC, "docs.css"
    operations: ClassVar[dict[str, Operation]] = {
        "GET": Operation(
            summary="The style sheet of the API documentation",
            public=True,
            media_type="text/css; charset=utf-8",
        )
    }


class DocsScript(StaticFile):
    """Serves the script of the page: search, copying, tabs, and trying operations."""

    folder, pattern = _STATIC, "docs.js"
    operations: ClassVar[dict[str, Operation]] = {
        "GET": Operation(
            summary="The script of the API documentation",
            public=True,
            media_type="text/javascript; charset=utf-8",
        )
    }


def _render(document: Document) -> str:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_HERE / "templates"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.filters["pretty"] = _pretty
    environment.filters["kind"] = _kind
    resolve = _make_resolver(document)
    base_url: str = document["servers"][0]["url"]
    sections = [
        {
            "tag": tag,
            "operations": [
                _template_values(base_url, path, method, operation, resolve)
                for path, methods in document["paths"].items()
                for method, operation in methods.items()
                if tag["name"] in operation["tags"]
            ],
        }
        for tag in document["tags"]
    ]
    return environment.get_template("docs.html").render(
        document=document,
        base_url=base_url,
        sections=sections,
        errors=_error_codes(),
        error_example=ERROR_RESPONSES["Error422"]["content"]["application/json"]["example"],
        scopes=SCOPE_LABELS,
    )


def _template_values(base_url: str, path: str, method: str, operation: Document, resolve: Any) -> Document:
    """The values of one operation for the template."""
    body = operation.get("requestBody", {}).get("content", {})
    media_type = next(iter(body), None)
    content: Document = body.get(media_type, {})
    schema = resolve(content.get("schema", {}))
    status, success = next(iter(operation["responses"].items()))
    answer: Document = next(iter(success.get("content", {}).values()), {})
    parameters = [resolve(parameter) for parameter in operation["parameters"]]
    request = request_of(base_url, path, method, operation, parameters)
    return {
        "id": operation["operationId"],
        "method": method.upper(),
        "path": path,
        "summary": operation["summary"],
        "paragraphs": operation.get("description", "").split("\n\n"),
        "parameters": parameters,
        "needs_key": request.needs_key,
        "examples": examples_of(request),
        "media_type": media_type,
        "fields": [
            {
                "name": name,
                "schema": resolve(field),
                "is_required": name in schema.get("required", ()),
            }
            for name, field in schema.get("properties", {}).items()
        ],
        "body_example": content.get("example"),
        "status": status,
        "answer_example": answer.get("example"),
        "errors": [code for code in operation["responses"] if int(code) >= 400],
    }


def _make_resolver(document: Document) -> Any:
    """A function that follows the `$ref` of a schema, if it has one."""

    def resolve(schema: Document) -> Document:
        if "$ref" not in schema:
            return schema
        found = document
        for part in schema["$ref"].removeprefix("#/").split("/"):
            found = found[part]
        return resolve(found)

    return resolve


def _error_codes() -> list[tuple[str, str]]:
    """The status and description of every error."""
    return [
        (name.removeprefix("Error"), response["description"]) for name, response in ERROR_RESPONSES.items()
    ]


def _pretty(example: Any) -> str:
    return msgspec.json.format(msgspec.json.encode(example), indent=2).decode()


def _kind(schema: Document) -> str:
    """A short description of the type that a schema defines."""
    if "enum" in schema:
        return " | ".join(map(str, schema["enum"]))
    if "anyOf" in schema:
        return " or ".join(_kind(branch) for branch in schema["anyOf"])
    if "$ref" in schema:
        return str(schema["$ref"]).rpartition("/")[2]
    if schema.get("type") == "array":
        return f"list of {_kind(schema.get('items', {}))}"
    if schema.get("format") == "date-time":
        return "time"
    kind = str(schema.get("type", "any"))
    if "maxLength" in schema:
        kind += f", {schema.get('minLength', 0)} to {schema['maxLength']:,} characters"
    return kind
