"""Tags of tickets over HTTP: bodies, answers, filters, history."""

import pytest


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
