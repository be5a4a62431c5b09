"""Tags, numbers and external ids of tickets over HTTP: bodies, answers, filters, history."""

from itertools import count
from urllib.parse import quote

import pytest

from domain.ticket import STATUSES

ODD = ["4711", "a,b", "x:y:z", "https://erp.example/t?id=1#2", "/../..//", "ä 漢 🚰", "%2F", "i" * 255, "-1"]
numbers = count(1)


def put(client, external_id, source="sap", **body):
    path = f"/v1/tickets/by-external-id/{source}/{quote(external_id, safe='')}"
    return client.put(path, json=body)


def fresh():
    """An external id that no ticket has."""
    return f"fresh-{next(numbers)}"


def ids(client, query):
    answer = client.get(f"/v1/tickets?{query}")
    assert answer.status_code == 200, answer.text
    body = answer.json()
    assert body["meta"]["pagination"]["total"] == len(body["data"])
    return {ticket["id"] for ticket in body["data"]}


def test_tags_are_set_replaced_and_found_and_their_changes_are_in_the_history(site):
    staff = site.client("staff")
    ticket = site.ticket("staff", tags=["vip", "loud", "vip"])
    other = site.ticket("staff", tags=["loud"])
    path = f"/v1/tickets/{ticket['id']}"
    changed = staff.patch(path, json={"tags": ["roof"]})

    assert ticket["tags"] == ["loud", "vip"]
    assert changed.json()["data"]["tags"] == staff.get(path).json()["data"]["tags"] == ["roof"]
    assert staff.get(f"{path}?version=1").json()["data"]["tags"] == ["loud", "vip"]
    assert ids(staff, "tag=loud") == {other["id"]}
    assert ids(staff, "tag=loud,roof") == ids(staff, "tag=loud&tag=roof") == {ticket["id"], other["id"]}
    assert ids(staff, "tag=roof&q=leak") == {ticket["id"]}
    assert ids(staff, "tag=no-such-tag") == set()
    history = staff.get(f"{path}/history").json()["data"]
    assert history[1]["action"] == "ticket.tags_changed"
    assert history[1]["changes"] == {"tags": {"from": ["loud", "vip"], "to": ["roof"]}}


@pytest.mark.parametrize(
    "tags", [["Loud"], ["a b"], [""], ["x" * 51], [f"t{n}" for n in range(51)], "loud", None, [None], {}]
)
def test_bad_tags_are_refused_and_named(site, tags):
    ticket, staff = site.ticket("staff"), site.client("staff")
    answer = staff.patch(f"/v1/tickets/{ticket['id']}", json={"tags": tags})

    assert (answer.status_code, list(answer.json()["error"]["details"])) == (422, ["tags"])
    assert staff.get("/v1/tickets?tag=Loud").status_code == 422


def test_guests_see_tags_and_may_not_set_them(site):
    guest = site.client("guest")
    ticket = site.ticket("guest")
    path = f"/v1/tickets/{ticket['id']}"

    assert site.client("staff").patch(path, json={"tags": ["vip"]}).status_code == 200
    assert guest.get(path).json()["data"]["tags"] == ["vip"]
    assert guest.patch(path, json={"tags": []}).status_code == 403
    body = {"title": "T", "property_id": "abc123", "tags": ["x"]}
    assert guest.post("/v1/tickets", json=body).status_code == 403


def test_the_number_of_a_ticket_stays_and_rises_and_finds_it(site):
    staff = site.client("staff")
    first, second = site.ticket("staff"), site.ticket("guest")
    path = f"/v1/tickets/{first['id']}"
    changed = staff.patch(path, json={"title": f"See {second['number']}"}).json()["data"]
    numbers = {one.json()["data"]["number"] for one in (staff.get(path), staff.get(f"{path}?version=1"))}

    assert numbers == {first["number"], changed["number"]}
    assert first["number"] < second["number"]
    assert ids(staff, f"q=%23{first['number']}") == {first["id"]}
    assert ids(staff, f"q={second['number']}") == {first["id"], second["id"]}
    assert ids(site.client("guest"), f"q={second['number']}") == {second["id"]}
    assert ids(site.client("foreign"), f"q={second['number']}") == set()


@pytest.mark.parametrize("external_id", ODD)
def test_a_ticket_is_put_and_found_by_any_text_of_another_system(site, external_id):
    staff = site.client("staff")
    body = {"title": "Leak", "property_id": "abc123", "status": "in_progress", "assigned_to": "user101"}
    opened = put(staff, external_id, **body)
    ticket = opened.json()["data"]
    again = put(staff, external_id, **body)
    changed = put(staff, external_id, title="Flood", tags=["wet"])

    assert (opened.status_code, opened.headers["ETag"]) == (201, '"3"')
    assert opened.headers["Location"] == f"{site.base_url}/v1/tickets/{ticket['id']}"
    assert (ticket["status"], ticket["assigned_to"]["id"]) == ("in_progress", "user101")
    assert (ticket["external_ids"], ticket["priority"]) == ({"sap": external_id}, "medium")
    assert (again.status_code, again.json()["data"], again.headers["ETag"]) == (200, ticket, '"3"')
    assert (changed.status_code, changed.headers["ETag"]) == (200, '"5"')
    assert staff.get(f"/v1/tickets/{ticket['id']}").json()["data"]["number"] == ticket["number"]
    assert ids(staff, f"external_id=sap:{quote(external_id, safe='')}") == {ticket["id"]}
    assert ids(staff, f"external_id=crm:{quote(external_id, safe='')}") == set()


def test_external_ids_are_merged_by_source_and_listed_and_kept_in_the_history(site):
    staff, one, two, three = site.client("staff"), fresh(), fresh(), fresh()
    ticket = site.ticket("staff", external_ids={"sap": one, "crm": two})
    path = f"/v1/tickets/{ticket['id']}"
    changed = staff.patch(path, json={"external_ids": {"crm": None, "erp": f" {three} "}})
    other = site.ticket("staff", external_ids={"crm": two})

    assert ticket["external_ids"] == {"crm": two, "sap": one}
    assert changed.json()["data"]["external_ids"] == {"erp": three, "sap": one}
    assert staff.get(f"{path}?version=1").json()["data"]["external_ids"] == ticket["external_ids"]
    assert ids(staff, f"external_id=sap:{one},crm:{two}") == {ticket["id"], other["id"]}
    assert ids(staff, f"external_id=sap:{one}&external_id=nowhere:1&q=leak") == {ticket["id"]}
    assert ids(site.client("foreign"), f"external_id=sap:{one}") == set()
    (event,) = staff.get(f"{path}/history?order=desc&per_page=1").json()["data"]
    assert event["changes"]["external_ids"]["to"] == {"erp": three, "sap": one}


def test_an_id_that_another_ticket_has_is_refused_and_the_ticket_is_named_to_those_who_see_it(site):
    taken = fresh()
    holder = site.ticket("admin", property_id="def456", unit_id=None, external_ids={"sap": taken})
    other = site.ticket("staff")
    path = f"/v1/tickets/{other['id']}"

    for role, is_named in (("admin", True), ("staff", False)):
        client = site.client(role)
        for answer in (
            client.patch(path, json={"title": "Flood", "external_ids": {"sap": taken, "crm": fresh()}}),
            client.post(
                "/v1/tickets",
                json={"title": "T", "property_id": "abc123", "external_ids": {"sap": taken}},
            ),
        ):
            error = answer.json()["error"]
            assert (answer.status_code, error["code"]) == (409, "conflict")
            assert list(error["details"]) == ["external_ids.sap"]
            assert (holder["id"] in error["message"]) == is_named
    assert site.client("staff").get(path).json()["data"].items() >= other.items()
    assert put(site.client("staff"), taken, title="T").status_code == 409
    assert site.client().delete(f"/v1/tickets/{holder['id']}").status_code == 200
    assert put(site.client(), taken, title="T", property_id="abc123").status_code == 409
    assert site.client().post(f"/v1/tickets/{holder['id']}/restore").status_code == 200
    assert put(site.client(), taken, title="T").json()["data"]["id"] == holder["id"]


@pytest.mark.parametrize(
    ("external_ids", "field"),
    [
        ({"SAP": "1"}, "external_ids.SAP"),
        ({"": "1"}, "external_ids."),
        ({"s" * 51: "1"}, "external_ids." + "s" * 51),
        ({"sap": ""}, "external_ids.sap"),
        ({"sap": "  "}, "external_ids.sap"),
        ({"sap": "x" * 256}, "external_ids.sap"),
        ({"sap": 7}, "external_ids.sap"),
        ({"sap": {}}, "external_ids.sap"),
        ({"sap": "a\0b"}, "external_ids.sap"),
        ({f"s{n}": "1" for n in range(21)}, "external_ids"),
        (["sap"], "external_ids"),
        ("sap:1", "external_ids"),
    ],
    ids=str,
)
def test_a_bad_external_id_is_named(site, external_ids, field):
    ticket, staff = site.ticket("staff"), site.client("staff")
    body = {"title": "T", "property_id": "abc123", "external_ids": external_ids}

    for answer in (
        staff.post("/v1/tickets", json=body),
        staff.patch(f"/v1/tickets/{ticket['id']}", json={"external_ids": external_ids}),
    ):
        assert (answer.status_code, list(answer.json()["error"]["details"])) == (422, [field]), answer.text


@pytest.mark.parametrize("value", ["sap", "SAP:1", ":1", "sap:", "", "sap:" + "x" * 256])
def test_a_filter_that_names_no_external_id_is_refused(site, value):
    answer = site.client().get(f"/v1/tickets?external_id={value}")

    assert (answer.status_code, list(answer.json()["error"]["details"])) == (422, ["external_id"])


def test_who_may_put_a_ticket_is_who_may_open_and_change_it(site):
    staff, manager, guest, one = site.client("staff"), site.client("manager"), site.client("guest"), fresh()
    body = {"title": "T", "property_id": "abc123"}

    assert put(guest, one, **body).status_code == 403
    assert put(staff, one, **body, requester_id="user789").status_code == 403
    assert put(manager, one, **body, requester_id="user789").status_code == 201
    assert put(staff, one, **body, requester_id="user789").status_code == 200
    assert put(staff, one, property_id="def456").status_code == 403
    assert list(put(manager, one, property_id="def456").json()["error"]["details"]) == ["property_id"]
    assert list(put(manager, one, requester_id="user050").json()["error"]["details"]) == ["requester_id"]
    assert guest.post("/v1/tickets", json={**body, "external_ids": {"sap": fresh()}}).status_code == 403


@pytest.mark.parametrize(
    ("path", "body", "fields"),
    [
        ("sap/new-1", {}, ["title", "property_id"]),
        ("sap/new-1", {"title": "", "property_id": "nowhere"}, ["title", "property_id"]),
        ("sap/new-1", {"title": "T", "property_id": "abc123", "assigned_to": "user900"}, ["assigned_to"]),
        (
            "sap/new-1",
            {"title": "T", "property_id": "abc123", "external_ids": {"sap": "2"}},
            ["external_ids.sap"],
        ),
        ("SAP/new-1", {"title": "T", "property_id": "abc123"}, ["source"]),
        ("sap/%20", {"title": "T", "property_id": "abc123"}, ["id"]),
        ("sap/%FF", {"title": "T", "property_id": "abc123"}, ["id"]),
        ("sap/" + "x" * 256, {"title": "T", "property_id": "abc123"}, ["id"]),
        ("sap/a%00b", {"title": "T", "property_id": "abc123"}, ["id"]),
    ],
)
def test_a_bad_put_is_refused_and_opens_nothing(site, path, body, fields):
    answer = site.client("staff").put(f"/v1/tickets/by-external-id/{path}", json=body)

    assert (answer.status_code, sorted(answer.json()["error"]["details"])) == (422, sorted(fields))
    assert ids(site.client(), "external_id=sap:new-1") == set()


@pytest.mark.parametrize("role", ["guest", "staff", "manager", "admin"])
@pytest.mark.parametrize("status", STATUSES)
def test_the_detail_has_the_statuses_that_the_caller_can_set_and_no_others(site, role, status):
    path = f"/v1/tickets/{site.ticket('guest')['id']}"
    client, staff = site.client(role), site.client("staff")
    staff.patch(path, json={"status": status})
    allowed = client.get(path).json()["data"]["allowed_statuses"]

    for other in STATUSES:
        staff.patch(path, json={"status": status})
        if other != status:
            expected = 200 if other in allowed else 403
            assert client.patch(path, json={"status": other}).status_code == expected, other
    assert status not in allowed
    assert allowed


def test_a_key_that_may_not_write_and_an_earlier_state_have_no_allowed_statuses(site):
    path = f"/v1/tickets/{site.ticket('staff')['id']}"
    reader = site.client(key=site.key(role="admin", scopes=("tickets:read",)))

    assert reader.get(path).json()["data"]["allowed_statuses"] == []
    assert site.client().get(f"{path}?version=1").json()["data"]["allowed_statuses"] == []
