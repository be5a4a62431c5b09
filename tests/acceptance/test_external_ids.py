"""External ids of properties, units and people over HTTP."""

from uuid import uuid4

import pytest

ADDRESS = {"street": "1 A St", "city": "B", "state": "C", "zip": "1", "country": "D"}


def make_property(site, **facts):
    return site.client().post("/v1/properties", json={"name": "House", "address": ADDRESS, **facts})


def make_user(site, **facts):
    body = {"name": "N", "email": f"{uuid4()}@example.com", "role": "staff", "property_ids": ["abc123"]}
    return site.client().post("/v1/users", json=body | facts)


def make_unit(site, **facts):
    body = {"name": f"Unit {uuid4()}", **facts}
    return site.client().post("/v1/properties/abc123/units", json=body)


KINDS = {
    "property": (make_property, "/v1/properties"),
    "user": (make_user, "/v1/users"),
    "unit": (make_unit, "/v1/properties/abc123/units"),
}


def ids(client, address):
    answer = client.get(address)
    assert answer.status_code == 200, answer.text
    body = answer.json()
    assert body["meta"]["pagination"]["total"] == len(body["data"])
    return [one["id"] for one in body["data"]]


@pytest.mark.parametrize("kind", KINDS)
def test_an_object_is_found_by_the_id_it_has_in_another_system_which_no_other_can_have(site, kind):
    make, path = KINDS[kind]
    admin, one, two = site.client(), str(uuid4()), str(uuid4())
    made = make(site, external_ids={"sap": one, "crm": two})
    again = make(site, external_ids={"sap": one})

    assert (made.status_code, made.json()["data"]["external_ids"]) == (201, {"crm": two, "sap": one})
    assert (again.status_code, list(again.json()["error"]["details"])) == (409, ["external_ids.sap"])
    assert made.json()["data"]["id"] in again.json()["error"]["message"]
    assert ids(admin, f"{path}?external_id=sap:{one},nowhere:{two}") == [made.json()["data"]["id"]]
    assert ids(admin, f"{path}?external_id=sap:{two}") == []
    (shown,) = admin.get(f"{path}?external_id=crm:{two}").json()["data"]
    assert shown["external_ids"] == {"crm": two, "sap": one}
    refused = make(site, external_ids={"SAP": "1"})
    assert (refused.status_code, list(refused.json()["error"]["details"])) == (422, ["external_ids.SAP"])


@pytest.mark.parametrize("kind", ["property", "user"])
def test_external_ids_are_merged_by_source_and_free_again_when_they_are_removed(site, kind):
    make, path = KINDS[kind]
    admin, one, two = site.client(), str(uuid4()), str(uuid4())
    own, other = (make(site, external_ids={"sap": each}).json()["data"]["id"] for each in (one, two))

    def change(object_id, **external_ids):
        return admin.patch(f"{path}/{object_id}", json={"external_ids": external_ids})

    assert change(own, sap=two).status_code == 409
    assert change(other, sap=None, crm=two).json()["data"]["external_ids"] == {"crm": two}
    assert change(own, sap=two).status_code == 200
    assert admin.get(f"{path}/{own}").json()["data"]["external_ids"] == {"sap": two}
    assert change(own, **{f"s{n}": "1" for n in range(20)}).status_code == 422


def test_the_ids_of_a_unit_are_changed_and_shown_everywhere(site):
    admin, one, two = site.client(), str(uuid4()), str(uuid4())
    own, other = (make_unit(site, external_ids={"sap": each}).json()["data"] for each in (one, two))

    def change(unit_id, client=admin, **external_ids):
        address = f"/v1/properties/abc123/units/{unit_id}"
        return client.patch(address, json={"external_ids": external_ids})

    refused = change(own["id"], sap=two)
    assert (refused.status_code, list(refused.json()["error"]["details"])) == (409, ["external_ids.sap"])
    assert f'"{two}" of sap' in refused.json()["error"]["message"]
    changed = change(other["id"], sap=None, crm=two)
    assert changed.json()["data"] == other | {"external_ids": {"crm": two}}
    assert change(own["id"], sap=two).status_code == 200
    units = admin.get("/v1/properties/abc123").json()["data"]["units"]
    assert {"crm": two} in [unit["external_ids"] for unit in units]
    assert ids(admin, f"/v1/properties/abc123/units?external_id=sap:{two}") == [own["id"]]
    assert ids(admin, f"/v1/properties/abc123/units?external_id=sap:{one}") == []
    assert change("nowhere", sap="1").status_code == 404
    assert change(own["id"], **{f"s{n}": "1" for n in range(20)}).status_code == 422
    assert change(own["id"], site.client("staff"), sap="1").status_code == 403


def test_the_feed_of_changes_shows_properties_and_people_with_their_external_ids(site):
    admin, external_ids = site.client(), {"sap": str(uuid4())}
    place = make_property(site, external_ids=external_ids).json()["data"]
    person = make_user(site, external_ids=external_ids).json()["data"]
    after, found = 0, {}
    has_more = True
    while has_more:
        page = admin.get(f"/v1/changes?of=properties,users&after={after}").json()["data"]
        after, has_more = page["position"], page["has_more"]
        found |= {item.get("property_id") or item.get("user_id"): item for item in page["items"]}

    assert found[place["id"]]["property"]["external_ids"] == external_ids
    assert found[person["id"]]["user"]["external_ids"] == external_ids


def test_the_units_of_a_property_have_their_external_ids_in_its_detail(site):
    unit = make_unit(site, external_ids={"sap": str(uuid4())}).json()["data"]

    assert unit in site.client().get("/v1/properties/abc123").json()["data"]["units"]


def test_an_erasure_releases_the_ids_of_the_person(site):
    one = str(uuid4())
    person = make_user(site, external_ids={"hr": one}).json()["data"]["id"]
    erased = site.client().post(f"/v1/users/{person}/erase")

    assert (erased.status_code, erased.json()["data"]["external_ids"]) == (200, {})
    assert ids(site.client(), f"/v1/users?external_id=hr:{one}") == []
    assert make_user(site, external_ids={"hr": one}).status_code == 201


def test_the_holder_of_an_id_is_named_only_to_those_who_see_it(site):
    one = str(uuid4())
    foreign = make_user(site, external_ids={"hr": one}, property_ids=["def456"]).json()["data"]["id"]
    body = {"name": "N", "email": f"{uuid4()}@example.com", "role": "staff", "property_ids": ["abc123"]}
    refused = site.client("manager").post("/v1/users", json=body | {"external_ids": {"hr": one}})

    assert refused.status_code == 409
    assert foreign not in refused.text
