"""What the panel says: labels in messages, summaries of refused forms, titles that say what happened."""

from __future__ import annotations

import re
from html import unescape

import pytest

from tests.acceptance.panel import browser_of, give_passwords, give_session, hidden
from tests.support.chromium import (
    DESKTOP,
    PHONE,
    find_accessibility_problems,
    new_page,
    save_screenshot_if_enabled,
)

REFUSED = {"title": "", "property_id": "", "priority": "urgent", "category": "plumbing"}


@pytest.fixture(scope="module")
def admin(site):
    give_passwords(site)
    return browser_of(site, "admin")


@pytest.fixture(scope="module")
def refused(admin):
    """The page of a new ticket without a title and a property, and with a priority that does not exist."""
    return send(admin, "/admin/tickets/new", REFUSED).text


def send(browser, path, fields):
    return browser.send(path, {**hidden(browser.open(path).text), **fields})


def title_of(page):
    return unescape(re.search(r"<title>(.*) · Modern Management Ticketing</title>", page)[1])


def summary_of(page):
    """Return the summary's heading, and its (address, text) links."""
    found = re.search(
        r'<div class="complaint problems" role="alert" tabindex="-1".*?</div>', page, re.DOTALL
    )[0]
    heading = re.search(r'<p class="title">(.*?)</p>', found)[1]
    return heading, [(href, unescape(text)) for href, text in re.findall(r'<a href="(.*?)">(.*?)</a>', found)]


def test_a_refused_form_begins_with_a_summary_that_links_to_each_field(refused):
    assert summary_of(refused) == (
        "There are 3 problems",
        [
            ("#title", "Title must not be empty."),
            ("#property_id", "Property: Choose a property."),
            ("#priority", "Priority must be one of: low, medium, high, critical."),
        ],
    )


def test_each_field_keeps_its_own_message_with_its_label(refused):
    assert 'id="title-error">Title must not be empty.</span>' in refused
    assert 'id="property_id-error">Choose a property.</span>' in refused
    assert not re.search(r"\b(title|priority|property_id) (field|parameter)\b", refused)


def test_an_error_without_a_field_is_in_the_summary(admin, site):
    path = f"/admin/users/{site.person()['id']}"
    form = hidden(admin.open(path).text)
    site.client().patch(path.replace("/admin/", "/v1/"), json={"name": "Nora New"})

    page = admin.send(path, {**form, "name": "Nora Newer", "version": form["version"]}).text

    assert summary_of(page)[0] == "There are 2 problems"
    assert "Somebody else changed this" in page
    assert ("#name", "Name: Stored value: Nora New.") in summary_of(page)[1]


def test_a_refused_filter_is_named_by_its_label(admin):
    page = admin.open("/admin/tickets?opened_from=yesterday").text

    assert summary_of(page) == (
        "There is a problem",
        [("#opened_from", "Opened from must be a date, such as 2023-01-15.")],
    )


def test_titles_say_what_happened(admin, refused, site):
    category = site.ticket("guest", category="lamps")["category"]
    path = f"/admin/users/{site.person(name='Nina Named')['id']}"
    send(admin, path, {"phone": "555"})

    assert title_of(admin.open(path).text) == "The changes are saved: Nina Named"
    assert title_of(admin.open(path).text) == "Nina Named"
    assert title_of(refused) == "Error: New ticket"
    assert title_of(admin.open("/admin/tickets").text) == "Tickets"
    assert title_of(admin.open(f"/admin/tickets?category={category}").text) == "(1 result) Tickets"
    assert title_of(admin.open("/admin/tickets?category=nothing").text) == "(0 results) Tickets"


@pytest.mark.parametrize(
    ("size", "has_script", "scheme"),
    [(PHONE, True, "dark"), (DESKTOP, True, "light"), (DESKTOP, False, "light")],
    ids=["phone-dark", "desktop-light", "plain"],
)
def test_the_summary_takes_the_focus_and_its_links_lead_to_the_fields(
    site, admin, size, has_script, scheme, chromium
):
    page = new_page(
        chromium, site.base_url, viewport=size, java_script_enabled=has_script, color_scheme=scheme
    )
    give_session(page, site, admin)
    page.goto("/admin/users/new")
    page.get_by_label("E-mail address").fill("nobody")
    page.get_by_role("button", name="Register person").click()
    page.locator(".problems:focus").wait_for()
    summary = page.get_by_role("alert")
    assert summary.locator("li").count() == 2
    save_screenshot_if_enabled(page, f"summary-{scheme}-{size['width']}")
    summary.get_by_role("link", name="E-mail address").click()
    page.keyboard.press("Home") if has_script else page.keyboard.press("Tab")
    if has_script:
        assert page.locator("#email:focus").count() == 1
        assert find_accessibility_problems(page) == []
    else:
        assert page.url.endswith("#email")
