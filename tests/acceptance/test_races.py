"""Many clients change one ticket at once: the log has the acknowledged changes and no others."""

from __future__ import annotations

import os
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from itertools import repeat
from threading import Barrier

import pytest

from domain.ticket import Ticket, TicketTitleChanged
from infrastructure.storage.event_store import decode
from infrastructure.storage.postgres import connect
from tests.acceptance.site import Site
from tests.support.postgres import cloned_database

CLIENTS = 50
CHANGES = 40 if os.environ.get("FAULTS_FULL") == "1" else 8

pytestmark = pytest.mark.faults


@pytest.fixture(scope="module")
def site(postgres, template):
    with cloned_database(postgres, template) as dsn, Site.running(dsn, workers=4) as site:
        yield site


def history(site, ticket_id):
    with connect(site.dsn, application="tests") as conn:
        rows = conn.execute(
            "SELECT state FROM es.stored_events WHERE originator_id = %s ORDER BY originator_version",
            [ticket_id],
        ).fetchall()
    return [decode(state) for (state,) in rows]


def test_fifty_clients_change_one_ticket_many_times_each(site):
    ticket_id = site.ticket()["id"]

    def change(number):
        with site.client() as client:
            titles = [f"Client {number} change {change}" for change in range(CHANGES)]
            return [
                (client.patch(f"/v1/tickets/{ticket_id}", json={"title": title}).status_code, title)
                for title in titles
            ]

    with ThreadPoolExecutor(CLIENTS) as clients:
        answers = [answer for answered in clients.map(change, range(CLIENTS)) for answer in answered]

    statuses = Counter(status for status, _ in answers)
    assert statuses.keys() <= {200, 409}, statuses
    acknowledged = {title for status, title in answers if status == 200}
    recorded = [event.title for event in history(site, ticket_id) if isinstance(event, TicketTitleChanged)]
    assert sorted(recorded) == sorted(acknowledged)
    assert len(acknowledged) >= 0.99 * CLIENTS * CHANGES, statuses
    assert site.client().get(f"/v1/tickets/{ticket_id}").json()["data"]["title"] == recorded[-1]


def test_fifty_clients_that_put_one_external_id_open_one_ticket(site):
    together = Barrier(CLIENTS, timeout=60)

    def put(number):
        with site.client() as client:
            together.wait()
            body = {"title": f"Client {number}", "property_id": "abc123", "tags": ["sap"]}
            return client.put("/v1/tickets/by-external-id/sap/one/two%203", json=body)

    with ThreadPoolExecutor(CLIENTS) as clients:
        answers = list(clients.map(put, range(CLIENTS)))

    statuses = Counter(answer.status_code for answer in answers)
    assert statuses[201] == 1, statuses
    assert statuses.keys() <= {200, 201, 409}, statuses
    assert statuses[200] > CLIENTS / 2
    tickets = {answer.json()["data"]["id"] for answer in answers if answer.status_code != 409}
    assert len(tickets) == 1
    found = site.client().get("/v1/tickets?external_id=sap:one/two%203").json()
    assert [ticket["id"] for ticket in found["data"]] == list(tickets)
    assert found["data"][0]["external_ids"] == {"sap": "one/two 3"}


def test_of_several_changes_with_the_same_if_match_one_succeeds(site):
    ticket_id = site.ticket()["id"]
    rounds, rivals = 10, 8
    together = Barrier(rivals, timeout=60)

    def change(rival):
        outcomes = []
        with site.client() as client:
            for version in range(1, rounds + 1):
                together.wait()
                answer = client.patch(
                    f"/v1/tickets/{ticket_id}",
                    json={"title": f"Rival {rival} round {version}"},
                    headers={"If-Match": f'"{version}"'},
                )
                outcomes.append((version, answer.status_code))
        return outcomes

    with ThreadPoolExecutor(rivals) as clients:
        outcomes = Counter(outcome for each in clients.map(change, range(rivals)) for outcome in each)

    assert outcomes == {
        **{(version, 200): 1 for version in range(1, rounds + 1)},
        **{(version, 412): rivals - 1 for version in range(1, rounds + 1)},
    }
    assert Ticket.fold(None, history(site, ticket_id)).version == rounds + 1


def test_simultaneous_changes_of_different_fields_are_both_stored(site):
    together = Barrier(2, timeout=60)

    def change(path, changes):
        with site.client() as client:
            together.wait()
            return client.patch(path, json=changes).status_code

    with ThreadPoolExecutor(2) as clients:
        for _ in range(20):
            path = f"/v1/tickets/{site.ticket()['id']}"

            changes = ({"priority": "low"}, {"title": "Flood"})
            assert list(clients.map(change, repeat(path), changes)) == [200, 200]

            ticket = site.client().get(path).json()["data"]
            assert (ticket["priority"], ticket["title"]) == ("low", "Flood")


def test_of_twenty_five_simultaneous_files_twenty_are_stored(site):
    ticket_id = site.ticket()["id"]

    def attach(number):
        with site.client() as client:
            file = {"file": (f"{number}.txt", b"content", "text/plain")}
            return client.post(f"/v1/tickets/{ticket_id}/attachments", files=file).status_code

    with ThreadPoolExecutor(25) as clients:
        statuses = Counter(clients.map(attach, range(25)))

    assert statuses == {201: 20, 409: 5}
    assert len(site.client().get(f"/v1/tickets/{ticket_id}").json()["data"]["attachments"]) == 20
