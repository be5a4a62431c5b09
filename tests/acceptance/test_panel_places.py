"""The pages of a property, a unit and a person: their tickets, people and history."""

from __future__ import annotations

import re

import pytest

from tests.acceptance.panel import browser_of, give_passwords, give_session
from tests.acceptance.site import PEOPLE, operator
from tests.support.arrange import add_unit, change_property, change_user
from tests.support.chromium import (
    SIZES_AND_SCHEMES,
    find_accessibility_problems,
    new_page,
    save_screenshot_if_enabled,
)
from tests.support.waiting import eventually

PROPERTY = "/admin/properties/abc123"
UNIT = f"{PROPERTY}/units/unit456"
JANE, JOHN, FAY = (PEOPLE[role][0] for role in ("staff", "guest", "foreign"))
PAGES = (PROPERTY, UNIT, f"{PROPERTY}/history", f"/admin/users/{JANE}", f"/admin/users/{JANE}/history")


@pytest.fixture(scope="module")
def places(site):
    """A manager of the first property, in which one ticket of a unit is open and one without a unit is
    closed."""
    give_passwords(site)
    add_unit(site.store, "abc123", "unit457", operator(), name="Unit 102")
    in_unit = site.ticket("guest", title="Leak in the unit")["id"]
    site.client("staff").patch(f"/v1/tickets/{in_unit}", json={"assigned_to": JANE})
    whole = site.ticket("guest", title="Broken gate", unit_id=None)["id"]
    site.client("staff").patch(f"/v1/tickets/{whole}", json={"status": "closed"})
    site.ticket("admin", title="Foreign fault", property_id="def456", unit_id=None)
    return browser_of(site, "manager")


def part_of(page, name):
    """The section with that heading."""
    start = rf'<section class="card[^"]*" aria-labelledby="{name}">'
    return re.search(rf"{start}.*?</section>", page, re.DOTALL)[0]


def test_a_property_shows_its_tickets_units_and_people(places):
    page = places.open(PROPERTY).text

    assert {"Leak in the unit", "Broken gate"} <= set(re.findall(r">([^<]+)</a>", part_of(page, "tickets")))
    assert "Foreign fault" not in page
    units = part_of(page, "units")
    assert f'href="{UNIT}">Unit 101</a>' in units
    assert 'aria-label="1 active tickets of Unit 101"' in units
    assert "active tickets of Unit 102" not in units
    people = part_of(page, "people")
    for user_id, name in ((JANE, "Jane Smith"), (JOHN, "John Doe")):
        assert f'href="/admin/users/{user_id}">{name}</a>' in people
    assert "Fay Foreign" not in people


def test_a_unit_shows_its_own_tickets_and_who_requested_them(places):
    page = places.open(UNIT).text

    assert "Leak in the unit" in part_of(page, "tickets")
    assert "Broken gate" not in page
    assert f'href="/admin/users/{JOHN}">John Doe</a>' in part_of(page, "people")
    assert "added a unit: Unit 101" in re.sub(r"</?b>", "", part_of(page, "history"))
    assert "Unit 102" not in part_of(page, "history")


def test_a_person_shows_assigned_and_requested_tickets_and_properties(places):
    staff, guest = places.open(f"/admin/users/{JANE}").text, places.open(f"/admin/users/{JOHN}").text

    assert "Leak in the unit" in part_of(staff, "assigned")
    assert "Broken gate" not in part_of(staff, "assigned")
    assert "This person has requested no ticket." in part_of(staff, "requested")
    assert f'href="{PROPERTY}">Seaside Apartments</a>' in part_of(staff, "facts")
    assert {"Leak in the unit", "Broken gate"} <= set(
        re.findall(r">([^<]+)</a>", part_of(guest, "requested"))
    )


def test_histories_say_who_did_what_without_personal_values(site, places):
    change_property(site.store, "abc123", operator(), name="Seaside Towers")
    change_user(site.store, FAY, operator(), phone="555-987-6543")
    change_property(site.store, "abc123", operator(), name="Seaside Apartments")

    def history(page):
        return re.sub(r"<[^>]+>", "", page)

    eventually(lambda: "Seaside Apartments" in places.open(PROPERTY).text)
    assert "changed the name: Seaside Towers" in history(places.open(f"{PROPERTY}/history").text)
    admin = browser_of(site, "admin")
    for path in (f"/admin/users/{FAY}", f"/admin/users/{FAY}/history"):
        page = history(admin.open(path).text)
        assert "changed the phone number" in page
        assert "registered the person: staff" in page
    assert "555-987-6543" not in admin.open(f"/admin/users/{FAY}/history").text


def test_the_list_filters_by_unit(places):
    page = places.open("/admin/tickets?property_id=abc123&unit_id=unit456").text
    assert "Leak in the unit" in page
    assert "Broken gate" not in page
    assert places.open("/admin/tickets?unit_id=no%20id").status_code == 422


def test_names_on_a_ticket_and_in_lists_lead_to_pages_that_the_viewer_may_open(site, places):
    ticket = site.ticket("admin", title="From elsewhere")["id"]
    path = f"/admin/tickets/{ticket}"
    eventually(lambda: places.open(path).status_code == 200)

    manager = places.open(path).text
    staff, admin = (browser_of(site, role).open(path).text for role in ("staff", "admin"))
    listed = places.open("/admin/tickets").text

    for page in (manager, listed, admin):
        assert f'href="{PROPERTY}">Seaside Apartments</a>' in page
        assert f'href="{UNIT}">Unit 101</a>' in page
    requester = f'href="/admin/users/{PEOPLE["admin"][0]}">Ada Admin</a>'
    assert requester in admin
    assert requester not in manager, "the admin belongs to no property of the manager"
    assert f'href="/admin/users/{JANE}">Jane Smith</a>' in listed
    assert 'href="/admin/properties/' not in staff
    assert 'href="/admin/users/' not in staff


@pytest.mark.parametrize(
    "path",
    [
        "/admin/properties/def456/history",
        "/admin/properties/def456/units/unit456",
        f"{PROPERTY}/units/nothing",
        f"/admin/users/{FAY}/history",
    ],
)
def test_pages_beyond_the_reach_and_of_unknown_units_are_404(places, path):
    assert places.open(path).status_code == 404


def test_a_history_is_divided_into_pages(site, places):
    for number in range(30):
        add_unit(site.store, "abc123", f"history{number}", operator(), name=f"Garage {number}")
    first, second = (places.open(f"{PROPERTY}/history?page={page}").text for page in (1, 2))

    assert "Garage 29" in first
    assert "registered the property" not in first
    assert "registered the property" in second
    assert places.open(f"{PROPERTY}/history?page=9").status_code == 200


@SIZES_AND_SCHEMES
def test_from_a_ticket_to_its_unit_property_and_person_in_a_browser(site, places, size, scheme, chromium):
    page = new_page(chromium, site.base_url, viewport=size, color_scheme=scheme)
    give_session(page, site, places)
    page.goto("/admin/tickets?q=leak")
    page.get_by_role("link", name="Leak in the unit").click()
    page.get_by_role("link", name="Unit 101").click()
    page.get_by_role("heading", level=1, name="Unit 101").wait_for()
    page.get_by_role("link", name="Seaside Apartments").first.click()
    page.get_by_role("heading", level=1, name="Seaside Apartments").wait_for()
    page.get_by_role("link", name="Jane Smith").first.click()
    page.get_by_role("link", name="All changes").click()
    page.get_by_text("registered the person").wait_for()
    for path in PAGES:
        page.goto(path)
        assert find_accessibility_problems(page) == [], path
        assert not page.evaluate("document.documentElement.scrollWidth > window.innerWidth"), path
        save_screenshot_if_enabled(page, f"{path.strip('/').replace('/', '-')}-{scheme}")
    page.context.close()
