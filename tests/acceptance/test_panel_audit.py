"""The audit pages: who may use them, searching, one event with its proof, exports, and as of a time."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime, timedelta
from urllib.parse import urlencode

import pytest

from tests.acceptance.panel import browser_of, events_of, first_position, give_passwords, give_session, hidden
from tests.acceptance.site import PEOPLE
from tests.acceptance.test_audit import find_events
from tests.support.chromium import (
    SIZES_AND_SCHEMES,
    find_accessibility_problems,
    new_page,
    save_screenshot_if_enabled,
)
from tests.support.exports import run_verifier
from tests.support.waiting import eventually

FOR_MANAGERS = ("/admin/audit", "/admin/audit/events/{position}")
FOR_ADMINS = (
    "/admin/audit/exports",
    "/admin/audit/export?from=1&to={position}",
    "/admin/audit/export/manifest?from=1&to={position}",
    "/admin/audit/events/{position}/proof",
)


@pytest.fixture(scope="module")
def browsers(site):
    """A browser for each role."""
    give_passwords(site)
    return {role: browser_of(site, role) for role in ("admin", "manager", "staff", "guest")}


@pytest.fixture(scope="module")
def ticket_id(site):
    """The id of a ticket that a guest opened and that staff closed with a key."""
    ticket_id = site.ticket("guest", title="Leak <b>")["id"]
    site.client("staff").patch(f"/v1/tickets/{ticket_id}", json={"status": "closed"})
    eventually(lambda: len(events_of(site, ticket_id)) >= 2, within=60)
    return ticket_id


@pytest.fixture(scope="module")
def signed(site, ticket_id):
    """The position of the first event of the ticket, in a log that is signed up to its end."""
    end = site.store.recorder.max_notification_id()
    assert site.client().get(f"/v1/audit/export?from=1&to={end}").status_code == 200
    return first_position(site, ticket_id)


def search(browser, **filters):
    return browser.open(f"/admin/audit?{urlencode(filters)}")


def positions(page):
    """The positions of the events that the page lists."""
    return re.findall(r'<th scope="row"><a href="/admin/audit/events/(\d+)"', page.text)


def test_only_managers_and_admins_read_events_and_only_admins_export(browsers, signed):
    for path in FOR_MANAGERS:
        answers = {role: browser.open(path.format(position=signed)) for role, browser in browsers.items()}
        statuses = {role: answer.status_code for role, answer in answers.items()}
        assert statuses == {"admin": 200, "manager": 200, "staff": 403, "guest": 403}, path
    for path in FOR_ADMINS:
        answers = {role: browser.open(path.format(position=signed)) for role, browser in browsers.items()}
        statuses = {role: answer.status_code for role, answer in answers.items()}
        assert statuses == {"admin": 200, "manager": 403, "staff": 403, "guest": 403}, path


def test_the_navigation_leads_to_the_audit_trail_for_those_who_may_read_it(browsers):
    link = '<a href="/admin/audit"'
    shown = {role: link in browser.open("/admin").text for role, browser in browsers.items()}

    assert shown == {"admin": True, "manager": True, "staff": False, "guest": False}


def test_a_manager_finds_only_events_of_their_properties(site, browsers):
    foreign = site.ticket("admin", property_id="def456", unit_id=None)["id"]
    position = first_position(site, foreign)

    assert positions(search(browsers["admin"], subject=foreign)) == [position]
    assert positions(search(browsers["manager"], subject=foreign)) == []
    assert browsers["manager"].open(f"/admin/audit/events/{position}").status_code == 404


def test_the_filters_find_what_the_api_finds(site, browsers, ticket_id):
    closed, opened = events_of(site, ticket_id)[0], events_of(site, ticket_id)[-1]
    number = site.client().get(f"/v1/tickets/{ticket_id}").json()["data"]["number"]
    today = datetime.now(UTC).date()
    all_of_it = [str(event["position"]) for event in events_of(site, ticket_id)]
    admin = browsers["admin"]

    assert positions(search(admin, subject=ticket_id)) == all_of_it
    assert positions(search(admin, subject=number)) == all_of_it
    assert positions(search(admin, subject=f"#{number}")) == all_of_it
    assert positions(search(admin, subject=ticket_id, action="ticket.opened")) == [str(opened["position"])]
    assert positions(search(admin, subject=ticket_id, action="ticket.*")) == all_of_it
    guest = f"{PEOPLE['guest'][0]}@example.com"
    assert positions(search(admin, subject=ticket_id, actor=guest)) == [str(opened["position"])]
    assert str(closed["position"]) in positions(search(admin, key=closed["auth"]["key_id"]))
    assert positions(search(admin, subject=ticket_id, property_id="abc123")) == all_of_it
    assert positions(search(admin, subject=ticket_id, property_id="def456")) == []
    assert positions(search(admin, subject=ticket_id, first_day=today, last_day=today)) == all_of_it
    assert positions(search(admin, subject=ticket_id, last_day=today - timedelta(days=1))) == []


def test_an_admin_finds_events_by_the_name_of_the_key_and_sees_it(site, browsers):
    key = site.key(role="staff", user_id=PEOPLE["staff"][0], name="Night porter")
    ticket_id = (
        site.client(key=key)
        .post("/v1/tickets", json={"title": "By key", "property_id": "abc123"})
        .json()["data"]["id"]
    )
    position = first_position(site, ticket_id)

    found, of_manager = (
        search(browsers["admin"], key="night PORTER"),
        search(browsers["manager"], subject=ticket_id),
    )

    assert position in positions(found)
    assert "Night porter" in found.text
    assert positions(of_manager) == [position]
    assert "Night porter" not in of_manager.text, "the names of keys are for admins"
    assert search(browsers["manager"], key="night PORTER").status_code == 422


def test_pages_of_the_search_follow_the_cursor(site, browsers, ticket_id):
    admin, seen = browsers["admin"], []
    path = f"/admin/audit?subject={ticket_id}&per_page=1"
    while path:
        page = admin.open(path)
        seen += positions(page)
        following = re.search(r'rel="next" href="([^"]+)"', page.text)
        path = following[1].replace("&amp;", "&") if following else None

    assert seen == [str(event["position"]) for event in events_of(site, ticket_id)]


@pytest.mark.parametrize(
    ("filters", "field"),
    [
        ({"action": "nothing"}, "action"),
        ({"actor": "No One Of That Name!"}, "actor"),
        ({"key": "<script>"}, "key"),
        ({"subject": "two words"}, "subject"),
        ({"property_id": "No Such House"}, "property_id"),
        ({"first_day": "yesterday"}, "first_day"),
        ({"first_day": "2026-02-02", "last_day": "2026-02-01"}, "last_day"),
    ],
)
def test_a_filter_that_means_nothing_is_refused_at_its_field(browsers, filters, field):
    answer = search(browsers["admin"], **filters)

    assert answer.status_code == 422
    assert f'id="{field}-error"' in answer.text


@pytest.mark.parametrize("filters", [{"cursor": "forged"}, {"last_day": "9999-12-31"}, {"subject": "9" * 60}])
def test_odd_filters_are_not_a_server_error(browsers, filters):
    assert search(browsers["admin"], **filters).status_code in (200, 422)


def test_reading_the_audit_trail_in_the_panel_is_recorded(site, browsers, ticket_id):
    search(browsers["manager"], subject=ticket_id)

    def is_recorded():
        read = find_events(site.client(), action="audit.read", actor=PEOPLE["manager"][0])
        facts = [(event["facts"]["route"], event["facts"]["filters"]) for event in read]
        return ("/admin/audit", {"subject": ticket_id}) in facts

    eventually(is_recorded, within=60)


def test_an_event_shows_its_content_names_and_proof(site, browsers, signed):
    page = browsers["admin"].open(f"/admin/audit/events/{signed}").text
    event_id = re.search(r"<dt>Id</dt><dd><code>([^<]+)", page)[1]
    proof = site.client().get(f"/v1/audit/events/{event_id}/proof").json()["data"]
    file = browsers["admin"].open(f"/admin/audit/events/{signed}/proof")

    assert "&#34;title&#34;: &#34;Leak &lt;b&gt;&#34;" in page
    assert "John Doe" in page
    for name in ("leaf", "root", "chain_before"):
        assert proof[name] in page
    checkpoint = json.loads(proof["checkpoint"])
    assert checkpoint["signed_by"] in page
    assert checkpoint["chain"] in page
    assert file.json() == proof
    assert f"proof-{signed}.json" in file.headers["Content-Disposition"]


def test_a_manager_sees_the_content_of_an_event_without_the_proof(browsers, signed):
    page = browsers["manager"].open(f"/admin/audit/events/{signed}").text

    assert "Leak &lt;b&gt;" in page
    assert "Download the proof" not in page


def test_an_event_that_is_not_signed_yet_says_so(site, browsers, signed):
    position = first_position(site, site.ticket("guest")["id"])

    page = browsers["admin"].open(f"/admin/audit/events/{position}")

    assert (page.status_code, "is not signed yet" in page.text) == (200, True)
    assert browsers["admin"].open(f"/admin/audit/events/{position}/proof").status_code in (404, 409)


@pytest.mark.parametrize("position", ["0", "999999999999", "x", "9" * 30, "-1"])
def test_a_position_without_an_event_is_not_found(browsers, position):
    assert browsers["admin"].open(f"/admin/audit/events/{position}").status_code == 404
    assert browsers["admin"].open(f"/admin/audit/events/{position}/proof").status_code == 404


@pytest.mark.parametrize("file_format", ["ndjson", "csv"])
@pytest.mark.parametrize("days", [{}, {"first_day": "today", "last_day": "today"}], ids=["all", "today"])
def test_an_export_and_its_manifest_pass_the_verifier(browsers, signed, tmp_path, file_format, days):
    today = datetime.now(UTC).date().isoformat()
    asked = urlencode({"format": file_format, **dict.fromkeys(days, today)})
    page = browsers["admin"].open(f"/admin/audit/exports?{asked}").text
    paths = [path.replace("&amp;", "&") for path in re.findall(r'href="([^"]+)" download', page)]

    for name, path in zip(("data", "manifest"), paths, strict=True):
        answer = browsers["admin"].open(path)
        assert "attachment" in answer.headers["Content-Disposition"]
        (tmp_path / name).write_bytes(answer.content)

    done = run_verifier(tmp_path / "data", tmp_path / "manifest")
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("format=ndjson&first_day=2100-01-01", "first_day"),
        ("format=ndjson&last_day=2100-01-01", "last_day"),
        ("format=ndjson&last_day=2000-01-01", "last_day"),
        ("format=ndjson&last_day=9999-12-31", "last_day"),
        ("format=ndjson&first_day=x", "first_day"),
        ("format=xml", "format"),
    ],
)
def test_a_range_without_events_is_refused_at_its_field(browsers, signed, query, field):
    answer = browsers["admin"].open(f"/admin/audit/exports?{query}")

    assert answer.status_code == 422
    assert f'id="{field}-error"' in answer.text


def test_the_checks_show_the_last_checkpoint_and_its_signer(site, browsers, signed):
    page = browsers["admin"].open("/admin/checks").text
    with site.pool.connection() as conn:
        rows = conn.execute("SELECT line FROM notary.statements WHERE position IS NOT NULL ORDER BY number")
        facts = json.loads(rows.fetchall()[-1][0])

    assert facts["signed_by"] in page
    assert facts["chain"] in page
    assert f"<dt>Position</dt><dd>{facts['position']:,}</dd>" in page


def test_a_verification_shows_its_result_and_the_checkpoint_that_it_confirmed(site, browsers, signed):
    admin = browsers["admin"]
    assert admin.send("/admin/checks", hidden(admin.open("/admin/checks").text)).status_code == 303

    page = eventually(lambda: finished_check(admin), within=60)

    assert "No problems" in page
    with site.pool.connection() as conn:
        rows = conn.execute("SELECT line FROM notary.statements WHERE position IS NOT NULL ORDER BY number")
        facts = json.loads(rows.fetchall()[-1][0])
    assert f"statement {facts['number']}, position {facts['position']:,}, signed" in page
    assert f"by <code>{facts['signed_by']}</code>" in page


def finished_check(admin):
    """The page of the checks, once the verification has ended; an empty text before."""
    page = admin.open("/admin/checks").text
    return page if "events up to position" in page else ""


def test_a_long_text_is_cut_in_the_list_and_complete_on_the_page_of_the_event(site, browsers):
    ticket_id = site.ticket("guest", description="long " * 12_000 + "end")["id"]
    position = first_position(site, ticket_id)

    listed = search(browsers["admin"], subject=ticket_id).text
    opened = browsers["admin"].open(f"/admin/audit/events/{position}").text

    assert len(listed) < 40_000
    assert "to read all of it" in listed
    assert "long end" in opened


def test_the_history_shows_a_ticket_as_of_a_time(site, browsers, ticket_id):
    path = f"/admin/tickets/{ticket_id}/history"
    staff, opened = browsers["staff"], events_of(site, ticket_id)[-1]["exact_time"]

    then = staff.open(f"{path}?as_of={opened.replace('+00:00', 'Z')}").text
    before = staff.open(f"{path}?as_of=2020-01-01T00:00").text

    past = then[then.index('id="past"') :]
    assert "As of <time" in past
    assert "<output>1</output>" in past
    assert "The ticket did not exist at that time." in before


@pytest.mark.parametrize("as_of", ["2999-01-01T00:00", "yesterday", "0" * 40, "<b>"])
def test_a_time_that_cannot_be_is_refused_at_the_field(browsers, ticket_id, as_of):
    answer = browsers["staff"].open(f"/admin/tickets/{ticket_id}/history?{urlencode({'as_of': as_of})}")

    assert answer.status_code == 422
    assert 'id="as_of-error"' in answer.text


@SIZES_AND_SCHEMES
def test_an_auditor_finds_an_event_reads_its_proof_and_exports_the_log(
    site, browsers, ticket_id, signed, size, scheme, chromium
):
    page = new_page(chromium, site.base_url, viewport=size, color_scheme=scheme)
    give_session(page, site, browsers["admin"])
    page.goto("/admin")
    page.get_by_role("link", name="Audit", exact=True).click()
    check(page, f"audit-{scheme}-{size['width']}")
    page.get_by_label("Ticket or object").fill(ticket_id)
    page.get_by_label("What happened").select_option("ticket.opened")
    page.get_by_role("button", name="Find").click()
    page.get_by_text("Content of event").click()
    page.get_by_text('"title": "Leak <b>"').wait_for()
    check(page, f"audit-found-{scheme}-{size['width']}")
    page.get_by_role("link", name="Ticket opened").click()
    page.get_by_role("heading", name="Proof").wait_for()
    check(page, f"audit-event-{scheme}-{size['width']}")
    with page.expect_download() as proof:
        page.get_by_role("link", name="Download the proof").click()
    page.goto("/admin/audit/exports")
    page.get_by_role("button", name="Find range").click()
    page.get_by_role("link", name="Download events").wait_for()
    check(page, f"audit-exports-{scheme}-{size['width']}")
    with page.expect_download() as events:
        page.get_by_role("link", name="Download events").click()
    page.goto(f"/admin/tickets/{ticket_id}/history?as_of=2020-01-01T00:00")
    check(page, f"history-as-of-{scheme}-{size['width']}")
    page.goto("/admin/checks")
    check(page, f"checks-{scheme}-{size['width']}")
    assert proof.value.suggested_filename == f"proof-{signed}.json"
    assert events.value.suggested_filename.endswith(".ndjson")
    page.context.close()


def check(page, name):
    """The page is accessible and not wider than the screen."""
    assert find_accessibility_problems(page) == []
    assert not page.evaluate("document.documentElement.scrollWidth > window.innerWidth")
    save_screenshot_if_enabled(page, name)
