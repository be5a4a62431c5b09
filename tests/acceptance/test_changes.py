"""Changes over HTTP: merged and cleared fields, If-Match, repeated requests, and references to others."""

from __future__ import annotations

import json
from uuid import uuid4

import pytest

from infrastructure.storage.postgres import connect
from tests.acceptance.site import LEAK, Site, with_own_address
from tests.support.postgres import cloned_database

ADDRESS = {"street": "1 A St", "city": "B", "state": "C", "zip": "1", "country": "D"}
PERSON = {"name": "New", "email": "new@example.com", "role": "staff", "property_ids": ["abc123"]}
NEVER = '"99"'
JSON = {"Content-Type": "application/json"}


@pytest.fixture(scope="module")
def site(postgres, template):
    with cloned_database(postgres, template) as dsn, Site.running(dsn, workers=1) as site:
        yield site


@pytest.fixture
def client(site):
    return site.client()


@pytest.fixture
def path(site):
    """The path of a guest's ticket."""
    return f"/v1/tickets/{site.ticket('guest')['id']}"


@pytest.fixture
def made(site, client):
    """Returns a function that creates a ticket, user or property and returns its path."""

    def make(kind):
        if kind == "ticket":
            return f"/v1/tickets/{site.ticket()['id']}"
        body = with_own_address(PERSON) if kind == "user" else {"name": "Place", "address": ADDRESS}
        collection = "users" if kind == "user" else "properties"
        answer = client.post(f"/v1/{collection}", json=body)
        assert (answer.status_code, answer.headers["ETag"]) == (201, '"1"'), answer.text
        return answer.headers["Location"].removeprefix(site.base_url)

    return make


CHANGES = {"ticket": {"title": "Changed"}, "user": {"name": "Changed"}, "property": {"name": "Changed"}}
kinds = pytest.mark.parametrize("kind", CHANGES)


def error_of(answer):
    return answer.status_code, answer.json()["error"]["code"], set(answer.json()["error"]["details"])


def events_in_log(site):
    with connect(site.dsn, application="tests") as conn:
        return conn.execute("SELECT count(*) FROM es.stored_events").fetchone()[0]


def test_post_fills_in_defaults_and_patch_changes_only_the_given_fields(site, client):
    posted = client.post("/v1/tickets", json={"title": " Leak ", "property_id": "abc123"}).json()["data"]
    assert (posted["title"], posted["description"], posted["priority"], posted["category"]) == (
        "Leak",
        "",
        "medium",
        "general",
    )
    assert (posted["unit"], posted["assigned_to"]) == (None, None)
    path = f"/v1/tickets/{posted['id']}"

    changed = client.patch(path, json={"unit_id": "unit456", "assigned_to": "user101"}).json()["data"]
    assert changed["unit"] == {"id": "unit456", "name": "Unit 101"}
    assert changed["assigned_to"] == {"id": "user101", "name": "Jane Smith"}
    cleared = client.patch(path, json={"unit_id": None, "assigned_to": None}).json()["data"]

    assert (cleared["unit"], cleared["assigned_to"]) == (None, None)
    assert {**cleared, "updated_at": ""} == {**posted, "updated_at": ""}
    assert client.get(path).json()["data"]["unit"] is None


@pytest.mark.parametrize(  # the rules of each field: tests/unit/test_request_bodies.py
    ("changes", "field"),
    [
        ({"title": "a\u0000"}, "title"),
        ({"assigned_to": "nobody"}, "assigned_to"),
        ({"unit_id": "nowhere"}, "unit_id"),
        ({"property_id": "nowhere"}, "property_id"),
        ({"property_id": "def456"}, "unit_id"),
    ],
    ids=str,
)
def test_a_patch_with_an_invalid_field_changes_nothing(site, client, path, changes, field):
    before, events = client.get(path).json(), events_in_log(site)

    answer = client.patch(path, json={"description": "Half done?", **changes})

    assert answer.status_code == 422, answer.text
    assert field in answer.json()["error"]["details"]
    assert client.get(path).json() == before
    assert events_in_log(site) == events


def test_a_ticket_is_moved_together_with_unit_and_assignee(client, site, path):
    moved = client.patch(path, json={"property_id": "def456", "unit_id": None, "assigned_to": "user900"})

    assert moved.status_code == 200
    assert moved.json()["data"]["property"] == {"id": "def456", "name": "Hill House"}
    assert moved.json()["data"]["assigned_to"]["id"] == "user900"
    assert site.client("staff").get(path).status_code == 404
    assert site.client("foreign").get(path).status_code == 200


def test_every_status_may_follow_every_other(client, path):
    for status in ("closed", "open", "in_progress", "closed", "in_progress", "open"):
        assert client.patch(path, json={"status": status}).json()["data"]["status"] == status


@kinds
def test_a_patch_without_an_effect_is_200_and_stores_no_event(site, client, made, kind):
    address = made(kind)
    first = client.patch(address, json=CHANGES[kind])
    events = events_in_log(site)

    again = client.patch(address, json=CHANGES[kind])
    empty = client.patch(address, json={})

    assert [a.status_code for a in (first, again, empty)] == [200, 200, 200]
    assert first.headers["ETag"] == again.headers["ETag"] == empty.headers["ETag"] == '"2"'
    assert again.json() == first.json()
    assert events_in_log(site) == events


@kinds
def test_if_match_allows_a_change_of_the_current_version_only(site, client, made, kind):
    address = made(kind)
    seen = client.get(address).headers["ETag"]

    assert client.patch(address, json=CHANGES[kind], headers={"If-Match": seen}).status_code == 200
    events = events_in_log(site)
    stale = client.patch(address, json={**CHANGES[kind]}, headers={"If-Match": seen})
    assert error_of(stale) == (412, "precondition_failed", set())
    assert "with its ETag, in quotation marks" in stale.json()["error"]["message"]
    for header in (NEVER, 'W/"1"', '"1-gzip"', "2", '"x"', '"2-x"', ""):
        assert client.patch(address, json={}, headers={"If-Match": header}).status_code == 412, header
    assert events_in_log(site) == events
    for header in ("*", '"1", "2"', '"2"', 'W/"2"', '"2-gzip"', 'W/"2--gzip"', '"1", W/"2;br"'):
        assert client.patch(address, json={}, headers={"If-Match": header}).status_code == 200, header


def test_a_stale_version_is_reported_before_invalid_values_and_after_missing_rights(site, client, path):
    stale = {"If-Match": NEVER}

    assert client.patch(path, json={"title": ""}, headers=stale).status_code == 412
    assert client.patch(path, json={"assigned_to": "nobody"}, headers=stale).status_code == 412
    assert site.client("guest").patch(path, json={"title": "x"}, headers=stale).status_code == 403
    assert site.client("foreign").patch(path, json={"title": ""}, headers=stale).status_code == 404
    assert client.patch(path, data=b"{", headers=stale | JSON).status_code == 400


def test_a_412_is_not_replayed_for_a_retry_with_another_if_match(client, path):
    """Requests that differ only in If-Match count as the same request, so the 412 must not be stored."""
    change, key = {"title": "Read anew"}, {"Idempotency-Key": path}
    version = client.get(path).headers["ETag"]

    stale = client.patch(path, json=change, headers={**key, "If-Match": '"9"'})
    fresh = client.patch(path, json=change, headers={**key, "If-Match": version})
    again = client.patch(path, json=change, headers={**key, "If-Match": version})

    assert (stale.status_code, fresh.status_code, again.status_code) == (412, 200, 200)
    assert again.headers["Idempotent-Replayed"] == "true"


def test_a_415_is_not_replayed_for_a_retry_with_the_right_media_type(client):
    body, key = json.dumps(LEAK), {"Idempotency-Key": "form"}

    wrong = client.post("/v1/tickets", data=body, headers={**key, "Content-Type": "text/plain"})
    right = client.post("/v1/tickets", data=body, headers=key | JSON)

    assert (wrong.status_code, right.status_code) == (415, 201)


def test_a_delete_with_a_stale_version_is_refused(client, path):
    assert client.delete(path, headers={"If-Match": NEVER}).status_code == 412
    assert client.get(path).status_code == 200
    assert client.delete(path, headers={"If-Match": '"1"'}).status_code == 200
    assert client.delete(path).status_code == 404


def test_a_current_version_is_304(client, path):
    answer = client.get(path, headers={"If-None-Match": '"1"'})

    assert (answer.status_code, answer.content, answer.headers["ETag"]) == (304, b"", '"1"')
    for header in ("*", 'W/"1"', '"0", "1"', '"1-gzip"'):
        assert client.get(path, headers={"If-None-Match": header}).status_code == 304, header
    assert client.get(path, headers={"If-None-Match": NEVER}).status_code == 200
    client.patch(path, json={"title": "Changed"})
    assert client.get(path, headers={"If-None-Match": '"1"'}).status_code == 200
    assert client.get(path, headers={"If-None-Match": '"2"'}).status_code == 304


def test_a_ticket_that_shows_a_new_name_is_not_304(client, made, path):
    user = made("user")
    tag = client.patch(path, json={"assigned_to": user.rpartition("/")[2]}).headers["ETag"]
    assert client.get(path, headers={"If-None-Match": tag}).status_code == 304

    client.patch(user, json={"name": "Renamed"})

    answer = client.get(path, headers={"If-None-Match": tag})
    assert (answer.status_code, answer.json()["data"]["assigned_to"]["name"]) == (200, "Renamed")


IDEMPOTENT = [
    ("POST", "/v1/tickets", LEAK),
    ("PATCH", "{ticket}", {"title": "Once"}),
    ("POST", "{ticket}/comments", {"text": "Once"}),
    ("POST", "{ticket}/restore", None),
    ("POST", "/v1/users", PERSON),
    ("PATCH", "{user}", {"name": "Once"}),
    ("POST", "/v1/properties", {"name": "Once", "address": ADDRESS}),
    ("PATCH", "{property}", {"name": "Once"}),
    ("POST", "{property}/units", {"name": "Once"}),
]


@pytest.mark.parametrize(("method", "address", "body"), IDEMPOTENT, ids=lambda value: str(value)[:24])
def test_a_request_with_a_repeated_idempotency_key_is_carried_out_once(
    site, client, made, method, address, body
):
    for kind in CHANGES:
        if f"{{{kind}}}" in address:
            address = address.replace(f"{{{kind}}}", made(kind))
    headers, body = {"Idempotency-Key": str(uuid4())}, with_own_address(body)
    first = client.request(method, address, json=body, headers=headers)
    events = events_in_log(site)

    again = client.request(method, address, json=body, headers=headers)
    other = client.request(method, address, json={**(body or {}), "more": 1}, headers=headers)

    assert first.status_code in (200, 201), first.text
    assert "Idempotent-Replayed" not in first.headers
    assert (again.status_code, again.content) == (first.status_code, first.content)
    assert again.headers["Idempotent-Replayed"] == "true"
    assert [again.headers.get(name) for name in ("ETag", "Location")] == [
        first.headers.get(name) for name in ("ETag", "Location")
    ]
    assert error_of(other)[:2] == (422, "idempotency_key_reused")
    assert events_in_log(site) == events


def test_the_requester_is_the_caller_unless_a_manager_names_another(site):
    def requester(role, **facts):
        answer = site.client(role).post("/v1/tickets", json={**LEAK, **facts})
        return answer.json()["data"]["requester"]["id"] if answer.status_code == 201 else answer.status_code

    assert requester("staff") == "user101"
    assert requester("manager", requester_id="user789") == "user789"
    assert requester("admin", requester_id="user900") == "user900"
    assert requester("staff", requester_id="user789") == 403
    assert requester("manager", requester_id="user900") == 422
    assert requester("manager", requester_id=None) == 422
    assert requester("admin", requester_id="nobody") == 422


def test_comments_are_listed_oldest_first_in_pages(site, client, path):
    for number in range(5):
        answer = client.post(f"{path}/comments", json={"text": f" Comment {number} "})
        assert answer.status_code == 201
        comment = answer.json()["data"]
        assert list(comment) == ["id", "text", "user", "visibility", "created_at", "edited_at"]
        assert (comment["text"], comment["visibility"]) == (f"Comment {number}", "public")
        assert answer.headers["Location"] == f"{site.base_url}{path}/comments"

    page = client.get(f"{path}/comments?per_page=2&page=2").json()

    assert [comment["text"] for comment in page["data"]] == ["Comment 2", "Comment 3"]
    assert page["meta"]["pagination"]["total"] == 5
    assert page["meta"]["pagination"]["links"].keys() == {"next", "previous"}


def test_a_comment_of_the_maximum_length_is_accepted(client, path):
    assert client.post(f"{path}/comments", json={"text": "x" * 65_535}).status_code == 201


def test_units_are_listed_by_name_and_cannot_share_a_name(client, made):
    place = made("property")
    for name in ("B 1", "A"):
        assert client.post(f"{place}/units", json={"name": name}).status_code == 201

    units = client.get(f"{place}/units").json()["data"]
    detail = client.get(place).json()["data"]

    assert [unit["name"] for unit in units] == ["A", "B 1"]
    assert (detail["units_count"], detail["units"]) == (2, units)
    for taken in ("A", " a ", "b  1", "b\u00a01\u200b"):
        refused = error_of(client.post(f"{place}/units", json={"name": taken}))
        assert refused == (422, "validation_error", {"name"}), taken
    assert client.post(f"{made('property')}/units", json={"name": "A"}).status_code == 201
    assert error_of(client.post(f"{place}/units", json={"name": "", "id": "x"})) == (
        422,
        "validation_error",
        {"name", "id"},
    )


def test_an_address_is_replaced_as_a_whole(client, made):
    place = made("property")

    assert error_of(client.patch(place, json={"address": {"street": "Elsewhere"}}))[0] == 422
    changed = client.patch(place, json={"address": ADDRESS | {"street": "2 B St"}})

    assert changed.json()["data"]["address"]["street"] == "2 B St"
    assert error_of(client.post("/v1/properties", json={"name": "x", "address": {"zip": 1}})) == (
        422,
        "validation_error",
        {f"address.{field}" for field in ADDRESS},
    )


def test_the_fields_of_a_user_are_changed_and_the_phone_is_cleared(client, made):
    user = made("user")
    profile = {"phone": "555-000-1111", "preferences": {"notifications": {"email": False, "sms": True}}}

    changed = client.patch(user, json=profile).json()["data"]
    cleared = client.patch(user, json={"phone": None, "property_ids": []}).json()["data"]

    assert {field: changed[field] for field in profile} == profile
    assert (cleared["phone"], cleared["properties"]) == (None, [])
    assert cleared["preferences"] == profile["preferences"]
    assert error_of(client.patch(user, json={"role": "king", "id": "x", "name": None})) == (
        422,
        "validation_error",
        {"role", "id", "name"},
    )


def test_a_manager_registers_people_of_their_own_properties_only(site):
    manager = site.client("manager")

    assert manager.post("/v1/users", json=with_own_address(PERSON)).status_code == 201
    assert error_of(manager.post("/v1/users", json=PERSON | {"role": "admin"}))[:2] == (403, "forbidden")
    for places in ([], ["def456"], ["abc123", "nowhere"]):
        refused = error_of(manager.post("/v1/users", json=PERSON | {"property_ids": places}))
        assert refused == (422, "validation_error", {"property_ids"})


def test_a_restored_ticket_has_its_former_fields(client, path):
    before = client.get(path).json()["data"]
    client.delete(path)
    assert client.patch(path, json={"title": "Gone"}).status_code == 404
    assert client.post(f"{path}/comments", json={"text": "Gone"}).status_code == 404

    restored = client.post(f"{path}/restore")
    again = client.post(f"{path}/restore")

    assert (restored.status_code, restored.headers["ETag"]) == (200, '"3"')
    assert (again.status_code, again.headers["ETag"]) == (200, '"3"')
    assert {**client.get(path).json()["data"], "updated_at": ""} == {**before, "updated_at": ""}
