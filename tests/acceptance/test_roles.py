"""Every role at every endpoint with own, foreign and absent ids. Foreign and absent answers are equal."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import pytest

from server.app import ROUTES
from tests.acceptance.site import LEAK, with_own_address

ROLES = ("admin", "manager", "staff", "guest")
ADDRESS = {"street": "1 A St", "city": "B", "state": "C", "zip": "1", "country": "D"}


class Call:
    """A request to one endpoint, and the status that each role gets for a thing within its reach.

    `target` is the kind of the thing whose id is in the path, or in `field` of the body.
    """

    def __init__(
        self,
        method: str,
        path: str,
        target: str,
        own: tuple[int, int, int, int],
        body: dict[str, Any] | None = None,
        field: str | None = None,
        **more: Any,
    ) -> None:
        self.method, self.path, self.target = method, path, target
        self.own = dict(zip(ROLES, own, strict=True))
        self.body, self.field, self.more = body, field, more

    def __str__(self) -> str:
        return f"{self.method} {self.path}" + (f" {self.field}" if self.field else "")


FILE = {"file": ("a.txt", b"hello", "text/plain")}
CALLS = [
    Call("GET", "/v1/tickets/{id}", "ticket", (200, 200, 200, 200)),
    Call("GET", "/v1/tickets/{id}?version=1", "ticket", (200, 200, 200, 200)),
    Call("GET", "/v1/tickets/{id}/history", "ticket", (200, 200, 200, 403)),
    Call("GET", "/v1/tickets/{id}/comments", "ticket", (200, 200, 200, 200)),
    Call("PATCH", "/v1/tickets/{id}", "ticket", (200, 200, 200, 403), {"title": "Flood"}),
    Call("PATCH", "/v1/tickets/{id}", "ticket", (200, 200, 200, 200), {"status": "closed"}),
    Call("PATCH", "/v1/tickets/{id}", "ticket", (200, 200, 403, 403), {"property_id": "abc123"}),
    Call("POST", "/v1/tickets/{id}/comments", "ticket", (201, 201, 201, 201), {"text": "Hello"}),
    Call(
        "POST",
        "/v1/tickets/{id}/comments",
        "ticket",
        (201, 201, 201, 403),
        {"text": "Psst", "visibility": "internal"},
    ),
    # The guest wrote the comment and attached the file a moment before.
    Call("PATCH", "/v1/tickets/{id}/comments/{comment}", "ticket", (200, 200, 403, 200), {"text": "Bye"}),
    Call("DELETE", "/v1/tickets/{id}/comments/{comment}", "ticket", (200, 200, 403, 200)),
    Call("POST", "/v1/tickets/{id}/attachments", "ticket", (201, 201, 201, 201), files=FILE),
    Call("DELETE", "/v1/tickets/{id}/attachments/{file}", "ticket", (200, 200, 403, 200)),
    Call("GET", "/v1/tickets/{id}/attachments", "ticket", (200, 200, 200, 200)),
    Call("POST", "/v1/tickets/{id}/restore", "ticket", (200, 403, 403, 403)),
    Call("DELETE", "/v1/tickets/{id}", "ticket", (200, 200, 403, 403)),
    Call("GET", "/v1/users/{id}", "user", (200, 200, 200, 404)),
    Call("PATCH", "/v1/users/{id}", "user", (200, 200, 403, 404), {"name": "Jane Smith"}),
    Call("POST", "/v1/users/{id}/one-time-link", "newcomer", (201, 201, 403, 404)),
    Call("POST", "/v1/users/{id}/erase", "newcomer", (200, 403, 403, 404)),
    Call("GET", "/v1/properties/{id}", "property", (200, 200, 200, 200)),
    Call("PATCH", "/v1/properties/{id}", "property", (200, 200, 403, 403), {"name": "Seaside Apartments"}),
    Call("POST", "/v1/properties/{id}/units", "property", (201, 201, 403, 403), {"name": "Unit"}),
    Call("GET", "/v1/properties/{id}/units", "property", (200, 200, 200, 200)),
    Call("PATCH", "/v1/properties/{id}/units/{unit}", "property", (200, 200, 403, 403), {"external_ids": {}}),
    Call("POST", "/v1/tickets", "property", (201, 201, 201, 201), LEAK | {"unit_id": None}, "property_id"),
    Call("POST", "/v1/tickets", "requester", (201, 201, 403, 201), LEAK | {"unit_id": None}, "requester_id"),
    Call("GET", "/v1/webhooks/{id}", "webhook", (200, 200, 403, 403)),
    Call("PATCH", "/v1/webhooks/{id}", "webhook", (200, 200, 403, 403), {"enabled": True}),
    Call("POST", "/v1/webhooks/{id}/rotate", "webhook", (200, 200, 403, 403), {}),
    Call("POST", "/v1/webhooks/{id}/test", "webhook", (202, 202, 403, 403)),
    Call("GET", "/v1/webhooks/{id}/deliveries", "webhook", (200, 200, 403, 403)),
    Call("GET", "/v1/webhooks/{id}/deliveries/{delivery}", "webhook", (200, 200, 403, 403)),
    Call("POST", "/v1/webhooks/{id}/deliveries/{delivery}/redeliver", "webhook", (202, 202, 403, 403)),
    Call(
        "POST",
        "/v1/webhooks/{id}/recover",
        "webhook",
        (202, 202, 403, 403),
        {"since": "2026-01-01T00:00:00Z"},
    ),
    Call(
        "POST", "/v1/webhooks/{id}/replay", "webhook", (202, 202, 403, 403), {"since": "2999-01-01T00:00:00Z"}
    ),
    Call("DELETE", "/v1/webhooks/{id}", "webhook", (200, 200, 403, 403)),
    Call(
        "POST",
        "/v1/users",
        "property",
        (201, 201, 403, 403),
        {"name": "New", "email": "new@example.com", "role": "guest"},
        "property_ids",
    ),
]


# Endpoints whose things are neither own nor foreign, and the tests of these endpoints.
OUTSIDE_THE_MATRIX = {
    "GET /v1/tickets": "test_a_list_contains_only_things_within_reach",
    "PUT /v1/tickets/by-external-id/{id}/{id}": "test_ticket_fields",
    "POST /v1/imports": "test_only_an_unrestricted_admin_imports in test_import",
    "POST /v1/tickets/bulk": "test_roles_and_versions_are_checked_for_each_operation in test_bulk",
    "GET /v1/tickets/count": "test_a_count_is_the_total_of_the_list_for_each_reader in test_ticket_parts",
    "GET /v1/users/me": "test_a_person_reads_themselves_and_a_key_of_nobody_gets_404 in test_people",
    "GET /v1/users": "test_lists_are_served_to_their_roles_only",
    "GET /v1/properties": "test_lists_are_served_to_their_roles_only",
    "POST /v1/properties": "test_only_an_admin_registers_properties",
    "GET /v1/attachments/{id}": "needs a signed address instead of a role: test_attachments",
    "GET /v1/audit/events": "test_a_manager_reads_events_of_their_own_properties_only in test_audit",
    "GET /v1/changes": "test_lists_are_served_to_their_roles_only, and test_change_feed",
    "GET /v1/events": "test_the_feed_is_for_admins in test_events",
    "GET /v1/event-types": "public: test_events",
    "GET /v1/event-types/{id}": "public: test_events",
    "GET /v1/webhook-events": "public: test_events",
    "GET /v1/webhook-events/{id}": "public: test_events",
    "GET /v1/audit/export": "test_exports_and_proofs_are_for_admins in test_proof",
    "GET /v1/audit/export/manifest": "test_exports_and_proofs_are_for_admins in test_proof",
    "GET /v1/audit/events/{id}/proof": "test_exports_and_proofs_are_for_admins in test_proof",
    "GET /v1/webhooks": "test_webhooks_are_visible_to_their_owner_and_admins_only in test_webhooks",
    "POST /v1/webhooks": "test_registering_answers_as_the_reference_does in test_webhooks",
    "GET /health/live": "public: tests/integration/test_health.py",
    "GET /health/ready": "public: tests/integration/test_health.py",
    "GET /metrics": "test_metrics_are_for_admins in tests/integration/test_health.py",
}


def test_every_endpoint_is_in_the_matrix_or_listed_as_tested_elsewhere():
    def name_of(method, path):
        return f"{method} {re.sub('{[a-z_:]+}', '{id}', path.partition('?')[0])}"

    served = {name_of(method, path) for path, resource in ROUTES for method in resource.operations}
    in_the_matrix = {name_of(call.method, call.path) for call in CALLS}

    assert served - in_the_matrix == set(OUTSIDE_THE_MATRIX)
    assert in_the_matrix <= served


def target_id(site, call, role, whose):
    if whose == "absent":
        return "01999999-9999-7999-8999-999999999999"
    if call.target == "ticket":
        if whose == "own":
            return site.ticket("guest")["id"]
        return site.ticket("admin", property_id="def456", unit_id=None)["id"]
    if call.target == "newcomer" and whose == "own":
        return site.person()["id"]
    if call.target == "webhook":
        return register_webhook(site, "manager" if whose == "own" and role == "manager" else "admin")
    own, foreign = {
        "newcomer": ("", "user900"),
        "user": ("user101", "user900"),
        "requester": ("user789", "user900"),
        "property": ("abc123", "def456"),
    }[call.target]
    return own if whose == "own" else foreign


def register_webhook(site, by):
    """Register a webhook as that role and return its id."""
    body = {"url": "https://example.com/hook", "events": ["ticket.deleted"], "secret": "your_webhook_secret"}
    return site.client(by).post("/v1/webhooks", json=body).json()["data"]["id"]


def send_test(site, webhook_id):
    """Send a test and return the id of its delivery; return an arbitrary id if there is no such webhook."""
    sent = site.client("admin").post(f"/v1/webhooks/{webhook_id}/test")
    return sent.json()["data"]["id"] if sent.status_code == 202 else "1"


def add_by_guest(site, ticket_id, kind, **content):
    """Comment on the ticket or attach a file; return the id, or an arbitrary one without such a ticket."""
    added = site.client("guest").post(f"/v1/tickets/{ticket_id}/{kind}", **content)
    return added.json()["data"]["id"] if added.status_code == 201 else "1"


def perform(site, call, role, target):
    body = None if call.body is None else {**with_own_address(call.body)}
    if body is not None and call.path.endswith("/units"):
        body["name"] = f"Unit {uuid4()}"
    path = call.path.replace("{id}", target)
    if "{delivery}" in path:
        path = path.replace("{delivery}", send_test(site, target))
    path = path.replace("{unit}", "unit456")
    if "{comment}" in path:
        path = path.replace("{comment}", add_by_guest(site, target, "comments", json={"text": "Hello"}))
    if "{file}" in path:
        path = path.replace("{file}", add_by_guest(site, target, "attachments", files=FILE))
    if body is not None and call.field:
        body[call.field] = [target] if call.field == "property_ids" else target
    return site.client(role).request(call.method, path, json=body, **call.more)


def comparable(answer, target):
    """Return status and body without the request id and the id of the target."""
    body = answer.json()
    body["error"].pop("request_id")
    return answer.status_code, str(body).replace(target, "ID")


@pytest.mark.parametrize("call", CALLS, ids=str)
@pytest.mark.parametrize("role", ROLES)
def test_own_foreign_and_absent(site, role, call):
    own_id = target_id(site, call, role, "own")
    own = perform(site, call, role, own_id)
    assert own.status_code == call.own[role], own.text

    absent_id = target_id(site, call, role, "absent")
    absent = perform(site, call, role, absent_id)
    assert absent.status_code in {403, 404, 422}, absent.text
    if role == "admin":
        return  # an admin reaches every property
    foreign_id = target_id(site, call, role, "foreign")
    foreign = perform(site, call, role, foreign_id)
    assert comparable(foreign, foreign_id) == comparable(absent, absent_id)


@pytest.mark.parametrize(
    ("path", "allowed"),
    [
        ("/v1/tickets", ROLES),
        ("/v1/properties", ROLES),
        ("/v1/users", ("admin", "manager", "staff")),
        ("/v1/events", ("admin",)),
        ("/v1/changes", ROLES),
        ("/v1/event-types", ROLES),
    ],
)
def test_lists_are_served_to_their_roles_only(site, path, allowed):
    for role in ROLES:
        answer = site.client(role).get(path)
        assert answer.status_code == (200 if role in allowed else 403)


def test_a_list_contains_only_things_within_reach(site):
    foreign = site.ticket("admin", property_id="def456", unit_id=None)["id"]
    staffs = site.ticket("staff")["id"]
    guests = site.ticket("guest")["id"]

    seen = {role: {t["id"] for t in all_items(site.client(role), "/v1/tickets")} for role in ROLES}

    assert {foreign, staffs, guests} <= seen["admin"]
    assert foreign not in seen["manager"] | seen["staff"]
    assert {staffs, guests} <= seen["manager"] & seen["staff"]
    assert seen["guest"] & {foreign, staffs, guests} == {guests}
    assert {u["id"] for u in all_items(site.client("staff"), "/v1/users")}.isdisjoint({"user900", "user001"})


def test_only_an_admin_registers_properties(site):
    body = {"name": "New", "address": ADDRESS}

    statuses = [site.client(role).post("/v1/properties", json=body).status_code for role in ROLES]

    assert statuses == [201, 403, 403, 403]


def test_a_guest_never_sees_an_internal_comment(site):
    ticket = site.ticket("guest")["id"]
    staff, guest = site.client("staff"), site.client("guest")
    staff.post(f"/v1/tickets/{ticket}/comments", json={"text": "zebra public"})
    staff.post(f"/v1/tickets/{ticket}/comments", json={"text": "okapi internal", "visibility": "internal"})

    assert [c["text"] for c in guest.get(f"/v1/tickets/{ticket}").json()["data"]["comments"]] == [
        "zebra public"
    ]
    listed = guest.get(f"/v1/tickets/{ticket}/comments").json()
    assert [c["text"] for c in listed["data"]] == ["zebra public"]
    assert listed["meta"]["pagination"]["total"] == 1
    assert guest.get("/v1/tickets?q=zebra").json()["meta"]["pagination"]["total"] == 1
    assert guest.get("/v1/tickets?q=okapi").json()["meta"]["pagination"]["total"] == 0
    assert staff.get("/v1/tickets?q=okapi").json()["meta"]["pagination"]["total"] == 1


def test_phone_and_preferences_are_visible_to_the_person_and_managers(site):
    def phone(role, user_id):
        data = site.client(role).get(f"/v1/users/{user_id}").json()["data"]
        return data["phone"], data["preferences"]

    assert phone("staff", "user050") == (None, None)
    assert phone("staff", "user101")[0] == "555-123-4567"
    assert phone("manager", "user101")[0] == "555-123-4567"
    assert phone("guest", "user789")[0] == "555-123-4567"


@pytest.mark.parametrize(
    ("method", "path", "scope"),
    [
        ("GET", "/v1/tickets", "tickets:read"),
        ("POST", "/v1/tickets", "tickets:write"),
        ("PATCH", "/v1/tickets/x", "tickets:write"),
        ("DELETE", "/v1/tickets/x", "tickets:write"),
        ("GET", "/v1/users", "users:read"),
        ("POST", "/v1/users", "users:write"),
        ("POST", "/v1/users/x/erase", "users:write"),
        ("GET", "/v1/properties", "properties:read"),
        ("POST", "/v1/properties", "properties:write"),
        ("POST", "/v1/properties/x/units", "properties:write"),
        ("PATCH", "/v1/properties/x/units/y", "properties:write"),
        ("GET", "/v1/webhooks", "webhooks:read"),
        ("POST", "/v1/webhooks", "webhooks:write"),
        ("POST", "/v1/webhooks/x/replay", "webhooks:write"),
    ],
)
def test_a_missing_scope_is_named_before_anything_else_is_checked(site, method, path, scope):
    key = site.key(role="admin", scopes=("audit:read",))

    answer = site.client(key=key).request(method, path, data=b"{broken")

    assert (answer.status_code, answer.json()["error"]["code"]) == (403, "insufficient_scope")
    assert scope in answer.json()["error"]["message"]


def test_a_key_restricted_to_a_property_reaches_no_other(site):
    client = site.client(key=site.key(role="admin", property_ids=("def456",)))

    assert {p["id"] for p in client.get("/v1/properties").json()["data"]} == {"def456"}
    assert client.post("/v1/tickets", json=LEAK).status_code == 422


def test_an_admin_key_of_one_property_cannot_add_properties_or_erase_people_of_others(site):
    client = site.client(key=site.key(role="admin", property_ids=("def456",)))
    both, own = (site.person(property_ids=places)["id"] for places in (["abc123", "def456"], ["def456"]))

    answers = [
        client.post("/v1/properties", json={"name": "New", "address": ADDRESS}),
        client.post("/v1/properties", json={}),
        client.post(f"/v1/users/{both}/erase"),
    ]

    assert [answer.status_code for answer in answers] == [403, 403, 403]
    assert client.post(f"/v1/users/{own}/erase").status_code == 200


def test_a_service_key_is_the_requester_under_its_own_name(site):
    client = site.client(key=site.key(role="staff", name="Lobby kiosk"))

    ticket = client.post("/v1/tickets", json=LEAK).json()["data"]

    assert ticket["requester"]["name"] == "Lobby kiosk"
    assert client.get(f"/v1/tickets/{ticket['id']}").json()["data"]["requester"] == ticket["requester"]


def test_a_demoted_user_loses_the_role_at_once(site):
    admin = site.client()
    user = admin.post(
        "/v1/users",
        json={"name": "D", "email": "d@example.com", "role": "manager", "property_ids": ["abc123"]},
    ).json()["data"]
    client = site.client(key=site.key(role="manager", user_id=user["id"]))
    ticket = site.ticket()["id"]
    assert client.patch(f"/v1/tickets/{ticket}", json={"property_id": "abc123"}).status_code == 200

    admin.patch(f"/v1/users/{user['id']}", json={"role": "guest"})

    assert client.get(f"/v1/tickets/{ticket}").status_code == 404


def all_items(client, path):
    items, page = [], 1
    while True:
        body = client.get(f"{path}?per_page=100&page={page}").json()
        items += body["data"]
        if "next" not in body["meta"]["pagination"]["links"]:
            return items
        page += 1


def test_a_guests_key_for_one_property_shows_no_tickets_of_another(site):
    guest = site.person(role="guest", property_ids=["abc123", "def456"])["id"]
    whole = site.client(key=site.key(role="guest", user_id=guest))
    only = site.client(key=site.key(role="guest", user_id=guest, property_ids=("def456",)))
    outside = whole.post("/v1/tickets", json=LEAK).json()["data"]["id"]
    inside = whole.post("/v1/tickets", json=LEAK | {"property_id": "def456", "unit_id": None}).json()["data"][
        "id"
    ]

    def seen(client, query=""):
        return {ticket["id"] for ticket in client.get(f"/v1/tickets{query}").json()["data"]}

    assert (seen(whole), seen(only)) == ({outside, inside}, {inside})
    now = datetime.now(UTC).isoformat().replace("+00:00", "Z")
    assert (seen(whole, f"?as_of={now}"), seen(only, f"?as_of={now}")) == ({outside, inside}, {inside})
    for client, expected in ((whole, 200), (only, 404)):
        assert client.get(f"/v1/tickets/{outside}").status_code == expected
        assert client.get(f"/v1/tickets/{outside}?version=1").status_code == expected
        assert client.patch(f"/v1/tickets/{outside}", json={"status": "closed"}).status_code == expected
