"""The figures of the overview: what they count, whose tickets, and how often they are read."""

from __future__ import annotations

from datetime import timedelta

import pytest

from domain.ticket import Ticket
from pages.panel.recent_figures import KEPT_FOR, MOST_KEPT, RecentFigures
from projections.ticket_figures import DAYS, read_ticket_figures
from tests.support.arrange import register_property, register_user
from tests.support.keys import operator
from tests.unit.builders import NOON, TICKET_FIELDS, caller, context

STAFF = caller("staff", user_id="jane")


@pytest.fixture
def place(store):
    for property_id, name in (("p1", "Seaside"), ("p2", "Hill House")):
        register_property(store, property_id, operator(), name=name)
    register_user(store, "jane", operator(), name="Jane", property_ids=("p1",))


@pytest.fixture
def write(store, place):
    """Returns a function that opens a ticket and makes changes of it: pairs of a delay and a change."""

    def write(ticket_id, *steps, opened=timedelta(hours=2), **facts):
        at = NOON - opened
        ticket = Ticket.open(ticket_id, context(at=at), **{**TICKET_FIELDS, **facts})
        for delay, step in steps:
            step(ticket, context(STAFF, at=at + delay))
        store.save(ticket)

    return write


def becomes(**values):
    return lambda ticket, at: ticket.change(values, at)


def says(text, visibility="public"):
    return lambda ticket, at: ticket.comment(f"{ticket.id}-{text}", text, visibility, at)


def figures(pool, catch_up, by=None):
    catch_up()
    return read_ticket_figures(pool, by or caller(), NOON)


def test_tickets_count_on_the_days_on_which_they_were_opened_and_last_closed(write, pool, catch_up):
    day = timedelta(days=1)
    write("new")
    write("closed", (day, becomes(status="closed")), opened=3 * day)
    write(
        "closed-twice",
        (day, becomes(status="closed")),
        (2 * day, becomes(status="open")),
        (3 * day, becomes(status="closed")),
        (3 * day + timedelta(hours=1), says("Thanks.")),
        opened=3 * day,
    )
    write("reopened", (day, becomes(status="closed")), (2 * day, becomes(status="open")), opened=3 * day)
    write("too-old", (day, becomes(status="closed")), opened=(DAYS + 5) * day)
    write("deleted", (day, Ticket.delete), opened=3 * day)

    found = {NOON.date() - flow.day: (flow.opened, flow.closed) for flow in figures(pool, catch_up).flows}

    assert len(found) == DAYS
    assert {ago.days: counts for ago, counts in found.items() if any(counts)} == {
        0: (1, 1),
        2: (0, 1),
        3: (3, 0),
    }


def test_active_tickets_count_by_age_and_priority(write, pool, catch_up):
    for number, days in enumerate((0, 0, 1, 2, 3, 6, 7, 29, 30, 400)):
        write(f"t{number}", opened=timedelta(days=days), priority="low" if number else "critical")
    write("done", (timedelta(), becomes(status="closed")))

    found = figures(pool, catch_up).ages

    assert [(one.from_days, one.to_days) for one in found] == [(0, 1), (1, 3), (3, 7), (7, 30), (30, None)]
    assert [sum(one.tickets.values()) for one in found] == [2, 2, 2, 2, 2]
    assert found[0].tickets == {"low": 1, "medium": 0, "high": 0, "critical": 1}


def test_the_first_answer_is_a_public_comment_of_another_person_or_a_change_of_the_status(
    write, pool, catch_up
):
    minute = timedelta(minutes=1)
    own = caller("guest", user_id="u1")
    write("comment", (minute, says("Noted.", "internal")), (2 * minute, says("On my way.")))
    write("status", (4 * minute, becomes(status="in_progress")), (5 * minute, says("Soon.")))
    write("renamed", (minute, becomes(title="Leak 2")), (6 * minute, becomes(status="closed")))
    write("unanswered", (minute, lambda ticket, at: ticket.comment("c", "Hello?", "public", context(own))))

    (times,) = figures(pool, catch_up).times

    assert (times.place.name, times.answer.tickets, times.answer.median_seconds) == ("Seaside", 3, 240)
    assert times.answer.p90_seconds == pytest.approx(336)
    assert (times.resolution.tickets, times.resolution.median_seconds) == (1, 360)


def test_loads_are_the_active_tickets_of_each_assignee(write, pool, catch_up):
    write("one", (timedelta(), becomes(assignee_id="jane")))
    write("two", (timedelta(), becomes(assignee_id="jane", status="in_progress")), property_id="p2")
    write("three", (timedelta(), becomes(assignee_id="jane", status="closed")))
    write("nobody")

    (everywhere,) = figures(pool, catch_up).loads
    (within,) = figures(pool, catch_up, caller("manager", reach=["p2"])).loads

    assert (everywhere.person.name, everywhere.open, everywhere.in_progress) == ("Jane", 1, 1)
    assert (within.open, within.in_progress) == (0, 1)


def test_figures_contain_only_tickets_within_the_reach(write, pool, catch_up):
    write("own", (timedelta(minutes=1), becomes(status="closed")))
    write("foreign", (timedelta(minutes=1), becomes(status="closed", assignee_id="jane")), property_id="p2")
    write("foreign-open", (timedelta(), becomes(assignee_id="jane")), property_id="p2")

    found = figures(pool, catch_up, caller("staff", reach=["p1"]))

    assert (found.flows[-1].opened, found.flows[-1].closed) == (1, 1)
    assert [one.place.id for one in found.times] == ["p1"]
    assert sum(sum(one.tickets.values()) for one in found.ages) == 0
    assert found.loads == []


def test_figures_are_read_once_a_minute_for_each_reach(write, pool, catch_up):
    recent = RecentFigures(pool)
    write("one")
    catch_up()
    first = recent.of(caller(), NOON)
    write("two")
    catch_up()

    again = recent.of(caller(), NOON + KEPT_FOR - timedelta(seconds=1))
    of_others = recent.of(caller("staff", reach=["p1"]), NOON)
    later = recent.of(caller(), NOON + KEPT_FOR)

    assert again is first
    assert (first.flows[-1].opened, of_others.flows[-1].opened, later.flows[-1].opened) == (1, 2, 2)


def test_only_a_limited_number_of_reaches_is_kept(pool, place):
    recent = RecentFigures(pool)
    first = recent.of(caller("staff", reach=["p1"]), NOON)
    for number in range(MOST_KEPT):
        recent.of(caller("staff", reach=[f"other{number}"]), NOON)

    assert recent.of(caller("staff", reach=["p1"]), NOON) is not first
