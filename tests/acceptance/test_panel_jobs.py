"""What people do all day, with and without script, on a phone and a desktop: its clicks and page loads."""

from __future__ import annotations

from typing import NamedTuple

import pytest
from playwright.sync_api import FilePayload, Locator, Page

from tests.acceptance.panel import browser_of, give_passwords, with_session
from tests.acceptance.pictures import photo
from tests.acceptance.site import PEOPLE
from tests.support.chromium import DESKTOP, PHONE, new_page

TICKETS = 20
PHOTO: FilePayload = {"name": "wall.jpg", "mimeType": "image/jpeg", "buffer": photo()}


class Desk:
    """A page of a person, whose clicks and loads are counted from `begin` on."""

    def __init__(self, page: Page, *, has_script: bool) -> None:
        self.page = page
        self.has_script = has_script
        self.clicks = self.loads = 0
        page.on("load", self._count_load)

    def begin(self, path: str) -> None:
        self.page.goto(path)
        self.clicks = self.loads = 0

    def click(self, role: str, name: str) -> None:
        self.page.get_by_role(role, name=name, exact=True).first.click()
        self.clicks += 1

    def choose(self, label: str, value: str) -> None:
        """Choose from a list, which counts as one click."""
        self.page.get_by_label(label, exact=True).last.select_option(value)
        self.clicks += 1

    def tick(self, box: Locator) -> None:
        box.check()
        self.clicks += 1

    def attach(self, label: str) -> None:
        self.page.get_by_label(label).first.set_input_files([PHOTO])
        self.clicks += 1

    def counted(self) -> tuple[int, int]:
        """The clicks and loads so far."""
        self.page.wait_for_load_state("load")
        return self.clicks, self.loads

    def _count_load(self, _: object) -> None:
        self.loads += 1


class Case(NamedTuple):
    size: dict[str, int]
    has_script: bool


CASES = [Case(size, has_script) for size in (PHONE, DESKTOP) for has_script in (True, False)]
IDS = [
    f"{'phone' if case.size is PHONE else 'desktop'}-{'script' if case.has_script else 'plain'}"
    for case in CASES
]


@pytest.fixture(scope="module")
def sessions(site):
    give_passwords(site)
    return {role: browser_of(site, role) for role in ("staff", "guest")}


@pytest.fixture(params=CASES, ids=IDS)
def desk(request, site, sessions, chromium):
    """Returns a function that opens a desk for that role."""
    pages = []

    def desk(role):
        case = request.param
        page = new_page(chromium, site.base_url, viewport=case.size, java_script_enabled=case.has_script)
        pages.append(page)
        return Desk(with_session(page, site, sessions[role]), has_script=case.has_script)

    yield desk
    for page in pages:
        page.context.close()


def now(site, ticket_id):
    return site.client().get(f"/v1/tickets/{ticket_id}").json()["data"]


def test_the_leak_in_a_unit_is_found_with_two_words(site, desk, request):
    number = 7_000 + IDS.index(request.node.callspec.id)
    unit = site.client().post("/v1/properties/abc123/units", json={"name": f"Unit {number}"}).json()["data"]
    title = f"Leak below sink {number * 2}"
    ticket_id = site.ticket("guest", title=title)["id"]
    site.client().patch(f"/v1/tickets/{ticket_id}", json={"unit_id": unit["id"]})
    for other in range(30):
        site.ticket("guest", title=f"Leaking {other}")
    staff = desk("staff")
    staff.begin("/admin/tickets")

    box = staff.page.get_by_label("Search", exact=True)
    box.press_sequentially(f"leak {number}")
    if not staff.has_script:
        box.press("Enter")
    staff.page.get_by_role("link", name=title).wait_for()
    assert staff.page.locator("table.tickets tbody tr").count() == 1
    assert staff.counted() == ((0, 0) if staff.has_script else (0, 1))


def test_a_ticket_is_taken_started_and_commented_on_with_one_click(site, desk):
    ticket_id, staff = site.ticket("guest")["id"], desk("staff")
    staff.begin(f"/admin/tickets/{ticket_id}")
    staff.page.get_by_label("Add a comment").fill("On my way.")
    staff.click("button", "Start")
    staff.page.get_by_text("On my way.").wait_for()

    ticket = now(site, ticket_id)
    assert (ticket["status"], ticket["assigned_to"]["id"]) == ("in_progress", PEOPLE["staff"][0])
    assert [comment["text"] for comment in ticket["comments"]] == ["On my way."]
    assert staff.counted() == (1, 1)


def test_a_photo_is_attached_with_two_clicks_and_one_load_at_most(site, desk):
    ticket_id, staff = site.ticket("guest")["id"], desk("staff")
    staff.begin(f"/admin/tickets/{ticket_id}")
    staff.attach("Add photos and files")
    if not staff.has_script:
        staff.click("button", "Attach")
    staff.page.locator("img[alt='wall.jpg']").first.wait_for()

    assert [file["filename"] for file in now(site, ticket_id)["attachments"]] == ["wall.jpg"]
    assert staff.counted() == ((1, 0) if staff.has_script else (2, 1))


def test_twenty_tickets_are_closed_with_four_clicks_and_one_load_at_most(site, desk, request):
    word = "Jobs" + request.node.callspec.id.replace("-", "")
    ids = [site.ticket("guest", title=f"{word} {number}")["id"] for number in range(TICKETS)]
    staff = desk("staff")
    staff.begin(f"/admin/tickets?q={word}&status=open")
    if staff.has_script:  # the bar below the list appears with the first ticked ticket
        staff.tick(staff.page.locator("td.box input").first)
    staff.tick(staff.page.get_by_label(f"All {TICKETS} on this page"))
    staff.choose("Status", "closed")
    staff.click("button", "Change")
    staff.page.get_by_text("The tickets are changed.").wait_for()

    assert {now(site, ticket_id)["status"] for ticket_id in ids} == {"closed"}
    assert staff.counted() == ((4, 1) if staff.has_script else (3, 1))


def test_a_tenant_reports_a_problem_with_a_photo_with_six_clicks_and_two_loads_at_most(site, desk, request):
    title, tenant = f"The tap drips {request.node.callspec.id}", desk("guest")
    tenant.begin("/admin/my")
    tenant.click("link", "Report a problem")
    tenant.page.get_by_label("What is wrong?").fill(title)
    tenant.choose("Where?", "abc123/")
    tenant.page.get_by_label("Details").fill("Since this morning.")
    tenant.attach("Photos")
    tenant.click("button", "Send")
    tenant.page.get_by_text("Your report is sent.").wait_for()

    assert tenant.page.get_by_role("heading", name=title).is_visible()
    assert tenant.page.locator("img[alt='wall.jpg']").count() >= 1
    clicks, loads = tenant.counted()
    assert clicks <= 6
    assert loads <= 2
