"""Writes are readable while no projector runs, projection is blocked, or the ticket's events are parked."""

from __future__ import annotations

import threading
import time
from contextlib import contextmanager

import pytest

from infrastructure.storage.postgres import connect
from projections.runner import Projector
from tests.acceptance.panel import browser_of, hidden
from tests.acceptance.site import LEAK, PEOPLE, Site
from tests.support.browser import give_password
from tests.support.postgres import cloned_database
from tests.support.vault import VAULT
from tests.support.waiting import eventually

LIMIT_SECONDS = 60
NOTICE = "this page may not show it yet"


@pytest.fixture(scope="module")
def site(postgres, template):
    """An API without a projector."""
    with (
        cloned_database(postgres, template) as dsn,
        Site.running(dsn, workers=2, projector=False) as site,
    ):
        yield site


@contextmanager
def blocked_projection(site):
    """Blocks projection: another transaction locks the position."""
    with connect(site.dsn, application="tests") as conn, conn.transaction():
        conn.execute("SELECT position FROM read.projector_position FOR UPDATE")
        yield


@contextmanager
def leading_projector(site):
    stop = threading.Event()
    thread = threading.Thread(target=Projector(site.dsn, VAULT).run, args=(stop,))
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(LIMIT_SECONDS)


def ids(answer):
    return [item["id"] for item in answer.json()["data"]]


def test_writes_are_readable_without_a_projector(site):
    for number in range(20):
        ticket = site.ticket(title=f"Leak {number}")
        path = f"/v1/tickets/{ticket['id']}"
        site.client("staff").post(f"{path}/comments", json={"text": "On my way"})
        site.client("staff").patch(path, json={"status": "in_progress"})

        found = site.client("manager").get(path).json()["data"]
        assert (found["status"], len(found["comments"])) == ("in_progress", 1)
        assert ticket["id"] in ids(site.client("staff").get("/v1/tickets?status=in_progress"))


def test_a_ticket_is_answered_from_the_log_while_projection_is_blocked(site):
    before = site.ticket()
    with blocked_projection(site):
        posted = site.client("guest").post("/v1/tickets", json=LEAK)
        assert posted.status_code == 201, posted.text
        path = f"/v1/tickets/{posted.json()['data']['id']}"
        changed = site.client("staff").patch(path, json={"title": "Flood", "assigned_to": "user101"})
        assert (changed.status_code, changed.headers["ETag"]) == (200, '"3"')
        texts = ["public", "internal"]
        for text in texts:
            comment = {"text": text, "visibility": text}
            assert site.client("staff").post(f"{path}/comments", json=comment).status_code == 201
        file = {"file": ("leak.jpg", b"content", "image/jpeg")}
        assert site.client("guest").post(f"{path}/attachments", files=file).status_code == 201

        answer = site.client("manager").get(path)
        blocked = answer.json()["data"]
        for_the_guest = site.client("guest").get(path).json()["data"]
        assert site.client("foreign").get(path).status_code == 404
        old = site.client("manager").patch(f"/v1/tickets/{before['id']}", json={"priority": "low"})
        assert old.status_code == 200
        assert site.client().get(f"/v1/tickets/{before['id']}").json()["data"]["priority"] == "low"
        assert site.client("manager").delete(f"/v1/tickets/{before['id']}").status_code == 200
        assert site.client().get(f"/v1/tickets/{before['id']}").status_code == 404

    assert answer.headers["ETag"] == '"6"'
    assert (blocked["title"], blocked["assigned_to"]) == ("Flood", {"id": "user101", "name": "Jane Smith"})
    assert blocked["property"] == {"id": "abc123", "name": "Seaside Apartments"}
    assert blocked["requester"] == {"id": "user789", "name": "John Doe"}
    assert [comment["text"] for comment in blocked["comments"]] == texts
    assert [comment["text"] for comment in for_the_guest["comments"]] == ["public"]
    again = ticket_after_projection(site, path)
    assert {**again, "attachments": []} == {**blocked, "attachments": []}


def on_each_worker(site, role, path):
    """The answers to requests on new connections, which any worker may accept."""
    answers = []
    for _ in range(4):
        with site.client(role) as client:
            answers.append(client.get(path, headers={"Connection": "close"}))
    return answers


def without_the_header(answers):
    """The answers if none of them may lack a change of the caller."""
    return answers if all("Pending-Position" not in answer.headers for answer in answers) else None


def test_a_caller_is_told_while_lists_lack_its_change_and_others_are_not(site):
    with blocked_projection(site):
        posted = site.client("guest").post("/v1/tickets", json=LEAK)
        position = posted.headers["Pending-Position"]
        own = on_each_worker(site, "guest", "/v1/tickets")
        others = on_each_worker(site, "staff", "/v1/tickets")

    ticket_id = posted.json()["data"]["id"]
    assert posted.status_code == 201
    assert [(answer.status_code, answer.headers["Pending-Position"]) for answer in own] == [
        (200, position)
    ] * 4
    assert not any("Pending-Position" in answer.headers for answer in others)
    assert not any(ticket_id in ids(answer) for answer in (*own, *others))
    with connect(site.dsn, application="tests") as conn:
        event = "SELECT originator_id FROM es.stored_events WHERE notification_id = %s"
        assert conn.execute(event, [position]).fetchone() == (ticket_id,)
        shown = eventually(
            lambda: without_the_header(on_each_worker(site, "guest", "/v1/tickets")), LIMIT_SECONDS
        )
        pending = "SELECT count(*) FROM access.rate_windows WHERE pending_position = %s"
        assert conn.execute(pending, [position]).fetchone() == (0,)
    assert all(ticket_id in ids(answer) for answer in shown)


def test_a_repeated_request_is_told_as_long_as_its_change_is_not_shown(site):
    again = {"json": LEAK, "headers": {"Idempotency-Key": "late"}}
    with blocked_projection(site):
        first, second = (site.client("guest").post("/v1/tickets", **again) for _ in range(2))
    third = eventually(lambda: without_the_header([site.client("guest").post("/v1/tickets", **again)]))[0]

    assert first.content == second.content == third.content
    assert first.headers["Pending-Position"] == second.headers["Pending-Position"]


def test_pages_say_while_they_may_lack_the_last_change_of_their_person(site):
    give_password(site.store, PEOPLE["admin"][0])
    browser = browser_of(site, "admin")
    path = f"/admin/tickets/{site.ticket()['id']}"
    fields = {**hidden(browser.open(path).text), "visibility": "public", "text": "Late"}
    with blocked_projection(site):
        browser.send(f"{path}/comments", fields)
        lagging = browser.open("/admin/tickets").text

    assert NOTICE in lagging
    eventually(lambda: NOTICE not in browser.open("/admin/tickets").text)


def ticket_after_projection(site, path):
    """Project the whole log, then get the ticket."""
    with leading_projector(site), connect(site.dsn, application="tests") as conn:
        deadline = time.monotonic() + LIMIT_SECONDS
        while conn.execute(
            "SELECT position < es.stored_events_watermark() FROM read.projector_position"
        ).fetchone()[0]:
            assert time.monotonic() < deadline
            time.sleep(0.01)
    return site.client("manager").get(path).json()["data"]


def test_a_ticket_with_parked_events_is_answered_from_the_log(site):
    """Its row has a wrong version, so its next event cannot be projected."""
    ticket_id, other_id = site.ticket()["id"], site.ticket()["id"]
    site.client().get(f"/v1/tickets/{ticket_id}")
    with connect(site.dsn, application="tests") as conn:
        conn.execute("UPDATE read.tickets SET version = 7 WHERE id = %s", [ticket_id])

    changed = site.client().patch(f"/v1/tickets/{ticket_id}", json={"title": "Set aside"})
    later = site.client().patch(f"/v1/tickets/{ticket_id}", json={"status": "closed"})
    other = site.client().patch(f"/v1/tickets/{other_id}", json={"title": "Not concerned"})

    assert [answer.status_code for answer in (changed, later, other)] == [200, 200, 200]
    with connect(site.dsn, application="tests") as conn:
        assert conn.execute("SELECT originator_id FROM read.parked_events").fetchall() == [(ticket_id,)] * 2
    found = site.client("staff").get(f"/v1/tickets/{ticket_id}")
    assert (found.json()["data"]["title"], found.json()["data"]["status"]) == ("Set aside", "closed")
    assert found.headers["ETag"] == '"3"'
    assert site.client("staff").get(f"/v1/tickets/{other_id}").json()["data"]["title"] == "Not concerned"
    ready = site.client(None).get("/health/ready")
    assert ready.status_code == 200
    assert "2" in str(ready.json())
