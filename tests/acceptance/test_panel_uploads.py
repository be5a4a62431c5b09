"""Photos in forms in Chromium: chosen, dropped, pasted and taken with a phone, with and without script."""

from __future__ import annotations

import base64

import pytest

from infrastructure.storage.attachment_store import ATTACHMENT_BYTES
from tests.acceptance.panel import browser_of, give_passwords, give_session
from tests.acceptance.pictures import photo
from tests.acceptance.site import PEOPLE
from tests.support.browser import PASSWORD
from tests.support.chromium import (
    DESKTOP,
    PHONE,
    find_accessibility_problems,
    new_page,
    save_screenshot_if_enabled,
)

SIZES = pytest.mark.parametrize("size", [PHONE, DESKTOP], ids=["phone", "desktop"])
# A drop or a paste, which a browser lets only people do with real files.
GIVE = """([selector, kind, name, content]) => {
    const bytes = Uint8Array.from(atob(content), (character) => character.charCodeAt(0));
    const files = new DataTransfer();
    files.items.add(new File([bytes], name, { type: "image/jpeg" }));
    const given = { bubbles: true, cancelable: true, dataTransfer: files, clipboardData: files };
    const event = kind === "paste" ? new ClipboardEvent(kind, given) : new DragEvent(kind, given);
    document.querySelector(selector).dispatchEvent(event);
}"""


@pytest.fixture(scope="module")
def signed_in(site):
    give_passwords(site)
    return {role: browser_of(site, role) for role in ("staff", "guest")}


@pytest.fixture
def ticket_id(site):
    return site.ticket("guest")["id"]


@pytest.fixture
def photos(tmp_path):
    """The paths of three photos."""
    paths = [tmp_path / name for name in ("kitchen.jpg", "bath.jpg", "hall.jpg")]
    for path in paths:
        path.write_bytes(photo())
    return paths


@pytest.fixture
def open_page(site, signed_in, chromium):
    """Returns a function that opens a page as that role."""
    opened = []

    def open_page(path, role="staff", **options):
        page = new_page(chromium, site.base_url, **options)
        page.messages = []
        page.on("console", lambda message: page.messages.append(message.text))
        page.on("pageerror", lambda error: page.messages.append(str(error)))
        opened.append(page)
        give_session(page, site, signed_in[role])
        page.goto(path)
        return page

    yield open_page
    for page in opened:
        page.context.close()
        assert [text for text in page.messages if "Content Security Policy" in text] == []


def attached(site, ticket_id):
    files = site.client().get(f"/v1/tickets/{ticket_id}/attachments").json()["data"]
    return [file["filename"] for file in files]


def give(page, kind, selector, name="pasted.jpg"):
    page.evaluate(GIVE, [selector, kind, name, base64.b64encode(photo()).decode()])


def test_an_attached_photo_is_announced(site, open_page, ticket_id, photos):
    page = open_page(f"/admin/tickets/{ticket_id}", viewport=PHONE)
    with page.expect_file_chooser() as choosing:
        page.get_by_label("Add photos and files").click()
    choosing.value.set_files(photos[:1])

    page.locator("#attached").get_by_role("link", name="kitchen.jpg", exact=True).wait_for()
    page.get_by_text("kitchen.jpg is attached.").wait_for()
    assert find_accessibility_problems(page) == []
    save_screenshot_if_enabled(page, "ticket-files")
    assert attached(site, ticket_id) == ["kitchen.jpg"]


def test_several_photos_are_attached_in_their_order(site, open_page, ticket_id, photos):
    page = open_page(f"/admin/tickets/{ticket_id}")
    page.get_by_label("Add photos and files").set_input_files(photos)
    page.get_by_text("hall.jpg is attached.").wait_for()

    assert attached(site, ticket_id) == ["kitchen.jpg", "bath.jpg", "hall.jpg"]
    assert page.locator("ul.chosen li").count() == 0


@pytest.mark.parametrize("kind", ["drop", "paste"])
def test_a_photo_that_is_dropped_or_pasted_is_attached(site, open_page, ticket_id, kind):
    page = open_page(f"/admin/tickets/{ticket_id}")
    give(page, kind, "#attached")
    page.get_by_text("pasted.jpg is attached.").wait_for()
    assert attached(site, ticket_id) == ["pasted.jpg"]


def test_a_touch_device_offers_its_camera(site, open_page, ticket_id, photos):
    page = open_page(f"/admin/tickets/{ticket_id}", viewport=PHONE, has_touch=True, is_mobile=True)
    with page.expect_file_chooser() as choosing:
        page.locator(".upload").get_by_role("button", name="Take a photo").click()
    assert choosing.value.element.get_attribute("capture") == "environment"
    choosing.value.set_files(photos[0])
    page.get_by_text("kitchen.jpg is attached.").wait_for()
    assert attached(site, ticket_id) == ["kitchen.jpg"]


def test_a_file_that_is_too_large_or_one_too_many_is_named_with_the_reason(
    site, open_page, ticket_id, photos, tmp_path
):
    film = tmp_path / "film.mp4"
    film.write_bytes(bytes(ATTACHMENT_BYTES + 1))
    for number in range(20):
        files = {"file": (f"{number}.txt", b"x", "text/plain")}
        site.client("staff").post(f"/v1/tickets/{ticket_id}/attachments", files=files)
    page = open_page(f"/admin/tickets/{ticket_id}")

    page.get_by_label("Add photos and files").set_input_files(film)
    page.get_by_text("film.mp4 is larger than 25 MB.").wait_for()
    page.get_by_label("Add photos and files").set_input_files(photos[0])
    alert = page.locator("ul.chosen").get_by_role("alert")
    alert.wait_for()

    assert "at most 20" in alert.inner_text()
    page.locator("ul.chosen").get_by_role("button", name="Remove").click()
    assert page.locator("ul.chosen li").count() == 0


def test_a_photo_stays_chosen_when_the_session_has_ended_and_is_sent_after_the_next_sign_in(
    site, open_page, ticket_id, photos
):
    page = open_page(f"/admin/tickets/{ticket_id}")
    page.context.clear_cookies()
    page.get_by_label("Add photos and files").set_input_files(photos[0])
    with page.context.expect_page() as opening:
        page.get_by_role("link", name="Sign in in a new tab").click()
    tab = opening.value
    tab.get_by_label("E-mail address").fill(f"{PEOPLE['staff'][0]}@example.com")
    tab.get_by_label("Password").fill(PASSWORD)
    tab.get_by_role("button", name="Sign in").click()
    tab.wait_for_url(f"**/admin/tickets/{ticket_id}")
    again = page.get_by_role("button", name="Try again")
    again.click()

    photo = page.locator("#attached").get_by_role("link", name="kitchen.jpg", exact=True)
    photo.or_(again).first.wait_for()
    if not photo.is_visible():  # a busy server may have asked to try again
        print(page.locator("ul.chosen").inner_text())
        again.click()
    photo.wait_for()
    assert attached(site, ticket_id) == ["kitchen.jpg"]


def test_a_photo_is_removed_from_a_report_before_it_is_sent(site, open_page, photos):
    page = open_page("/admin/my/new", "guest", viewport=PHONE)
    page.get_by_label("What is wrong?").fill("The tap drips")
    page.get_by_label("Where?").select_option(label="Seaside Apartments, Unit 101")
    page.get_by_label("Photos").set_input_files(photos[:2])
    page.locator("ul.chosen img").first.wait_for()
    names = page.locator("ul.chosen .name").all_inner_texts()
    assert [name.split(" ")[0] for name in names] == ["kitchen.jpg", "bath.jpg"]
    assert find_accessibility_problems(page) == []
    save_screenshot_if_enabled(page, "report")
    page.get_by_role("button", name="Remove kitchen.jpg").click()
    page.get_by_role("button", name="Send").click()

    page.get_by_role("heading", level=1, name="The tap drips").wait_for()
    assert "Your report is sent" in page.get_by_role("status").first.inner_text()
    assert attached(site, page.url.rpartition("/")[2]) == ["bath.jpg"]


def test_a_refused_report_keeps_its_photos(site, open_page, photos):
    page = open_page("/admin/my/new", "guest")
    page.get_by_label("Photos").set_input_files(photos[0])
    page.get_by_role("button", name="Send").click()
    page.locator("#place-error").wait_for()
    page.get_by_label("What is wrong?").fill("The tap drips")
    page.get_by_label("Where?").select_option(label="Seaside Apartments, Unit 101")
    page.get_by_role("button", name="Send").click()

    page.get_by_role("heading", level=1, name="The tap drips").wait_for()
    assert attached(site, page.url.rpartition("/")[2]) == ["kitchen.jpg"]


def test_a_report_stays_on_the_page_when_the_session_has_ended(open_page, photos):
    page = open_page("/admin/my/new", "guest")
    page.get_by_label("What is wrong?").fill("The tap drips")
    page.get_by_label("Photos").set_input_files(photos[0])
    page.context.clear_cookies()
    page.get_by_role("button", name="Send").click()
    page.get_by_role("link", name="Sign in in a new tab").wait_for()

    assert page.get_by_label("What is wrong?").input_value() == "The tap drips"
    assert page.locator("ul.chosen .name").count() == 1
