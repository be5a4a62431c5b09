"""Writes the modules models.py, requests.py and client.py of the client from the OpenAPI document of the API.

`python clients/python/generate.py openapi.json`
"""

from __future__ import annotations

import json
import keyword
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

Schema = Mapping[str, Any]

PACKAGE = Path(__file__).parent / "ticketing_client"
METHODS = ("get", "put", "post", "patch", "delete")
_HEADERS = {"If-Match": "if_match", "If-None-Match": "if_none_match", "Idempotency-Key": "idempotency_key"}
_PLAIN = {"string": "str", "integer": "int", "number": "float", "boolean": "bool", "null": "None"}
_MADE = "# Made by generate.py from the OpenAPI document of the API. Do not edit.\n"
_FUTURE = "from __future__ import annotations\n\n"


class Document:
    """The OpenAPI document, and the types of its schemas."""

    def __init__(self, document: Schema) -> None:
        self._document = document
        self.schemas: Schema = document["components"]["schemas"]
        self._bodies = {name for name, schema in self.schemas.items() if _is_closed(schema)}

    def operations(self) -> Iterator[tuple[str, str, Schema]]:
        """Method, path and declaration of each operation."""
        for path, item in self._document["paths"].items():
            for method in METHODS:
                if method in item:
                    yield method.upper(), path, item[method]

    def parameters(self, operation: Schema) -> Iterator[Schema]:
        shared = self._document["components"]["parameters"]
        for given in operation.get("parameters", ()):
            yield shared[given["$ref"].rpartition("/")[2]] if "$ref" in given else given

    def structs(self) -> list[str]:
        """The names of the schemas that become structs: objects with fields, but not envelopes."""
        return [
            name
            for name, schema in self.schemas.items()
            if schema.get("type") == "object" and schema.get("properties") and not _is_envelope(schema)
        ]

    def type_of(self, schema: Schema, *, is_sent: bool) -> str:
        """The annotation of a schema. Answers have texts instead of enumerations, which may get values."""
        if "$ref" in schema:
            name = schema["$ref"].rpartition("/")[2]
            target = self.schemas[name]
            return name if name in self.structs() else self.type_of(target, is_sent=is_sent)
        if "anyOf" in schema:
            kinds = [self.type_of(one, is_sent=is_sent) for one in schema["anyOf"]]
            return " | ".join(dict.fromkeys(kinds))
        if "enum" in schema and is_sent:
            return f"Literal[{', '.join(json.dumps(value) for value in schema['enum'])}]"
        kind = schema.get("type")
        if isinstance(kind, list):
            return " | ".join(self.type_of({**schema, "type": one}, is_sent=is_sent) for one in kind)
        if kind == "string" and schema.get("format") == "date-time":
            return "datetime"
        if kind == "array":
            return f"list[{self.type_of(schema.get('items', {}), is_sent=is_sent)}]"
        if kind == "object":
            values = schema.get("additionalProperties")
            inner = self.type_of(values, is_sent=is_sent) if isinstance(values, dict) else "Any"
            return f"dict[str, {inner}]"
        return _PLAIN.get(str(kind), "Any")

    def is_sent(self, name: str) -> bool:
        return name in self._bodies


def _is_closed(schema: Schema) -> bool:
    return schema.get("additionalProperties") is False


def _is_envelope(schema: Schema) -> bool:
    fields = schema.get("properties", {})
    return {"status", "data"} <= fields.keys() and "const" in fields["status"]


def generate(document: Schema) -> dict[str, str]:
    """The generated modules by name, formatted."""
    read = Document(document)
    modules = {
        "models.py": _write_models(read),
        "requests.py": _write_requests(read),
        "client.py": _write_client(read),
    }
    return {name: _format(text) for name, text in modules.items()}


def _write_models(read: Document) -> str:
    lines = [_MADE, '"""The objects in bodies and answers."""\n\n', _FUTURE]
    lines.append("from datetime import datetime\nfrom typing import Any, Literal\n\n")
    lines.append("import msgspec\nfrom msgspec import UNSET, UnsetType\n\n")
    for name in read.structs():
        schema = read.schemas[name]
        lines.append(f"class {name}(msgspec.Struct, kw_only=True):\n")
        if schema.get("description"):
            lines.append(_docstring(schema["description"], "    "))
        for field, inner in schema["properties"].items():
            lines.append(_field(read, name, field, inner, field in schema.get("required", ())))
        lines.append("\n\n")
    return "".join(lines)


def _field(read: Document, struct: str, name: str, schema: Schema, is_required: bool) -> str:
    kind = read.type_of(schema, is_sent=read.is_sent(struct))
    attribute = _attribute(name)
    renamed = f"msgspec.field(name={name!r}{'' if is_required else ', default=UNSET'})"
    default = f" = {renamed}" if attribute != name else "" if is_required else " = UNSET"
    if not is_required:
        kind = f"{kind.removesuffix(' | None')} | UnsetType{' | None' if kind.endswith(' | None') else ''}"
    return f"    {attribute}: {kind}{default}\n"


def _write_requests(read: Document) -> str:
    summary = "A function for each operation of the API. It returns the call; a client sends it."
    lines = [_MADE, f'"""{summary}"""\n\n', _FUTURE, "from datetime import datetime\n"]
    lines.append("from typing import Any, Literal\nfrom urllib.parse import quote\n\n")
    lines.append("from ticketing_client.calls import Call, Upload\n")
    lines.append(f"from ticketing_client.models import ({', '.join(read.structs())})\n\n")
    for method, path, operation in read.operations():
        lines.append(_write_request(read, method, path, operation))
    return "".join(lines)


def _write_request(read: Document, method: str, path: str, operation: Schema) -> str:
    """The function of one operation."""
    required, optional, query, headers = [], [], [], []
    for parameter in read.parameters(operation):
        name, place = parameter["name"], parameter["in"]
        attribute = _HEADERS.get(name, _attribute(name))
        if place == "path":
            required.append(f"{attribute}: str")
        elif place == "query":
            kind = read.type_of(parameter["schema"], is_sent=True)
            (required if parameter.get("required") else optional).append(
                f"{attribute}: {kind}" + ("" if parameter.get("required") else " | None = None")
            )
            query.append(f"{name!r}: {attribute}")
        elif name in _HEADERS:
            optional.append(f"{attribute}: str | None = None")
            headers.append(f"{name!r}: {attribute}")
    media = operation.get("requestBody", {}).get("content", {})
    arguments = {"method": repr(method), "path": _path(path)}
    if "application/json" in media:
        kind = read.type_of(media["application/json"]["schema"], is_sent=True)
        required.append(f"body: {kind}")
        arguments["body"] = "body"
    elif "multipart/form-data" in media:
        required.append("file: Upload")
        arguments["files"] = '{"file": file}'
    answer, has_envelope = _answer(read, operation)
    if query:
        arguments["query"] = "{" + ", ".join(query) + "}"
    if headers:
        pairs = ", ".join(headers)
        arguments["headers"] = "{name: value for name, value in {" + pairs + "}.items() if value is not None}"
    if not has_envelope:
        arguments["has_envelope"] = "False"
    signature = ", ".join([*required, *(["*", *optional] if optional else [])])
    passed = ", ".join(f"{name}={value}" for name, value in arguments.items())
    text = f"{operation['summary']}.\n\n{operation.get('description', '')}".strip()
    return (
        f"def {snake(operation['operationId'])}({signature}) -> Call[{answer}]:\n{_docstring(text, '    ')}"
        f"    return Call({passed}, answer={answer})\n\n\n"
    )


def _answer(read: Document, operation: Schema) -> tuple[str, bool]:
    """The type of the data of the answer, and whether it is in the envelope."""
    for status, response in operation["responses"].items():
        if not status.startswith("2"):
            continue
        content = response.get("content", {})
        if "application/json" not in content:
            return "bytes", True
        schema = content["application/json"]["schema"]
        target = read.schemas[schema["$ref"].rpartition("/")[2]] if "$ref" in schema else schema
        if not _is_envelope(target):
            return read.type_of(schema, is_sent=False), False
        kind = read.type_of(target["properties"]["data"], is_sent=False)
        return ("None" if kind == "dict[str, Any] | None" else kind), True
    raise ValueError(f"{operation['operationId']} declares no success.")


def _write_client(read: Document) -> str:
    names = [snake(operation["operationId"]) for _, _, operation in read.operations()]
    lines = [_MADE, '"""The clients: a method for each operation of the API."""\n\n', _FUTURE]
    lines.append("from ticketing_client import requests\n")
    lines.append("from ticketing_client.methods import async_method, sync_method\n")
    lines.append("from ticketing_client.transport import AsyncTransport, Transport\n\n\n")
    for kind, base, method in (
        ("Client", "Transport", "sync_method"),
        ("AsyncClient", "AsyncTransport", "async_method"),
    ):
        lines.append(f"class {kind}({base}):\n")
        lines.append(f'    """{base.removesuffix("Transport") or "Synchronous"} client of the API."""\n\n')
        lines += [f"    {name} = {method}(requests.{name})\n" for name in names]
        lines.append("\n\n")
    return "".join(lines).replace('"""Async client', '"""Asynchronous client')


def _path(path: str) -> str:
    if "{" not in path:
        return repr(path)
    return "f" + repr(re.sub(r"{(\w+)}", r'{quote(\1, safe="")}', path))


def snake(name: str) -> str:
    """`listTickets` as `list_tickets`."""
    return re.sub(r"(?<=[a-z0-9])([A-Z])", r"_\1", name).lower()


def _attribute(name: str) -> str:
    return f"{name}_" if keyword.iskeyword(name) else name.replace("-", "_")


def _docstring(text: str, indent: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"""', '\\"\\"\\"')
    lines = [line.rstrip() for line in escaped.splitlines()]
    ending = '"""\n' if len(lines) == 1 and not lines[0].endswith('"') else f'\n{indent}"""\n'
    return f'{indent}"""' + f"\n{indent}".join(lines).replace(f"\n{indent}\n", "\n\n") + ending


def _format(text: str) -> str:
    """The text as ruff formats it, without imports that are not needed."""
    for options in (("check", "--fix-only", "--select=F401,I001"), ("format",)):
        command = [sys.executable, "-m", "ruff", *options, "--isolated", "--quiet", "--line-length=110", "-"]
        text = subprocess.run(command, input=text, capture_output=True, text=True, check=True).stdout
    return text


def main() -> None:
    document = json.loads(Path(sys.argv[1]).read_text())
    for name, text in generate(document).items():
        (PACKAGE / name).write_text(text)


if __name__ == "__main__":
    main()
