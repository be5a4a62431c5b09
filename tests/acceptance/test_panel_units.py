"""Units added by pasting a list: doubles, units that exist already, and refused lines."""

from __future__ import annotations

import re

import pytest

from domain.property import UNITS_PER_PROPERTY, Property
from tests.acceptance.panel import browser_of, give_passwords, give_session, hidden
from tests.acceptance.site import operator
from tests.support.arrange import register_property
from tests.support.browser import forms_of
from tests.support.chromium import (
    SIZES_AND_SCHEMES,
    find_accessibility_problems,
    new_page,
    save_screenshot_if_enabled,
)
from tests.support.waiting import eventually


@pytest.fixture(scope="module")
def admin(site):
    give_passwords(site)
    return browser_of(site, "admin")


@pytest.fixture
def place(site, admin, request):
    """The id of a new property."""
    property_id = f"place-{abs(hash(request.node.name))}"
    register_property(site.store, property_id, operator(), name="Long Row")
    eventually(lambda: admin.open(f"/admin/properties/{property_id}").status_code == 200)
    return property_id


def form_of(browser, property_id):
    """The form for new units."""
    page = browser.open(f"/admin/properties/{property_id}").text
    return next(form for form in forms_of(page) if form.action.endswith("/units"))


def add(browser, property_id, *lines):
    form = form_of(browser, property_id)
    return browser.send(form.action, {**form.fields, "unit_names": "\r\n".join(lines)})


def status_of(answer):
    """The notice of the answer."""
    (notice,) = re.findall(r'<div class="notice" role="status">\s*<p>(.*?)</p>', answer.text, re.DOTALL)
    return re.sub(r" <a .*</a>", "", notice)


def names_of(site, property_id):
    return list(site.store.load(Property, property_id).units.values())


def returned_lines(answer):
    """The lines in the form of the answer."""
    form = next(form for form in forms_of(answer.text) if form.action.endswith("/units"))
    return dict(form.pairs)["unit_names"].replace("\r", "").split("\n")


def test_5000_lines_with_doubles_are_added_in_one_commit(site, admin, place):
    add(admin, place, "unit 1")
    before = site.store.load(Property, place)
    lines = [f"Unit {number}" for number in range(1, 4_001)]
    doubles = [f"  uNiT   {number} " for number in range(1, 1_001)]

    answer = add(admin, place, *lines, *doubles)

    assert answer.status_code == 200
    assert status_of(answer) == "3,999 units added. 1 was there already. 1,000 lines repeat an earlier one."
    assert returned_lines(answer) == [""]
    assert len(names_of(site, place)) == 4_000
    with site.pool.connection() as conn:
        (transactions,) = conn.execute(
            "SELECT count(DISTINCT xmin::text) FROM es.stored_events"
            " WHERE originator_id = %s AND originator_version > %s",
            [place, before.version],
        ).fetchone()
    assert transactions == 1


def test_refused_lines_come_back_with_reasons_and_the_others_are_added(site, admin, place):
    answer = add(admin, place, "Unit 1", "x" * 256, "", "Unit 2", "\u200b")

    assert answer.status_code == 422
    assert status_of(answer) == "2 units added. 2 lines were refused."
    assert returned_lines(answer) == ["x" * 256, "\u200b"]
    assert names_of(site, place) == ["Unit 1", "Unit 2"]
    reasons = re.findall(r'data-label="Reason">([^<]+)', answer.text)
    assert len(reasons) == 2
    assert all("255" in reasons[0] and reason for reason in reasons)
    assert 'id="unit_names-error"' in answer.text


def test_a_list_that_is_sent_twice_is_added_once_and_gets_the_same_answer(site, admin, place):
    form = form_of(admin, place)
    sent = {**form.fields, "unit_names": "Unit 1\r\nUnit 2\r\nunit 1"}
    first, second = (admin.send(form.action, sent) for _ in range(2))

    assert status_of(first) == status_of(second) == "2 units added. 1 line repeats an earlier one."
    assert names_of(site, place) == ["Unit 1", "Unit 2"]


def test_units_beyond_the_limit_of_a_property_come_back(site, admin, place):
    assert add(admin, place, *(f"U{number}" for number in range(UNITS_PER_PROPERTY - 1))).status_code == 200

    answer = add(admin, place, "Last", "One more", "U5")

    assert status_of(answer) == "1 unit added. 1 was there already. 1 line was refused."
    assert returned_lines(answer) == ["One more"]
    assert f"at most {UNITS_PER_PROPERTY} units" in answer.text


def test_a_single_unit_leads_back_to_the_property(site, admin, place):
    answer = add(admin, place, "Unit 1")

    assert (answer.status_code, answer.headers["Location"]) == (303, f"/admin/properties/{place}")
    assert "The unit is added." in admin.open(f"/admin/properties/{place}").text


@pytest.mark.parametrize(
    ("lines", "message"),
    [([], "Type at least one name."), (["a"] * (UNITS_PER_PROPERTY + 1), "at most 10,000 lines")],
)
def test_an_empty_list_and_one_that_is_too_long_are_refused_as_a_whole(site, admin, place, lines, message):
    answer = add(admin, place, *lines)

    assert answer.status_code == 422
    assert message in answer.text
    assert returned_lines(answer) == (lines or [""])
    assert names_of(site, place) == []


def test_a_list_that_is_sent_after_the_session_has_ended_is_not_lost(site, place):
    browser = browser_of(site, "admin")
    form = form_of(browser, place)
    browser.http.cookies.clear()
    answer = browser.send(form.action, {**form.fields, "unit_names": "Unit 1\r\nUnit 2"})

    assert "Unit 2" in answer.text
    assert names_of(site, place) == []


def test_a_property_out_of_reach_gets_no_units(site, admin, place):
    manager = browser_of(site, "manager")
    token = hidden(manager.open("/admin/users/new").text)["csrf_token"]
    sent = {"csrf_token": token, "unit_names": "Unit 1\r\nUnit 2"}

    assert manager.send(f"/admin/properties/{place}/units", sent).status_code == 404
    assert names_of(site, place) == []


@SIZES_AND_SCHEMES
def test_a_list_is_pasted_in_a_browser(site, admin, place, size, scheme, chromium):
    page = new_page(chromium, site.base_url, viewport=size, color_scheme=scheme)
    give_session(page, site, admin)
    page.goto(f"/admin/properties/{place}")
    page.get_by_label("Add units").fill("Unit 1\nUnit 2\nunit 2\n" + "x" * 300)
    page.get_by_role("button", name="Add units").click()
    page.get_by_text("2 units added. 1 line repeats an earlier one. 1 line was refused.").wait_for()
    page.get_by_role("link", name="See why").click()
    assert page.get_by_label("Add units").input_value() == "x" * 300
    assert find_accessibility_problems(page) == []
    assert not page.evaluate("document.documentElement.scrollWidth > window.innerWidth")
    save_screenshot_if_enabled(page, f"units-added-{scheme}")
    page.get_by_label("Add units").fill("Unit 3")
    page.get_by_role("button", name="Add units").click()
    page.get_by_role("link", name="Unit 3").wait_for()
    page.context.close()
