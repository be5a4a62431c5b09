"""Choices in the panel's forms: the unit of a ticket, and typed values where a list would be too long."""

from __future__ import annotations

import re

import pytest

from projections.choices import MOST_CHOICES
from projections.visibility import Visibility
from tests.acceptance.panel import browser_of, give_passwords, hidden
from tests.acceptance.site import operator
from tests.support.arrange import add_unit, register_property, register_user
from tests.support.browser import forms_of
from tests.support.vault import VAULT

TICKET = {"title": "Leak", "description": "", "priority": "low", "category": "general"}


@pytest.fixture(scope="module")
def admin(site):
    give_passwords(site)
    return browser_of(site, "admin")


@pytest.fixture(scope="module")
def manager(site, admin):
    """The browser of a manager of one property."""
    return browser_of(site, "manager")


def add_units(site, property_id, count):
    for number in range(count):
        last = add_unit(site.store, property_id, f"u{number}", operator(), name=f"Flat {number:03}")
    wait_for(site, last)


def wait_for(site, aggregate):
    visibility = Visibility(site.dsn, site.pool, VAULT)
    assert visibility.wait_for(aggregate.position) or visibility.wait_for(aggregate.position)
    visibility.close()


def send(browser, path, fields):
    page = browser.open(path)
    assert page.status_code == 200, page.text
    return browser.send(path, {**hidden(page.text), **fields})


def get_opened_ticket(site, answer):
    assert answer.status_code == 303, answer.text
    ticket_id = answer.headers["Location"].rpartition("/")[2]
    return site.client().get(f"/v1/tickets/{ticket_id}").json()["data"]


def test_a_button_shows_the_units_of_the_property_and_keeps_the_input(site, admin):
    asked = send(admin, "/admin/tickets/new", {**TICKET, "property_id": "abc123", "step": "units"})

    assert asked.status_code == 200
    assert '<option value="unit456">Unit 101</option>' in asked.text
    assert 'value="Leak"' in asked.text
    form = next(form for form in forms_of(asked.text) if "unit_id" in form.typed)
    fields = {**TICKET, "property_id": "abc123", "unit_id": "unit456"}
    ticket = get_opened_ticket(site, admin.send("/admin/tickets/new", {**form.fields, **fields}))
    assert ticket["unit"] == {"id": "unit456", "name": "Unit 101"}


def test_units_are_shown_at_once_when_the_property_is_known(site, manager, admin):
    assert "Unit 101</option>" in manager.open("/admin/tickets/new").text
    assert "Unit 101</option>" in admin.open("/admin/tickets/new?property_id=abc123").text
    assert "Unit 101" not in admin.open("/admin/tickets/new").text
    assert "has no units" in admin.open("/admin/tickets/new?property_id=def456").text
    assert "Unit" not in manager.open("/admin/tickets/new?property_id=def456").text.replace("a unit", "")


def test_a_unit_is_optional_and_a_unit_of_another_property_is_refused(site, admin):
    without = get_opened_ticket(site, send(admin, "/admin/tickets/new", {**TICKET, "property_id": "abc123"}))
    foreign = {**TICKET, "property_id": "def456", "unit_id": "unit456"}
    nowhere = send(admin, "/admin/tickets/new", {**TICKET, "property_id": "", "step": "units"})

    refused = send(admin, "/admin/tickets/new", foreign)

    assert without["unit"] is None
    assert refused.status_code == nowhere.status_code == 422
    assert 'id="unit_id-error">No unit, or more than one, has the name unit456' in refused.text
    assert "Choose a property." in nowhere.text


def test_every_invalid_field_is_named_even_without_a_property(admin):
    bad = {**TICKET, "title": " ", "category": "Not a slug!", "property_id": ""}

    answer = send(admin, "/admin/tickets/new", bad)

    assert answer.status_code == 422
    for field in ("title", "category", "property_id"):
        assert f'id="{field}-error"' in answer.text


def test_the_first_button_of_the_form_opens_the_ticket(admin):
    """The Enter key presses the first button."""
    page = admin.open("/admin/tickets/new").text
    form = page[page.index('<form class="card form"') :]

    assert form.index("Open ticket</button>") < form.index('value="units"')


def test_a_ticket_is_moved_to_another_unit_of_its_property(site, admin):
    path = f"/admin/tickets/{site.ticket('guest')['id']}"
    work = {"status": "open", "priority": "low", "assigned_to": ""}

    def save(unit_id):
        fields = forms_of(admin.open(path).text)[-1].fields
        return admin.send(path, {**fields, **work, "unit_id": unit_id})

    def unit():
        return site.client().get(f"/v1/tickets/{path.rpartition('/')[2]}").json()["data"]["unit"]

    assert save("").status_code == 303
    assert unit() is None
    assert save("unit456").status_code == 303
    assert unit()["name"] == "Unit 101"
    assert '<option value="unit456" selected>Unit 101</option>' in admin.open(path).text
    refused = save("nowhere")
    assert refused.status_code == 422
    assert "No unit, or more than one, has the name nowhere." in refused.text


@pytest.mark.parametrize(
    "path", ["/admin/tickets?q=leak&page=9", "/admin/users?page=9", "/admin/properties?page=9"]
)
def test_a_page_after_the_end_links_to_an_existing_page(site, admin, path):
    site.ticket("guest", title="Leak behind the wall")

    page = admin.open(path)

    assert "The list has fewer pages." in page.text
    assert f'href="{path.replace("&", "&amp;").replace("page=9", "page=1")}"' in page.text


@pytest.mark.parametrize(
    ("path", "field", "kept"),
    [
        ("/admin/tickets?q=%21%3F&status=closed", "q", ("status", "closed")),
        ("/admin/users?q=%E2%80%A6&role=staff", "q", ("role", "staff")),
        ("/admin/tickets?sort=colour&q=leak", "sort", ("q", "leak")),
    ],
)
def test_a_list_with_a_refused_filter_shows_its_filters_again(admin, path, field, kept):
    page = admin.open(path)

    assert page.status_code == 422
    assert re.search(rf'id="{field}-error">(Search|Name or e-mail address|Order by) must', page.text)
    assert kept in next(form for form in forms_of(page.text) if form.method == "get").pairs
    assert "found</p>" not in page.text


@pytest.fixture(scope="module")
def large_site(site):
    """The site with more properties, units and people than a list offers."""
    for number in range(MOST_CHOICES):
        register_property(site.store, f"p{number}", operator(), name=f"House {number:03}")
        last = register_user(
            site.store,
            f"w{number}",
            operator(),
            name=f"Worker {number:03}",
            email=f"w{number}@example.com",
            role="staff",
            property_ids=("abc123",),
        )
    wait_for(site, last)
    add_units(site, "abc123", MOST_CHOICES)
    return site


def test_ids_and_names_are_typed_when_there_are_too_many_for_a_list(large_site, admin):
    form = admin.open("/admin/tickets/new").text
    assert '<select id="property_id"' not in form
    assert f'<option value="p0">House {0:03}</option>' in form, "as a suggestion"
    for typed, unit in (("abc123", "unit456"), ("Seaside apartments", "Flat 199"), ("house 199", "")):
        fields = {**TICKET, "property_id": typed, "unit_id": unit}
        ticket = get_opened_ticket(large_site, send(admin, "/admin/tickets/new", fields))
        assert ticket["property"]["name"].lower() in ("seaside apartments", "house 199")
        assert (ticket["unit"] or {"name": ""})["name"] in ("Unit 101", "Flat 199", "")

    unknown = send(admin, "/admin/tickets/new", {**TICKET, "property_id": "House"})

    assert unknown.status_code == 422
    assert 'id="property_id-error">No property, or more than one, has the name House.' in unknown.text


def test_a_list_is_filtered_by_a_typed_name(large_site, admin):
    large_site.ticket("admin", property_id="p199", unit_id=None, title="Only in the last house")

    for path in ("/admin/tickets?property_id=house+199", "/admin/tickets?property_id=p199"):
        assert "Only in the last house" in admin.open(path).text
    assert "No tickets found" in admin.open("/admin/tickets?property_id=nowhere").text
    unknown = admin.open("/admin/tickets?property_id=House+of+cards")
    assert (unknown.status_code, "has the name House of cards" in unknown.text) == (422, True)
    assert "Jane Smith" in admin.open("/admin/users?q=jane&property_id=Seaside+Apartments").text


def test_a_ticket_is_assigned_to_a_typed_person(large_site, admin):
    path = f"/admin/tickets/{large_site.ticket('guest')['id']}"
    change = {"status": "open", "priority": "low", "assigned_to": "w199@example.com"}

    assigned = send(admin, path, change)
    shown = admin.open(path).text
    unknown = send(admin, path, {**change, "assigned_to": "nobody@example.com"})

    assert assigned.status_code == 303, assigned.text
    assert large_site.client().get(f"/v1{path[6:]}").json()["data"]["assigned_to"]["name"] == "Worker 199"
    assert "currently Worker 199" in shown
    assert unknown.status_code == 422
    assert 'id="assigned_to-error"' in unknown.text


def test_a_person_keeps_properties_that_are_not_in_the_list(large_site, admin):
    """Regression: saving the form removed the properties after the end of the list."""
    person = large_site.person(property_ids=["p0", "p199", "abc123"])
    path = f"/admin/users/{person['id']}"
    page = admin.open(path).text
    lines = page[page.index('<textarea id="property_ids"') :].partition(">")[2].partition("</textarea>")[0]
    fields = {"name": "Renamed", "email": "new@example.com", "role": "staff", "property_ids": lines.strip()}

    saved = send(admin, path, fields)
    dropped = send(admin, path, {**fields, "property_ids": "House 199\r\n\r\nabc123 Seaside Apartments"})
    refused = send(admin, path, {**fields, "property_ids": "House 199\nNowhere"})

    assert sorted(lines.split("\n")[1:]) == ["abc123 Seaside Apartments", "p0 House 000", "p199 House 199"]
    assert (saved.status_code, dropped.status_code, refused.status_code) == (303, 303, 422)
    now = large_site.client().get(f"/v1{path[6:]}").json()["data"]
    assert now["name"] == "Renamed"
    assert {place["id"] for place in now["properties"]} == {"p199", "abc123"}
    assert "No property, or more than one, has the name Nowhere." in refused.text


def test_keys_and_applications_accept_typed_properties(large_site, admin):
    key = {"name": "typed", "role": "staff", "scopes": "tickets:read", "property_ids": "house 199\nabc123"}
    client = {
        "name": "Typed",
        "client_kind": "confidential",
        "grant_types": "client_credentials",
        "scopes": "tickets:read",
        "role": "staff",
        "property_ids": "Seaside Apartments",
    }

    assert send(admin, "/admin/keys/new", key).status_code == 200
    assert send(admin, "/admin/clients/new", client).status_code == 200
    wrong = send(admin, "/admin/keys/new", {**key, "property_ids": "Nowhere"})

    with large_site.pool.connection() as conn:
        found = conn.execute(
            "SELECT property_ids FROM access.api_keys WHERE name = 'typed' UNION ALL"
            " SELECT property_ids FROM access.oauth_clients WHERE name = 'Typed'"
        ).fetchall()
    assert found == [(["abc123", "p199"],), (["abc123"],)]
    assert wrong.status_code == 422
    assert "No property, or more than one, has the name Nowhere." in wrong.text
