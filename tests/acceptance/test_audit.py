"""The audit trail over HTTP: searching the events, who may do so, and the recording of reads and refusals."""

import time
from datetime import UTC, datetime
from urllib.parse import quote

import pytest

from infrastructure.storage.postgres import connect

ENTRY = [
    "id",
    "position",
    "version",
    "time",
    "exact_time",
    "action",
    "subject_id",
    "property_ids",
    "actor",
    "auth",
    "request_id",
    "address_prefix",
    "facts",
]
WITHIN_SECONDS = 60


def find_events(client, **parameters):
    given = {"per_page": 100, **{name.rstrip("_"): value for name, value in parameters.items()}}
    answer = client.get("/v1/audit/events", params=given)
    assert answer.status_code == 200, answer.text
    return answer.json()["data"]


def wait_for_events(client, wanted=1, **parameters):
    """Wait until `wanted` events match, and return them: reads and refusals are recorded after the answer."""
    deadline = time.monotonic() + WITHIN_SECONDS
    while len(events := find_events(client, **parameters)) < wanted and time.monotonic() < deadline:
        pass
    assert len(events) >= wanted, parameters
    return events


def actions(events):
    return [event["action"] for event in events]


@pytest.fixture
def ticket(site):
    """The id of a ticket that a guest opened and staff closed."""
    ticket_id = site.ticket("guest")["id"]
    request = {"X-Request-Id": f"close-{ticket_id}"}
    site.client("staff").patch(f"/v1/tickets/{ticket_id}", json={"status": "closed"}, headers=request)
    return ticket_id


def test_an_audit_entry_has_every_field(site, ticket):
    closed, opened = find_events(site.client(), ticket_id=ticket)

    assert list(closed) == ENTRY
    assert (opened["action"], closed["action"]) == ("ticket.opened", "ticket.resolved")
    assert closed["facts"] == {}
    assert closed["actor"] == {"user": {"id": "user101", "name": "Jane Smith"}, "role": "staff"}
    assert closed["auth"]["kind"] == "api_key"
    assert (closed["subject_id"], closed["version"], closed["property_ids"]) == (ticket, 2, ["abc123"])
    assert closed["position"] > opened["position"]
    assert closed["address_prefix"] == "127.0.0.0/24"
    assert closed["request_id"] == f"close-{ticket}"


def test_each_filter_restricts_the_result_and_filters_combine_with_and(site, ticket):
    client = site.client()
    (closed, opened) = find_events(client, ticket_id=ticket)

    assert find_events(client, request_id=f"close-{ticket}") == [closed]
    assert find_events(client, ticket_id=ticket, actor="user789") == [opened]
    assert find_events(client, ticket_id=ticket, actor=closed["auth"]["key_id"]) == [closed]
    assert find_events(client, ticket_id=ticket, action="ticket.opened") == [opened]
    assert find_events(client, ticket_id=ticket, action="ticket.opened,ticket.resolved") == [closed, opened]
    assert find_events(client, ticket_id=ticket, action="ticket.*", order="asc") == [opened, closed]
    assert find_events(client, ticket_id=ticket, property_id="abc123") == [closed, opened]
    assert find_events(client, ticket_id=ticket, property_id="def456") == []
    assert find_events(client, ticket_id=ticket, from_=closed["exact_time"]) == [closed]
    assert find_events(client, ticket_id=ticket, to=closed["exact_time"]) == [opened]
    assert find_events(client, ticket_id=ticket, actor="nobody") == []
    assert find_events(client, ticket_id=ticket, actor="user101", action="ticket.opened") == []
    assert closed in find_events(client, actor="user101", action="ticket.resolved")


def test_events_of_every_kind_are_found(site):
    events = find_events(site.client(), actor="cli", order="asc")

    assert {"property.registered", "property.unit_added", "user.registered", "api_key.issued"} <= set(
        actions(events)
    )
    registered = next(e for e in events if e["action"] == "user.registered" and e["subject_id"] == "user101")
    assert registered["actor"] == {"user": None, "role": "admin"}
    assert registered["auth"] == {"kind": "cli", "key_id": None}
    assert registered["facts"]["name"] == "Jane Smith"  # encrypted in the log
    issued = next(e for e in events if e["action"] == "api_key.issued")
    assert not {"secret", "secret_sha256", "key"} & issued["facts"].keys()


def test_following_the_pages_returns_every_event_once(site):
    for _ in range(3):
        site.ticket()
    client = site.client()
    whole = [e["id"] for e in find_events(client, action="ticket.opened")]
    seen, path = [], "/v1/audit/events?per_page=2&action=ticket.opened"

    while path:
        site.ticket() if len(seen) == 2 else None  # newer events must not appear on later pages
        body = client.get(path).json()
        assert body["data"], "a next page has an item"
        assert "total" not in body["meta"]["pagination"]
        seen += [e["id"] for e in body["data"]]
        path = body["meta"]["pagination"]["links"].get("next", "").removeprefix(site.base_url)

    assert seen == whole
    last = client.get(f"/v1/audit/events?per_page={len(whole) + 1}&action=ticket.opened").json()
    assert (len(last["data"]), last["meta"]["pagination"]["links"]) == (len(whole) + 1, {})


def test_a_manager_reads_events_of_their_own_properties_only(site, ticket):
    foreign = site.ticket("admin", property_id="def456", unit_id=None)["id"]
    moved = site.ticket("admin")["id"]
    site.client().patch(f"/v1/tickets/{moved}", json={"property_id": "def456", "unit_id": None})
    site.client().patch(f"/v1/tickets/{moved}", json={"status": "closed"})
    manager = site.client("manager")

    assert len(find_events(manager, ticket_id=ticket)) == 2
    assert find_events(manager, ticket_id=foreign) == []
    assert find_events(manager, property_id="def456") == []
    left = find_events(manager, ticket_id=moved)
    assert actions(left) == ["ticket.moved", "ticket.opened"]
    assert left[0]["property_ids"] == ["abc123"]
    assert {pid for e in find_events(manager) for pid in e["property_ids"]} == {"abc123"}
    assert actions(find_events(site.client(), ticket_id=moved, property_id="def456")) == [
        "ticket.resolved",
        "ticket.moved",
    ]


@pytest.mark.parametrize("role", ["staff", "guest"])
def test_staff_and_guests_cannot_read_the_audit_trail(site, role):
    answer = site.client(role).get("/v1/audit/events")

    assert (answer.status_code, answer.json()["error"]["code"]) == (403, "forbidden")


def test_a_key_without_the_scope_cannot_read_the_audit_trail(site):
    answer = site.client(key=site.key(role="admin", scopes=("tickets:read",))).get("/v1/audit/events")

    assert (answer.status_code, answer.json()["error"]["code"]) == (403, "insufficient_scope")


def test_reading_the_audit_trail_is_recorded(site, ticket):
    key = site.key(role="manager", user_id="user050")
    request = {"X-Request-Id": f"look-{ticket}"}
    site.client(key=key).get(f"/v1/audit/events?ticket_id={ticket}&per_page=3", headers=request)

    (event,) = wait_for_events(site.client(), action="audit.read", request_id=f"look-{ticket}")

    assert event["actor"]["user"]["id"] == "user050"
    assert event["facts"] == {"route": "/v1/audit/events", "filters": {"ticket_id": ticket}, "times": 1}


def test_refused_writes_are_recorded_with_method_route_and_subject(site, ticket):
    key = site.key(role="guest", user_id="user789")
    guest = site.client(key=key)
    foreign = site.ticket("admin", property_id="def456", unit_id=None)["id"]
    assert guest.delete(f"/v1/tickets/{ticket}").status_code == 403
    assert guest.patch(f"/v1/tickets/{foreign}", json={"status": "closed"}).status_code == 404
    assert guest.get(f"/v1/tickets/{foreign}").status_code == 404
    unscoped = site.client(key=site.key(role="admin", scopes=("tickets:read",)))
    assert unscoped.delete(f"/v1/tickets/{foreign}").status_code == 403

    (deletion,) = wait_for_events(site.client("manager"), ticket_id=ticket, action="access.denied")
    attempts = wait_for_events(site.client(), 2, ticket_id=foreign, action="access.denied", order="asc")

    assert deletion["facts"] == {
        "method": "DELETE",
        "route": "/v1/tickets/{ticket_id}",
        "code": "forbidden",
        "subject_id": ticket,
        "times": 1,
    }
    assert deletion["actor"]["user"]["id"] == "user789"
    assert sorted(event["facts"]["code"] for event in attempts) == ["insufficient_scope", "not_found"]
    assert {event["facts"]["method"] for event in attempts} == {"PATCH", "DELETE"}


def test_many_refusals_of_one_key_record_few_events(site):
    guest = site.client(key=site.key(role="guest", user_id="user789"))
    tickets = [f"absent-{number}" for number in range(40)]
    before = denials(site)

    for ticket in tickets:
        assert guest.delete(f"/v1/tickets/{ticket}").status_code == 404
        assert guest.delete(f"/v1/tickets/{ticket}").status_code == 404

    wait_for_events(site.client(), ticket_id="absent-0", action="access.denied")
    assert denials(site) - before <= 2 * 10  # two workers


def denials(site):
    with connect(site.dsn, application="tests") as conn:
        rows = conn.execute("SELECT count(*) FROM es.stored_events WHERE topic = 'access.denied'").fetchall()
    return rows[0][0]


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("action=ticket.exploded", "action"),
        ("action=ticket", "action"),
        ("action=.*", "action"),
        ("from=yesterday", "from"),
        ("to=", "to"),
        ("from=2026-01-01T00:00:00Z&to=2026-01-01T00:00:00Z", "to"),
        ("from=2026-01-02T00:00:00Z&to=2026-01-01T00:00:00Z", "to"),
        ("cursor=nonsense", "cursor"),
        ("per_page=0", "per_page"),
        ("page=2", "page"),
        ("order=sideways", "order"),
        ("since=2026-01-01T00:00:00Z", "since"),
    ],
)
def test_an_invalid_search_parameter_is_named(site, query, field):
    answer = site.client().get(f"/v1/audit/events?{query}")

    assert (answer.status_code, list(answer.json()["error"]["details"])) == (422, [field])


def test_a_cursor_is_valid_for_its_own_search_only(site):
    body = site.client().get("/v1/audit/events?per_page=1").json()
    cursor = body["meta"]["pagination"]["next_cursor"]

    answer = site.client().get(f"/v1/audit/events?per_page=1&actor=cli&cursor={cursor}")

    assert answer.status_code == 422


def test_a_time_range_may_have_one_bound(site, ticket):
    now = quote(datetime.now(UTC).isoformat())

    assert site.client().get(f"/v1/audit/events?ticket_id={ticket}&to={now}").json()["data"] != []
    assert site.client().get(f"/v1/audit/events?ticket_id={ticket}&from={now}").json()["data"] == []
