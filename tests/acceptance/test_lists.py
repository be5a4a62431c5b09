"""Lists of tickets: filters, order, search, pages and cursors, on a fixed set of tickets."""

from __future__ import annotations

import re
from urllib.parse import urlencode

import pytest

from tests.acceptance.site import Site
from tests.support.postgres import cloned_database

PRIORITIES = ["low", "medium", "high", "critical"]
STATUSES = ["open", "in_progress", "closed"]
COUNT = 24


@pytest.fixture(scope="module")
def site(postgres, template):
    with cloned_database(postgres, template) as dsn, Site.running(dsn, workers=1) as site:
        yield site


@pytest.fixture(scope="module")
def tickets(site):
    """Every combination of priority and status, in two properties, half of them assigned; oldest first."""
    client, made = site.client(), []
    for number in range(COUNT):
        place = {"property_id": "abc123"} if number % 3 else {"property_id": "def456", "unit_id": None}
        ticket = site.ticket(title=f"Ticket {number}", priority=PRIORITIES[number % 4], **place)
        changes = {"status": STATUSES[number // 4 % 3]}
        if number % 2:
            changes["assigned_to"] = "user001"
        made.append(client.patch(f"/v1/tickets/{ticket['id']}", json=changes).json()["data"])
    return made


@pytest.fixture(scope="module")
def webhook(site):
    body = {"url": "https://receiver.example/hook", "events": ["ticket.*"]}
    return site.client().post("/v1/webhooks", json=body).json()["data"]["id"]


def list_values(client, query="", key="id"):
    answer = client.get(f"/v1/tickets?{query}")
    assert answer.status_code == 200, answer.text
    return [item[key] for item in answer.json()["data"]]


def walk(client, query):
    """Follow the cursors from `cursor=` to the end; return all ids and the number of pages. A next page must
    have an item."""
    address, ids, pages = f"/v1/tickets?{query}&cursor=", [], 0
    while address:
        body = client.get(address).json()
        ids += [item["id"] for item in body["data"]]
        assert body["data"] or not pages, query
        pages += 1
        link = body["meta"]["pagination"]["links"].get("next")
        address = link and link.removeprefix(client.base_url)
    return ids, pages


def ids_of(tickets):
    return [ticket["id"] for ticket in tickets]


@pytest.mark.parametrize(
    ("query", "matches"),
    [
        ("status=open", lambda t: t["status"] == "open"),
        ("status=open,closed", lambda t: t["status"] in ("open", "closed")),
        ("status=open&status=closed", lambda t: t["status"] in ("open", "closed")),
        ("priority=high,critical&status=closed", lambda t: (t["priority"], t["status"]) in HIGH_AND_CLOSED),
        ("property_id=def456", lambda t: t["property"]["id"] == "def456"),
        ("assigned_to=user001", lambda t: t["assigned_to"] is not None),
        ("assigned_to=none", lambda t: t["assigned_to"] is None),
        ("assigned_to=nobody&assigned_to=user001", lambda t: t["assigned_to"] is not None),
        ("assigned_to=none,nobody", lambda t: t["assigned_to"] is None),
        ("assigned_to=none,user001", lambda t: True),
        ("property_id=def456,nowhere", lambda t: t["property"]["id"] == "def456"),
        ("property_id=def456&property_id=abc123", lambda t: True),
        ("unit_id=unit456", lambda t: t["unit"] is not None),
        ("unit_id=unit456,unit457&status=open", lambda t: t["unit"] is not None and t["status"] == "open"),
        ("requester_id=user001,nobody", lambda t: True),
        ("category=plumbing&category=locks", lambda t: True),
        ("category=locks", lambda t: False),
        (
            "assigned_to=none&property_id=abc123&status=open",
            lambda t: (t["assigned_to"], t["property"]["id"], t["status"]) == (None, "abc123", "open"),
        ),
        ("property_id=nowhere", lambda t: False),
        ("assigned_to=nobody", lambda t: False),
        ("q=ticket", lambda t: True),
        ("q=ticket&priority=low", lambda t: t["priority"] == "low"),
        ("created_after=2020-01-01T00:00:00Z", lambda t: True),
        ("created_before=2020-01-01T00:00:00%2B02:00", lambda t: False),
        ("updated_after=2999-01-01T00:00:00Z", lambda t: False),
        ("updated_before=2999-01-01T00:00:00-05:00", lambda t: True),
    ],
)
def test_filters_combine_with_and(site, tickets, query, matches):
    expected = [ticket["id"] for ticket in reversed(tickets) if matches(ticket)]

    assert list_values(site.client(), f"{query}&per_page=100") == expected
    assert walk(site.client(), f"{query}&per_page=5")[0] == expected


HIGH_AND_CLOSED = (("high", "closed"), ("critical", "closed"))


def test_time_filters_select_the_tickets_after_or_before_the_time(site, tickets):
    client = site.client()
    moment = tickets[COUNT // 2]["created_at"]

    after = set(list_values(client, f"created_after={moment}&per_page=100"))
    before = set(list_values(client, f"created_before={moment}&per_page=100"))

    assert after | before == set(ids_of(tickets))
    assert {t["id"] for t in tickets if t["created_at"] > moment} <= after
    assert {t["id"] for t in tickets if t["created_at"] < moment} <= before


def test_the_newest_ticket_is_first_by_default(site, tickets):
    client = site.client()

    assert list_values(client, "per_page=100") == ids_of(reversed(tickets))
    assert list_values(client, "per_page=100&order=asc") == ids_of(tickets)


def test_priorities_are_sorted_by_urgency(site, tickets):
    client = site.client()

    falling = list_values(client, "sort=priority&per_page=100", "priority")
    rising = list_values(client, "sort=priority&order=asc&per_page=100", "priority")

    assert falling == sorted(falling, key=PRIORITIES.index, reverse=True)
    assert rising == sorted(rising, key=PRIORITIES.index)
    assert falling[0] == "critical"


@pytest.mark.parametrize("sort", ["created_at", "updated_at", "priority", "relevance&q=ticket"])
@pytest.mark.parametrize("order", ["asc", "desc"])
@pytest.mark.parametrize("per_page", [1, 7, 24, 100])
def test_paging_by_cursor_and_by_page_number_give_the_same_order(site, tickets, sort, order, per_page):
    client, query = site.client(), f"sort={sort}&order={order}&per_page={per_page}"
    whole = list_values(client, f"sort={sort}&order={order}&per_page=100")

    by_page = [
        ticket_id
        for page in range(1, COUNT // per_page + 2)
        for ticket_id in list_values(client, f"{query}&page={page}")
    ]
    by_cursor, _ = walk(client, query)

    assert sorted(whole) == sorted(ids_of(tickets))
    assert by_page == by_cursor == whole


@pytest.mark.parametrize("query", ["sort=created_at", "sort=created_at&order=asc", "sort=priority"])
def test_tickets_opened_during_paging_cause_no_gap_and_no_repetition(site, tickets, query):
    client = site.client()
    before = list_values(client, f"{query}&per_page=100")
    address, seen, opened = f"/v1/tickets?{query}&per_page=5&cursor=", [], []
    while address:
        body = client.get(address).json()
        seen += [item["id"] for item in body["data"]]
        if len(opened) < 5:
            opened.append(site.ticket(priority=PRIORITIES[len(opened) % 4])["id"])
        link = body["meta"]["pagination"]["links"].get("next")
        address = link and link.removeprefix(client.base_url)

    assert [ticket_id for ticket_id in seen if ticket_id not in opened] == before
    assert len(seen) == len(set(seen))
    for ticket_id in opened:
        client.delete(f"/v1/tickets/{ticket_id}")


def test_a_cursor_is_signed_and_valid_for_its_own_list_only(site, tickets):
    client = site.client()
    first = client.get("/v1/tickets?status=open&per_page=2&cursor=").json()["meta"]["pagination"]
    assert set(first) == {"count", "per_page", "next_cursor", "links"}
    cursor = first["next_cursor"]
    changed = ("A" if cursor[0] != "A" else "B") + cursor[1:]

    assert client.get(f"/v1/tickets?status=open&per_page=2&cursor={cursor}").status_code == 200
    for query in (
        f"status=open&cursor={changed}",
        f"status=open&cursor={cursor[:-4]}",
        f"status=closed&cursor={cursor}",
        f"status=open&sort=priority&cursor={cursor}",
        f"status=open&order=asc&cursor={cursor}",
        f"status=open&page=2&cursor={cursor}",
    ):
        answer = client.get(f"/v1/tickets?{query}")
        assert answer.status_code == 422, query
        assert answer.json()["error"]["details"].keys() <= {"cursor", "page"}


def test_a_cursor_of_another_caller_shows_no_additional_tickets(site, tickets):
    admins = site.client().get("/v1/tickets?per_page=2&cursor=").json()["meta"]["pagination"]["next_cursor"]

    answer = site.client("staff").get(f"/v1/tickets?per_page=100&cursor={admins}")

    assert {item["property"]["id"] for item in answer.json()["data"]} <= {"abc123"}


def test_pages_past_the_end_are_empty_and_the_last_one_links_back(site, tickets):
    client = site.client()

    past = client.get("/v1/tickets?page=9&per_page=10").json()
    last = client.get("/v1/tickets?page=3&per_page=10").json()

    assert (past["data"], past["meta"]["pagination"]["total"]) == ([], COUNT)
    assert past["meta"]["pagination"]["links"].keys() == {"previous"}
    assert (last["meta"]["pagination"]["count"], last["meta"]["pagination"]["total_pages"]) == (4, 3)
    assert last["meta"]["pagination"]["links"].keys() == {"previous"}
    assert client.get("/v1/tickets?per_page=100").json()["meta"]["pagination"]["links"] == {}
    empty = client.get("/v1/tickets?property_id=nowhere").json()["meta"]["pagination"]
    assert (empty["total"], empty["total_pages"], empty["links"]) == (0, 1, {})


@pytest.mark.parametrize(
    "path", ["/v1/tickets", "/v1/users", "/v1/properties", "/v1/properties/abc123/units"]
)
def test_every_list_has_the_same_paging_parameters(site, tickets, path):
    client = site.client()

    clamped = client.get(f"{path}?per_page=101")
    default = client.get(path).json()["meta"]["pagination"]

    assert clamped.json()["meta"]["pagination"]["per_page"] == 100
    assert (default["per_page"], default["current_page"]) == (10, 1)
    for query in ("page=0", "per_page=0", "page=x", "surprise=1"):
        answer = client.get(f"{path}?{query}")
        assert (answer.status_code, list(answer.json()["error"]["details"])) == (422, [query.split("=")[0]])
    assert client.head(path).status_code == 200
    options = client.options(path)
    assert options.status_code == 204
    assert {"GET", "HEAD", "OPTIONS"} <= set(re.split(", *", options.headers["Allow"]))


def test_search_finds_words_in_titles_descriptions_and_visible_comments(site, tickets):
    client, guest = site.client("staff"), site.client("guest")
    titled = site.ticket("guest", title="The walrus")["id"]
    described = site.ticket("guest", description="A walruses' pool leaks")["id"]
    commented = site.ticket("guest", title="Other")["id"]
    hidden = site.ticket("guest", title="Another")["id"]
    client.post(f"/v1/tickets/{commented}/comments", json={"text": "I saw the walrus"})
    client.post(f"/v1/tickets/{hidden}/comments", json={"text": "No walrus", "visibility": "internal"})

    assert set(list_values(client, "q=walrus")) == {titled, described, commented, hidden}
    assert set(list_values(guest, "q=WALRUS")) == {titled, described, commented}
    assert list_values(client, "q=walrus+pool") == [described]
    for line in ("-" * 40, "- (" * 40, "--!" * 20):
        assert list_values(client, f"q=walrus {line} pool") == [described]
    assert list_values(client, "q=walrus -pool&status=closed") == []
    assert described not in list_values(client, "q=walrus -pool")
    client.patch(f"/v1/tickets/{titled}", json={"title": "The seal"})
    assert titled not in list_values(client, "q=walrus")
    assert list_values(client, "q=seal") == [titled]
    site.client().delete(f"/v1/tickets/{described}")
    assert described not in list_values(client, "q=walrus")
    assert walk(client, "q=walrus&per_page=1")[0] == list_values(client, "q=walrus")
    for ticket_id in (titled, commented, hidden):
        site.client().delete(f"/v1/tickets/{ticket_id}")


@pytest.mark.parametrize(
    ("path", "field"),
    [
        ("/v1/tickets?property_id=Seaside Apartments", "property_id"),
        ("/v1/tickets?assigned_to=jane@example.com", "assigned_to"),
        ("/v1/tickets?assigned_to=", "assigned_to"),
        ("/v1/tickets?unit_id=unit456,,unit457", "unit_id"),
        ("/v1/tickets?requester_id=a/b", "requester_id"),
        ("/v1/tickets?category=Plumbing", "category"),
        ("/v1/tickets?q=\\ : %26 | ! ( ) <-> *", "q"),
        ("/v1/tickets?q=%22", "q"),
        ("/v1/tickets?sort=priority,created_at", "sort"),
        (
            "/v1/tickets?created_after=2026-01-01T00:00:00Z&created_before=2026-01-01T00:00:00Z",
            "created_before",
        ),
        (
            "/v1/tickets?updated_after=2026-01-02T00:00:00Z&updated_before=2026-01-01T00:00:00Z",
            "updated_before",
        ),
        ("/v1/users?property_id=Hill House", "property_id"),
        ("/v1/users?role=staff,", "role"),
        ("/v1/audit/events?actor=jane@example.com", "actor"),
        ("/v1/audit/events?property_id=", "property_id"),
        ("/v1/audit/events?ticket_id=a.b", "ticket_id"),
        ("/v1/audit/events?request_id=a b", "request_id"),
        ("/v1/webhooks/{webhook}/deliveries?event=ticket.*", "event"),
        ("/v1/webhooks/{webhook}/deliveries?status=failed", "status"),
    ],
)
def test_a_filter_refuses_a_value_that_nothing_can_match(site, webhook, path, field):
    answer = site.client().get(path.format(webhook=webhook))

    assert (answer.status_code, list(answer.json()["error"]["details"])) == (422, [field])


def test_all_words_of_a_search_count_over_the_whole_ticket_also_in_the_panel(site, tickets, browser):
    client, guest = site.client("staff"), site.client("guest")
    ticket = site.ticket("guest", title="quokka boiler - unit B-12", description="“numbat” 漏水")["id"]
    client.post(f"/v1/tickets/{ticket}/comments", json={"text": "wombat window"})
    client.post(f"/v1/tickets/{ticket}/comments", json={"text": "psst", "visibility": "internal"})

    for found in ("quokka wombat", "quokka boiler - unit B-12", "b12 numbat", "漏水 quok", '"wombat window"'):
        assert list_values(client, urlencode({"q": found})) == [ticket], found
        assert ticket in browser.open(f"/admin/tickets?{urlencode({'q': found})}").text, found
    for not_found in ("boiler -wombat", "boiler -psst", '"boiler wombat"'):
        assert list_values(client, urlencode({"q": not_found})) == [], not_found
        assert ticket not in browser.open(f"/admin/tickets?{urlencode({'q': not_found})}").text
    assert list_values(guest, "q=boiler+-psst") == [ticket]
    assert list_values(guest, "q=boiler+psst") == []


def test_users_are_filtered_by_role_and_property(site):
    client = site.client()

    def users(query):
        return {user["id"] for user in client.get(f"/v1/users?{query}").json()["data"]}

    assert users("role=staff") == {"user101", "user900"}
    assert users("role=staff,guest&property_id=abc123") == {"user101", "user789"}
    assert users("role=staff&role=guest&property_id=abc123,nowhere") == {"user101", "user789"}
    assert users("property_id=def456&property_id=abc123") == {"user050", "user101", "user789", "user900"}
    assert users("property_id=nowhere") == set()
    assert client.get("/v1/users?role=king").status_code == 422
