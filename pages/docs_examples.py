"""Examples of a request in curl, Python and JavaScript, for each operation of the OpenAPI document."""

from __future__ import annotations

import json
import re
from shlex import quote
from typing import Any, NamedTuple

from api.http.openapi import Document

KEY = "YOUR_API_KEY"
FILE = "photo.jpg"
_JSON = "application/json"
_NAME = re.compile(r"\{(\w+)\}")


class Example(NamedTuple):
    language: str
    text: str


class Request(NamedTuple):
    """What an example sends. `body` is None without one; `file_field` is the field of a file to upload."""

    method: str
    address: str
    needs_key: bool
    body: Any
    file_field: str | None
    answers_json: bool


def request_of(
    base_url: str, path: str, method: str, operation: Document, parameters: list[Document]
) -> Request:
    """The request of an operation with its required parameters only, each as its name in capitals."""
    query = "&".join(
        f"{one['name']}={one['name'].upper()}"
        for one in parameters
        if one["in"] == "query" and one.get("required")
    )
    filled = _NAME.sub(lambda found: found[1].upper(), path)
    content: Document = operation.get("requestBody", {}).get("content", {})
    success: Document = next(iter(operation["responses"].values())).get("content", {})
    return Request(
        method=method.upper(),
        address=base_url + filled + (f"?{query}" if query else ""),
        needs_key=operation.get("security") != [],
        body=content[_JSON].get("example", {}) if _JSON in content else None,
        file_field="file" if content and _JSON not in content else None,
        answers_json=_JSON in success,
    )


def examples_of(request: Request) -> list[Example]:
    """The request in every language of the documentation."""
    return [
        Example("curl", _curl(request)),
        Example("Python", _python(request)),
        Example("JavaScript", _javascript(request)),
    ]


def _curl(request: Request) -> str:
    parts = [f"curl {'' if request.method == 'GET' else f'-X {request.method} '}{quote(request.address)}"]
    if request.needs_key:
        parts.append(f"-H 'Authorization: Bearer {KEY}'")
    if request.body is not None:
        parts.append(f"-H 'Content-Type: {_JSON}'")
        parts.append(f"-d {quote(json.dumps(request.body, indent=2, ensure_ascii=False))}")
    if request.file_field:
        parts.append(f"-F {request.file_field}=@{FILE}")
    return " \\\n  ".join(parts)


def _python(request: Request) -> str:
    lines = [f"    {json.dumps(request.address)},"]
    if request.needs_key:
        lines.append(f'    headers={{"Authorization": "Bearer {KEY}"}},')
    if request.body is not None:
        lines.append(f"    json={_indented(_literal(request.body, _PYTHON_WORDS))},")
    if request.file_field:
        lines.append(f'    files={{"{request.file_field}": open("{FILE}", "rb")}},')
    shown = "answer.json()" if request.answers_json else "answer.text"
    return "\n".join(
        (
            "import requests",
            "",
            f"answer = requests.{request.method.lower()}(",
            *lines,
            "    timeout=30,",
            ")",
            "answer.raise_for_status()",
            f"print({shown})",
        )
    )


def _javascript(request: Request) -> str:
    headers = [f'"Authorization": "Bearer {KEY}"'] if request.needs_key else []
    options = [] if request.method == "GET" else [f'  method: "{request.method}",']
    before: list[str] = []
    if request.body is not None:
        headers.append(f'"Content-Type": "{_JSON}"')
        options.append(f"  body: JSON.stringify({_indented(_literal(request.body, {}), '  ')}),")
    if request.file_field:
        before = [
            "const form = new FormData();",
            f'form.append("{request.file_field}", document.querySelector("input[type=file]").files[0]);',
        ]
        options.append("  body: form,")
    if headers:
        options.insert(0, f"  headers: {{ {', '.join(headers)} }},")
    address = json.dumps(request.address)
    call = ["const answer = await fetch(" + (f"{address}, {{" if options else f"{address});")]
    return "\n".join(
        (
            *before,
            *call,
            *options,
            *(["});"] if options else []),
            "if (!answer.ok) throw new Error(await answer.text());",
            f"console.log(await answer.{'json' if request.answers_json else 'text'}());",
        )
    )


_PYTHON_WORDS = {"true": "True", "false": "False", "null": "None"}


def _literal(value: Any, words: dict[str, str]) -> str:
    """The value as JSON with two spaces per level, with other `words` for true, false and null."""
    if isinstance(value, dict) and value:
        items = [f"{json.dumps(name)}: {_literal(item, words)}" for name, item in value.items()]
        return "{\n" + "".join(f"  {_indented(item, '  ')},\n" for item in items) + "}"
    if isinstance(value, list) and value:
        return "[\n" + "".join(f"  {_indented(_literal(item, words), '  ')},\n" for item in value) + "]"
    text = json.dumps(value, ensure_ascii=False)
    return words.get(text, text)


def _indented(text: str, by: str = "    ") -> str:
    """The text with all lines but the first further to the right. No text of a literal contains a line
    break."""
    return text.replace("\n", f"\n{by}")
