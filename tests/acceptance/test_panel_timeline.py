"""The timeline of a ticket's page, and the form below it that takes several steps at once."""

from __future__ import annotations

import html
import re
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

STAFF, MANAGER = PEOPLE["staff"][0], PEOPLE["manager"][0]
PHOTO = ("pipe.jpg", photo(), "image/jpeg")
NO_FILE = ("", b"", "application/octet-stream")


@pytest.fixture(scope="module")
def browsers(site):
    give_passwords(site)
    return {role: browser_of(site, role) for role in ("staff", "guest", "manager")}


@pytest.fixture
def ticket_id(site):
    return site.ticket("guest")["id"]


@pytest.fixture
def send(browsers, ticket_id):
    """Returns a function that sends the form below the timeline with these values and photos."""

    def send(*photos, **values):
        staff = browsers["staff"]
        forms = forms_of(staff.open(f"/admin/tickets/{ticket_id}").text)
        form = next(one for one in forms if one.action.endswith("/comments"))
        return staff.http.post(
            urljoin(staff.base_url, form.action),
            data=form.with_typed(**values),
            files=[("photos", one) for one in photos or [NO_FILE]],
            headers={"Sec-Fetch-Site": "same-origin"},
            allow_redirects=False,
            timeout=60,
        )

    return send


@pytest.fixture
def state(site, ticket_id):
    """Returns a function that returns status, assignee, texts of comments and names of files."""

    def state():
        now = site.client().get(f"/v1/tickets/{ticket_id}").json()["data"]
        assignee = now["assigned_to"] and now["assigned_to"]["id"]
        texts = [comment["text"] for comment in now["comments"]]
        return now["status"], assignee, texts, [file["filename"] for file in now["attachments"]]

    return state


def timeline_of(page):
    """Returns the words of each entry, without its age and its links."""
    entries = re.search(r'<ol class="activity".*?</ol>', page, re.DOTALL)[0].split("<li")[1:]
    plain = [
        re.sub(r"<time.*?</time>|<a class=\"small.*?</a>|<p class=\"small\">.*?</p>", "", one)
        for one in entries
    ]
    return [" ".join(html.unescape(re.sub("^[^>]*>|<[^>]*>", " ", one)).split()) for one in plain]


def work_on(site, ticket_id):
    path = f"/v1/tickets/{ticket_id}"
    guest, staff, manager = (site.client(role) for role in ("guest", "staff", "manager"))
    staff.patch(path, json={"assigned_to": STAFF})
    staff.patch(path, json={"status": "in_progress"})
    staff.post(f"{path}/comments", json={"text": "Ask <b>Ann</b>", "visibility": "internal"})
    guest.post(f"{path}/attachments", files={"file": PHOTO})
    guest.post(f"{path}/comments", json={"text": "It drips."})
    staff.patch(path, json={"title": "Leak in the bath", "unit_id": None})
    manager.patch(path, json={"priority": "critical", "assigned_to": None})
    staff.patch(path, json={"tags": ["water"], "description": "More words"})


def test_comments_changes_and_files_are_in_the_order_of_time(site, browsers, ticket_id):
    work_on(site, ticket_id)

    page = browsers["staff"].open(f"/admin/tickets/{ticket_id}").text

    shown = timeline_of(page)
    assert shown[:6] == [
        "John Doe opened the ticket",
        "Jane Smith assigned the ticket to Jane Smith",
        "Jane Smith set the status to In progress",
        "Jane Smith Internal Ask <b>Ann</b>",
        "John Doe attached pipe.jpg",
        "John Doe It drips.",
    ]
    assert sorted(shown[6:8]) == [
        "Jane Smith changed the title to Leak in the bath",
        "Jane Smith moved the ticket to the whole property",
    ]
    assert sorted(shown[8:10]) == [
        "Max Manager set the priority to Critical",
        "Max Manager unassigned the ticket",
    ]
    assert sorted(shown[10:]) == ["Jane Smith changed the description", "Jane Smith changed the tags"]


def test_a_tenant_sees_public_comments_and_files_alone(site, browsers, ticket_id):
    work_on(site, ticket_id)

    page = browsers["guest"].open(f"/admin/my/{ticket_id}").text

    assert sorted(timeline_of(page)) == ["John Doe It drips.", "John Doe attached pipe.jpg"]
    assert "Ann" not in page
    assert "Max Manager" not in page


def test_removed_comments_and_files_leave_only_that_they_were_removed(site, browsers, ticket_id):
    staff, path = site.client("staff"), f"/v1/tickets/{ticket_id}"
    comment = staff.post(f"{path}/comments", json={"text": "A secret"}).json()["data"]["id"]
    file = staff.post(f"{path}/attachments", files={"file": PHOTO}).json()["data"]["id"]
    edited = staff.post(f"{path}/comments", json={"text": "First words"}).json()["data"]["id"]
    staff.patch(f"{path}/comments/{edited}", json={"text": "Last words"})
    staff.delete(f"{path}/comments/{comment}")
    staff.delete(f"{path}/attachments/{file}")

    page = browsers["staff"].open(f"/admin/tickets/{ticket_id}").text

    assert timeline_of(page)[1:] == [
        "Jane Smith , edited Last words",
        "Jane Smith removed a comment",
        "Jane Smith removed a file",
    ]
    assert not {"A secret", "pipe.jpg", "First words"} & set(
        re.findall("A secret|pipe.jpg|First words", page)
    )


def test_of_a_long_timeline_the_newest_100_entries_are_shown_with_links_to_the_rest(
    site, browsers, ticket_id
):
    staff, path = site.client("staff"), f"/v1/tickets/{ticket_id}"
    for number in range(102):
        staff.post(f"{path}/comments", json={"text": f"Comment {number}"})

    page = browsers["staff"].open(f"/admin/tickets/{ticket_id}").text

    shown = timeline_of(page)
    assert (len(shown), shown[0], shown[-1]) == (100, "Jane Smith Comment 2", "Jane Smith Comment 101")
    assert "The newest 100 of 103 changes." in page
    assert f'href="/admin/tickets/{ticket_id}/history"' in page
    assert f'href="/admin/tickets/{ticket_id}/comments">Show all comments' in page


def test_comment_status_assignee_and_photo_are_stored_together(site, ticket_id, send, state):
    answer = send(PHOTO, text="Done", set_status="closed", set_assigned_to=MANAGER)

    assert (answer.status_code, answer.headers["Location"]) == (303, f"/admin/tickets/{ticket_id}")
    assert state() == ("closed", MANAGER, ["Done"], ["pipe.jpg"])
    history = site.client().get(f"/v1/tickets/{ticket_id}/history").json()["data"]
    assert len({entry["request_id"] for entry in history[1:]}) == 1


def test_each_part_of_the_form_may_be_left_empty(send, state):
    send(set_assigned_to=STAFF)
    send(set_status="in_progress")
    send(PHOTO)
    send(text="Hello", visibility="internal")
    send(set_assigned_to="none")
    assert state() == ("in_progress", None, ["Hello"], ["pipe.jpg"])


def test_a_form_with_nothing_in_it_is_refused_with_a_message_at_the_text(send, state):
    answer = send()
    assert (answer.status_code, state()) == (422, ("open", None, [], []))
    assert 'id="text-error"' in answer.text


@pytest.mark.parametrize(
    ("values", "field"),
    [
        ({"set_status": "gone"}, "set_status"),
        ({"set_assigned_to": PEOPLE["foreign"][0]}, "set_assigned_to"),
        ({"text": "x" * 70_000}, "text"),
        ({"visibility": "secret"}, "visibility"),
    ],
)
def test_if_one_part_is_refused_nothing_is_stored_and_the_rest_is_shown_again(send, state, values, field):
    answer = send(PHOTO, **{"text": "Done", "set_status": "closed", **values})

    assert (answer.status_code, state()) == (422, ("open", None, [], []))
    assert f'id="{field}-error"' in answer.text
    composed = next(form for form in forms_of(answer.text) if form.action.endswith("/comments"))
    assert dict(composed.pairs)["text"] == values.get("text", "Done")


def test_a_text_that_was_sent_after_the_session_had_ended_can_be_sent_again(site, browsers, ticket_id):
    fresh = browser_of(site, "staff")
    path = f"/admin/tickets/{ticket_id}"
    form = next(one for one in forms_of(fresh.open(path).text) if one.action.endswith("/comments"))
    fresh.http.cookies.clear()
    sent = fresh.http.post(
        urljoin(fresh.base_url, form.action),
        data=form.with_typed(text="Kept words"),
        files=[("photos", PHOTO)],
        headers={"Sec-Fetch-Site": "same-origin"},
        allow_redirects=False,
        timeout=60,
    )
    assert sent.status_code == 403
    assert "Kept words" in sent.text
    assert "attach the files afterwards" in sent.text


@pytest.mark.parametrize(
    ("size", "script"), [(PHONE, True), (DESKTOP, False)], ids=["phone-script", "desktop-plain"]
)
def test_comment_assignee_and_photo_are_sent_with_one_click_in_chromium(
    site, browsers, ticket_id, state, tmp_path, script, size, chromium
):
    (tmp_path / "pipe.jpg").write_bytes(photo())
    page = new_page(chromium, site.base_url, viewport=size, java_script_enabled=script)
    give_session(page, site, browsers["staff"])
    page.goto(f"/admin/tickets/{ticket_id}")
    page.get_by_label("Add a comment").fill("I am on my way.")
    page.get_by_label("Assign to", exact=True).select_option(MANAGER)
    page.get_by_label("Photos to go with it").set_input_files(tmp_path / "pipe.jpg")
    page.get_by_role("button", name="Start").click()
    page.get_by_text("The ticket is saved.").wait_for()
    page.locator("#timeline").get_by_role("article").filter(has_text="I am on my way.").wait_for()
    if script:
        assert page.url.endswith(f"/admin/tickets/{ticket_id}")
        assert find_accessibility_problems(page) == []
        save_screenshot_if_enabled(page, f"ticket-composer-{size['width']}")
    page.context.close()
    assert state() == ("in_progress", MANAGER, ["I am on my way."], ["pipe.jpg"])
