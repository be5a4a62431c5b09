"""Comments and files: bounded in the detail, listed in pages, edited and removed."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
import requests

from domain.ticket import Ticket
from tests.acceptance.site import PEOPLE, operator
from tests.support.browser import forms_of
from tests.support.history import comment_added
from tests.support.waiting import eventually

OLD_TEXT, NEW_TEXT = "quokka on the balcony", "wombat on the roof"


@pytest.fixture
def ticket_id(site):
    return site.ticket("guest")["id"]


@pytest.fixture
def comment(site, ticket_id):
    """Returns a function that comments on the ticket and returns the data of the comment."""

    def post(text=OLD_TEXT, by="guest", **more):
        answer = site.client(by).post(f"/v1/tickets/{ticket_id}/comments", json={"text": text, **more})
        assert answer.status_code == 201, answer.text
        return answer.json()["data"]

    return post


@pytest.fixture
def attach(site, ticket_id):
    """Returns a function that attaches a file to the ticket and returns its data."""

    def post(by="guest"):
        file = {"file": ("passport.jpg", b"a photo", "image/jpeg")}
        return site.client(by).post(f"/v1/tickets/{ticket_id}/attachments", files=file).json()["data"]

    return post


@pytest.fixture(scope="module")
def long_ticket_id(site):
    """A ticket with 230 public comments, the last 5 before an internal one; comments 3 and 228 are removed,
    comment 229 is edited."""
    ticket = site.store.load(Ticket, site.ticket("guest")["id"])
    added = []
    for number in range(230):
        ticket.comment(f"{ticket.id[:23]}-{number}", f"comment {number}", "public", operator())
        added.append(comment_added(ticket.pending[-1]))
    ticket.comment(f"{ticket.id[:23]}-internal", "internal", "internal", operator())
    ticket.remove_comment(added[3], operator())
    ticket.remove_comment(added[228], operator())
    ticket.edit_comment(added[229], "comment 229, edited", operator())
    site.store.save(ticket)
    eventually(lambda: site.client().get(f"/v1/tickets/{ticket.id}").json()["data"]["comments_count"] == 229)
    return ticket.id


def with_time(query):
    return query.replace("NOW", datetime.now(UTC).isoformat().replace("+00:00", "Z"))


def detail(site, ticket_id, query="", by="admin", **scopes):
    client = site.client(key=site.key(role="staff", **scopes)) if scopes else site.client(by)
    answer = client.get(f"/v1/tickets/{ticket_id}{with_time(query)}")
    assert answer.status_code == 200, answer.text
    return answer.json()["data"]


@pytest.mark.parametrize("query", ["", "?version=235", "?as_of=NOW"])
@pytest.mark.parametrize(("by", "count"), [("staff", 229), ("guest", 228)])
def test_the_detail_has_the_newest_100_comments_and_the_number_of_all(site, long_ticket_id, query, by, count):
    found = detail(site, long_ticket_id, query, by)

    texts = [each["text"] for each in found["comments"]]
    expected = [f"comment {number}" for number in range(128, 228)] + ["comment 229, edited"]
    if by == "staff":
        expected.append("internal")
    assert texts == expected[-100:]
    assert found["comments_count"] == count


def test_an_earlier_state_is_bounded_too(site, long_ticket_id):
    found = detail(site, long_ticket_id, "?version=201")

    assert [each["text"] for each in found["comments"]] == [f"comment {n}" for n in range(100, 200)]
    assert found["comments_count"] == 200
    without_audit = detail(site, long_ticket_id, "?version=201", scopes=("tickets:read",))
    assert without_audit["comments_count"] == 199  # without comment 3, which was removed later


@pytest.mark.parametrize("first", ["page=1", "cursor="])
def test_all_comments_are_listed_by_page_and_by_cursor(site, long_ticket_id, first):
    client, texts = site.client("guest"), []
    address = f"/v1/tickets/{long_ticket_id}/comments?per_page=76&{first}"
    while address:
        body = client.get(address).json()
        texts += [each["text"] for each in body["data"]]
        address = body["meta"]["pagination"]["links"].get("next", "").removeprefix(site.base_url)

    assert texts == [
        "comment 229, edited" if number == 229 else f"comment {number}"
        for number in range(230)
        if number not in (3, 228)
    ]


def test_an_answer_is_not_modified_until_a_comment_is_edited(site, ticket_id, comment):
    added = comment()
    client = site.client()
    tag = client.get(f"/v1/tickets/{ticket_id}").headers["ETag"]
    again = {"If-None-Match": tag}
    assert client.get(f"/v1/tickets/{ticket_id}", headers=again).status_code == 304

    client.patch(f"/v1/tickets/{ticket_id}/comments/{added['id']}", json={"text": NEW_TEXT})

    assert client.get(f"/v1/tickets/{ticket_id}", headers=again).status_code == 200


def everywhere(site, ticket_id, by="staff"):
    """What readers other than auditors see of the ticket, as one text, and whether they find it by a word of
    the old and of the new text."""
    reader = (
        site.client(by)
        if by == "guest"
        else site.client(
            key=site.key(role="staff", user_id=PEOPLE["staff"][0], scopes=("tickets:read", "tickets:write"))
        )
    )
    paths = ["", "/comments", "?version=2", "?as_of=NOW", "/attachments"]
    if by != "guest":
        paths.append("/history")
    answers = [reader.get(f"/v1/tickets/{ticket_id}{with_time(path)}") for path in paths]
    assert [answer.status_code for answer in answers] == [200] * len(paths)
    found = [
        ticket_id in reader.get("/v1/tickets", params={"q": word, "per_page": 100}).text
        for word in ("quokka", "wombat")
    ]
    return "".join(answer.text for answer in answers), found


@pytest.mark.parametrize("by", ["staff", "guest"])
def test_an_edited_comment_has_its_new_text_for_every_reader(site, ticket_id, comment, by):
    added = comment()

    answer = site.client("guest").patch(
        f"/v1/tickets/{ticket_id}/comments/{added['id']}", json={"text": f" {NEW_TEXT} "}
    )

    edited = answer.json()["data"]
    assert answer.headers["ETag"] == '"3"'
    assert edited["edited_at"] is not None
    assert edited == {**added, "text": NEW_TEXT, "edited_at": edited["edited_at"]}
    listed = site.client(by).get(f"/v1/tickets/{ticket_id}/comments").json()["data"]
    assert listed == [edited]
    seen, found = everywhere(site, ticket_id, by)
    assert OLD_TEXT not in seen
    assert NEW_TEXT in seen
    assert found == [False, True]


@pytest.mark.parametrize("by", ["staff", "guest"])
def test_a_removed_comment_is_gone_for_every_reader(site, ticket_id, comment, by):
    added = comment()

    answer = site.client("guest").delete(f"/v1/tickets/{ticket_id}/comments/{added['id']}")

    assert (answer.status_code, answer.json()["data"]) == (200, None)
    seen, found = everywhere(site, ticket_id, by)
    assert OLD_TEXT not in seen
    assert found == [False, False]
    assert detail(site, ticket_id)["comments_count"] == 0
    address = f"/v1/tickets/{ticket_id}/comments/{added['id']}"
    again = [site.client().delete(address), site.client().patch(address, json={"text": "?"})]
    assert [one.status_code for one in again] == [404, 404]


def test_auditors_read_former_texts_in_the_history_and_in_earlier_states(site, ticket_id, comment):
    added = comment()
    address = f"/v1/tickets/{ticket_id}/comments/{added['id']}"
    site.client("guest").patch(address, json={"text": NEW_TEXT})
    site.client("manager").delete(address)
    auditor = site.client("staff")  # with every scope

    history = auditor.get(f"/v1/tickets/{ticket_id}/history").json()["data"]

    author = {"visibility": "public", "user_id": PEOPLE["guest"][0]}
    old, new = ({"text": text, **author} for text in (OLD_TEXT, NEW_TEXT))
    assert [(entry["action"], entry["changes"]) for entry in history[1:]] == [
        ("ticket.commented", {f"comments.{added['id']}": {"from": None, "to": old}}),
        ("ticket.comment_edited", {f"comments.{added['id']}": {"from": old, "to": new}}),
        ("ticket.comment_removed", {f"comments.{added['id']}": {"from": new, "to": None}}),
    ]
    earlier = [auditor.get(f"/v1/tickets/{ticket_id}?version={each}").json()["data"] for each in (2, 3, 4)]
    assert [[each["text"] for each in one["comments"]] for one in earlier] == [[OLD_TEXT], [NEW_TEXT], []]


def test_a_removed_file_is_gone_with_its_content(site, ticket_id, attach):
    file = attach()

    answer = site.client("guest").delete(f"/v1/tickets/{ticket_id}/attachments/{file['id']}")

    assert (answer.status_code, answer.json()["data"]) == (200, None)
    assert requests.get(file["url"], timeout=20).status_code == 404
    seen, _ = everywhere(site, ticket_id)
    assert "passport.jpg" not in seen
    with site.pool.connection() as conn:
        assert conn.execute("SELECT count(*) FROM access.removed_files").fetchone() == (0,)
    history = site.client("staff").get(f"/v1/tickets/{ticket_id}/history").json()["data"]
    assert history[-1]["changes"][f"attachments.{file['id']}"]["from"]["filename"] == "passport.jpg"
    again = site.client().delete(f"/v1/tickets/{ticket_id}/attachments/{file['id']}")
    assert again.status_code == 404


@pytest.mark.parametrize(
    ("method", "path"),
    [("PATCH", "comments/{comment}"), ("DELETE", "comments/{comment}"), ("DELETE", "attachments/{file}")],
)
def test_another_version_of_the_ticket_is_412_and_comes_after_403_and_before_422(
    site, ticket_id, comment, attach, method, path
):
    path = path.format(comment=comment(by="manager")["id"], file=attach(by="manager")["id"])
    address = f"/v1/tickets/{ticket_id}/{path}"

    def request(by, expected, body):
        more = {"json": body} if method == "PATCH" else {}
        headers = {"If-Match": f'"{expected}"'}
        return site.client(by).request(method, address, headers=headers, **more).status_code

    assert request("staff", 1, {"text": ""}) == 403
    assert request("manager", 1, {"text": ""}) == 412
    assert method == "DELETE" or request("manager", 3, {"text": ""}) == 422
    assert request("manager", 3, {"text": NEW_TEXT}) == 200


def test_an_internal_comment_is_404_to_a_guest(site, ticket_id, comment):
    added = comment(by="staff", visibility="internal")

    address = f"/v1/tickets/{ticket_id}/comments/{added['id']}"
    answers = [
        site.client("guest").patch(address, json={"text": "?"}),
        site.client("guest").delete(address),
        site.client("admin").patch(address, json={"visibility": "public"}),
        site.client("admin").patch(address.replace(ticket_id, site.ticket()["id"]), json={"text": "?"}),
    ]

    assert [answer.status_code for answer in answers] == [404, 404, 422, 404]


def test_a_repeated_edit_is_carried_out_once(site, ticket_id, comment):
    address = f"/v1/tickets/{ticket_id}/comments/{comment()['id']}"
    key = {"Idempotency-Key": "edit once"}

    answers = [site.client("guest").patch(address, json={"text": NEW_TEXT}, headers=key) for _ in range(2)]

    assert answers[0].json() == answers[1].json()
    assert answers[1].headers["Idempotent-Replayed"] == "true"
    same = site.client("guest").patch(address, json={"text": NEW_TEXT})
    assert (same.status_code, same.headers["ETag"]) == (200, '"3"')


def test_the_panel_edits_and_removes_own_comments_and_files(site, browser, ticket_id, comment, attach):
    own, others = comment(by="staff"), comment("of the guest")
    file = attach(by="staff")
    page = f"/admin/tickets/{ticket_id}"
    address = f"{page}/comments/{own['id']}"

    shown = browser.open(page).text
    assert f'href="{address}" aria-label="Edit the comment of Jane Smith">Edit</a>' in shown
    assert others["id"] not in shown  # no links to edit it
    form = form_of(browser.open(address))
    assert dict(form.pairs)["text"] == OLD_TEXT
    refused = browser.send(address, {**form.fields, "text": " "})
    assert (refused.status_code, "must not be empty" in refused.text) == (422, True)
    assert browser.send(address, {**form.fields, "text": NEW_TEXT}).status_code == 303
    assert browser.send(address, {**form.fields, "text": NEW_TEXT}).status_code == 303  # sent twice
    shown = browser.open(page).text
    assert (NEW_TEXT in shown, OLD_TEXT in shown, shown.count(", edited ")) == (True, False, 1)

    for removal in (f"{address}/remove", f"{page}/attachments/{file['id']}/remove"):
        form = form_of(browser.open(removal))
        assert browser.send(removal, form.fields).status_code == 303
        assert browser.send(removal, form.fields).status_code == 303  # sent twice
    shown = browser.open(page).text
    assert (NEW_TEXT in shown, "passport.jpg" in shown) == (False, False)
    for path in (f"{page}/comments/{others['id']}", f"{page}/comments/{others['id']}/remove"):
        assert browser.open(path).status_code == 403


def form_of(answer):
    """The form of the page that is sent to the page's own address."""
    assert answer.status_code == 200, answer.text
    return next(form for form in forms_of(answer.text) if not form.action)


def test_the_panel_shows_the_comments_of_the_newest_100_entries_and_all_of_them_in_pages(
    browser, long_ticket_id
):
    page = f"/admin/tickets/{long_ticket_id}"

    newest, first = browser.open(page).text, browser.open(f"{page}/comments").text

    assert "The newest 96 of 229 comments" in newest  # of the newest 100 entries, 4 are no comments
    assert newest.count("<article") == 96
    assert "comment 0<" in first
    assert "page 1 of 10" in first
