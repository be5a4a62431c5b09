"""Every client sees an acknowledged write at once, whichever worker answers."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.acceptance.site import LEAK, Site
from tests.support.postgres import cloned_database

WORKERS = 4
CLIENTS = 8
IS_FULL = os.environ.get("FAULTS_FULL") == "1"
WRITES, ROUNDS = (1_000, 50) if IS_FULL else (200, 16)

pytestmark = pytest.mark.faults


@pytest.fixture(scope="module")
def site(postgres, template):
    with cloned_database(postgres, template) as dsn, Site.running(dsn, workers=WORKERS) as site:
        yield site


def send(site, method, path, role="admin", **more):
    """Send one request on a new connection, which any worker may accept."""
    with site.client(role) as client:
        return client.request(method, path, headers={"Connection": "close"}, **more)


def ids(answer):
    return [item["id"] for item in answer.json()["data"]]


def test_posted_tickets_are_read_and_listed_at_once(site):
    def post_read_and_list(number):
        posted = send(site, "POST", "/v1/tickets", json={**LEAK, "title": f"Leak {number}"})
        ticket_id = posted.json()["data"]["id"]
        found = send(site, "GET", f"/v1/tickets/{ticket_id}", "manager")
        listed = send(site, "GET", "/v1/tickets?per_page=50", "staff")
        return (
            posted.status_code,
            found.status_code,
            found.json().get("data", {}).get("title") == f"Leak {number}",
            ticket_id in ids(listed),
        )

    with ThreadPoolExecutor(CLIENTS) as clients:
        outcomes = list(clients.map(post_read_and_list, range(WRITES)))

    stale = [outcome for outcome in outcomes if outcome != (201, 200, True, True)]
    assert (len(outcomes), stale) == (WRITES, [])


def test_comments_changes_and_deletions_are_seen_at_once(site):
    def change_and_read(number):
        ticket_id = send(site, "POST", "/v1/tickets", json=LEAK).json()["data"]["id"]
        path = f"/v1/tickets/{ticket_id}"
        send(site, "POST", f"{path}/comments", "staff", json={"text": f"Comment {number}"})
        commented = send(site, "GET", path, "manager").json()["data"]["comments"]
        compared = send(site, "GET", f"{path}/comments", "admin")
        send(site, "PATCH", path, "staff", json={"title": f"Changed {number}", "status": "closed"})
        changed = send(site, "GET", path, "manager").json()["data"]
        found = send(site, "GET", "/v1/tickets?status=closed&sort=updated_at&per_page=50", "staff")
        send(site, "DELETE", path, "manager")
        gone = send(site, "GET", path, "admin").status_code
        unlisted = send(site, "GET", "/v1/tickets?status=closed&sort=updated_at&per_page=50", "admin")
        return (
            [comment["text"] for comment in commented] == [f"Comment {number}"],
            compared.json()["meta"]["pagination"]["total"] == 1,
            (changed["title"], changed["status"]) == (f"Changed {number}", "closed"),
            ticket_id in ids(found),
            gone == 404,
            ticket_id not in ids(unlisted),
        )

    with ThreadPoolExecutor(CLIENTS) as clients:
        outcomes = list(clients.map(change_and_read, range(ROUNDS)))

    assert outcomes == [(True,) * 6] * ROUNDS


def test_people_and_properties_are_seen_at_once(site):
    def register_and_read(number):
        address = {"street": "1 A St", "city": "B", "state": "C", "zip": "1", "country": "D"}
        place = send(site, "POST", "/v1/properties", json={"name": f"P{number}", "address": address})
        place_id = place.json()["data"]["id"]
        send(site, "POST", f"/v1/properties/{place_id}/units", json={"name": "Unit 1"})
        person = {
            "name": f"U{number}",
            "email": f"u{number}@example.com",
            "role": "staff",
            "property_ids": [place_id],
        }
        user_id = send(site, "POST", "/v1/users", json=person).json()["data"]["id"]
        of_property = send(site, "GET", f"/v1/users?property_id={place_id}")
        ticket = send(site, "POST", "/v1/tickets", json={"title": "T", "property_id": place_id}).json()[
            "data"
        ]
        assigned = send(site, "PATCH", f"/v1/tickets/{ticket['id']}", json={"assigned_to": user_id})
        one = send(site, "GET", f"/v1/properties/{place_id}").json()["data"]
        listed = send(site, "GET", "/v1/properties?per_page=100").json()["data"]
        send(site, "PATCH", f"/v1/users/{user_id}", json={"name": "Renamed"})
        renamed = send(site, "GET", f"/v1/tickets/{ticket['id']}").json()["data"]
        return (
            ids(of_property) == [user_id],
            assigned.json()["data"]["assigned_to"] == {"id": user_id, "name": f"U{number}"},
            (one["units_count"], one["active_tickets_count"]) == (1, 1),
            [p["active_tickets_count"] for p in listed if p["id"] == place_id] == [1],
            renamed["assigned_to"]["name"] == "Renamed",
        )

    with ThreadPoolExecutor(CLIENTS) as clients:
        outcomes = list(clients.map(register_and_read, range(ROUNDS)))

    assert outcomes == [(True,) * 5] * ROUNDS
