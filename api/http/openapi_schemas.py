"""JSON Schemas of bodies, queries and answers, in forms that all generators of clients support.

msgspec writes correct schemas, but each generator supports only a part of JSON Schema
(docs/decisions/0018-generated-clients.md). `make clients` tests the result with six of them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from inspect import cleandoc
from typing import Any

import msgspec

from api.http.resource import BadDeclaration, Operation
from domain.text import EMAIL, EMAIL_FOR_JSON_SCHEMA, VISIBLE, VISIBLE_FOR_JSON_SCHEMA
from infrastructure.json_schemas import Schema, schemas_and_components, structs_in

REFERENCE = "#/components/schemas/{name}"
_TYPES = {str: "string", bool: "boolean", int: "integer", float: "number"}
_NO_NUL = "^[^\\u0000]*$"
_NOT_BLANK = "^[^\\u0000]*[^\\s\\u0000][^\\u0000]*$"
_FOR_JSON_SCHEMA = {VISIBLE: VISIBLE_FOR_JSON_SCHEMA, EMAIL: EMAIL_FOR_JSON_SCHEMA}


class Schemas:
    """The schemas of these operations and of what the server posts. `components` are the structs in bodies,
    answers and posts, by name."""

    def __init__(self, operations: Sequence[Operation], posts: Iterable[Any] = ()) -> None:
        bodies = _distinct(operation.body for operation in operations)
        answers = _distinct((*(operation.answer for operation in operations), *posts))
        queries = _distinct(operation.query for operation in operations)
        schemas, self.components = schemas_and_components([*bodies, *answers], REFERENCE)
        self._schemas = dict(zip(map(id, [*bodies, *answers]), schemas, strict=True))
        _, self._queries = schemas_and_components(queries, REFERENCE)
        names_in_bodies = {struct.cls.__name__ for struct in structs_in(bodies)}
        for name, schema in self.components.items():
            if name in names_in_bodies:
                _describe_defaults(schema)
            else:
                _require_defaults(schema)
                schema.setdefault("additionalProperties", True)
        for kind in bodies:
            add_text_patterns(self.of(kind), self.components)
        for schema in (*self.components.values(), *self._queries.values()):
            simplify(schema)

    def of(self, kind: Any) -> Schema:
        """The schema of a body, an answer or a post: a reference, if it is a struct."""
        return dict(self._schemas[id(kind)])

    def envelope(self, operation: Operation) -> Schema:
        """A reference to the schema of a whole answer. Operations with the same data share it."""
        data: Schema = {"type": ["object", "null"], "description": "Always null"}
        if operation.answer is not None:
            data = self.of(operation.answer)
        item = data.get("items", data) if data.get("type") == "array" else data
        name = str(item.get("$ref", "Empty")).rpartition("/")[2]
        properties: Schema = {"status": {"type": "string", "const": "success"}, "data": data}
        if operation.is_list:
            name += "Page"
            properties["data"] = {"type": "array", "items": data}
            properties["meta"] = {"$ref": REFERENCE.format(name="Meta")}
        else:
            name += "List" if item is not data else "Answer"
        envelope = {
            "type": "object",
            "required": list(properties),
            "properties": properties,
            "additionalProperties": True,
        }
        if self.components.setdefault(name, envelope) != envelope:
            raise BadDeclaration(f"Two answers of the API have the name {name}.")
        return {"$ref": REFERENCE.format(name=name)}

    def of_query(self, query: type[msgspec.Struct]) -> Schema:
        return dict(self._queries[query.__name__])


def simplify(schema: Schema) -> None:
    """Replace what some generators do not support, everywhere in this schema."""
    if "description" in schema:
        schema["description"] = cleandoc(schema["description"])
    values = schema.get("enum", [schema["const"]] if "const" in schema else [])
    if values and "type" not in schema:
        schema["type"] = _TYPES[type(values[0])]
    if schema.get("type") == "integer":  # otherwise clients in Java and C# have 32 bits
        schema.setdefault("format", "int64")
    if schema.pop("prefixItems", None):  # a fixed list of different types
        schema["items"] = {}
    for inner in _inner(schema):
        simplify(inner)


def add_text_patterns(schema: Schema, components: Mapping[str, Any]) -> None:
    """Add patterns for the checks of text that msgspec does not describe: no NUL, not only white space."""
    if "$ref" in schema:
        schema = components[schema["$ref"].rpartition("/")[2]]
    is_text = schema.get("type") == "string" or "pattern" in schema  # the names of properties have no type
    if is_text and not schema.keys() & {"enum", "const", "format"}:
        pattern = schema.get("pattern", _NOT_BLANK if schema.get("minLength") else _NO_NUL)
        schema["pattern"] = (_FOR_JSON_SCHEMA.get(pattern) or pattern).replace("\\Z", "$").replace("\\z", "$")
    for inner in _inner(schema):
        add_text_patterns(inner, components)


def _inner(schema: Schema) -> list[Schema]:
    """The schemas in a schema."""
    candidates = [
        *schema.get("properties", {}).values(),
        *schema.get("anyOf", ()),
        *schema.get("prefixItems", ()),
        schema.get("items"),
        schema.get("propertyNames"),
        schema.get("additionalProperties"),
    ]
    return [inner for inner in candidates if isinstance(inner, dict)]


def _describe_defaults(schema: Schema) -> None:
    """Name the defaults of a body in the descriptions: with `default`, openapi-typescript makes the fields
    required."""
    for field in schema.get("properties", {}).values():
        default = field.pop("default", None)
        if "$ref" not in field and default not in (None, "", [], {}):
            text = default if isinstance(default, str) else msgspec.json.encode(default).decode()
            field["description"] = f"{field.get('description', '')} Default: {text}.".lstrip()


def _require_defaults(schema: Schema) -> None:
    """Make the fields of an answer required that have a default: they are always present."""
    for name, field in schema.get("properties", {}).items():
        if "default" in field:
            del field["default"]
            schema["required"].append(name)


def _distinct(kinds: Iterable[Any]) -> list[Any]:
    """The types that are not None, each once. A type may be equal to another that was written separately."""
    return list({id(kind): kind for kind in kinds if kind is not None}.values())
