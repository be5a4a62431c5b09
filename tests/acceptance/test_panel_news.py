"""Open pages of the panel: they show changes by others, and keep what is typed."""

from __future__ import annotations

import pytest

from domain.ticket import Ticket
from tests.acceptance.panel import browser_of, give_passwords, with_session
from tests.acceptance.site import PEOPLE
from tests.support.chromium import PHONE, find_accessibility_problems, new_page


@pytest.fixture(scope="module", autouse=True)
def passwords(site):
    give_passwords(site)


@pytest.fixture
def page(site, chromium):
    """The page of a new ticket, as its requester sees it on a phone."""
    page = with_session(new_page(chromium, site.base_url, viewport=PHONE), site, browser_of(site, "guest"))
    page.goto(f"/admin/my/{site.ticket('guest', title='Open page')['id']}")
    yield page
    page.context.close()


def ticket_of(page):
    return page.url.rpartition("/")[2]


def comment(site, page, text, visibility="public"):
    values = {"text": text, "visibility": visibility}
    path = f"/v1/tickets/{ticket_of(page)}/comments"
    assert site.client("staff").post(path, json=values).status_code == 201


def test_changes_by_others_appear_and_what_was_typed_stays(site, page):
    page.get_by_label("Your answer").fill("I am at home from")
    comment(site, page, "When are you at home?")
    page.get_by_text("When are you at home?").wait_for()
    assert page.get_by_label("Your answer").input_value() == "I am at home from"
    assert page.get_by_text("This page was updated").is_visible()
    site.client().patch(f"/v1/tickets/{ticket_of(page)}", json={"status": "in_progress"})
    page.get_by_text("In progress").wait_for()
    assert page.get_by_label("Your answer").input_value() == "I am at home from"
    assert find_accessibility_problems(page) == []


def test_a_choice_in_a_list_stays_when_the_rest_of_the_page_changes(site, chromium):
    ticket_id = site.ticket("guest")["id"]
    page = with_session(new_page(chromium, site.base_url), site, browser_of(site, "staff"))
    page.goto(f"/admin/tickets/{ticket_id}")
    page.get_by_label("Assignee", exact=True).select_option(PEOPLE["staff"][0])
    page.get_by_label("Add a comment").focus()
    site.client().post(f"/v1/tickets/{ticket_id}/comments", json={"text": "Any news?"})
    page.locator("#timeline").get_by_text("Any news?").wait_for()
    assert page.get_by_label("Assignee", exact=True).input_value() == PEOPLE["staff"][0]
    page.context.close()


def test_an_internal_comment_is_no_news_for_a_guest(site, page):
    guest = browser_of(site, "guest")
    address = page.locator("[data-news]").get_attribute("data-news")
    comment(site, page, "psst", "internal")
    shown = guest.open(f"/admin/my/{ticket_of(page)}").text
    assert address.replace("&", "&amp;") in shown
    comment(site, page, "Hello")
    answer = guest.open(address)
    assert (answer.status_code, answer.text) == (200, "changed")


def test_a_draft_survives_a_reload_and_is_gone_once_it_was_sent(site, page):
    page.get_by_label("Your answer").fill("A long story")
    page.reload()
    assert page.get_by_label("Your answer").input_value() == "A long story"
    assert page.get_by_text("Your draft was kept.").is_visible()
    page.get_by_role("button", name="Send").click()
    page.get_by_text("Your answer is sent.").wait_for()
    page.wait_for_load_state("load")
    assert page.get_by_label("Your answer").input_value() == ""
    page.reload()
    assert page.get_by_label("Your answer").input_value() == ""


def test_a_draft_can_be_discarded_and_signing_out_removes_it(site, page):
    page.get_by_label("Your answer").fill("Never mind")
    page.reload()
    page.get_by_role("button", name="Discard it").click()
    assert page.get_by_label("Your answer").input_value() == ""
    page.get_by_label("Your answer").fill("Private")
    assert "Private" in page.evaluate("JSON.stringify(localStorage)")
    page.get_by_role("button", name="Sign out").click()
    page.wait_for_url("**/admin/sign-in")
    assert "Private" not in page.evaluate("JSON.stringify(localStorage)")


def test_a_session_that_ends_while_someone_types_loses_nothing(site, page):
    page.get_by_label("Your answer").fill("Half a sentence")
    page.context.clear_cookies()
    comment(site, page, "Are you there?")
    page.get_by_text("Your session has ended.").wait_for()
    assert page.get_by_label("Your answer").input_value() == "Half a sentence"


def test_waiting_for_news_does_not_extend_the_session(site):
    guest, ticket_id = browser_of(site, "guest"), site.ticket("guest")["id"]
    with site.pool.connection() as conn:
        conn.execute("UPDATE access.sessions SET last_seen_at = now() - interval '5 minutes'")
    assert guest.open(f"/admin/tickets/{ticket_id}/news").text == "changed"
    with site.pool.connection() as conn:
        ((is_old,),) = conn.execute(
            "SELECT max(last_seen_at) < now() - interval '4 minutes' FROM access.sessions"
        ).fetchall()
    assert is_old


@pytest.mark.parametrize("role", ["staff", "guest"])
def test_news_of_a_ticket_that_one_may_not_see_are_refused(site, role):
    others = site.ticket("admin", requester_id=PEOPLE["staff"][0])["id"]
    ticket_id = others if role == "guest" else "no-such-ticket"
    answer = browser_of(site, role).open(f"/admin/tickets/{ticket_id}/news")
    assert answer.status_code == 404


def test_an_open_list_says_that_it_has_changed(site, chromium):
    page = with_session(new_page(chromium, site.base_url), site, browser_of(site, "staff"))
    page.goto("/admin/tickets?status=open")
    title = f"Newest of all {Ticket.kind}"
    site.ticket("guest", title=title)
    page.get_by_role("button", name="Show the changes").click()
    page.get_by_role("link", name=title).wait_for()
    page.context.close()
