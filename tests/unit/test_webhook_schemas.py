"""The published schemas of webhook bodies. The test receivers compare every body that they get with them."""

import json
from datetime import UTC, datetime

import jsonschema
import pytest

from api.http.openapi import describe
from projections.views import TicketFields, TicketSummary
from server.app import ROUTES
from tests.support.webhook_bodies import problems_of
from webhook_dispatcher.payload_schemas import bodies, payload_schema
from webhook_dispatcher.payloads import make_test_message

BASE_URL = "https://api.example.com"
NAMES = list(bodies())
INCLUDED = set(TicketSummary.__struct_fields__) - set(TicketFields.__struct_fields__)  # only on request


def made_message():
    body = make_test_message("webhook1", "event1", datetime(2026, 1, 15, tzinfo=UTC)).body
    return json.loads(body)


@pytest.mark.parametrize("name", NAMES)
def test_every_event_has_a_schema_with_its_address(name):
    schema = payload_schema(name, BASE_URL)

    jsonschema.Draft202012Validator.check_schema(schema)
    assert schema["$id"] == f"{BASE_URL}/v1/webhook-events/{name}"
    assert schema["properties"]["event"]["enum"] == [bodies()[name].event]
    assert set(schema["required"]) >= {"event", "timestamp", "data", "id", "version", "sequence"}


def test_a_ticket_in_a_body_has_the_fields_of_a_ticket_in_the_api():
    schemas = describe(ROUTES, BASE_URL)["components"]["schemas"]
    in_webhook, in_api = schemas["WebhookTicket"]["properties"], schemas["TicketSummary"]["properties"]

    later = {"number", "tags", "external_ids"} | INCLUDED  # than version 1 of the payload
    assert set(in_webhook) - {"changes", "actor"} == set(in_api) - later


def test_a_body_that_does_not_fit_its_schema_is_reported():
    good = made_message()

    def problems(**changes):
        return problems_of(json.dumps({**good, **changes}).encode())

    assert problems() == []
    assert "required" in problems(data={})[0]
    assert "unexpected" in problems(data={**good["data"], "extra": 1})[0]
    assert "not of type 'string'" in problems(id=7)[0]
    assert problems(event="ticket.exploded") == ["ticket.exploded has no schema"]


def test_the_openapi_document_describes_every_post_as_webhook_and_as_callback():
    document = describe(ROUTES, BASE_URL)
    callbacks = document["paths"]["/v1/webhooks"]["post"]["callbacks"]

    keys = [name.removesuffix(".v1") for name in NAMES]
    assert list(document["webhooks"]) == list(callbacks) == keys
    for schema_name, name in zip(NAMES, keys, strict=True):
        (callback,) = callbacks[name].values()
        for described in (document["webhooks"][name]["post"], callback["post"]):
            schema = described["requestBody"]["content"]["application/json"]["schema"]
            assert schema == {"$ref": f"#/components/schemas/{bodies()[schema_name].kind.__name__}"}
            assert f"/v1/webhook-events/{schema_name}" in described["description"]
            assert len(described["parameters"]) == 3
