"""Request bodies of tickets, comments and users: the values that each field refuses."""

import pytest

from api.http.sent_values import SentValues
from domain.errors import Invalid
from server.app import ROUTES

BODIES = {
    f"{method} {path}": operation.body
    for path, resource in ROUTES
    for method, operation in resource.operations.items()
}
LEAK = {"title": "Leak", "property_id": "p1"}


def bad_fields(endpoint, body):
    """The names of the fields that are refused."""
    try:
        SentValues(body, BODIES[endpoint]).read()
    except Invalid as refusal:
        return set(refusal.details)
    return set()


@pytest.mark.parametrize(
    ("values", "field"),
    [
        ({"title": "a\u0000b"}, "title"),
        ({"title": ""}, "title"),
        ({"title": "   "}, "title"),
        ({"title": "x" * 256}, "title"),
        ({"title": 7}, "title"),
        ({"title": None}, "title"),
        ({"title": ["x"]}, "title"),
        ({"description": "x" * 70_000}, "description"),
        ({"description": {"a": 1}}, "description"),
        ({"priority": "urgent"}, "priority"),
        ({"priority": True}, "priority"),
        ({"priority": ["low"]}, "priority"),
        ({"category": "Not A Slug"}, "category"),
        ({"category": "x" * 51}, "category"),
        ({"category": "trailing\n-"}, "category"),
        ({"property_id": 10**30}, "property_id"),
        ({"property_id": "a\u0000"}, "property_id"),
        ({"unit_id": False}, "unit_id"),
        ({"id": "1"}, "id"),
        ({"created_at": "2020-01-01T00:00:00Z"}, "created_at"),
        ({"surprise": 1}, "surprise"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_a_bad_field_of_a_new_or_changed_ticket_is_named(values, field):
    assert bad_fields("POST /v1/tickets", LEAK | values) == {field}
    assert bad_fields("PATCH /v1/tickets/{ticket_id}", values) == {field}


@pytest.mark.parametrize(
    ("values", "field"), [({"requester_id": {}}, "requester_id"), ({"status": "open"}, "status")]
)
def test_a_bad_field_of_a_new_ticket_is_named(values, field):
    assert bad_fields("POST /v1/tickets", LEAK | values) == {field}


@pytest.mark.parametrize("field", ["title", "description", "status", "priority", "category", "property_id"])
def test_a_change_cannot_set_a_required_field_to_null(field):
    assert bad_fields("PATCH /v1/tickets/{ticket_id}", {field: None}) == {field}


@pytest.mark.parametrize("field", ["unit_id", "assigned_to"])
def test_a_change_may_set_an_optional_field_to_null(field):
    assert bad_fields("PATCH /v1/tickets/{ticket_id}", {field: None}) == set()


@pytest.mark.parametrize("field", ["requester", "requester_id", "comments", "version"])
def test_a_field_that_cannot_be_changed_is_named(field):
    assert bad_fields("PATCH /v1/tickets/{ticket_id}", {field: "x"}) == {field}


@pytest.mark.parametrize(
    ("body", "fields"),
    [
        ({}, {"text"}),
        ({"text": ""}, {"text"}),
        ({"text": " \n "}, {"text"}),
        ({"text": "x" * 65_536}, {"text"}),
        ({"text": "x" * 65_535}, set()),
        ({"text": None}, {"text"}),
        ({"text": "a", "visibility": "secret"}, {"visibility"}),
        ({"text": "a", "author": "x"}, {"author"}),
        ({"text": 1, "visibility": None}, {"text", "visibility"}),
    ],
    ids=lambda value: str(value)[:40] if isinstance(value, dict) else "",  # the order of a set is not stable
)
def test_the_bad_fields_of_a_comment_are_named(body, fields):
    assert bad_fields("POST /v1/tickets/{ticket_id}/comments", body) == fields


def test_all_bad_fields_of_a_user_are_named_at_once():
    body = {
        "name": "",
        "email": "nope",
        "phone": "call me",
        "role": "king",
        "preferences": {"notifications": {"sms": 1}},
    }

    named = {"name", "email", "phone", "role", "preferences.notifications.sms"}
    assert bad_fields("POST /v1/users", body) == named
