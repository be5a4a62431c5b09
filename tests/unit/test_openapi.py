"""The OpenAPI document is valid and describes the declared operations."""

import re
from datetime import datetime
from typing import Annotated, ClassVar, Literal, get_origin

import msgspec
import pytest
from msgspec import Meta
from openapi_spec_validator import validate

from api.http.errors import STATUS_OF
from api.http.openapi import describe
from api.http.openapi_parts import ERROR_RESPONSES
from api.http.paging import PageQuery
from api.http.resource import BadDeclaration, Operation, Resource, Verb, verify
from pages.common.page_operation import PageOperation
from pages.docs import _render
from server.app import ROUTES
from tests.support.browser import without_own_script


class NewThing(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    name: Annotated[str, Meta(min_length=1)]
    colour: Literal["red", "blue"] = "red"
    slug: Annotated[str, Meta(pattern=r"^[a-z]+\Z")] = "a"


class ThingView(msgspec.Struct, kw_only=True):
    id: str
    made_at: datetime


class ThingQuery(PageQuery, frozen=True, kw_only=True, forbid_unknown_fields=True):
    colour: tuple[Literal["red", "blue"], ...] = ()
    made_after: datetime | None = None
    owner: str | None = None


class Things(Resource):
    operations: ClassVar[dict[str, Operation]] = {
        "GET": Operation(
            summary="List", scope="tickets:read", query=ThingQuery, answer=ThingView, is_list=True
        ),
        "POST": Operation(
            summary="Make",
            scope="tickets:write",
            body=NewThing,
            body_example={"name": "<b>"},
            answer=ThingView,
            status=201,
            errors=("forbidden",),
        ),
    }

    def on_get(self, req, resp):
        """Is never called."""

    def on_post(self, req, resp):
        """Is never called."""


class Thing(Resource):
    operations: ClassVar[dict[str, Operation]] = {
        "GET": Operation(summary="Read", answer=ThingView, has_etag=True, answers_not_modified=True),
        "DELETE": Operation(summary="Delete", takes_if_match=True),
    }


@pytest.fixture(scope="module")
def document():
    others = [route for route in ROUTES if route[0] not in ("/v1/tickets", "/v1/tickets/{ticket_id}")]
    return describe(
        [("/v1/tickets", Things), ("/v1/tickets/{ticket_id}", Thing), *others], "https://api.example.com"
    )


def operation(document, method, path="/v1/tickets"):
    return document["paths"][path][method]


def ids_of(document):
    """The operation ids by verb and path, and those of the posts by event name."""
    callbacks = document["paths"]["/v1/webhooks"]["post"]["callbacks"]
    posts = {f"callback {name}": item for name, each in callbacks.items() for item in each.values()}
    return {
        (method, path): described["operationId"]
        for path, methods in (document["paths"] | document["webhooks"] | posts).items()
        for method, described in methods.items()
    }


def parameters(document, method, path="/v1/tickets"):
    found = operation(document, method, path)["parameters"]
    return {p["name"]: p for p in found if "name" in p} | {p["$ref"]: p for p in found if "$ref" in p}


def test_the_document_is_valid_openapi(document):
    validate(document)


def test_every_served_address_is_described(document):
    assert {path.replace(":path}", "}") for path, _ in ROUTES} <= document["paths"].keys()


def test_every_operation_has_its_own_id_in_camel_case():
    found = ids_of(describe(ROUTES, "https://api.example.com"))

    assert len(set(found.values())) == len(found)
    assert [each for each in found.values() if not re.fullmatch("[a-z]+([A-Z][a-z]+)+", each)] == []


def test_operation_ids_say_what_an_author_of_a_client_calls():
    found = ids_of(describe(ROUTES, "https://api.example.com"))

    assert found["get", "/v1/tickets"] == "listTickets"
    assert found["post", "/v1/tickets"] == "createTicket"
    assert found["get", "/v1/tickets/{ticket_id}"] == "getTicket"
    assert found["patch", "/v1/properties/{property_id}"] == "updateProperty"
    assert found["delete", "/v1/webhooks/{webhook_id}"] == "deleteWebhook"
    assert found["post", "/v1/tickets/{ticket_id}/restore"] == "restoreTicket"
    assert found["post", "/v1/tickets/{ticket_id}/comments"] == "createTicketComment"
    assert found["get", "/v1/tickets/{ticket_id}/history"] == "listTicketHistory"
    assert found["post", "/v1/webhooks/{webhook_id}/rotate"] == "rotateWebhookSecret"
    delivery = "/v1/webhooks/{webhook_id}/deliveries/{delivery_id}"
    assert found["post", f"{delivery}/redeliver"] == "redeliverWebhookDelivery"
    assert found["get", "/v1/event-types"] == "listEventTypes"


@pytest.mark.parametrize("operation_id", ["createUser", "updateUser"])
def test_the_document_says_that_notifications_are_only_stored(document, operation_id):
    operations = [one for methods in document["paths"].values() for one in methods.values()]
    (operation,) = [one for one in operations if one["operationId"] == operation_id]

    assert "`preferences.notifications` is only stored" in operation["description"]


def test_query_parameters_allow_neither_null_nor_an_empty_list(document):
    found = parameters(document, "get")

    assert found["colour"]["schema"]["minItems"] == 1
    assert (found["colour"]["style"], found["colour"]["explode"]) == ("form", False)
    assert found["made_after"]["schema"] == {"type": "string", "format": "date-time"}
    assert "anyOf" not in found["owner"]["schema"]
    page = {"type": "integer", "format": "int64", "minimum": 1, "maximum": 10**18 - 1, "default": 1}
    assert found["page"]["schema"] == page
    assert "ThingQuery" not in document["components"]["schemas"]


def test_the_schema_of_a_body_has_the_constraints_that_are_checked(document):
    schema = document["components"]["schemas"]["NewThing"]

    assert schema["additionalProperties"] is False
    assert schema["required"] == ["name"]
    assert "\\S" not in schema["properties"]["name"]["pattern"]
    assert schema["properties"]["slug"]["pattern"] == "^[a-z]+$"


def test_answers_have_the_common_envelope(document):
    schemas = document["components"]["schemas"]
    answer = operation(document, "get")["responses"]["200"]["content"]["application/json"]["schema"]

    assert answer == {"$ref": "#/components/schemas/ThingViewPage"}
    assert schemas["ThingViewPage"]["required"] == ["status", "data", "meta"]
    assert schemas["ThingViewPage"]["properties"]["data"]["items"] == {
        "$ref": "#/components/schemas/ThingView"
    }
    assert schemas["ThingView"]["properties"]["made_at"]["format"] == "date-time"


@pytest.mark.parametrize(
    ("method", "path", "statuses"),
    [
        ("get", "/v1/tickets", {"200", "400", "401", "403", "422", "429", "500", "503"}),
        (
            "post",
            "/v1/tickets",
            {"201", "400", "401", "403", "409", "413", "415", "422", "429", "500", "503"},
        ),
        ("get", "/v1/tickets/{ticket_id}", {"200", "304", "400", "401", "404", "429", "500", "503"}),
        (
            "delete",
            "/v1/tickets/{ticket_id}",
            {"200", "400", "401", "404", "412", "422", "429", "500", "503"},
        ),
        (
            "get",
            "/v1/users/{user_id}",
            {"200", "304", "400", "401", "403", "404", "422", "429", "500", "503"},
        ),
        ("get", "/health/live", {"200", "400", "422", "500"}),
    ],
)
def test_every_status_that_an_operation_can_answer_is_described(document, method, path, statuses):
    assert set(operation(document, method, path)["responses"]) == statuses


def test_304_is_described_only_where_it_can_be_answered(document):
    described = {
        path
        for path, methods in document["paths"].items()
        for one in methods.values()
        if "304" in one["responses"]
    }

    assert "/v1/tickets/{ticket_id}" in described
    assert "/v1/tickets" not in described
    assert "#/components/parameters/IfNoneMatch" not in parameters(document, "get", "/v1/users")


def test_every_single_resource_can_answer_304():
    """The others are no resources: counts, positions of a stream, states of this process."""
    others = {"/v1/tickets/count", "/v1/changes", "/v1/events", "/v1/audit/export"}
    others |= {"/v1/audit/export/manifest", "/health/live", "/health/ready", "/metrics"}
    single = {
        path: operation
        for path, resource in ROUTES
        if (operation := resource.operations.get("GET")) is not None
        and not operation.is_list
        and get_origin(operation.answer) is not list
    }

    assert others <= single.keys()
    assert {path for path, one in single.items() if not one.answers_not_modified} == others


def test_every_list_with_pages_has_cursors_and_lists_of_ids():
    lists = [one.query for _, resource in ROUTES for one in resource.operations.values() if one.is_list]
    fields = [field for query in lists for field in msgspec.structs.fields(query)]

    assert len(lists) >= 9
    assert [query for query in lists if not hasattr(query, "cursor")] == []
    assert [one.name for one in fields if one.name.endswith("_id") and one.default != ()] == []


def test_every_array_has_a_type_for_its_items(document):
    """Client generators omit fields without a type."""

    def untyped(schema, path=""):
        if isinstance(schema, dict):
            if schema.get("type") == "array" and not schema.keys() & {"items", "prefixItems"}:
                yield path
            for name, inner in schema.items():
                yield from untyped(inner, f"{path}/{name}")

    assert list(untyped(document["components"]["schemas"])) == []


def test_every_error_code_is_explained():
    described = " ".join(response["description"] for response in ERROR_RESPONSES.values())

    assert [code for code in STATUS_OF if f"`{code}`" not in described] == []


def test_headers_that_affect_an_operation_are_parameters(document):
    assert "#/components/parameters/IdempotencyKey" in parameters(document, "post")
    assert "#/components/parameters/IdempotencyKey" not in parameters(document, "get")
    one = "/v1/tickets/{ticket_id}"
    assert "#/components/parameters/IfNoneMatch" in parameters(document, "get", one)
    assert "#/components/parameters/IfMatch" in parameters(document, "delete", one)
    assert parameters(document, "get", one)["ticket_id"]["required"] is True


def test_the_page_shows_every_operation_and_escapes_html(document):
    page = _render(document)

    for path in document["paths"]:
        assert f"<code>{path}</code>" in page
    assert "&lt;b&gt;" in page
    assert "<b>" not in page
    assert "<script" not in without_own_script(page)
    assert "style=" not in page


def test_a_resource_whose_methods_differ_from_its_declaration_is_refused():
    class Undeclared(Resource):
        def on_post(self, req, resp):
            """Has no declaration."""

    with pytest.raises(BadDeclaration, match="Undeclared"):
        verify(Undeclared)
    with pytest.raises(BadDeclaration, match="Thing"):
        verify(Thing)  # declared, but without the methods
    verify(Things)


def test_a_declaration_with_an_unknown_error_code_is_refused():
    class Odd(Resource):
        operations: ClassVar[dict[str, Operation]] = {"GET": Operation(summary="x", errors=("odd",))}

        def on_get(self, req, resp):
            """Is never called."""

    with pytest.raises(BadDeclaration, match="odd"):
        verify(Odd)


def test_a_declaration_whose_access_the_resource_would_not_check_is_refused():
    class Unchecked(Resource):
        operations: ClassVar[dict[str, Verb]] = {"GET": PageOperation(summary="x", least_role="admin")}

        def on_get(self, req, resp):
            """Is never called."""

    with pytest.raises(BadDeclaration, match="must declare each verb as Operation"):
        verify(Unchecked)


def test_every_time_parameter_has_the_format_date_time():
    document = describe(ROUTES, "https://api.example.com")
    times = {"created_after", "created_before", "updated_after", "updated_before", "as_of"}
    parameters = [
        parameter
        for path in document["paths"].values()
        for operation in path.values()
        for parameter in operation.get("parameters", ())
        if parameter.get("name") in times
    ]

    assert {parameter["name"] for parameter in parameters} == times
    assert all(parameter["schema"].get("format") == "date-time" for parameter in parameters)
