"""The examples of the API reference: answers have its fields, in its order."""

import re

import pytest

from tests.acceptance.site import LEAK

SUMMARY = [
    "id",
    "title",
    "description",
    "status",
    "priority",
    "category",
    "created_at",
    "updated_at",
    "property",
    "unit",
    "requester",
    "assigned_to",
    "number",
    "tags",
    "external_ids",
]
PAGINATION = ["total", "count", "per_page", "current_page", "total_pages", "links"]
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")


@pytest.fixture
def ticket(site):
    return site.ticket("guest")


def test_post_a_ticket(site):
    answer = site.client("guest").post("/v1/tickets", json=LEAK)

    body = answer.json()
    assert (answer.status_code, list(body), body["status"]) == (201, ["status", "data"], "success")
    data = body["data"]
    assert list(data) == SUMMARY
    for field in ("title", "description", "priority", "category"):
        assert data[field] == LEAK[field]
    assert data["status"] == "open"
    assert data["property"] == {"id": "abc123", "name": "Seaside Apartments"}
    assert data["unit"] == {"id": "unit456", "name": "Unit 101"}
    assert data["requester"] == {"id": "user789", "name": "John Doe"}
    assert data["assigned_to"] is None
    assert TIME.fullmatch(data["created_at"])
    assert data["created_at"] == data["updated_at"]
    assert answer.headers["Location"] == f"{site.base_url}/v1/tickets/{data['id']}"
    assert answer.headers["ETag"] == '"1"'
    assert answer.headers["Content-Type"] == "application/json"


def test_get_a_ticket_with_comments_and_attachments(site, ticket):
    staff = site.client("staff")
    staff.post(f"/v1/tickets/{ticket['id']}/comments", json={"text": "I'll check this out this afternoon."})
    file = {"file": ("leak.jpg", b"\xff\xd8\xff\xe0 not really", "image/jpeg")}
    assert staff.post(f"/v1/tickets/{ticket['id']}/attachments", files=file).status_code == 201

    answer = staff.get(f"/v1/tickets/{ticket['id']}")

    data = answer.json()["data"]
    assert list(data) == [*SUMMARY, "attachments", "comments", "comments_count", "allowed_statuses"]
    (comment,) = data["comments"]
    assert list(comment) == ["id", "text", "user", "created_at"]
    assert comment["user"] == {"id": "user101", "name": "Jane Smith"}
    (attachment,) = data["attachments"]
    assert list(attachment) == ["id", "filename", "url", "size", "content_type", "created_at"]
    assert (attachment["filename"], attachment["content_type"]) == ("leak.jpg", "image/jpeg")
    assert answer.headers["ETag"] == '"3"'


def test_patch_a_ticket(site, ticket):
    changes = {"status": "in_progress", "assigned_to": "user101"}

    answer = site.client("staff").patch(f"/v1/tickets/{ticket['id']}", json=changes)

    data = answer.json()["data"]
    assert (answer.status_code, list(data)) == (200, SUMMARY)
    assert (data["status"], data["assigned_to"]) == ("in_progress", {"id": "user101", "name": "Jane Smith"})


def test_delete_a_ticket(site, ticket):
    manager = site.client("manager")

    answer = manager.delete(f"/v1/tickets/{ticket['id']}")

    assert (answer.status_code, answer.text) == (200, '{"status":"success","data":null}')
    assert manager.get(f"/v1/tickets/{ticket['id']}").status_code == 404
    assert ticket["id"] not in ids(manager.get("/v1/tickets?per_page=100"))
    restored = site.client("admin").post(f"/v1/tickets/{ticket['id']}/restore")
    assert (restored.status_code, restored.json()["data"]["id"]) == (200, ticket["id"])
    assert manager.get(f"/v1/tickets/{ticket['id']}").status_code == 200


def test_list_tickets(site, ticket):
    answer = site.client("staff").get("/v1/tickets?status=open&priority=high,critical&per_page=1")

    body = answer.json()
    assert list(body) == ["status", "data", "meta"]
    assert list(body["data"][0]) == SUMMARY
    pagination = body["meta"]["pagination"]
    assert list(pagination) == PAGINATION
    assert pagination["count"] == 1
    assert pagination["per_page"] == 1


def test_a_page_links_to_its_neighbours_with_every_parameter(site):
    for number in range(3):
        site.ticket(title=f"Paged {number}", category="paged")
    client = site.client()

    second = client.get("/v1/tickets?q=Paged&sort=created_at&page=2&per_page=1").json()

    links = second["meta"]["pagination"]["links"]
    assert links == {
        "next": f"{site.base_url}/v1/tickets?q=Paged&sort=created_at&page=3&per_page=1",
        "previous": f"{site.base_url}/v1/tickets?q=Paged&sort=created_at&page=1&per_page=1",
    }
    past = client.get("/v1/tickets?q=Paged&page=99&per_page=1")
    assert (past.status_code, past.json()["data"]) == (200, [])
    assert past.json()["meta"]["pagination"]["total"] == 3


def test_list_users(site):
    answer = site.client("manager").get("/v1/users?role=staff&property_id=abc123")

    (user,) = answer.json()["data"]
    assert list(user) == ["id", "name", "email", "role", "created_at", "properties", "active", "external_ids"]
    assert user["properties"] == [{"id": "abc123", "name": "Seaside Apartments"}]
    assert list(answer.json()["meta"]["pagination"]) == PAGINATION


def test_get_a_user(site):
    user = site.client("manager").get("/v1/users/user101").json()["data"]

    assert list(user) == [
        "id",
        "name",
        "email",
        "phone",
        "role",
        "created_at",
        "updated_at",
        "properties",
        "preferences",
        "active",
        "external_ids",
    ]
    assert user["phone"] == "555-123-4567"
    assert user["preferences"] == {"notifications": {"email": True, "sms": False}}


def test_list_properties(site):
    before = site.client("manager").get("/v1/properties").json()["data"][0]["active_tickets_count"]
    ticket = site.ticket()

    (listed,) = site.client("manager").get("/v1/properties").json()["data"]

    fields = ["id", "name", "address", "units_count", "active_tickets_count", "external_ids"]
    assert list(listed) == fields
    assert list(listed["address"]) == ["street", "city", "state", "zip", "country"]
    assert (listed["units_count"], listed["active_tickets_count"]) == (1, before + 1)
    site.client().patch(f"/v1/tickets/{ticket['id']}", json={"status": "closed"})
    (closed,) = site.client("manager").get("/v1/properties").json()["data"]
    assert closed["active_tickets_count"] == before


def test_an_error_has_the_form_of_the_reference(site):
    answer = site.client().post("/v1/tickets", json={"property_id": "abc123"})

    body = answer.json()
    assert answer.status_code == 422
    assert list(body) == ["status", "error"]
    error = body["error"]
    assert (error["code"], error["message"]) == ("validation_error", "The title field is required.")
    assert error["details"] == {"title": ["The title field is required."]}
    assert error["request_id"] == answer.headers["X-Request-Id"]


def test_the_rate_limit_is_in_the_headers(site):
    client = site.client(key=site.key(role="admin", rate_limit=1000))

    first, second = client.get("/v1/tickets"), client.get("/v1/nothing-like-it")

    assert first.headers["X-RateLimit-Limit"] == "1000"
    assert first.headers["X-RateLimit-Remaining"] == "999"
    assert int(first.headers["X-RateLimit-Reset"]) > 1_700_000_000
    assert second.status_code == 404


def ids(answer):
    return [item["id"] for item in answer.json()["data"]]
