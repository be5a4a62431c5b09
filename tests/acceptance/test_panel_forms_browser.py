"""Pages with two forms in Chromium: what one form shows and saves after the other was refused."""

from __future__ import annotations

import pytest

from tests.acceptance.panel import give_passwords
from tests.acceptance.site import PEOPLE
from tests.acceptance.test_panel_forms import WORK
from tests.acceptance.test_panel_forms import ids as ids
from tests.support.browser import PASSWORD, give_password
from tests.support.chromium import (
    DESKTOP,
    PHONE,
    find_accessibility_problems,
    new_page,
    save_screenshot,
    save_screenshot_if_enabled,
)


@pytest.fixture(scope="module")
def ready(site):
    give_passwords(site)
    return site


@pytest.fixture
def page(chromium, ready):
    page = new_page(chromium, ready.base_url, viewport={**DESKTOP, "width": 1440})
    sign_in(page)
    yield page
    page.context.close()


def sign_in(page):
    page.goto("/admin/sign-in")
    page.get_by_label("E-mail address").fill(f"{PEOPLE['admin'][0]}@example.com")
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in").click()
    page.wait_for_url("**/admin")


def is_too_wide(page):
    return page.evaluate("document.documentElement.scrollWidth > window.innerWidth")


def changed_ticket(site):
    """Return the id of a ticket whose values differ from the defaults of its form."""
    ticket = site.ticket("guest")
    work = {"status": "in_progress", "priority": "critical", "assigned_to": "user101"}
    assert site.client().patch(f"/v1/tickets/{ticket['id']}", json=work).status_code == 200
    return ticket["id"]


def version_of(site, path):
    return site.client().get(path).headers["ETag"]


def test_saving_after_a_refused_comment_does_not_change_the_ticket(page, ready):
    ticket_id = changed_ticket(ready)
    before = version_of(ready, f"/v1/tickets/{ticket_id}")
    page.goto(f"/admin/tickets/{ticket_id}")

    page.get_by_role("button", name="Comment").click()
    shown = [page.get_by_label(name).input_value() for name in ("Status", "Priority", "Assignee", "Unit")]
    error = page.locator("#text-error").inner_text()
    page.get_by_role("button", name="Save").click()

    assert error
    assert shown == ["in_progress", "critical", "user101", "unit456"]
    assert "is saved" in page.get_by_role("status").inner_text()
    assert version_of(ready, f"/v1/tickets/{ticket_id}") == before


def test_saving_after_a_refused_unit_does_not_change_the_property(page, ready):
    before = version_of(ready, "/v1/properties/abc123")
    page.goto("/admin/properties/abc123")

    page.get_by_role("button", name="Add units").click()
    labels = ("Name", "Street", "Postal code", "City", "State", "Country")
    shown = [page.get_by_label(label, exact=True).input_value() for label in labels]
    error = page.locator("#unit_names-error").inner_text()
    page.get_by_role("button", name="Save").click()

    assert error
    assert shown == ["Seaside Apartments", "123 Ocean Drive", "90210", "Beachtown", "CA", "USA"]
    assert "are saved" in page.get_by_role("status").inner_text()
    assert version_of(ready, "/v1/properties/abc123") == before


def test_a_refused_comment_keeps_its_text(page, ready):
    """The text contains quotes and a line break."""
    page.goto(f"/admin/tickets/{changed_ticket(ready)}")
    page.get_by_label("Add a comment").fill("x" * 65_536 + '\n"<b>')
    page.get_by_role("button", name="Comment").click()

    assert page.get_by_label("Add a comment").input_value() == "x" * 65_536 + '\n"<b>'
    assert page.get_by_label("Status").input_value() == "in_progress"


@pytest.mark.parametrize(("viewport", "scheme"), [({**DESKTOP, "width": 1440}, "light"), (PHONE, "dark")])
def test_only_a_field_that_two_people_changed_is_a_conflict(chromium, ready, viewport, scheme):
    options = {"viewport": viewport, "color_scheme": scheme, "bypass_csp": True}  # for axe-core
    page = new_page(chromium, ready.base_url, **options)
    sign_in(page)
    ticket_id = changed_ticket(ready)
    page.route("**/news?*", lambda route: route.abort())  # otherwise the form is updated at once
    page.goto(f"/admin/tickets/{ticket_id}")
    theirs = {"status": "open", "priority": "low", "unit_id": None}
    assert ready.client("staff").patch(f"/v1/tickets/{ticket_id}", json=theirs).status_code == 200

    page.get_by_label("Status").select_option("closed")
    page.get_by_role("button", name="Save").click()
    asked = page.locator("form[aria-labelledby=work] .error").all_inner_texts()
    shown = [page.get_by_label(name).input_value() for name in ("Status", "Priority", "Assignee", "Unit")]
    save_screenshot(page, f"ticket-conflict-{viewport['width']}")
    problems, too_wide = find_accessibility_problems(page), is_too_wide(page)
    page.get_by_role("button", name="Save").click()
    page.get_by_role("status").wait_for()
    page.context.close()

    assert asked == ["Stored value: Open."]
    assert shown == ["closed", "low", "user101", ""]
    assert (problems, too_wide) == ([], False)
    now = ready.client().get(f"/v1/tickets/{ticket_id}").json()["data"]
    assert (now["status"], now["priority"], now["unit"]) == ("closed", "low", None)


@pytest.mark.parametrize("name", WORK)
def test_going_back_shows_what_is_stored_now(page, ready, ids, name):
    """After going back, a browser fetches the page and fills in the form's earlier input."""
    work = WORK[name]
    path, api = work.page.format(**ids), work.api.format(**ids)
    page.goto(path)
    page.goto("/admin")
    assert ready.client().patch(api, json={**work.theirs, **work.their_clash}).status_code == 200
    theirs = ready.client().get(api).json()["data"]

    page.go_back()
    page.get_by_role("button", name="Save").click()
    page.get_by_role("status").wait_for()

    now = ready.client().get(api).json()["data"]
    assert {**now, "updated_at": ""} == {**theirs, "updated_at": ""}


def test_a_rate_limit_that_is_not_a_number_is_refused(page):
    page.goto("/admin/keys/new")
    page.get_by_role("textbox", name="Name").fill("Mistyped")
    page.get_by_label("Requests an hour").fill("5e")
    page.get_by_role("button", name="Create key").click()

    assert (
        page.locator("#rate_limit-error")
        .get_by_text("Enter a whole number, or nothing for no limit.")
        .is_visible()
    )


def test_a_person_gets_access_by_a_link_and_loses_it_without_script(chromium, ready):
    site, password = ready, "walrus trumpet sapphire ladder"
    person = site.person(name="Alex Access", role="staff")
    give_password(site.store, person["id"])
    page = new_page(chromium, site.base_url, java_script_enabled=False)
    page.goto("/admin/password")
    page.get_by_label("E-mail address").fill(PEOPLE["manager"][0])
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in").click()
    save_screenshot_if_enabled(page, "own-password")
    page.goto(f"/admin/users/{person['id']}")
    save_screenshot_if_enabled(page, "person")
    page.get_by_role("link", name="One-time link").click()
    page.get_by_role("button", name="Make link").click()
    save_screenshot_if_enabled(page, "person-link")
    link = page.get_by_label("Link for Alex Access").inner_text()

    guest = new_page(chromium, site.base_url, java_script_enabled=False)
    guest.goto(link)
    guest.get_by_label("New password").fill(password)
    guest.get_by_label("Repeat the password").fill(password)
    save_screenshot_if_enabled(guest, "one-time-link")
    guest.get_by_role("button", name="Set password").click()
    save_screenshot_if_enabled(guest, "one-time-link-used")
    guest.get_by_role("link", name="Sign in").click()
    guest.get_by_label("E-mail address").fill(person["email"])
    guest.get_by_label("Password").fill(password)
    guest.get_by_role("button", name="Sign in").click()
    guest.wait_for_url("**/admin")

    page.goto(f"/admin/users/{person['id']}")
    page.get_by_role("link", name="Deactivate").click()
    save_screenshot_if_enabled(page, "deactivate")
    page.get_by_role("button", name="Deactivate").click()
    save_screenshot_if_enabled(page, "person-deactivated")
    guest.reload()
    assert "/admin/sign-in" in guest.url
    page.goto("/admin/users")
    save_screenshot_if_enabled(page, "people")
    page.goto("/admin/tickets?assigned_to=inactive")
    save_screenshot_if_enabled(page, "tickets-inactive")
    page.context.close()
    guest.context.close()
