"""Times in the reader's zone, ages that stay up to date, and pages on paper."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from pages.common.filters import age
from tests.acceptance.panel import browser_of, give_passwords, give_session
from tests.support.chromium import (
    DESKTOP,
    find_accessibility_problems,
    new_page,
    running_chromium,
    save_screenshot_if_enabled,
)


@pytest.fixture(scope="module")
def staff(site):
    give_passwords(site)
    return browser_of(site, "staff")


@pytest.fixture(scope="module")
def ticket(site):
    return site.ticket("guest", title="Clock of the tower is slow")


@pytest.fixture
def open_page(site, staff):
    """Returns a function that opens a page in a browser with these options."""
    with running_chromium() as chromium:

        def open_page(path, prepare=lambda page: None, **options):
            page = new_page(chromium, site.base_url, **{"viewport": DESKTOP, **options})
            give_session(page, site, staff)
            prepare(page)
            page.goto(path)
            return page

        yield open_page


def shown_moment(page):
    return page.locator('time[data-shown="moment"]').first


def test_times_are_in_utc_without_script(open_page, ticket):
    time = shown_moment(open_page(f"/admin/tickets/{ticket['id']}", java_script_enabled=False))
    at = datetime.fromisoformat(time.get_attribute("datetime"))

    assert at == datetime.fromisoformat(ticket["created_at"])
    assert time.inner_text() == f"{at.day} {at:%b %Y, %H:%M} UTC"
    assert time.get_attribute("title") == f"{at.day} {at:%B %Y, %H:%M} UTC"


def test_times_are_in_the_readers_zone_with_utc_as_their_title(open_page, ticket):
    page = open_page(f"/admin/tickets/{ticket['id']}", timezone_id="Asia/Kathmandu")
    at = datetime.fromisoformat(ticket["created_at"]).astimezone(UTC)
    there = at + timedelta(hours=5, minutes=45)

    assert shown_moment(page).inner_text().replace("Sept", "Sep") == f"{there.day} {there:%b %Y, %H:%M}"
    assert shown_moment(page).get_attribute("title") == f"{at.day} {at:%B %Y, %H:%M} UTC"
    assert find_accessibility_problems(page) == []


def test_ages_are_updated_every_minute_with_the_words_of_the_server(open_page, ticket):
    start = datetime.fromisoformat(ticket["created_at"]).astimezone(UTC)
    page = open_page("/admin/tickets", lambda page: page.clock.install(time=start))
    shown = page.get_by_role("row").filter(has_text=ticket["title"]).locator("time")
    assert shown.inner_text() == "just now"

    passed = timedelta()
    for step in (timedelta(minutes=3), timedelta(hours=5), timedelta(days=2), timedelta(days=40)):
        passed += step
        page.clock.fast_forward(int(step.total_seconds() * 1_000))

        expected = age(start, start + passed).striptags()
        assert shown.inner_text().replace("Sept", "Sep") == expected


@pytest.mark.parametrize("path", ["/admin/tickets", "/admin/tickets/{}", "/admin/tickets/{}/history"])
def test_paper_has_what_a_page_says_but_no_forms_and_sections(open_page, ticket, path):
    page = open_page(path.format(ticket["id"]), color_scheme="dark")
    page.emulate_media(media="print", color_scheme="dark")
    save_screenshot_if_enabled(page, f"print{path.replace('/', '-').replace('{}', 'ticket')}")

    assert page.locator("main").get_by_text(ticket["title"]).filter(visible=True).count()
    for gone in ("nav.sections", "form", "button", ".skip", "input[type=checkbox]"):
        assert [one for one in page.locator(gone).all() if one.is_visible()] == [], gone
    colours = page.evaluate(
        "[...document.querySelectorAll('h1, .badge, td, time, th a')].map(e => getComputedStyle(e).color)"
    )
    assert set(colours) <= {"rgb(0, 0, 0)"}
    assert page.evaluate("document.querySelector('main').getBoundingClientRect().left") < 40
