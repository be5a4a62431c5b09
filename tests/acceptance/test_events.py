"""The event feed and the schemas of events, over HTTP."""

import json
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import jsonschema
import pytest
import requests
from cloudevents.core.formats.json import JSONFormat

from domain.access import SCOPES
from event_stream.envelope import as_cloudevent, to_record
from infrastructure.storage.postgres import connect
from infrastructure.storage.recorder import read_log
from tests.acceptance.site import LEAK, Site
from tests.support.postgres import cloned_database
from tests.support.waiting import eventually

SOON_SECONDS = 8  # an immediate answer on a busy machine; a full wait takes longer
LONG_WAIT = 25


def read_feed(site, **query):
    answer = site.client().get("/v1/events", params=query)
    assert answer.status_code == 200, answer.text
    return answer.json()["data"]


def follow(site, *, until, limit=100):
    """Read the feed page by page up to position `until`, and return the events."""
    events, position = [], 0
    while position < until:
        page = read_feed(site, after=position, limit=limit, wait=1)
        events += page["events"]
        position = page["position"]
    return events


def log(site):
    with connect(site.dsn, application="tests") as conn:
        return read_log(conn, 0, 1_000_000)


def feed_entry(site, row):
    event = as_cloudevent(to_record(row, source=site.base_url))
    return {**event, "data": json.loads(row.state)}


def last_position(site):
    return log(site)[-1].position


def test_the_feed_returns_the_events_of_the_log(site):
    site.ticket("guest")

    events = follow(site, until=last_position(site), limit=7)

    assert events == [feed_entry(site, row) for row in log(site)]


def test_a_page_has_the_position_after_which_the_next_one_begins(site):
    site.ticket()
    last = last_position(site)

    first = read_feed(site, limit=2)
    rest = read_feed(site, after=first["position"], limit=1_000)
    beyond = read_feed(site, after=last)

    assert len(first["events"]) == 2
    assert first["has_more"] is True
    assert int(rest["events"][-1]["sequence"]) == rest["position"] == last
    assert rest["has_more"] is False
    assert beyond == {"events": [], "position": last, "has_more": False}


def test_the_public_sdk_reads_the_events(site):
    site.ticket()
    answer = site.client().get("/v1/events").json()["data"]["events"][-1]

    event = JSONFormat().read(None, json.dumps(answer))

    assert event.get_type() == answer["data"]["type"]
    assert event.get_id() == answer["data"]["event_id"]
    assert event.get_data() == answer["data"]


def test_the_feed_is_complete_and_in_order_during_writes(site):
    before = last_position(site)

    def write(_):
        for _ in range(8):
            site.ticket()

    with ThreadPoolExecutor(5) as threads:
        writing = [threads.submit(write, number) for number in range(4)]
        seen, position = [], before
        while not all(one.done() for one in writing) or position < last_position(site):
            page = read_feed(site, after=position, limit=5)
            seen += page["events"]
            position = page["position"]
        for one in writing:
            one.result()

    assert seen == [feed_entry(site, row) for row in log(site) if row.position > before]


def test_a_waiting_client_is_answered_when_an_event_is_stored(site):
    after = last_position(site)
    with ThreadPoolExecutor(1) as thread:
        waiting = thread.submit(read_feed, site, after=after, wait=LONG_WAIT)
        ticket = site.ticket()
        began = time.monotonic()
        page = waiting.result()

    assert time.monotonic() - began < SOON_SECONDS
    assert page["events"][0]["subject"] == ticket["id"]


def test_a_wait_without_events_ends_after_its_seconds(site):
    after = last_position(site)

    began = time.monotonic()
    page = read_feed(site, after=after, wait=1)
    seconds = time.monotonic() - began

    assert page == {"events": [], "position": after, "has_more": False}
    assert 1 <= seconds < 1 + SOON_SECONDS


def test_waiting_requests_leave_threads_to_other_requests(site):
    """Of too many waiting requests some are answered at once, and other endpoints are not delayed."""
    after = last_position(site)
    with ThreadPoolExecutor(20) as threads:
        waiting = [threads.submit(read_feed, site, after=after, wait=LONG_WAIT) for _ in range(20)]
        eventually(lambda: sum(one.done() for one in waiting) >= 20 - 4, LONG_WAIT - 10)
        began = time.monotonic()
        assert site.client().get("/v1/tickets").status_code == 200
        assert time.monotonic() - began < SOON_SECONDS
        site.ticket()
        pages = [one.result() for one in waiting]

    assert {page["position"] for page in pages} >= {after}


def test_waiting_requests_are_answered_when_the_server_stops(postgres, template):
    answers = []

    def wait(site, after):
        answers.append(read_feed(site, after=after, wait=LONG_WAIT))

    with cloned_database(postgres, template) as dsn:
        with Site.running(dsn, workers=1) as site:
            after = last_position(site)
            polls = set()
            waiting = threading.Thread(target=wait, args=(site, after))
            waiting.start()
            eventually(lambda: polls.add(time_of_last_poll(site)) or len(polls) > 3, LONG_WAIT - 10)
            began = time.monotonic()
        seconds = time.monotonic() - began
        waiting.join()

    assert answers == [{"events": [], "position": after, "has_more": False}]
    assert seconds < LONG_WAIT - 5


def time_of_last_poll(site):
    """Return the time when the API last read the log for any request."""
    with connect(site.dsn, application="tests") as conn:
        row = conn.execute(
            "SELECT max(query_start) FROM pg_stat_activity WHERE application_name LIKE 'ticketing-api%'"
            " AND datname = current_database() AND query LIKE '%notification_id%'"
        ).fetchone()
    return row[0]


@pytest.mark.parametrize("role", ["manager", "staff", "guest"])
def test_the_feed_is_for_admins(site, role):
    answer = site.client(role).get("/v1/events?after=x")

    assert (answer.status_code, answer.json()["error"]["code"]) == (403, "forbidden")


def test_a_key_that_is_restricted_to_properties_is_refused(site):
    answer = site.client(key=site.key(role="admin", property_ids=("abc123",))).get("/v1/events")

    assert (answer.status_code, answer.json()["error"]["code"]) == (403, "forbidden")
    assert "restricted to properties" in answer.json()["error"]["message"]


def test_the_feed_needs_a_key_with_the_scope(site):
    others = tuple(scope for scope in SCOPES if scope != "audit:read")
    answer = site.client(key=site.key(role="admin", scopes=others)).get("/v1/events")

    assert (answer.status_code, answer.json()["error"]["code"]) == (403, "insufficient_scope")
    assert "audit:read" in answer.json()["error"]["message"]
    assert site.client(None).get("/v1/events").status_code == 401


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("after=-1", "after"),
        ("after=x", "after"),
        ("after=99999999999999999999", "after"),
        ("after=900000000000", "after"),
        ("after=1&after=2", "after"),
        ("limit=0", "limit"),
        ("limit=1001", "limit"),
        ("limit=", "limit"),
        ("wait=26", "wait"),
        ("wait=-1", "wait"),
        ("wait=0.5", "wait"),
        ("page=1", "page"),
    ],
)
def test_bad_parameters_are_named(site, query, field):
    answer = site.client().get(f"/v1/events?{query}")

    assert (answer.status_code, answer.json()["error"]["code"]) == (422, "validation_error")
    assert list(answer.json()["error"]["details"]) == [field]


def test_head_is_answered_and_post_is_405(site):
    head = site.client().head("/v1/events")
    posted = site.client().post("/v1/events", json={})

    assert (head.status_code, head.content) == (200, b"")
    assert (posted.status_code, posted.headers["Allow"]) == (405, "GET, HEAD, OPTIONS")


def test_personal_fields_are_encrypted_in_the_feed(site):
    registered = [e for e in follow(site, until=last_position(site)) if e["type"] == "user.registered"]

    assert registered
    for event in registered:
        assert event["data"]["name"].startswith("sealed:v1:")
        assert "@" not in event["data"]["email"]


# Schemas


def test_every_event_matches_the_schema_that_it_names(site):
    client = site.client(None)
    ticket = site.ticket()["id"]
    site.client().patch(f"/v1/tickets/{ticket}", json={"status": "closed", "assigned_to": "user101"})
    schemas = {}

    for event in follow(site, until=last_position(site)):
        address = event["dataschema"]
        if address not in schemas:
            answer = client.get(address.removeprefix(site.base_url))
            assert answer.status_code == 200
            assert answer.headers["content-type"] == "application/schema+json"
            schemas[address] = answer.json()
        jsonschema.validate(event["data"], schemas[address])
    assert len(schemas) > 5


def test_the_types_are_listed_with_their_schemas(site):
    listed = site.client(None).get("/v1/event-types").json()["data"]

    (opened,) = (one for one in listed if one["type"] == "ticket.opened")
    assert opened["name"] == "ticket.opened.v1"
    for one in listed:
        answer = site.client(None).get(one["schema"].removeprefix(site.base_url))
        assert answer.json()["properties"]["type"] == {"const": one["type"]}
        assert answer.json()["$id"] == one["schema"]


@pytest.mark.parametrize("name", ["ticket.opened", "ticket.opened.v2", "nothing.v1", "ticket.opened.v1/x"])
def test_an_unknown_schema_is_404(site, name):
    answer = site.client(None).get(f"/v1/event-types/{name}")

    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "not_found")


def test_the_events_of_webhooks_are_listed_with_their_schemas(site):
    listed = site.client(None).get("/v1/webhook-events").json()["data"]

    assert {"ticket.created.v1", "ticket.commented.v1", "webhook.test.v1"} <= {one["name"] for one in listed}
    for one in listed:
        answer = requests.get(one["schema"], timeout=10)
        assert answer.headers["content-type"] == "application/schema+json"
        assert answer.json()["$id"] == one["schema"]
        assert answer.json()["properties"]["event"]["enum"] == [one["event"]]
    assert site.client(None).get("/v1/webhook-events/ticket.created.v9").status_code == 404


def test_an_unchanged_schema_is_304(site):
    address = f"{site.base_url}/v1/event-types/ticket.opened.v1"
    etag = requests.get(address, timeout=10).headers["ETag"]

    again = requests.get(address, headers={"If-None-Match": etag}, timeout=10)

    assert (again.status_code, again.content) == (304, b"")


def test_the_asyncapi_document_names_the_topic(site):
    answer = site.client(None).get("/v1/asyncapi.json")

    assert answer.json()["asyncapi"] == "3.1.0"
    assert answer.json()["channels"]["events"]["address"] == "ticketing.events"
    assert site.client(None).get("/v1/asyncapi.json?x=1").status_code == 422


def test_a_ticket_is_in_the_feed_with_its_requester(site):
    ticket = site.client("guest").post("/v1/tickets", json=LEAK).json()["data"]["id"]

    (opened,) = (e for e in follow(site, until=last_position(site)) if e["subject"] == ticket)

    assert opened["data"]["requester_id"] == "user789"
    assert (opened["ticketversion"], opened["partitionkey"]) == ("1", ticket)
