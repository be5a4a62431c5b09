"""Photos and files on the page of a ticket: several at once, all or none of them, each once."""

from __future__ import annotations

from urllib.parse import urljoin

import pytest

from domain.ticket import ATTACHMENTS_PER_TICKET
from infrastructure.storage.attachment_store import ATTACHMENT_BYTES
from tests.acceptance.panel import browser_of, give_passwords
from tests.support.browser import forms_of

PHOTO = ("leak.jpg", b"\xff\xd8 photo", "image/jpeg")
NOTE = ("note.txt", b"It drips.", "text/plain")


@pytest.fixture(scope="module")
def staff(site):
    give_passwords(site)
    return browser_of(site, "staff")


@pytest.fixture
def ticket_id(site):
    return site.ticket("guest")["id"]


@pytest.fixture
def upload(site, staff, ticket_id):
    """Returns a function that sends files with the form of the ticket's page, or with the same form again."""
    (form,) = (
        one for one in forms_of(staff.open(f"/admin/tickets/{ticket_id}").text) if "attach" in one.action
    )

    def send(*files, **headers):
        return staff.http.post(
            urljoin(staff.base_url, form.action),
            data=form.fields,
            files=[("files", file) for file in files or [("", b"", "application/octet-stream")]],
            headers={"Sec-Fetch-Site": "same-origin", **headers},
            allow_redirects=False,
            timeout=60,
        )

    return send


@pytest.fixture
def names(site, ticket_id):
    """Returns a function that returns the names of the ticket's files."""

    def names():
        files = site.client().get(f"/v1/tickets/{ticket_id}/attachments").json()["data"]
        return [file["filename"] for file in files]

    return names


def test_several_files_are_attached_with_one_form_and_once(upload, names, staff, ticket_id):
    answers = [upload(PHOTO, NOTE), upload(PHOTO, NOTE)]

    assert [answer.status_code for answer in answers] == [303, 303]
    assert names() == ["leak.jpg", "note.txt"]
    page = staff.open(f"/admin/tickets/{ticket_id}").text
    assert "The files are attached." in page
    assert page.index("leak.jpg") < page.index("note.txt")


def test_other_files_sent_with_the_same_form_are_another_command(upload, names):
    assert upload(PHOTO).status_code == upload(NOTE).status_code == 303
    assert names() == ["leak.jpg", "note.txt"]


def test_a_form_without_a_file_is_refused_with_a_message_at_the_field(upload, names):
    answer = upload()
    assert (answer.status_code, names()) == (422, [])
    assert 'id="files-error">Choose a file, or several.' in answer.text


def test_of_files_of_which_one_is_too_large_none_is_attached(upload, names):
    answer = upload(PHOTO, NOTE, ("film.mp4", bytes(ATTACHMENT_BYTES + 1), "video/mp4"))
    assert (answer.status_code, names()) == (422, [])
    assert "film.mp4 is larger than 25 MB. No file was attached." in answer.text


def test_of_more_files_than_a_ticket_holds_none_is_attached(upload, names):
    answer = upload(*[(f"{number}.txt", b"x", "text/plain") for number in range(ATTACHMENTS_PER_TICKET + 1)])
    assert (answer.status_code, names()) == (422, [])
    assert "A ticket holds at most 20 files. No file was attached." in answer.text


def test_files_beyond_the_room_that_a_ticket_has_left_are_not_attached(upload, names):
    assert upload(*[(f"{number}.txt", b"x", "text/plain") for number in range(18)]).status_code == 303
    answer = upload(PHOTO, NOTE, ("third.txt", b"x", "text/plain"))
    assert (answer.status_code, len(names())) == (409, 18)
    assert "at most 20 attachments" in answer.text


def test_a_form_from_another_site_attaches_nothing(upload, names):
    assert upload(PHOTO, **{"Sec-Fetch-Site": "cross-site"}).status_code == 403
    assert names() == []


def test_a_ticket_out_of_reach_gets_no_file(staff, site, upload, names, ticket_id):
    site.client("admin").delete(f"/v1/tickets/{ticket_id}")
    assert upload(PHOTO).status_code == 404
