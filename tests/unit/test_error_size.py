"""Error bodies have at most 16 kB."""

from __future__ import annotations

import json

import pytest
from falcon import testing

from api.http.error_size import MAX_BODY_BYTES, MORE, shorten_details
from api.http.errors import add_error_handlers
from domain.errors import Conflict, Invalid

HOSTILE = ('"\\' * 600, "\x01" * 2_000, "é漢🚿" * 500, "\u2028" * 3_000, "a" * 100_000)


def body_of(error):
    """The body of the answer to a request that raises this error."""
    import falcon

    class Failing:
        def on_get(self, req, resp):
            raise error

    app = falcon.App()
    add_error_handlers(app)
    app.add_route("/v1/failing", Failing())
    return testing.TestClient(app).simulate_get("/v1/failing").content


@pytest.mark.parametrize("text", HOSTILE, ids=lambda text: repr(text[:2]))
def test_a_body_with_many_long_names_and_messages_has_at_most_16_kb(text):
    many = {f"{number}{text}": [f"{text}{number}"] * 50 for number in range(1_000)}

    for error in (Invalid(many), Invalid({"title": [text]}), Conflict(text)):
        body = body_of(error)
        assert len(body) <= MAX_BODY_BYTES
        assert json.loads(body)["error"]["message"].endswith("...")


def test_the_details_say_how_many_fields_were_left_out():
    details = {f"field_{number}": ["There is no such field here."] for number in range(2_000)}

    body = json.loads(body_of(Invalid(details)))

    shown = body["error"]["details"]
    (more,) = shown.pop(MORE)
    assert more.startswith(f"{2_000 - len(shown):,} more fields")
    assert len(shown) > 100


def test_a_field_with_many_messages_says_how_many_were_left_out():
    shown = shorten_details({"tags": [f"The tag {number} is not valid." for number in range(30)]})

    assert len(shown["tags"]) == 11
    assert shown["tags"][-1].startswith("20 more problems")


def test_details_that_fit_stay_as_they_are():
    details = {"title": ["The title field is required."], "tickets.0.title": ["a", "b"]}

    assert shorten_details(details) == details
