"""Invalid requests: none gets a 500, none stores anything, and every stored event can be projected."""

from __future__ import annotations

import gzip
import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from infrastructure.storage.postgres import connect
from tests.acceptance.site import LEAK

# An invalid value, ids that do not exist, and an unknown field. tests/unit/test_request_bodies.py tests the
# values of every field, tests/unit/test_bodies.py tests bodies that are not JSON.
BAD_FIELDS = [
    ({"title": "a\u0000b"}, "title"),
    ({"property_id": "nowhere"}, "property_id"),
    ({"unit_id": "nowhere"}, "unit_id"),
    ({"requester_id": "nowhere"}, "requester_id"),
    ({"surprise": 1}, "surprise"),
]


@pytest.fixture
def count_events(site):
    """Returns a function that counts the events of the log."""

    def count():
        with connect(site.dsn, application="tests") as conn:
            return conn.execute("SELECT count(*) FROM es.stored_events").fetchone()[0]

    return count


@pytest.mark.parametrize(("values", "field"), BAD_FIELDS, ids=lambda value: str(value)[:40])
def test_an_invalid_field_is_named_and_nothing_is_stored(site, count_events, values, field):
    before = count_events()

    answer = site.client().post("/v1/tickets", json={**LEAK, **values})

    error = answer.json()["error"]
    assert (answer.status_code, error["code"]) == (422, "validation_error"), answer.text
    assert field in error["details"]
    assert error["message"] == next(iter(error["details"].values()))[0]
    assert count_events() == before


def test_a_lone_surrogate_is_refused(site):
    raw = json.dumps({**LEAK, "title": "\ud800"}).encode()

    answer = site.client().post("/v1/tickets", data=raw, headers={"Content-Type": "application/json"})

    assert answer.status_code == 422
    assert list(answer.json()["error"]["details"]) == ["title"]


@pytest.mark.parametrize(
    ("method", "path", "body", "fields"),
    [
        (
            "POST",
            "/v1/tickets",
            {"title": "", "property_id": "no", "requester_id": "no"},
            ["title", "property_id", "requester_id"],
        ),
        ("POST", "/v1/tickets", {"property_id": "abc123", "unit_id": "no"}, ["title", "unit_id"]),
        (
            "PATCH",
            "/v1/tickets/{ticket}",
            {"title": "", "assigned_to": "no", "unit_id": "no"},
            ["title", "unit_id", "assigned_to"],
        ),
        ("PATCH", "/v1/tickets/{ticket}", {"status": "gone", "property_id": "no"}, ["status", "property_id"]),
        (
            "POST",
            "/v1/users",
            {"name": "A", "email": "a@example.com", "role": "king", "property_ids": ["no"]},
            ["role", "property_ids"],
        ),
        (
            "POST",
            "/v1/users",
            {"name": "A", "email": "a@example.com", "role": "staff", "property_ids": ["no"] * 1_001},
            ["property_ids"],
        ),
        (
            "PATCH",
            "/v1/users/user101",
            {"name": "", "property_ids": ["abc123", "no"]},
            ["name", "property_ids"],
        ),
        (
            "POST",
            "/v1/webhooks",
            {"url": "http://a.example", "events": [], "secret": "whsec_?!"},
            ["events", "url", "secret"],
        ),
        (
            "PATCH",
            "/v1/webhooks/{webhook}",
            {"url": "https://u:p@a.example", "events": ["gone"]},
            ["events", "url"],
        ),
    ],
)
def test_every_invalid_field_is_named_in_one_answer(site, method, path, body, fields):
    webhook = {"url": "https://a.example", "events": ["ticket.*"]}
    ids = {
        "ticket": site.ticket()["id"],
        "webhook": site.client().post("/v1/webhooks", json=webhook).json()["data"]["id"],
    }

    answer = site.client().request(method, path.format(**ids), json=body)

    assert answer.status_code == 422
    error = answer.json()["error"]
    assert list(error["details"]) == fields, answer.text
    assert error["message"] == error["details"][fields[0]][0]
    assert len(answer.content) < 2_000


@pytest.mark.parametrize(
    "path",
    [
        "/v1/tickets/absent",
        "/v1/tickets/absent/history",
        "/v1/tickets/absent/comments",
        "/v1/tickets/absent/attachments",
        "/v1/users/absent",
        "/v1/properties/absent",
        "/v1/properties/absent/units",
        "/v1/webhooks/absent",
        "/v1/webhooks/absent/deliveries",
        "/v1/webhooks/absent/deliveries/absent",
    ],
)
def test_an_absent_resource_is_404_even_with_an_unknown_parameter(site, path):
    assert site.client().get(f"{path}?surprise=1").status_code == 404


@pytest.mark.parametrize(
    ("path", "media_type"),
    [
        ("/v1/tickets", "application/json"),
        ("/v1/tickets/absent/attachments", "multipart/form-data; boundary=x"),
    ],
)
def test_a_compressed_body_is_415_and_the_answer_names_the_accepted_encoding(site, path, media_type):
    headers = {"Content-Type": media_type, "Content-Encoding": "gzip"}

    answer = site.client().post(path, data=gzip.compress(json.dumps(LEAK).encode()), headers=headers)

    assert (answer.status_code, answer.json()["error"]["code"]) == (415, "unsupported_media_type")
    assert answer.headers["Accept-Encoding"] == "identity"


def test_content_encoding_identity_is_accepted(site):
    answer = site.client().post("/v1/tickets", json=LEAK, headers={"Content-Encoding": "identity"})

    assert answer.status_code == 201


def test_a_chunked_body_is_read(site):
    def chunks():
        raw = json.dumps(LEAK).encode()
        yield raw[:10]
        yield raw[10:]

    answer = site.client().post("/v1/tickets", data=chunks(), headers={"Content-Type": "application/json"})

    assert answer.status_code == 201


def test_a_chunked_body_over_the_limit_is_413(site):
    def chunks():
        for _ in range(20):
            yield b"x" * 100_000

    answer = site.client().post("/v1/tickets", data=chunks(), headers={"Content-Type": "application/json"})

    assert answer.status_code == 413


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("page=0", "page"),
        ("per_page=0", "per_page"),
        ("sort=created_at;DROP TABLE read.tickets", "sort"),
        ("sort=relevance", "sort"),
        ("sort=relevance&q=leak&as_of=2026-01-15T00:00:00Z", "sort"),
        ("status=open,nope", "status"),
        ("created_after=2023-13-01T00:00:00Z", "created_after"),
        ("q=%00", "q"),
        ("q=%ff", "q"),
        ("cursor=forged", "cursor"),
        ("colour=red", "colour"),
    ],
)
def test_a_bad_query_parameter_is_named(site, query, field):
    answer = site.client().get(f"/v1/tickets?{query}")

    assert (answer.status_code, answer.json()["error"]["code"]) == (422, "validation_error"), answer.text
    assert field in answer.json()["error"]["details"]


@pytest.mark.parametrize(
    "query",
    [
        "assigned_to=nobody-of-that-id",
        "q=') OR 1=1 --",
        "page=999999999999999999",
        "page=99999999&per_page=100000",
    ],
)
def test_filters_that_match_nothing_give_an_empty_list(site, query):
    answer = site.client().get(f"/v1/tickets?{query}")

    assert (answer.status_code, answer.json()["data"]) == (200, []), answer.text


@settings(
    max_examples=25,
    derandomize=True,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    q=st.text(st.characters(exclude_categories=["Cs"]) | st.sampled_from("-\"“”'\\:*&|!<>() "), max_size=260)
)
def test_every_text_can_be_searched_or_is_refused(site, q):
    for role, others in (
        ("guest", {}),
        ("staff", {"cursor": ""}),
        ("admin", {"as_of": "2025-01-01T00:00:00Z"}),
    ):
        answer = site.client(role).get("/v1/tickets", params={"q": q, **others})

        assert answer.status_code in (200, 422), answer.text


def test_per_page_over_100_is_reduced_to_100(site):
    answer = site.client().get("/v1/tickets?per_page=1000")

    assert answer.json()["meta"]["pagination"]["per_page"] == 100


@pytest.mark.parametrize(
    "path",
    [
        "/v1/tickets/",
        "//v1/tickets",
        "/v1//tickets",
        "/v1/tickets/a b",
        "/v1/tickets/" + "x" * 65,
        "/v1/tickets/%00",
        "/v1/tickets/%ff",
        "/v1/tickets/..",
        "/v1/users/'; DROP TABLE users",
        "/v1/properties/%2e%2e",
        "/v2/tickets",
        "/v1",
        "/v1/tickets/a/b/c",
    ],
)
def test_a_malformed_id_or_path_is_404_with_a_json_error(site, path):
    answer = site.client().get(path)

    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "not_found"), answer.text


def test_the_body_of_an_error_has_at_most_16_kb(site):
    client, anonymous = site.client(), site.client(None)
    unknown = {f"{'漏' * 60}{number}": 1 for number in range(2_000)}
    parameters = "&".join(f"{number}{'x' * 40}=1" for number in range(150))
    grant = {"grant_type": "é" * 2_000, "client_id": "x" * 20_000}
    file = {f"field {number}": ("a.txt", b"hello") for number in range(50)}
    upload = f"/v1/tickets/{site.ticket()['id']}/attachments"

    answers = [
        client.post("/v1/tickets", json=unknown),
        client.get(f"/v1/tickets?{parameters}"),
        client.get(f"/v1/tickets/{'x' * 4_000}"),
        client.request("X" * 4_000, "/v1/tickets"),
        client.post(upload, files=file),
        anonymous.post("/oauth/token", data=grant),
        anonymous.get(f"/oauth/authorize?{parameters}&response_type={'y' * 1_000}"),
        anonymous.get("/v1/tickets", headers={"X-Long": "x" * 20_000}),  # gunicorn refuses it
    ]

    assert [answer.status_code for answer in answers] == [422, 422, 404, 400, 422, 400, 400, 431]
    assert max(len(answer.content) for answer in answers) <= 16_384


def test_a_title_in_any_script_is_returned_unchanged(site):
    title = "Wasser läuft 漏水 🚿 \u202e \U0001f3f4\u200d☠️ é é"

    ticket = site.ticket(title=f"  {title} ")

    assert ticket["title"] == title
    assert site.client().get(f"/v1/tickets/{ticket['id']}").json()["data"]["title"] == title


def test_a_method_that_is_not_offered_is_405_with_allow(site):
    answer = site.client().put("/v1/tickets", json=LEAK)

    assert (answer.status_code, answer.json()["error"]["code"]) == (405, "method_not_allowed")
    assert {"GET", "HEAD", "OPTIONS", "POST"} == set(answer.headers["Allow"].split(", "))


def test_without_a_key_a_known_path_is_401_and_an_unknown_one_404(site):
    anonymous = site.client(None)

    refused = anonymous.get("/v1/tickets")
    assert refused.status_code == 401
    assert anonymous.get("/v1/nothing").status_code == 404
    assert anonymous.put("/v1/tickets").status_code == 405


def test_no_event_of_these_tests_was_parked(site):
    with connect(site.dsn, application="tests") as conn:
        assert conn.execute("SELECT count(*) FROM read.parked_events").fetchone() == (0,)
