"""GET /v1/changes through real workers: what each caller gets, and waiting without a thread."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import Any

import pytest

from tests.acceptance.site import Client, Site
from tests.support.arrange import change_property, change_ticket, change_user, register_property
from tests.support.keys import operator
from tests.support.postgres import cloned_database
from tests.support.waiting import eventually

WAITING = 40  # more than all threads of all workers


def read(client: Client, **parameters: Any) -> dict[str, Any]:
    answer = client.get("/v1/changes", params=parameters)
    assert answer.status_code == 200, answer.text
    return answer.json()["data"]


def read_to_end(client: Client, after: str = "0", **parameters: Any) -> tuple[list[dict[str, Any]], str]:
    """All items after a position, and the position at which they end."""
    items = []
    while True:
        page = read(client, after=after, **parameters)
        items += page["items"]
        after = page["position"]
        if not page["has_more"]:
            return items, after


def kinds(items: list[dict[str, Any]]) -> list[tuple[str, str | None]]:
    return [(item["kind"], item.get("ticket_id")) for item in items]


def count_requests(site: Site) -> int:
    ((count,),) = site.pool.fetch("SELECT sum(used) FROM access.rate_windows")
    return count


def test_a_ticket_is_returned_as_the_list_shows_it_at_the_position_of_its_last_event(site):
    staff = site.client("staff")
    _, end = read_to_end(staff)
    ticket = site.ticket("staff")
    staff.patch(f"/v1/tickets/{ticket['id']}", json={"title": "Leak again"})

    items, position = read_to_end(staff, end)

    listed = next(each for each in staff.get("/v1/tickets").json()["data"] if each["id"] == ticket["id"])
    assert [item["ticket"] for item in items if item["ticket_id"] == ticket["id"]] == [listed]
    assert (items[-1]["position"], items[-1]["version"]) == (int(position), 2)


def test_a_ticket_that_is_deleted_or_moved_out_of_reach_is_gone_and_a_foreign_one_is_never_named(site):
    staff, manager = site.client("staff"), site.client("manager")
    _, position = read_to_end(staff)
    deleted, moved, foreign = site.ticket(), site.ticket(), site.ticket(property_id="def456", unit_id=None)

    opened, position = read_to_end(staff, position)
    manager.delete(f"/v1/tickets/{deleted['id']}")
    site.client().patch(f"/v1/tickets/{moved['id']}", json={"property_id": "def456", "unit_id": None})
    site.client().delete(f"/v1/tickets/{foreign['id']}")
    items, position = read_to_end(staff, position)

    assert kinds(opened) == [("upsert", deleted["id"]), ("upsert", moved["id"])]
    assert kinds(items) == [("gone", deleted["id"]), ("gone", moved["id"])]
    site.client().post(f"/v1/tickets/{deleted['id']}/restore")
    assert kinds(read_to_end(staff, position)[0]) == [("upsert", deleted["id"])]


@pytest.mark.parametrize("limit", [1, 500])
def test_a_change_of_the_callers_properties_is_announced_and_the_gained_tickets_follow(site, limit):
    person = site.person()
    client = site.client(key=site.key(role="staff", user_id=person["id"]))
    site.ticket()
    gained = site.ticket(property_id="def456", unit_id=None)
    _, position = read_to_end(client, limit=limit)

    site.client().patch(f"/v1/users/{person['id']}", json={"property_ids": ["def456"]})
    before = int(position)
    items, position = read_to_end(client, position, limit=limit)

    announced = next(item for item in items if item["kind"] == "reach_changed")
    assert announced == {
        "position": before,
        "kind": "reach_changed",
        "role": "staff",
        "gained": ["def456"],
        "lost": ["abc123"],
    }
    assert ("upsert", gained["id"]) in kinds(items)
    assert {item["position"] for item in items} == {before}
    assert read_to_end(client, position) == ([], position)


def test_a_change_in_a_property_is_not_missed_when_the_caller_loses_and_regains_it_between_answers(site):
    person = site.person(property_ids=["abc123", "def456"])
    client = site.client(key=site.key(role="staff", user_id=person["id"]))
    _, position = read_to_end(client)
    hidden = site.ticket(property_id="def456", unit_id=None)
    site.ticket()

    for property_ids in (["abc123"], ["abc123", "def456"]):
        site.client().patch(f"/v1/users/{person['id']}", json={"property_ids": property_ids})
        position = read(client, after=position, limit=1)["position"]
    items, _ = read_to_end(client, position, limit=1)

    assert ("upsert", hidden["id"]) in kinds(items)


def test_a_guest_gets_the_tickets_that_they_requested(site):
    guest = site.client("guest")
    _, position = read_to_end(guest)

    site.ticket("staff")
    own = site.ticket("guest")

    assert kinds(read_to_end(guest, position)[0]) == [("upsert", own["id"])]


def test_a_waiting_guest_is_told_when_a_manager_gives_the_ticket_to_somebody_else(site):
    person = site.person(role="guest")
    guest, other = site.client("guest"), site.client(key=site.key(role="guest", user_id=person["id"]))
    own = site.ticket("guest")
    _, position = read_to_end(guest)
    _, position_of_other = read_to_end(other)
    with ThreadPoolExecutor(2) as threads:
        waiting = threads.submit(read, guest, after=position, wait=25)
        waiting_too = threads.submit(read, other, after=position_of_other, wait=25)
        change_ticket(site.store, own["id"], operator(), requester_id=person["id"])
        items, items_of_other = (each.result(timeout=10)["items"] for each in (waiting, waiting_too))

    assert kinds(items) == [("gone", own["id"])]
    assert kinds(items_of_other) == [("upsert", own["id"])]
    assert items_of_other[0]["ticket"]["requester"]["id"] == person["id"]


def test_properties_and_people_are_followed_on_request(site):
    admin = site.client()
    _, position = read_to_end(admin, of="properties,users")
    site.ticket()
    change_property(site.store, "def456", operator(), name="Hill House 2")
    last = change_user(site.store, "user900", operator(), name="Fay F.").position
    eventually(lambda: read_to_end(admin, position, of="users")[0])

    items, _ = read_to_end(admin, position, of="properties,users")

    renamed, person = items
    assert (renamed["property_id"], renamed["property"]["name"]) == ("def456", "Hill House 2")
    assert (person["user_id"], person["user"]["name"], person["position"]) == ("user900", "Fay F.", last)
    staff_items, _ = read_to_end(site.client("staff"), position, of="properties,users")
    assert staff_items == []


def test_without_full_items_have_only_ids_and_versions(site):
    ticket = site.ticket()
    items, position = read_to_end(site.client("staff"), full="false")

    assert items[-1] == {
        "position": int(position),
        "kind": "upsert",
        "ticket_id": ticket["id"],
        "version": 1,
    }


@pytest.mark.parametrize(
    ("parameters", "field"),
    [
        ({"after": "999999999"}, "after"),
        ({"after": "-1"}, "after"),
        ({"after": "1.2.3"}, "after"),
        ({"limit": 501}, "limit"),
        ({"wait": 26}, "wait"),
        ({"of": "tickets,webhooks"}, "of"),
    ],
)
def test_bad_parameters_are_refused_by_name(site, parameters, field):
    answer = site.client("staff").get("/v1/changes", params=parameters)

    assert answer.status_code == 422
    assert field in answer.json()["error"]["details"]


def test_people_are_followed_only_with_the_scope_for_them(site):
    client = site.client(key=site.key(role="staff", scopes=("tickets:read",)))

    assert client.get("/v1/changes", params={"of": "users"}).json()["error"]["code"] == "insufficient_scope"


def test_waiting_requests_hold_no_thread_are_counted_once_and_are_woken_only_by_what_they_may_see(site):
    last = register_property(site.store, "waited-for", operator()).position
    with ExitStack() as stack:
        keys = [
            site.key(role="staff", property_ids=("waited-for",), rate_limit=1_000) for _ in range(WAITING)
        ]
        clients = [stack.enter_context(site.client(key=key)) for key in keys]
        eventually(lambda: int(read_to_end(clients[0])[1]) >= last)
        position = read_to_end(clients[1])[1]
        threads = stack.enter_context(ThreadPoolExecutor(WAITING))
        waiting = [threads.submit(read, client, after=position, wait=25) for client in clients]

        site.ticket(property_id="def456", unit_id=None)  # while more requests wait than there are threads
        assert not any(answer.done() for answer in waiting)
        opened = site.ticket(property_id="waited-for", unit_id=None)
        answers = [answer.result(timeout=10) for answer in waiting]

        assert {str(kinds(answer["items"])) for answer in answers} == {str([("upsert", opened["id"])])}
        remaining = clients[2].get("/v1/changes").headers["X-RateLimit-Remaining"]
        assert remaining == "998"


def test_a_wait_ends_without_items_after_its_time_at_the_newest_position(site):
    staff = site.client("staff")
    _, position = read_to_end(staff)
    site.ticket(property_id="def456", unit_id=None)

    page = read(staff, after=position, wait=1)

    assert (page["items"], page["has_more"]) == ([], False)
    assert int(page["position"]) > int(position)


def test_a_stopping_server_answers_waiting_requests_at_once(postgres, template):
    with cloned_database(postgres, template) as dsn, ThreadPoolExecutor() as threads:
        with Site.running(dsn, workers=1) as site:
            client = site.client("staff")
            _, position = read_to_end(client)
            counted = count_requests(site)
            waiting = threads.submit(read, client, after=position, wait=25)
            eventually(lambda: count_requests(site) > counted)
        assert waiting.result(timeout=10) == {"items": [], "position": position, "has_more": False}
