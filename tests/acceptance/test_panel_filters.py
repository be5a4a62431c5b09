"""The filters of the panel's list of tickets."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

import pytest

from tests.acceptance.panel import browser_of, give_passwords, give_session
from tests.acceptance.site import PEOPLE
from tests.support.chromium import (
    DESKTOP,
    PHONE,
    find_accessibility_problems,
    new_page,
    save_screenshot_if_enabled,
)


@pytest.fixture(scope="module")
def staff(site):
    give_passwords(site)
    return browser_of(site, "staff")


@pytest.fixture(scope="module")
def tickets(site):
    """The ids of a roofing ticket with a tag, and of one of another requester."""
    tagged = site.ticket("guest", title="Filtered roof", category="roofing")["id"]
    site.client().patch(f"/v1/tickets/{tagged}", json={"tags": ["urgent-roof"]})
    other = site.ticket("admin", title="Filtered door", requester_id=PEOPLE["staff"][0])["id"]
    return tagged, other


def found(staff, query):
    answer = staff.open(f"/admin/tickets?{query}")
    assert answer.status_code == 200, answer.text
    return set(re.findall(r'<th scope="row" class="title"><a href="/admin/tickets/([^"]+)"', answer.text))


def today(days=0):
    return (datetime.now(UTC) + timedelta(days=days)).date().isoformat()


def test_each_filter_finds_its_tickets(staff, tickets):
    tagged, other = tickets
    both = {tagged, other}
    expected = {
        "category=roofing": {tagged},
        "tag=urgent-roof": {tagged},
        f"requester={PEOPLE['staff'][0]}": {other},
        f"requester={PEOPLE['staff'][0]}@example.com": {other},
        "requester=nobody-known": set(),
        f"opened_from={today()}": both,
        f"opened_from={today(-1)}&opened_to={today()}": both,
        f"opened_to={today(-1)}": set(),
        f"opened_from={today(1)}": set(),
        "category=roofing&tag=other": set(),
    }
    assert {query: found(staff, query) & both for query in expected} == expected


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("opened_from=yesterday", "opened_from"),
        ("opened_to=2026-13-01", "opened_to"),
        ("requester=no%20such%20person", "requester"),
    ],
)
def test_a_bad_filter_is_refused_at_its_field_and_kept(staff, query, field):
    answer = staff.open(f"/admin/tickets?{query}")
    assert answer.status_code == 422
    assert f'id="{field}-error"' in answer.text
    assert '<details class="more" open>' in answer.text


@pytest.mark.parametrize("size", [PHONE, DESKTOP], ids=["phone", "desktop"])
def test_filters_are_folded_and_those_in_force_are_shown_above_the_list(site, staff, tickets, size, chromium):
    page = new_page(chromium, site.base_url, viewport=size)
    give_session(page, site, staff)
    page.goto("/admin/tickets")
    assert not page.get_by_label("Tag", exact=True).is_visible()
    page.get_by_text("Filters", exact=True).click()
    page.get_by_label("Tag", exact=True).fill("urgent-roof")
    page.get_by_label("Category", exact=True).focus()
    page.get_by_role("link", name="Tag Urgent roof (remove)").wait_for()
    page.get_by_role("link", name="Filtered roof").wait_for()
    assert page.get_by_label("Tag", exact=True).input_value() == "urgent-roof"
    assert find_accessibility_problems(page) == []
    save_screenshot_if_enabled(page, f"tickets-filters-{size['width']}")
    page.context.close()


def test_the_headings_order_the_list_by_their_column_and_then_in_reverse(staff, tickets):
    def heading(page, label):
        cell = re.search(
            rf'<th scope="col" class="\w+"( aria-sort="\w+")?><a href="([^"]+)">{label}</a>', page
        )
        return cell[1], cell[2].replace("&amp;", "&")

    page = staff.open("/admin/tickets?q=filtered&page=1").text
    assert heading(page, "Opened") == (
        ' aria-sort="descending"',
        "/admin/tickets?q=filtered&sort=created_at&order=asc",
    )
    state, link = heading(page, "Priority")
    assert (state, link) == (None, "/admin/tickets?q=filtered&sort=priority&order=desc")
    ordered = staff.open(link).text
    assert heading(ordered, "Priority") == (
        ' aria-sort="descending"',
        "/admin/tickets?q=filtered&sort=priority&order=asc",
    )


def test_each_view_is_a_list(staff, tickets):
    page = staff.open("/admin/tickets").text
    views = re.search(r'<nav class="views".*?</nav>', page, re.DOTALL)[0]
    links = re.findall(r'href="([^"]+)"[^>]*>([^<]+)<', views)
    assert [name for _, name in links] == ["All", "Mine", "Unassigned", "Oldest critical"]
    assert {staff.open(link.replace("&amp;", "&")).status_code for link, _ in links} == {200}


def test_the_overview_shows_the_own_tickets(site, staff, tickets):
    mine = site.ticket("guest", title="Overview of mine")["id"]
    site.client("staff").patch(f"/v1/tickets/{mine}", json={"assigned_to": PEOPLE["staff"][0]})
    page = staff.open("/admin").text
    section = re.search(r'<h2 id="mine">.*?</section>', page, re.DOTALL)[0]
    assert "Overview of mine" in section
    assert "Filtered door" not in section
