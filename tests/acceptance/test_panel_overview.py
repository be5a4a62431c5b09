"""The overview: the tickets that need work, and charts with their tables."""

from __future__ import annotations

import re

import pytest

from tests.acceptance.panel import browser_of, give_passwords, give_session
from tests.acceptance.site import PEOPLE
from tests.support.chromium import (
    SIZES_AND_SCHEMES,
    find_accessibility_problems,
    new_page,
    save_screenshot_if_enabled,
)

JANE = PEOPLE["staff"][0]
CHARTS = ("flow", "ages", "answers", "resolutions", "loads")


@pytest.fixture(scope="module")
def staff(site):
    """A member of staff, and some tickets of all kinds, of which one is out of reach."""
    give_passwords(site)
    own, admin = site.client("staff"), site.client("admin")
    site.ticket("guest", title="Smell of gas", priority="critical")
    mine = site.ticket("guest", title="Broken lift")["id"]
    done = site.ticket("guest", title="Old fault")["id"]
    admin.post("/v1/tickets", json={**FOREIGN, "title": "Foreign fault"})
    own.patch(f"/v1/tickets/{mine}", json={"assigned_to": JANE, "status": "in_progress"})
    own.patch(f"/v1/tickets/{done}", json={"status": "closed"})
    return browser_of(site, "staff")


FOREIGN = {
    "description": "",
    "priority": "critical",
    "category": "general",
    "property_id": "def456",
}


def section(page, name):
    start = rf'<section class="card[^"]*" aria-labelledby="{name}">'
    return re.search(rf"{start}.*?</section>", page, re.DOTALL)[0]


def test_the_overview_lists_own_unassigned_and_critical_tickets_within_reach(staff):
    page = staff.open("/admin").text

    assert "Broken lift" in section(page, "mine")
    assert "Smell of gas" not in section(page, "mine")
    assert "Smell of gas" in section(page, "unassigned")
    assert "Smell of gas" in section(page, "critical")
    assert "Broken lift" not in section(page, "critical")
    assert "Foreign fault" not in page


def test_the_links_of_the_overview_open_lists(staff):
    links = set(re.findall(r'href="(/admin/tickets\?[^"]+)"', staff.open("/admin").text))
    assert len(links) >= 7
    assert {staff.open(link.replace("&amp;", "&")).status_code for link in links} == {200}


def test_every_chart_has_a_text_alternative_and_a_table_with_the_same_numbers(staff):
    page = staff.open("/admin").text
    for name in CHARTS:
        assert 'role="img" aria-label="' in section(page, name), name
        assert "Show as a table" in section(page, name), name
    assert "In total 3 opened and 1 closed." in section(page, "flow")
    assert "<td" in section(page, "ages").partition("<details")[2]
    row = re.search(r"<tr><th[^>]*>.*Jane Smith.*?</tr>", section(page, "loads"))[0]
    assert re.findall(r'<td class="end">([^<]*)', row) == ["0", "1"]


def test_managers_see_no_problems_of_the_system_and_admins_a_line_with_a_link(site, staff):
    assert "/admin/health" not in browser_of(site, "manager").open("/admin").text
    page = browser_of(site, "admin").open("/admin").text
    assert '<a href="/admin/health">System health</a>' not in page or 'class="complaint"' in page
    assert "<dt>Projector</dt>" not in page


@SIZES_AND_SCHEMES
def test_the_table_of_a_chart_opens_in_a_browser(site, staff, size, scheme, chromium):
    page = new_page(chromium, site.base_url, viewport=size, color_scheme=scheme)
    give_session(page, site, staff)
    page.goto("/admin")
    loads = page.locator("section", has=page.get_by_role("heading", name="Load by assignee"))
    loads.get_by_text("Show as a table").click()
    loads.get_by_role("link", name="Jane Smith").wait_for()
    for _ in range(len(CHARTS) - 1):
        page.locator("details:not([open]) > summary").first.click()
    assert find_accessibility_problems(page) == []
    assert not page.evaluate("document.documentElement.scrollWidth > window.innerWidth")
    save_screenshot_if_enabled(page, f"overview-{scheme}")
    loads.get_by_role("link", name="Jane Smith").click()
    page.get_by_role("link", name="Broken lift").wait_for()
    page.context.close()
