"""Several operations in one request: each as the single request would be, or all or none."""

from __future__ import annotations

import json
import threading

import pytest

from domain.ticket import Ticket
from tests.acceptance.site import LEAK, PEOPLE
from tests.support.waiting import eventually

ABSENT = "01999999-9999-7999-8999-999999999999"


def send(site, *operations, by="admin", atomic=False, headers=None, status=200):
    body = {"operations": list(operations), "atomic": atomic}
    answer = site.client(by).post("/v1/tickets/bulk", json=body, headers=headers)
    assert answer.status_code == status, answer.text
    return answer.json()["data"] if status == 200 else answer.json()["error"]


def create(**facts):
    return {"op": "create", "data": LEAK | facts}


def change(ticket_id, **facts):
    return {"op": "change", "ticket_id": ticket_id, "data": facts}


def version_of(site, ticket_id):
    return site.store.load(Ticket, ticket_id).version


def test_each_operation_is_applied_in_order_and_shown_at_once(site):
    old, gone = site.ticket(), site.ticket()
    results = send(
        site,
        create(title="First"),
        change(old["id"], status="in_progress"),
        {"op": "comment", "ticket_id": old["id"], "data": {"text": "On my way."}},
        change(old["id"], status="closed"),
        {"op": "delete", "ticket_id": gone["id"]},
    )
    assert [one["index"] for one in results] == [0, 1, 2, 3, 4]
    assert [one["status"] for one in results] == [201, 200, 201, 200, 200]
    assert [results[at]["data"]["status"] for at in (0, 1, 3)] == ["open", "in_progress", "closed"]
    assert results[4]["data"] is None
    assert results[2]["data"]["user"] == {"id": PEOPLE["admin"][0], "name": PEOPLE["admin"][1]}
    client = site.client()
    assert client.get("/v1/tickets?per_page=1").json()["data"] == [results[0]["data"]]
    detail = client.get(f"/v1/tickets/{old['id']}").json()["data"]
    assert detail["status"] == "closed"
    assert detail["comments"][0]["id"] == results[2]["data"]["id"]
    assert client.get(f"/v1/tickets/{gone['id']}").status_code == 404
    assert version_of(site, old["id"]) == 4


@pytest.mark.parametrize(
    ("operation", "status", "code", "field"),
    [
        (create(title=""), 422, "validation_error", "title"),
        (create(property_id="nowhere"), 422, "validation_error", "property_id"),
        (create(title="a\0b"), 422, "validation_error", "title"),
        (create(description="\ud800"), 422, "validation_error", "description"),
        (change("not an id", title="New"), 422, "validation_error", "ticket_id"),
        (create(colour="red"), 422, "validation_error", "colour"),
        ({"op": "create"}, 422, "validation_error", "data"),
        ({"op": "create", "data": LEAK, "ticket_id": ABSENT}, 422, "validation_error", "ticket_id"),
        ({"op": "paint"}, 422, "validation_error", "op"),
        ({"op": "change", "data": {}}, 422, "validation_error", "ticket_id"),
        ({"op": "delete", "ticket_id": ABSENT, "data": {}}, 422, "validation_error", "data"),
        ({"op": "change", "ticket_id": ABSENT, "data": {}, "colour": 1}, 422, "validation_error", "colour"),
        (7, 422, "validation_error", "operations"),
        (change(ABSENT, title="New"), 404, "not_found", None),
        (create(description="x" * 1_048_576), 413, "payload_too_large", None),
    ],
    ids=str,
)  # fmt: skip
def test_a_refused_operation_names_index_and_field_and_affects_no_other(site, operation, status, code, field):
    first, refused, last = send(site, create(title="One"), operation, create(title="Two"))
    assert (refused["index"], refused["status"], refused["error"]["code"]) == (1, status, code)
    assert list(refused["error"]["details"]) == ([field] if field else [])
    assert "data" not in refused
    for one in (first, last):
        assert site.client().get(f"/v1/tickets/{one['data']['id']}").status_code == 200


def test_roles_and_versions_are_checked_for_each_operation(site):
    ticket = site.ticket("guest")
    internal = {"text": "Secret", "visibility": "internal"}
    results = send(
        site,
        change(ticket["id"], priority="low"),
        {"op": "comment", "ticket_id": ticket["id"], "data": internal},
        {"op": "delete", "ticket_id": ticket["id"]},
        change(site.ticket()["id"], status="closed"),
        change(ticket["id"], status="closed"),
        {**change(ticket["id"], status="open"), "if_match": 1},
        {**change(ticket["id"], status="open"), "if_match": 2},
        by="guest",
    )
    assert [one["status"] for one in results] == [403, 403, 403, 404, 200, 412, 200]
    assert version_of(site, ticket["id"]) == 3


def test_an_atomic_request_with_a_refused_operation_stores_nothing(site):
    ticket = site.ticket()
    count = site.client().get("/v1/tickets").json()["meta"]["pagination"]["total"]
    operations = (create(), change(ticket["id"], title="New"), change(ABSENT, title="New"), create())
    results = send(site, *operations, atomic=True)
    assert [one["status"] for one in results] == [424, 424, 404, 424]
    assert "operation 2" in results[0]["error"]["message"]
    assert version_of(site, ticket["id"]) == 1
    assert site.client().get("/v1/tickets").json()["meta"]["pagination"]["total"] == count


def test_an_atomic_request_is_applied_as_a_whole(site):
    ticket = site.ticket()
    results = send(site, create(), change(ticket["id"], title="New"), atomic=True)
    assert [one["status"] for one in results] == [201, 200]


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"operations": [create()] * 101}, "operations"),
        ({"operations": []}, "operations"),
        ({}, "operations"),
        ({"operations": [create()], "atomic": "yes"}, "atomic"),
        ({"operations": [create()], "colour": 1}, "colour"),
    ],
    ids=["101", "none", "absent", "atomic", "unknown"],
)
def test_a_malformed_request_is_422_and_names_the_field(site, body, field):
    answer = site.client().post("/v1/tickets/bulk", json=body)
    assert answer.status_code == 422
    assert list(answer.json()["error"]["details"]) == [field]


def test_a_body_of_more_than_a_mebibyte_is_accepted_and_one_of_more_than_eight_is_413(site):
    results = send(site, *[create(description="x" * 60_000)] * 30)
    assert {one["status"] for one in results} == {201}
    body = json.dumps({"operations": [], "more": "x" * 8 * 1_048_576})
    headers = {"Content-Type": "application/json"}
    assert site.client().post("/v1/tickets/bulk", data=body, headers=headers).status_code == 413


def test_a_request_counts_once_for_the_rate_limit(site):
    client = site.client(key=site.key(role="admin", user_id="user001", rate_limit=5))
    answer = client.post("/v1/tickets/bulk", json={"operations": [create()] * 7})
    assert answer.headers["X-RateLimit-Remaining"] == "4"
    assert len(answer.json()["data"]) == 7


def test_a_repeated_request_answers_the_same_and_stores_nothing_again(site):
    ticket = site.ticket()
    operations = (create(), change(ticket["id"], title="New"), create(title=""))
    headers = {"Idempotency-Key": "bulk-1"}
    first = send(site, *operations, headers=headers)
    assert send(site, *operations, headers=headers) == first
    assert version_of(site, ticket["id"]) == 2


def test_simultaneous_requests_on_the_same_tickets_lose_no_operation(site):
    tickets = [site.ticket()["id"] for _ in range(3)]
    answers = []

    def comment():
        operations = [{"op": "comment", "ticket_id": each, "data": {"text": "Me too"}} for each in tickets]
        for _ in range(3):
            answers.append(send(site, *operations))

    threads = [threading.Thread(target=comment) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    statuses = [one["status"] for results in answers for one in results]
    assert statuses.count(201) == len(statuses) == 54
    assert [version_of(site, each) for each in tickets] == [19, 19, 19]


def test_refused_operations_are_in_the_audit_trail(site):
    send(site, change(ABSENT, title="New"), by="staff")
    address = f"/v1/audit/events?action=access.denied&actor={PEOPLE['staff'][0]}"
    eventually(lambda: [e for e in site.client().get(address).json()["data"] if "bulk" in str(e)])


@pytest.mark.parametrize("atomic", [False, True])
def test_an_external_id_is_refused_to_the_operation_that_gives_it_a_second_time(site, atomic):
    number = int(atomic)
    holder = site.ticket(external_ids={"sap": f"taken-{number}"})
    results = send(
        site,
        create(external_ids={"sap": f"new-{number}"}),
        create(external_ids={"sap": f"new-{number}"}),
        create(external_ids={"sap": f"taken-{number}"}, tags=["late"]),
        atomic=atomic,
    )

    first = 424 if atomic else 201
    assert [one["status"] for one in results] == [first, 409, 409]
    assert [list(one["error"]["details"]) for one in results[1:]] == [["external_ids.sap"]] * 2
    assert holder["id"] in results[2]["error"]["message"]
    swapped = send(
        site,
        change(holder["id"], external_ids={"sap": None}),
        create(external_ids={"sap": f"taken-{number}"}),
        atomic=True,
    )
    assert [one["status"] for one in swapped] == [200, 201]
    numbers = [
        site.client().get(f"/v1/tickets/{one['data']['id']}").json()["data"]["number"] for one in swapped
    ]
    assert numbers == [one["data"]["number"] for one in swapped]
