"""The pages of tenants: report a problem with photos, follow it, answer, close and reopen it."""

from __future__ import annotations

from urllib.parse import urljoin

import pytest

from tests.acceptance.panel import browser_of, give_passwords, give_session
from tests.support.browser import forms_of
from tests.support.chromium import (
    PHONE,
    find_accessibility_problems,
    new_page,
    save_screenshot_if_enabled,
)

PHOTO = ("tap.jpg", b"\xff\xd8 photo", "image/jpeg")
NO_FILE = ("", b"", "application/octet-stream")
REPORT = {"title": "The tap drips", "place": "abc123/unit456", "description": "Since Monday."}


@pytest.fixture(scope="module")
def tenant(site):
    give_passwords(site)
    return browser_of(site, "guest")


def send(browser, path, *files, form=None, **values):
    """Send the form of that page with these values and files, as a browser does."""
    used = form or next(
        one for one in forms_of(browser.open(path).text) if "text" in one.typed or "title" in one.typed
    )
    return browser.http.post(
        urljoin(browser.base_url, used.action or path),
        data=used.with_typed(**values),
        files=[("files", file) for file in files or [NO_FILE]],
        headers={"Sec-Fetch-Site": "same-origin"},
        allow_redirects=False,
        timeout=60,
    )


def report(browser, *files, **values):
    return send(browser, "/admin/my/new", *files, **REPORT | values)


def own_ticket(site, answer):
    assert answer.status_code == 303, answer.text
    path = answer.headers["Location"]
    return path, site.client().get(f"/v1/tickets/{path.rpartition('/')[2]}").json()["data"]


def test_a_tenant_is_led_to_the_own_reports_and_sees_no_other_section(tenant):
    answer = tenant.open("/admin")
    assert (answer.status_code, answer.headers["Location"]) == (303, "/admin/my")
    page = tenant.open("/admin/my").text
    assert "My reports" in page
    assert 'href="/admin/tickets"' not in page


def test_a_problem_is_reported_with_photos_once(site, tenant):
    (form,) = [one for one in forms_of(tenant.open("/admin/my/new").text) if "title" in one.typed]
    answers = [send(tenant, "/admin/my/new", PHOTO, form=form, **REPORT) for _ in range(2)]

    path, ticket = own_ticket(site, answers[0])
    assert answers[1].headers["Location"] == path
    assert (ticket["title"], ticket["description"], ticket["unit"]["id"]) == (
        "The tap drips",
        "Since Monday.",
        "unit456",
    )
    assert (ticket["requester"]["id"], [file["filename"] for file in ticket["attachments"]]) == (
        "user789",
        ["tap.jpg"],
    )
    assert "Thank you. Your report is sent." in tenant.open(path).text
    assert "The tap drips" in tenant.open("/admin/my").text


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"place": ""}, "Choose where the problem is."),
        ({"place": "elsewhere/"}, "Choose where the problem is."),
        ({"title": ""}, "title"),
        ({"title": "x" * 300}, "title"),
    ],
)
def test_a_refused_report_is_shown_again_with_the_reason_and_opens_nothing(site, tenant, values, message):
    before = site.client().get("/v1/tickets/count").json()["data"]
    answer = report(tenant, PHOTO, **values)
    assert answer.status_code == 422
    assert message in answer.text
    assert "Since Monday." in answer.text
    assert site.client().get("/v1/tickets/count").json()["data"] == before


def test_answers_photos_closing_and_reopening(site, tenant):
    path, ticket = own_ticket(site, report(tenant))
    site.client("staff").post(f"/v1/tickets/{ticket['id']}/comments", json={"text": "Who can open?"})

    def step(*files, **values):
        answer = send(tenant, path, *files, **values)
        return (
            (answer.status_code, own_ticket(site, answer)[1])
            if answer.status_code == 303
            else (answer.status_code, answer.text)
        )

    assert "Who can open?" in tenant.open(path).text
    _, now = step(PHOTO, text="I can, at noon.")
    assert [comment["text"] for comment in now["comments"]] == ["Who can open?", "I can, at noon."]
    assert [file["filename"] for file in now["attachments"]] == ["tap.jpg"]
    assert step(action="close")[1]["status"] == "closed"
    _, reopened = step(action="reopen", text="It drips again.")
    assert (reopened["status"], reopened["comments"][-1]["text"]) == ("open", "It drips again.")
    status, page = step()
    assert status == 422
    assert "Write something, or choose a photo." in page


def test_nothing_internal_and_nothing_of_others_appears(site, tenant):
    path, ticket = own_ticket(site, report(tenant))
    comments = f"/v1/tickets/{ticket['id']}/comments"
    site.client("staff").post(comments, json={"text": "The tenant is difficult", "visibility": "internal"})
    other = site.ticket("admin", requester_id="user101", title="Of another person")

    assert "difficult" not in tenant.open(path).text
    assert "difficult" not in browser_of(site, "staff").open(path).text
    assert tenant.open(f"/admin/my/{other['id']}").status_code == 404
    assert "Of another person" not in tenant.open("/admin/my").text


def test_the_pages_of_a_report_have_no_accessibility_problem(site, tenant, tmp_path, chromium):
    photo = tmp_path / "window.jpg"
    photo.write_bytes(PHOTO[1])
    page = new_page(chromium, site.base_url, viewport=PHONE)
    give_session(page, site, tenant)
    page.goto("/admin/my")
    page.get_by_role("link", name="Report a problem").first.click()
    page.get_by_label("What is wrong?").click()
    page.keyboard.type("Window")
    page.get_by_label("Where?").select_option(label="Seaside Apartments, Unit 101")
    with page.expect_file_chooser() as choosing:
        page.get_by_label("Photos").click()
    choosing.value.set_files([photo])
    save_screenshot_if_enabled(page, "tenant-report")
    assert find_accessibility_problems(page) == []
    page.get_by_role("button", name="Send").click()
    page.get_by_text("Thank you. Your report is sent.").wait_for()
    page.get_by_role("link", name="window.jpg").first.wait_for()
    assert find_accessibility_problems(page) == []
    save_screenshot_if_enabled(page, "tenant-ticket")
    page.goto("/admin/my")
    assert find_accessibility_problems(page) == []
    save_screenshot_if_enabled(page, "tenant-list")
    page.context.close()
