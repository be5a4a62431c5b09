"""Several tickets of the panel's list are changed with one form."""

from __future__ import annotations

import pytest

from tests.acceptance.panel import browser_of, give_passwords
from tests.acceptance.site import PEOPLE
from tests.support.browser import forms_of

TICKETS = 20


@pytest.fixture(scope="module")
def staff(site):
    give_passwords(site)
    return browser_of(site, "staff")


@pytest.fixture
def tickets(site):
    """The ids of three new tickets."""
    return [site.ticket("guest", title=f"Seriesleak {number}")["id"] for number in range(3)]


@pytest.fixture
def send(staff):
    """Returns a function that sends the form of a list with these ticked tickets and values."""

    def send(ids=(), path="/admin/tickets", form=None, **values):
        used = form or form_of(staff, path)
        ticked = [("ticket_id", each) for each in ids]
        return staff.send(used.action, [*used.with_typed(**values), *ticked])

    return send


def form_of(browser, path="/admin/tickets"):
    page = browser.open(path).text
    return next(one for one in forms_of(page) if one.action == "/admin/tickets/change")


def states(site, ids, *names):
    found = [site.client().get(f"/v1/tickets/{each}").json()["data"] for each in ids]
    return [tuple(ticket[name] for name in names) for ticket in found]


def count_changes(site, ids):
    """The number of entries in the history of each ticket; one for its opening."""
    histories = [site.client().get(f"/v1/tickets/{each}/history").json()["data"] for each in ids]
    return [len(history) for history in histories]


def test_ticked_tickets_get_the_chosen_values_and_the_others_stay(site, send, tickets):
    values = {"set_status": "in_progress", "set_priority": "low", "set_assigned_to": "me", "add_tag": "roof"}
    answer = send(tickets[:2], path="/admin/tickets?status=open", **values)

    assert (answer.status_code, answer.headers["Location"]) == (303, "/admin/tickets?status=open")
    now = states(site, tickets, "status", "priority", "tags")
    assert now == [("in_progress", "low", ["roof"])] * 2 + [("open", "high", [])]
    (assignee,) = states(site, tickets[:1], "assigned_to")[0]
    assert assignee["id"] == PEOPLE["staff"][0]


def test_a_tag_is_added_to_those_that_a_ticket_has(site, send, tickets):
    site.client().patch(f"/v1/tickets/{tickets[0]}", json={"tags": ["wet"]})
    send(tickets[:1], add_tag="roof")
    assert states(site, tickets[:1], "tags") == [(["roof", "wet"],)]


def test_a_form_that_is_sent_twice_changes_the_tickets_once(site, staff, send, tickets):
    form = form_of(staff)
    answers = [send(tickets, form=form, set_status="closed") for _ in range(2)]
    assert [answer.status_code for answer in answers] == [303, 303]
    assert count_changes(site, tickets) == [2] * 3


def test_a_refused_ticket_is_named_with_the_reason_and_the_others_are_changed(site, send, tickets):
    site.client().delete(f"/v1/tickets/{tickets[1]}")
    answer = send(tickets, set_status="closed")

    assert answer.status_code == 200
    assert "1 of 3 tickets are not changed" in answer.text
    assert tickets[1] in answer.text
    assert tickets[0] not in answer.text
    assert states(site, [tickets[0], tickets[2]], "status") == [("closed",)] * 2


@pytest.mark.parametrize(("ticked", "values"), [(0, {"set_status": "closed"}), (3, {})])
def test_a_form_without_tickets_or_changes_says_what_to_do(site, staff, send, tickets, ticked, values):
    assert send(tickets[:ticked], **values).status_code == 303
    assert "Tick tickets, and choose what to change." in staff.open("/admin/tickets").text
    assert count_changes(site, tickets) == [1] * 3


def test_bad_values_are_refused_for_each_ticket(site, send, tickets):
    answer = send(tickets[:2], set_status="gone")
    assert "2 of 2 tickets are not changed" in answer.text
    assert count_changes(site, tickets) == [1] * 3


def test_the_form_returns_to_no_other_site(staff, send, tickets):
    form = form_of(staff)
    form.pairs = [(name, value) for name, value in form.pairs if name != "page"]
    form.pairs.append(("page", "https://example.com/admin/tickets"))
    assert send(tickets[:1], form=form, set_status="closed").headers["Location"] == "/admin/tickets"
