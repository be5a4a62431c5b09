"""The buttons of a ticket's page: its next step with one click, with a comment in the same form."""

from __future__ import annotations

import pytest

from tests.acceptance.panel import browser_of, give_passwords
from tests.acceptance.site import PEOPLE
from tests.support.browser import forms_of


@pytest.fixture(scope="module")
def staff(site):
    give_passwords(site)
    return browser_of(site, "staff")


@pytest.fixture
def ticket_id(site):
    return site.ticket("guest")["id"]


@pytest.fixture
def form(staff, ticket_id):
    """Returns a function that returns the form for comments of the ticket's page."""

    def form():
        page = staff.open(f"/admin/tickets/{ticket_id}").text
        return next(one for one in forms_of(page) if one.action.endswith("/comments"))

    return form


@pytest.fixture
def send(staff, form):
    """Returns a function that clicks a button of the form, with a text if one is given."""

    def send(action, text="", form=None):
        used = form or form_now()
        return staff.send(used.action, [*used.with_typed(text=text), ("action", action)])

    form_now = form
    return send


@pytest.fixture
def state(site, ticket_id):
    """Returns a function that returns status, assignee and the texts of the comments."""

    def state():
        now = site.client().get(f"/v1/tickets/{ticket_id}").json()["data"]
        assignee = now["assigned_to"] and now["assigned_to"]["id"]
        return now["status"], assignee, [comment["text"] for comment in now["comments"]]

    return state


def test_each_step_is_one_click_and_only_possible_steps_are_offered(form, send, state):
    def offered():
        return [value for name, value in form().buttons if name == "action"]

    me = PEOPLE["staff"][0]
    assert offered() == ["take", "start", "resolve"]
    assert send("take").status_code == 303
    assert (state(), offered()) == (("open", me, []), ["start", "resolve"])
    send("start")
    assert (state(), offered()) == (("in_progress", me, []), ["resolve"])
    send("resolve")
    assert (state(), offered()) == (("closed", me, []), ["reopen"])
    send("reopen")
    assert state() == ("open", me, [])


def test_starting_takes_a_ticket_of_nobody_but_not_that_of_another(site, ticket_id, send, state):
    site.client().patch(f"/v1/tickets/{ticket_id}", json={"assigned_to": PEOPLE["manager"][0]})
    send("start", "I help.")
    assert state() == ("in_progress", PEOPLE["manager"][0], ["I help."])


def test_a_step_and_its_comment_are_stored_together_and_once(site, ticket_id, form, send, state):
    sent = form()
    answers = [send("start", "I am on my way.", sent), send("start", "I am on my way.", sent)]
    assert [answer.status_code for answer in answers] == [303, 303]
    assert state() == ("in_progress", PEOPLE["staff"][0], ["I am on my way."])
    history = site.client().get(f"/v1/tickets/{ticket_id}/history").json()["data"]
    assert len({entry["request_id"] for entry in history[1:]}) == 1


def test_a_refused_comment_leaves_the_status_and_is_shown_again(send, state):
    answer = send("resolve", "x" * 70_000)
    assert (answer.status_code, state()) == (422, ("open", None, []))
    assert "x" * 70_000 in answer.text


def test_an_unknown_step_is_refused_with_a_message(send, state):
    answer = send("explode", "Hello")
    assert (answer.status_code, state()) == (422, ("open", None, []))
    assert "This button does not exist. Open the page again." in answer.text
