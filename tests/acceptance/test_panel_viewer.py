"""Photos of a ticket in Chromium: the dialog that shows them, and their pages without script."""

from __future__ import annotations

import pytest

from tests.acceptance.panel import browser_of, give_passwords, give_session
from tests.acceptance.pictures import photo
from tests.support.chromium import (
    SIZES_AND_SCHEMES,
    find_accessibility_problems,
    new_page,
    save_screenshot_if_enabled,
)

NAMES = ("first.jpg", "second.jpg", "third.jpg")


@pytest.fixture(scope="module")
def signed_in(site):
    give_passwords(site)
    return {role: browser_of(site, role) for role in ("staff", "guest")}


@pytest.fixture(scope="module")
def ticket_id(site):
    ticket_id = site.ticket("guest")["id"]
    for name in NAMES:
        files = {"file": (name, photo(), "image/jpeg")}
        site.client("guest").post(f"/v1/tickets/{ticket_id}/attachments", files=files)
    return ticket_id


@pytest.fixture
def open_page(site, signed_in, chromium):
    """Returns a function that opens a page as that role."""
    pages = []

    def open_page(path, role="staff", **options):
        page = new_page(chromium, site.base_url, **options)
        pages.append(page)
        give_session(page, site, signed_in[role])
        page.goto(path)
        return page

    yield open_page
    for page in pages:
        page.context.close()


def shown(page):
    """Returns the name in the open dialog, and the width of its picture once that is loaded."""
    width = page.locator("dialog.viewer img").evaluate(
        "async image => { await image.decode(); return image.naturalWidth; }"
    )
    return page.get_by_role("dialog").get_by_role("heading").inner_text(), width


@pytest.mark.parametrize(("role", "section"), [("staff", "tickets"), ("guest", "my")])
def test_photos_open_in_a_dialog_with_keys_for_the_next_one_and_for_the_end(
    open_page, ticket_id, role, section
):
    page = open_page(f"/admin/{section}/{ticket_id}", role)
    page.get_by_role("link", name="second.jpg").first.click()
    assert shown(page) == ("second.jpg", 640)
    page.keyboard.press("ArrowRight")
    assert shown(page)[0] == "third.jpg"
    page.keyboard.press("ArrowRight")  # there is no next one
    assert shown(page)[0] == "third.jpg"
    for _ in range(2):
        page.get_by_role("button", name="Previous photo").click()
    assert shown(page)[0] == "first.jpg"
    page.keyboard.press("Escape")

    assert page.get_by_role("dialog").count() == 0
    page.locator("a.photo:focus img[alt='first.jpg']").wait_for()


@SIZES_AND_SCHEMES
def test_the_dialog_has_no_accessibility_problem(open_page, ticket_id, size, scheme):
    page = open_page(
        f"/admin/tickets/{ticket_id}", viewport=size, color_scheme=scheme, reduced_motion="reduce"
    )
    page.get_by_role("link", name="second.jpg").first.click()
    shown(page)
    save_screenshot_if_enabled(page, f"viewer-{size['width']}-{scheme}")
    assert find_accessibility_problems(page) == []


def test_without_script_each_photo_has_a_page_that_leads_to_the_next(open_page, ticket_id):
    page = open_page(f"/admin/my/{ticket_id}", "guest", java_script_enabled=False)
    page.get_by_role("link", name="first.jpg").first.click()
    page.get_by_role("link", name="Next").click()
    page.wait_for_load_state("load")

    assert page.get_by_role("heading", level=1).inner_text() == "second.jpg"
    assert page.get_by_role("img", name="second.jpg").bounding_box()["width"] > 200
    page.get_by_role("main").get_by_role("link").first.click()
    assert page.url.endswith(f"/admin/my/{ticket_id}")
