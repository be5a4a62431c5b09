"""The panel's list of tickets: its search, keys, views, deleted tickets, and the file with the list."""

from __future__ import annotations

import csv
import io
import re
from urllib.parse import urlencode

import pytest

from tests.acceptance.panel import browser_of, give_passwords, with_session
from tests.acceptance.site import PEOPLE
from tests.support.browser import forms_of
from tests.support.chromium import (
    DESKTOP,
    PHONE,
    find_accessibility_problems,
    new_page,
    save_screenshot_if_enabled,
)

SIZES = pytest.mark.parametrize("size", [PHONE, DESKTOP], ids=["phone", "desktop"])


@pytest.fixture(scope="module")
def staff(site):
    give_passwords(site)
    return browser_of(site, "staff")


@pytest.fixture(scope="module")
def leak(site):
    """The id of a ticket about a leak in the unit Loft 909, assigned to the member of staff."""
    unit = site.client().post("/v1/properties/abc123/units", json={"name": "Loft 909"}).json()["data"]
    ticket_id = site.ticket("guest", title="Leaking tap", category="plumbing")["id"]
    values = {"unit_id": unit["id"], "assigned_to": PEOPLE["staff"][0]}
    assert site.client().patch(f"/v1/tickets/{ticket_id}", json=values).status_code == 200
    site.ticket("guest", title="Leaking roof")
    return ticket_id


def found(browser, q):
    answer = browser.open(f"/admin/tickets?{urlencode({'q': q})}")
    assert answer.status_code == 200, answer.text
    return re.findall(r'<th scope="row" class="title"><a href="/admin/tickets/([^"]+)"', answer.text)


def test_the_box_finds_a_ticket_by_unit_property_person_category_number_and_id(site, staff, leak):
    ticket = site.client().get(f"/v1/tickets/{leak}").json()["data"]
    place, requester = ticket["property"]["name"], ticket["requester"]["name"]

    for q in ("leak 909", "909 lof", f"tap {place}", f"tap {requester}", "tap plumb", f"#{ticket['number']}"):
        assert found(staff, q) == [leak], q
    assert found(staff, leak) == [leak]
    assert found(staff, f"leak 909 {ticket['assigned_to']['name']}") == [leak]
    assert found(staff, "leak 910") == []


def test_two_typed_words_find_the_ticket_without_a_page_load(site, staff, chromium, leak):
    page = with_session(new_page(chromium, site.base_url, viewport=PHONE), site, staff)
    page.goto("/admin/tickets")
    loads = []
    page.on("load", lambda _: loads.append(page.url))
    page.keyboard.press("/")
    page.keyboard.type("leak 909")
    page.get_by_role("status").get_by_text("1 ticket", exact=True).wait_for(state="attached")

    assert page.locator("table.tickets tbody tr").count() == 1
    assert page.url.endswith("/admin/tickets?q=leak%20909")
    assert loads == []
    page.get_by_role("link", name="Leaking tap").click()
    page.get_by_role("link", name="Tickets").first.wait_for()
    page.go_back()
    assert page.locator("#q").input_value() == "leak 909"
    page.get_by_role("link", name="Leaking tap").click()
    page.locator(".crumb a").click()
    page.wait_for_url("**/admin/tickets?q=leak%20909")
    assert find_accessibility_problems(page) == []
    save_screenshot_if_enabled(page, "tickets-found")
    page.context.close()


def test_the_keys_move_tick_open_and_explain_themselves(site, staff, chromium, leak):
    page = with_session(new_page(chromium, site.base_url, viewport=DESKTOP), site, staff)
    page.goto("/admin/tickets?q=leaking")
    page.keyboard.press("j")
    page.keyboard.press("j")
    page.keyboard.press("k")
    page.keyboard.press("x")
    assert page.locator("tbody tr").first.locator("input").is_checked()
    assert page.get_by_text("1 chosen").is_visible()
    page.keyboard.press("s")
    assert page.evaluate("document.activeElement.id") == "set_status"
    page.locator("tbody tr a").first.focus()
    page.keyboard.press("a")
    assert page.evaluate("document.activeElement.id") == "set_assigned_to"
    page.locator("tbody tr a").first.focus()
    page.keyboard.press("?")
    assert page.get_by_role("dialog", name="Keys").is_visible()
    assert find_accessibility_problems(page) == []
    page.get_by_label("Do not use these keys").check()
    page.keyboard.press("Escape")
    page.keyboard.press("c")
    assert page.url.endswith("q=leaking")
    page.keyboard.press("?")
    page.get_by_label("Do not use these keys").uncheck()
    page.keyboard.press("Escape")
    page.keyboard.press("c")
    page.wait_for_url("**/admin/tickets/new")
    page.context.close()


@SIZES
def test_the_list_is_at_the_same_place_after_a_ticket_was_opened(site, staff, chromium, leak, size):
    for number in range(25):
        site.ticket("guest", title=f"Placed {number}", description="")
    page = with_session(new_page(chromium, site.base_url, viewport=size), site, staff)
    page.goto("/admin/tickets?status=open")
    for return_to_list in (page.go_back, page.locator(".crumb a").click):
        page.get_by_role("link", name="Placed 3", exact=True).scroll_into_view_if_needed()
        place = page.evaluate("scrollY")
        page.get_by_role("link", name="Placed 3", exact=True).click()
        page.wait_for_url("**/admin/tickets/*-*")
        return_to_list()
        page.wait_for_url("**/admin/tickets?status=open")
        page.wait_for_load_state("load")
        assert place > 0
        assert abs(page.evaluate("scrollY") - place) < 5
    page.context.close()


@pytest.mark.parametrize("width", [320, 480, 801, 860, 912, 992, 1200, 2560])
def test_nothing_of_the_list_is_clipped(site, staff, chromium, leak, width):
    page = with_session(
        new_page(chromium, site.base_url, viewport={"width": width, "height": 800}), site, staff
    )
    page.goto("/admin/tickets")
    edges = page.evaluate(
        """() => [...document.querySelectorAll('main *, header *')]
             .filter(e => e.checkVisibility() && !e.closest('.unseen, .skip, thead, .title a, small'))
             .map(e => e.getBoundingClientRect().right)"""
    )
    assert max(edges) <= width
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    page.context.close()


def test_rows_are_40_pixels_high_and_two_lines_on_a_phone(site, staff, chromium, leak):
    heights = {}
    for size in (DESKTOP, PHONE):
        page = with_session(new_page(chromium, site.base_url, viewport=size), site, staff)
        page.goto("/admin/tickets")
        heights[size["width"]] = round(page.locator("tbody tr").first.bounding_box()["height"])
        page.context.close()
    assert heights[DESKTOP["width"]] in (40, 41)
    assert heights[PHONE["width"]] < 80


def test_the_list_is_filtered_by_any_assignee_and_names_the_person_above_it(staff, leak):
    worker = PEOPLE["staff"][0]
    page = staff.open(f"/admin/tickets?assigned_to={worker}&q=leaking").text

    assert re.search(rf'<option value="{worker}" selected>([^<]+)</option>', page)
    assert re.findall(r'class="title"><a href="/admin/tickets/([^"]+)"', page) == [leak]
    (name,) = re.findall(rf'<option value="{worker}" selected>([^<]+)</option>', page)
    assert re.search(rf'<span class="soft">Assignee</span> {name}<', page)


def test_the_file_has_the_whole_list_with_its_filters(staff, leak):
    page = staff.open("/admin/tickets?q=leaking&page=1").text
    (address,) = re.findall(r'href="(/admin/tickets/csv[^"]*)"', page)
    answer = staff.open(address.replace("&amp;", "&"))
    rows = list(csv.DictReader(io.StringIO(answer.content.decode("utf-8-sig"))))

    assert answer.headers["content-type"] == "text/csv; charset=utf-8"
    assert [row["title"] for row in rows] == ["Leaking roof", "Leaking tap"]


def test_views_belong_to_the_person_who_saved_them(site, staff):
    def view_form(browser, query):
        page = browser.open(f"/admin/tickets?{query}").text
        return next(one for one in forms_of(page) if one.action == "/admin/views")

    form = view_form(staff, "q=leaking&priority=high")
    answer = staff.send(form.action, form.with_typed(name="Urgent leaks"))
    assert answer.headers["Location"] == "/admin/tickets?q=leaking&priority=high"
    shown = staff.open(answer.headers["Location"]).text
    assert re.search(r'aria-current="page">Urgent leaks<', shown)
    assert "Urgent leaks" not in browser_of(site, "manager").open("/admin/tickets").text

    for name in ("", "x" * 41):
        assert staff.send(form.action, form.with_typed(name=name)).status_code == 422
    removal = next(one for one in forms_of(shown) if "Remove the view" in shown and one.fields.get("name"))
    staff.send(removal.action, {**removal.fields, "remove": "1"})
    assert "Urgent leaks" not in staff.open("/admin/tickets").text


def test_a_deleted_ticket_is_listed_and_can_be_restored_from_the_notice(site):
    admin = browser_of(site, "admin")
    ticket_id = site.ticket("guest", title="Deleted by mistake")["id"]
    form = forms_of(admin.open(f"/admin/tickets/{ticket_id}/delete").text)[-1]
    assert admin.send(f"/admin/tickets/{ticket_id}/delete", form.fields).status_code == 303
    page = admin.open("/admin/tickets").text
    undo = next(one for one in forms_of(page) if one.action.endswith("/restore"))

    assert "Deleted by mistake" in admin.open("/admin/tickets/deleted").text
    assert admin.send(undo.action, undo.fields).status_code == 303
    assert "Deleted by mistake" not in admin.open("/admin/tickets/deleted").text
    assert site.client().get(f"/v1/tickets/{ticket_id}").status_code == 200


def test_only_admins_are_offered_to_undo_a_deletion(site):
    manager = browser_of(site, "manager")
    ticket_id = site.ticket("guest")["id"]
    form = forms_of(manager.open(f"/admin/tickets/{ticket_id}/delete").text)[-1]
    manager.send(f"/admin/tickets/{ticket_id}/delete", form.fields)
    page = manager.open("/admin/tickets").text

    assert "The ticket is deleted." in page
    assert "/restore" not in page
    assert manager.open("/admin/tickets/deleted").status_code == 403
