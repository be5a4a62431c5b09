"""The page of the system's health."""

from __future__ import annotations

import pytest

from tests.acceptance.panel import browser_of, give_passwords, give_session
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


def test_the_projector_samples_the_lags_that_the_page_shows(admin):
    page = eventually(
        lambda: page if "No samples yet" not in (page := admin.open("/admin/health").text) else ""
    )
    for name in ("Projector", "Webhook dispatcher", "Notary"):
        assert f'aria-label="{name}: ' in page
    assert 'aria-label="Relay to Kafka' not in page, "Kafka is not configured"
    assert "Show as a table" in page


def test_the_page_shows_posts_sizes_checkpoint_and_verification(admin):
    page = admin.open("/admin/health").text
    for text in ("Nothing was posted", "Last position", "Database"):
        assert text in page
    assert "No verification was started yet." in page
    assert "No checkpoint was signed yet." in page


@pytest.mark.parametrize("role", ["manager", "staff"])
def test_the_page_is_for_admins(site, role):
    browser = browser_of(site, role)
    assert browser.open("/admin/health").status_code == 403
    assert 'href="/admin/health"' not in browser.open("/admin").text


@SIZES_AND_SCHEMES
def test_the_lags_open_as_a_table_in_a_browser(site, admin, size, scheme, chromium):
    page = new_page(chromium, site.base_url, viewport=size, color_scheme=scheme)
    give_session(page, site, admin)
    page.goto("/admin/health")
    page.get_by_text("Show as a table").click()
    page.get_by_role("columnheader", name="Notary").wait_for()
    assert find_accessibility_problems(page) == []
    assert not page.evaluate("document.documentElement.scrollWidth > window.innerWidth")
    save_screenshot_if_enabled(page, f"health-{scheme}")
    page.context.close()
