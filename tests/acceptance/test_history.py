"""The history and the earlier states of a ticket, and lists as of a time, over HTTP."""

import re
from datetime import UTC, datetime, timedelta

import pytest

from tests.acceptance.site import LEAK

ENTRY = [
    "version",
    "time",
    "exact_time",
    "action",
    "actor",
    "auth",
    "request_id",
    "address_prefix",
    "changes",
]
ABSENT = "01999999-9999-7999-8999-999999999999"


@pytest.fixture
def ticket(site):
    """The id of a ticket with four versions: opened, changed (two events of one PATCH), commented on."""
    ticket_id = site.ticket("guest")["id"]
    staff = site.client("staff")
    changes = {"status": "in_progress", "assigned_to": "user101"}
    request = {"X-Request-Id": "the-change"}
    assert staff.patch(f"/v1/tickets/{ticket_id}", json=changes, headers=request).status_code == 200
    comment = {"text": "Psst", "visibility": "internal"}
    assert staff.post(f"/v1/tickets/{ticket_id}/comments", json=comment).status_code == 201
    return ticket_id


def history(client, ticket_id, query=""):
    answer = client.get(f"/v1/tickets/{ticket_id}/history{query}")
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_a_history_entry_has_actor_time_and_changes(site, ticket):
    body = history(site.client("manager"), ticket)

    opened, assigned, status, commented = body["data"]
    assert list(opened) == ENTRY
    assert [entry["version"] for entry in body["data"]] == [1, 2, 3, 4]
    assert opened["action"] == "ticket.opened"
    assert opened["changes"]["title"] == {"from": None, "to": LEAK["title"]}
    assert opened["actor"] == {"user": {"id": "user789", "name": "John Doe"}, "role": "guest"}
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", opened["time"])
    assert status["changes"] == {"status": {"from": "open", "to": "in_progress"}}
    assert assigned["changes"] == {"assigned_to": {"from": None, "to": "user101"}}
    assert assigned["actor"] == {"user": {"id": "user101", "name": "Jane Smith"}, "role": "staff"}
    assert (assigned["auth"]["kind"], assigned["request_id"]) == ("api_key", "the-change")
    assert assigned["auth"]["key_id"].startswith("key_")
    assert assigned["address_prefix"] == "127.0.0.0/24"
    (comment,) = commented["changes"].values()
    assert comment == {"from": None, "to": {"text": "Psst", "visibility": "internal", "user_id": "user101"}}


def test_a_history_is_paged_like_every_list(site, ticket):
    client = site.client()

    second = history(client, ticket, "?page=2&per_page=3")
    newest = history(client, ticket, "?order=desc&per_page=1")
    first_by_cursor = history(client, ticket, "?cursor=&per_page=3")
    next_cursor = first_by_cursor["meta"]["pagination"]["next_cursor"]
    second_by_cursor = history(client, ticket, f"?per_page=3&cursor={next_cursor}")

    assert [entry["version"] for entry in second["data"]] == [4]
    assert second["meta"]["pagination"]["total"] == 4
    assert "previous" in second["meta"]["pagination"]["links"]
    assert [entry["version"] for entry in newest["data"]] == [4]
    assert [entry["version"] for entry in second_by_cursor["data"]] == [4]
    assert second_by_cursor["meta"]["pagination"]["next_cursor"] is None
    assert history(client, ticket, "?page=9")["data"] == []
    assert [
        entry["version"]
        for page in (1, 2, 3, 4, 5)
        for entry in history(client, ticket, f"?order=desc&per_page=1&page={page}")["data"]
    ] == [4, 3, 2, 1]


def test_the_history_of_a_deleted_ticket_needs_the_audit_scope(site, ticket):
    assert site.client("manager").delete(f"/v1/tickets/{ticket}").status_code == 200
    reader = site.client(key=site.key(role="staff", user_id="user101", scopes=("tickets:read",)))
    auditor = site.client(
        key=site.key(role="staff", user_id="user101", scopes=("audit:read", "tickets:read"))
    )

    last = history(auditor, ticket)["data"][-1]

    assert (last["action"], last["changes"]) == ("ticket.deleted", {"deleted": {"from": False, "to": True}})
    assert reader.get(f"/v1/tickets/{ticket}/history").status_code == 404
    assert reader.get(f"/v1/tickets/{ticket}?version=4").status_code == 404
    assert auditor.get(f"/v1/tickets/{ticket}?version=4").json()["data"]["status"] == "in_progress"
    assert auditor.get(f"/v1/tickets/{ticket}?version=5").status_code == 404
    assert site.client("guest").get(f"/v1/tickets/{ticket}?version=4").status_code == 404


def test_either_scope_lets_staff_read_a_history(site, ticket):
    for scope in ("audit:read", "tickets:read"):
        key = site.key(role="staff", user_id="user101", scopes=(scope,))
        assert site.client(key=key).get(f"/v1/tickets/{ticket}/history").status_code == 200
    neither = site.client(key=site.key(role="admin", scopes=("users:read",)))

    answer = neither.get(f"/v1/tickets/{ticket}/history")

    assert (answer.status_code, answer.json()["error"]["code"]) == (403, "insufficient_scope")
    assert "audit:read or tickets:read" in answer.json()["error"]["message"]


def test_a_version_gives_the_ticket_as_of_that_version(site, ticket):
    client = site.client("staff")

    first = client.get(f"/v1/tickets/{ticket}?version=1")
    third = client.get(f"/v1/tickets/{ticket}?version=3").json()["data"]
    now = client.get(f"/v1/tickets/{ticket}").json()["data"]
    newest = client.get(f"/v1/tickets/{ticket}?version=4").json()["data"]

    assert first.headers["ETag"] == '"1"'
    data = first.json()["data"]
    assert (data["status"], data["assigned_to"], data["comments"]) == ("open", None, [])
    assert third["assigned_to"] == {"id": "user101", "name": "Jane Smith"}
    assert newest == now | {"allowed_statuses": []}
    guest = site.client("guest").get(f"/v1/tickets/{ticket}?version=4").json()["data"]
    assert guest["comments"] == []


def test_a_time_gives_the_ticket_as_of_that_time(site, ticket):
    client = site.client("staff")
    entries = history(client, ticket)["data"]

    def as_of(time):
        return client.get(f"/v1/tickets/{ticket}", params={"as_of": time})

    assert as_of(entries[0]["exact_time"]).json()["data"]["status"] == "open"
    assert as_of(entries[1]["exact_time"]).json()["data"]["status"] == "in_progress"
    assert as_of(entries[1]["exact_time"]).headers["ETag"] == '"3"'  # both events of the one PATCH
    assert as_of(entries[3]["time"]).headers["ETag"] == '"4"'  # the whole second
    opened = datetime.fromisoformat(entries[0]["exact_time"])
    before = as_of((opened - timedelta(microseconds=1)).isoformat())
    assert (before.status_code, before.json()["error"]["message"]) == (404, "No such ticket at that moment.")


def test_an_earlier_state_is_visible_to_callers_who_could_see_it_then(site):
    ticket = site.ticket("admin")["id"]
    site.client().patch(f"/v1/tickets/{ticket}", json={"property_id": "def456", "unit_id": None})
    staff, foreign = site.client("staff"), site.client("foreign")

    assert staff.get(f"/v1/tickets/{ticket}").status_code == 404
    assert staff.get(f"/v1/tickets/{ticket}?version=1").status_code == 200
    assert staff.get(f"/v1/tickets/{ticket}?version=2").status_code == 404
    assert staff.get(f"/v1/tickets/{ticket}/history").status_code == 404
    assert foreign.get(f"/v1/tickets/{ticket}?version=1").status_code == 200
    assert foreign.get(f"/v1/tickets/{ticket}/history").status_code == 200
    never = site.ticket("admin")["id"]
    absent = foreign.get(f"/v1/tickets/{ABSENT}?version=1").json()["error"]
    assert foreign.get(f"/v1/tickets/{never}?version=1").json()["error"]["message"] == absent["message"]
    assert foreign.get(f"/v1/tickets/{never}?version=99").json()["error"]["message"] == absent["message"]


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("as_of=yesterday", "as_of"),
        ("as_of=", "as_of"),
        ("as_of=2023-01-15T15:30:00", "as_of"),
        ("as_of=2023-02-30T15:30:00Z", "as_of"),
        ("as_of=9999-12-31T23:59:59Z", "as_of"),
        ("version=0", "version"),
        ("version=-1", "version"),
        ("version=one", "version"),
        ("version=1.0", "version"),
        ("version=", "version"),
        ("version=99999999999999999999", "version"),
        ("version=1&as_of=2023-01-15T15:30:00Z", "version"),
        ("version=1&version=2", "version"),
        ("at=1", "at"),
    ],
)
def test_an_invalid_time_or_version_is_named(site, ticket, query, field):
    answer = site.client().get(f"/v1/tickets/{ticket}?{query}")

    assert (answer.status_code, list(answer.json()["error"]["details"])) == (422, [field])


def test_a_time_in_the_future_is_422(site, ticket):
    soon = (datetime.now(UTC) + timedelta(minutes=1)).isoformat()

    answer = site.client().get(f"/v1/tickets/{ticket}", params={"as_of": soon})

    assert (answer.status_code, answer.json()["error"]["details"]) == (
        422,
        {"as_of": ["The as_of parameter lies in the future."]},
    )


def test_a_version_that_was_never_reached_is_404(site, ticket):
    answer = site.client().get(f"/v1/tickets/{ticket}?version=5")

    assert answer.status_code == 404
    assert answer.json()["error"]["message"] == "No such version of this ticket; the newest is 4."


@pytest.mark.parametrize("query", ["order=up", "cursor=nonsense", "page=0", "as_of=2023-01-15T15:30:00Z"])
def test_a_bad_parameter_of_a_history_is_refused(site, ticket, query):
    assert site.client().get(f"/v1/tickets/{ticket}/history?{query}").status_code == 422


def test_a_list_as_of_a_time_has_the_states_of_that_time(site, ticket):
    client = site.client("staff")
    entries = history(client, ticket)["data"]

    def list_ticket(moment, by="staff", **parameters):
        answer = site.client(by).get("/v1/tickets", params={"as_of": moment, "per_page": 100, **parameters})
        assert answer.status_code == 200, answer.text
        return [row for row in answer.json()["data"] if row["id"] == ticket]

    opened, changed = entries[0]["exact_time"], entries[1]["exact_time"]
    before = (datetime.fromisoformat(opened) - timedelta(microseconds=1)).isoformat()
    client.patch(f"/v1/tickets/{ticket}", json={"title": "Okapi in the bathroom"})

    assert list_ticket(before) == []
    assert [row["status"] for row in list_ticket(opened)] == ["open"]
    (row,) = list_ticket(changed)
    assert (row["title"], row["status"]) == (LEAK["title"], "in_progress")
    assert row["assigned_to"] == {"id": "user101", "name": "Jane Smith"}
    assert list_ticket(changed, status="open") == []
    assert list_ticket(changed, assigned_to="user101") != []
    assert list_ticket(changed, q="okapi") == []
    assert list_ticket(changed, q="leak") != []
    assert list_ticket(entries[3]["exact_time"], q="psst") != []
    assert list_ticket(entries[3]["exact_time"], by="guest", q="psst") == []
    assert list_ticket(changed, by="foreign") == []


def test_a_list_as_of_a_time_is_paged_by_cursor(site):
    tickets = [site.ticket("guest")["id"] for _ in range(3)]
    moment = datetime.now(UTC).isoformat()
    for ticket in tickets:
        site.client("staff").patch(f"/v1/tickets/{ticket}", json={"status": "closed"})
    client = site.client("guest")
    seen, path = [], "/v1/tickets"
    parameters = {"as_of": moment, "per_page": 2, "sort": "updated_at", "cursor": ""}

    for _ in range(100):
        body = client.get(path, params=parameters).json()
        seen += body["data"]
        if not (following := body["meta"]["pagination"]["links"].get("next")):
            break
        path, parameters = following.removeprefix(site.base_url), None

    assert [row["id"] for row in seen][:3] == tickets[::-1]
    assert {row["status"] for row in seen[:3]} == {"open"}
    assert len({row["id"] for row in seen}) == len(seen)


def test_only_auditors_see_tickets_of_the_past_that_are_deleted_now(site):
    ticket = site.ticket("guest")["id"]
    moment = datetime.now(UTC).isoformat()
    site.client("manager").delete(f"/v1/tickets/{ticket}")
    reader = site.client(key=site.key(role="staff", user_id="user101", scopes=("tickets:read",)))

    def sees(client):
        rows = client.get("/v1/tickets", params={"as_of": moment, "per_page": 100}).json()["data"]
        return ticket in {row["id"] for row in rows}

    assert sees(site.client("staff"))
    assert not sees(reader)
    assert not sees(site.client("guest"))


@pytest.mark.parametrize("as_of", ["", "soon", "2023-01-15", "2023-01-15T15:30:00", "9999-12-31T23:59:59Z"])
def test_an_invalid_as_of_of_a_list_is_422(site, as_of):
    answer = site.client().get("/v1/tickets", params={"as_of": as_of})

    assert (answer.status_code, list(answer.json()["error"]["details"])) == (422, ["as_of"])


def test_a_list_as_of_a_time_before_the_first_event_is_empty(site):
    body = site.client().get("/v1/tickets?as_of=1970-01-01T00:00:00Z").json()

    assert (body["data"], body["meta"]["pagination"]["total"]) == ([], 0)
