"""The schemas of the OpenAPI document have only forms from which all generators make usable clients."""

from collections.abc import Iterator
from typing import Any

import pytest

from api.http.openapi import describe
from server.app import ROUTES

DOCUMENT = describe(ROUTES, "https://api.example.com")
COMPONENTS = DOCUMENT["components"]["schemas"]
JSON = "application/json"


def schemas_in(part: Any, path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Yields every object of the document outside of examples, with its path."""
    if isinstance(part, dict):
        yield path, part
        for name, inner in part.items():
            if name not in ("example", "examples"):
                yield from schemas_in(inner, f"{path}/{name}")
    elif isinstance(part, list):
        for number, inner in enumerate(part):
            yield from schemas_in(inner, f"{path}/{number}")


ALL = [*schemas_in(DOCUMENT)]
VALUES = [(path, part) for path, part in ALL if not path.endswith(("/properties", "/schemas"))]
OPERATIONS = [
    (f"{method} {path}", one)
    for path, methods in DOCUMENT["paths"].items()
    for method, one in methods.items()
]


def test_every_enumeration_and_constant_has_a_type():
    assert [path for path, part in VALUES if part.keys() & {"enum", "const"} and "type" not in part] == []


@pytest.mark.parametrize("keyword", ["oneOf", "allOf", "prefixItems", "not", "if", "patternProperties"])
def test_keywords_that_generators_do_not_know_are_absent(keyword):
    assert [path for path, part in VALUES if keyword in part] == []


def test_a_choice_of_types_is_only_a_type_or_null():
    choices = [(path, part["anyOf"]) for path, part in VALUES if "anyOf" in part]

    assert len(choices) > 10
    assert [path for path, branches in choices if len(branches) != 2 or branches[1] != {"type": "null"}] == []


def test_no_value_can_only_be_null():
    nulls = [path for path, part in VALUES if part.get("type") == "null"]

    assert [path for path in nulls if not path.endswith("/anyOf/1")] == []


def test_every_list_has_a_schema_of_its_items():
    lists = [(path, part) for path, part in VALUES if part.get("type") == "array"]

    assert [path for path, part in lists if not isinstance(part.get("items"), dict)] == []


def test_a_reference_stands_alone():
    references = [(path, part) for path, part in ALL if "$ref" in part]

    assert [path for path, part in references if set(part) != {"$ref"}] == []


def test_bodies_and_answers_have_no_defaults_because_generators_make_such_fields_required():
    assert [path for path, part in schemas_in(COMPONENTS) if "default" in part] == []
    assert COMPONENTS["NewTicket"]["required"] == ["title", "property_id"]
    assert COMPONENTS["NewTicket"]["properties"]["priority"]["description"] == "Default: medium."
    assert "required" not in COMPONENTS["TicketChanges"] or COMPONENTS["TicketChanges"]["required"] == []


def test_a_field_of_an_answer_with_a_default_is_always_present():
    assert "status" in COMPONENTS["Readiness"]["required"]
    assert "secret" not in COMPONENTS["RegisteredWebhook"]["required"]


def test_answers_may_get_fields_and_bodies_may_not():
    """Clients in Java refuse a field of an answer that is not declared, unless others are allowed."""
    structs = {name: schema for name, schema in COMPONENTS.items() if schema.get("type") == "object"}
    bodies = {
        content["schema"]["$ref"].rpartition("/")[2]
        for _, operation in OPERATIONS
        for content in operation.get("requestBody", {}).get("content", {}).values()
    }

    assert len(bodies) > 10
    assert {name for name in bodies if structs[name]["additionalProperties"]} == set()
    closed = {name for name, schema in structs.items() if schema.get("additionalProperties") is False}
    assert closed - bodies <= {"AddressBody", "BulkOperationBody", "NotificationsBody", "PreferencesBody"}
    assert [name for name, schema in structs.items() if "additionalProperties" not in schema] == []


def test_every_integer_has_64_bits():
    integers = [(path, part) for path, part in VALUES if part.get("type") == "integer"]

    assert len(integers) > 20
    assert [path for path, part in integers if part.get("format") != "int64"] == []


def test_every_body_and_answer_in_json_has_a_name():
    unnamed = [
        f"{name} {content}"
        for name, operation in OPERATIONS
        for content in (
            operation.get("requestBody", {}).get("content", {}),
            *(response.get("content", {}) for response in operation["responses"].values()),
        )
        if JSON in content and content[JSON]["schema"].keys() != {"$ref"}
    ]

    assert [name for name in unnamed if "manifest" not in name] == []  # a JSON file without the envelope


def test_errors_are_described_once():
    for name, operation in OPERATIONS:
        for status, response in operation["responses"].items():
            if status >= "400":
                assert response == {"$ref": f"#/components/responses/Error{status}"}, name
    for response in DOCUMENT["components"]["responses"].values():
        assert response["content"][JSON]["schema"] == {"$ref": "#/components/schemas/Error"}


def test_both_ways_of_paging_have_one_schema():
    pagination = COMPONENTS["Pagination"]

    assert pagination["required"] == ["count", "per_page", "links"]
    assert {"total", "next_cursor"} <= pagination["properties"].keys()


def test_answers_that_are_not_json_are_described_as_they_are_sent():
    def content(path):
        return DOCUMENT["paths"][path]["get"]["responses"]["200"]["content"]

    assert content("/v1/audit/export") == {
        "application/x-ndjson": {"schema": {"type": "string", "format": "binary"}},
        "text/csv": {"schema": {"type": "string"}},
    }
    assert content("/v1/attachments/{attachment_id}") == {
        "application/octet-stream": {"schema": {"type": "string", "format": "binary"}}
    }
    assert content("/v1/audit/export/manifest")[JSON]["schema"]["type"] == "object"
