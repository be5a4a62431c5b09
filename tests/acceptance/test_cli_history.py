"""`ticketing history`: the timeline of a ticket, as text and as JSON."""

import json

import pytest

from domain.ticket import Ticket
from infrastructure.storage.event_store import EventStore
from tests.support.commands import environment, ticketing
from tests.support.vault import VAULT
from tests.unit.builders import context


@pytest.fixture
def run(database, tmp_path):
    environ = environment(DATABASE_URL=database, TICKETING_HOME=str(tmp_path))
    return lambda *arguments, **more: ticketing(*arguments, environ={**environ, **more})


@pytest.fixture
def ticket(pool):
    """A deleted ticket whose title contains control sequences of terminals."""
    ticket = Ticket.open(
        "t1",
        context(),
        title="Leak \x1b[2J\x9b2J",
        description="x" * 5_000,
        priority="high",
        category="plumbing",
        property_id="p1",
        unit_id=None,
        requester_id="u1",
    )
    ticket.change({"status": "in_progress"}, context())
    ticket.comment("c1", "two\nlines", "internal", context())
    ticket.delete(context())
    EventStore(pool, VAULT).save(ticket)
    return ticket


def test_the_timeline_of_a_deleted_ticket_is_readable(run, ticket):
    done = run("history", "t1")

    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0] == "Ticket t1  Leak \\x1b[2J\\x9b2J  deleted, version 4"
    assert "   2  2026-01-01 12:00:00.000000Z  ticket.status_changed" in lines
    assert "      by u-caller (u-caller) as admin, api_key key_1, request r-1" in lines
    assert "      status       open → in_progress" in lines
    assert "      deleted      false → true" in lines
    assert any(line.endswith("x… (5000 characters)") for line in lines)
    assert "text two\\x0alines, visibility internal" in done.stdout
    assert "\x1b" not in done.stdout


def test_json_has_the_entries_of_the_api(run, ticket):
    done = run("history", "t1", "--json")

    entries = json.loads(done.stdout)
    assert [entry["version"] for entry in entries] == [1, 2, 3, 4]
    assert entries[0]["changes"]["title"] == {"from": None, "to": ticket.title}
    assert entries[1]["changes"] == {"status": {"from": "open", "to": "in_progress"}}


def test_the_output_has_our_colours_and_no_control_sequences_of_the_title(run, ticket):
    done = run("history", "t1", NO_COLOR="", FORCE_COLOR="1")

    assert "\x1b[1;36m" in done.stdout
    assert "\x1b[2J" not in done.stdout


@pytest.mark.parametrize(("ticket_id", "code"), [("unknown", 1), ("not an id", 2)])
def test_an_unknown_id_is_refused(run, ticket_id, code):
    done = run("history", ticket_id)

    assert (done.returncode, done.stdout) == (code, "")
    assert ("No such ticket." in done.stderr) == (code == 1)
