"""The place of a ticket in its form, and tickets that are opened for others, with assignee and photos."""

from __future__ import annotations

from urllib.parse import urljoin

import pytest

from tests.acceptance.panel import browser_of, give_passwords, give_session
from tests.acceptance.pictures import photo
from tests.acceptance.site import PEOPLE
from tests.support.browser import forms_of
from tests.support.chromium import (
    DESKTOP,
    PHONE,
    find_accessibility_problems,
    new_page,
    save_screenshot_if_enabled,
)

PHOTO = ("pipe.jpg", photo(), "image/jpeg")
NO_FILE = ("", b"", "application/octet-stream")
GUEST, STAFF = PEOPLE["guest"][0], PEOPLE["staff"][0]


@pytest.fixture(scope="module")
def browsers(site):
    give_passwords(site)
    return {role: browser_of(site, role) for role in ("admin", "manager", "staff")}


@pytest.fixture(scope="module")
def attic_id(site):
    """The id of the unit Attic of the other property."""
    made = site.client("admin").post("/v1/properties/def456/units", json={"name": "Attic"})
    assert made.status_code == 201, made.text
    return made.json()["data"]["id"]


@pytest.fixture(scope="module")
def tenant(site):
    return site.person(name="Tess Tenant", role="guest")


def form_in(page):
    return next(form for form in forms_of(page) if "title" in form.typed)


def save(browser, ticket_id, form=None, **values):
    path = f"/admin/tickets/{ticket_id}/edit"
    return browser.send(path, (form or form_in(browser.open(path).text)).with_typed(**values))


def open_ticket(browser, *files, **values):
    path = "/admin/tickets/new?property_id=abc123"
    form = form_in(browser.open(path).text)
    return browser.http.post(
        urljoin(browser.base_url, "/admin/tickets/new"),
        data=form.with_typed(title="Tap drips", category="plumbing", **values),
        files=[("files", file) for file in files or [NO_FILE]],
        headers={"Sec-Fetch-Site": "same-origin"},
        allow_redirects=False,
        timeout=60,
    )


def read(site, ticket_id):
    return site.client().get(f"/v1/tickets/{ticket_id}").json()["data"]


def place_of(site, ticket_id):
    now = read(site, ticket_id)
    return now["property"]["id"], now["unit"] and now["unit"]["id"]


def test_staff_change_the_unit_and_only_managers_the_property(site, browsers):
    ticket_id = site.ticket("guest")["id"]
    page = browsers["staff"].open(f"/admin/tickets/{ticket_id}/edit").text
    assert "property_id" not in form_in(page).typed

    assert save(browsers["staff"], ticket_id, unit_id="").status_code == 303
    assert place_of(site, ticket_id) == ("abc123", None)
    form = form_in(page)
    forged = browsers["staff"].send(
        f"/admin/tickets/{ticket_id}/edit", [*form.pairs, ("property_id", "def456")]
    )
    assert forged.status_code in (403, 422)
    assert place_of(site, ticket_id) == ("abc123", None)


def test_a_ticket_is_moved_to_a_unit_of_another_property(site, browsers, attic_id):
    ticket_id = site.ticket("guest")["id"]
    admin, path = browsers["admin"], f"/admin/tickets/{ticket_id}/edit"

    asked = save(admin, ticket_id, property_id="def456", title="Leak above", step="units")
    form = form_in(asked.text)
    assert (asked.status_code, form.fields["title"]) == (200, "Leak above")
    assert "Attic" in asked.text
    assert place_of(site, ticket_id) == ("abc123", "unit456")
    assert admin.send(path, form.with_typed(unit_id=attic_id)).status_code == 303
    assert place_of(site, ticket_id) == ("def456", attic_id)
    assert read(site, ticket_id)["title"] == "Leak above"


def test_a_unit_of_another_property_is_refused_with_a_message_at_the_field(site, browsers, attic_id):
    ticket_id = site.ticket("guest")["id"]
    answer = save(browsers["admin"], ticket_id, property_id="def456")
    assert (answer.status_code, place_of(site, ticket_id)) == (422, ("abc123", "unit456"))
    assert 'id="unit_id-error"' in answer.text
    assert "Attic" in answer.text


def test_a_manager_gives_a_ticket_to_another_tenant_who_then_sees_it_with_its_comments_and_files(
    site, browsers, tenant
):
    ticket_id = site.ticket("guest")["id"]
    path = f"/v1/tickets/{ticket_id}"
    former, new = site.client("guest"), site.client(key=site.key(role="guest", user_id=tenant["id"]))
    former.post(f"{path}/comments", json={"text": "It is wet."})
    file = former.post(f"{path}/attachments", files={"file": PHOTO}).json()["data"]

    assert save(browsers["manager"], ticket_id, requester_id=tenant["id"]).status_code == 303

    assert [former.get(path + part).status_code for part in ("", "/comments", "/history")] == [404, 404, 404]
    assert former.post(f"{path}/comments", json={"text": "And now?"}).status_code == 404
    now = new.get(path).json()["data"]
    assert now["requester"] == {"id": tenant["id"], "name": "Tess Tenant"}
    assert [one["text"] for one in now["comments"]] == ["It is wet."]
    assert [one["id"] for one in now["attachments"]] == [file["id"]]
    assert ticket_id in [one["id"] for one in new.get("/v1/tickets").json()["data"]]
    assert new.post(f"{path}/comments", json={"text": "Thank you."}).status_code == 201
    page = browsers["manager"].open(f"/admin/tickets/{ticket_id}").text
    assert "changed the requester to" in page
    assert "Tess Tenant" in page
    history = browsers["manager"].open(f"/admin/tickets/{ticket_id}/history").text
    assert "changed the requester" in history
    assert history.index("John Doe") > history.index("changed the requester")


def test_a_requester_from_elsewhere_is_refused_at_the_field_and_the_present_one_stays_offered(site, browsers):
    ticket_id = site.ticket("admin")["id"]
    path = f"/admin/tickets/{ticket_id}/edit"
    assert "selected>Ada Admin</option>" in browsers["manager"].open(path).text

    answer = save(browsers["manager"], ticket_id, requester_id=PEOPLE["foreign"][0], title="Kept")

    assert answer.status_code == 422
    assert 'id="requester_id-error"' in answer.text
    assert form_in(answer.text).fields["title"] == "Kept"
    assert read(site, ticket_id)["requester"]["id"] == PEOPLE["admin"][0]
    assert save(browsers["manager"], ticket_id, title="Only the title").status_code == 303


def test_staff_cannot_change_the_requester(site, browsers):
    ticket_id = site.ticket("guest")["id"]
    path = f"/admin/tickets/{ticket_id}/edit"
    form = form_in(browsers["staff"].open(path).text)
    assert "requester_id" not in form.typed

    assert browsers["staff"].send(path, [*form.pairs, ("requester_id", STAFF)]).status_code == 403
    assert read(site, ticket_id)["requester"]["id"] == GUEST


def test_a_requester_that_somebody_else_changed_meanwhile_is_shown_by_name(site, browsers, tenant):
    ticket_id = site.ticket("guest")["id"]
    form = form_in(browsers["manager"].open(f"/admin/tickets/{ticket_id}/edit").text)
    assert save(browsers["admin"], ticket_id, requester_id=tenant["id"]).status_code == 303

    answer = save(browsers["manager"], ticket_id, form, requester_id=STAFF)

    assert answer.status_code in (409, 412)
    assert "Stored value: Tess Tenant." in answer.text
    assert read(site, ticket_id)["requester"]["id"] == tenant["id"]


def test_a_manager_opens_a_ticket_for_a_tenant_with_assignee_and_photos(site, browsers):
    answer = open_ticket(browsers["manager"], PHOTO, requester_id=GUEST, assigned_to=STAFF, unit_id="unit456")

    assert answer.status_code == 303, answer.text
    ticket = read(site, answer.headers["Location"].rpartition("/")[2])
    assert (ticket["requester"]["id"], ticket["assigned_to"]["id"]) == (GUEST, STAFF)
    assert [file["filename"] for file in ticket["attachments"]] == ["pipe.jpg"]


def test_without_a_choice_the_ticket_is_ones_own_and_unassigned(site, browsers):
    answer = open_ticket(browsers["staff"])

    ticket = read(site, answer.headers["Location"].rpartition("/")[2])
    assert (ticket["requester"]["id"], ticket["assigned_to"]) == (STAFF, None)


def test_staff_cannot_name_a_requester(browsers):
    page = browsers["staff"].open("/admin/tickets/new?property_id=abc123").text
    assert "requester_id" not in form_in(page).typed
    assert open_ticket(browsers["staff"], requester_id=GUEST).status_code == 403


def test_if_the_assignee_is_refused_no_ticket_is_opened(site, browsers):
    before = site.client().get("/v1/tickets/count").json()["data"]
    answer = open_ticket(browsers["manager"], PHOTO, assigned_to=PEOPLE["foreign"][0])
    assert answer.status_code == 422
    assert 'id="assigned_to-error"' in answer.text
    assert site.client().get("/v1/tickets/count").json()["data"] == before


@pytest.mark.parametrize(
    ("size", "script"), [(PHONE, True), (DESKTOP, False)], ids=["phone-script", "desktop-plain"]
)
def test_a_ticket_for_a_tenant_is_opened_in_chromium(site, browsers, tmp_path, size, script, chromium):
    (tmp_path / "pipe.jpg").write_bytes(photo())
    page = new_page(chromium, site.base_url, viewport=size, java_script_enabled=script)
    give_session(page, site, browsers["admin"])
    page.goto("/admin/tickets/new")
    page.get_by_label("Title").fill("Window will not shut")
    if script:
        page.get_by_label("Photos and files").set_input_files(tmp_path / "pipe.jpg")
    page.get_by_label("Property").select_option("abc123")
    page.get_by_role("button", name="Choose a unit").click()
    page.get_by_label("Requester").select_option(GUEST)
    page.get_by_label("Assignee").select_option(STAFF)
    page.get_by_label("Unit", exact=False).first.select_option("unit456")
    if script:
        assert find_accessibility_problems(page) == []
        save_screenshot_if_enabled(page, f"ticket-new-{size['width']}")
    else:
        page.get_by_label("Photos and files").set_input_files(tmp_path / "pipe.jpg")
    page.get_by_role("button", name="Open ticket").last.click()
    page.get_by_role("heading", level=1, name="Window will not shut").wait_for()
    ticket = read(site, page.url.rpartition("/")[2])
    page.context.close()
    assert (ticket["requester"]["id"], ticket["assigned_to"]["id"]) == (GUEST, STAFF)
    assert [file["filename"] for file in ticket["attachments"]] == ["pipe.jpg"]
