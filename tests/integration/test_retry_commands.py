"""Parked events, dead letters and dead deliveries: commands list and retry them."""

import pytest

from api.monitoring.gauges import update_gauges
from infrastructure.process.metrics import render_metrics
from projections.runner import catch_up, connect_projector
from projections.verification import verify
from tests.support.api import services_on
from tests.support.commands import environment, ticketing
from tests.support.history import History, append
from tests.support.receivers import answer, running_receiver
from tests.support.tampering import unprotect
from tests.support.vault import VAULT
from tests.support.waiting import eventually
from tests.support.webhooks import (
    is_settled,
    open_ticket,
    register,
    running_dispatcher,
    settings_for,
    statuses,
)

NOT_JSON = b"not json"


@pytest.fixture
def run(database, tmp_path):
    """Returns a function that runs `ticketing` on this test's database."""
    environ = environment(DATABASE_URL=database, TICKETING_HOME=str(tmp_path))
    return lambda *arguments: ticketing(*arguments, environ=environ)


@pytest.fixture
def owner(conn):
    """A connection that may change the log."""
    unprotect(conn)
    return conn


def spoil(owner, position):
    """Make the event at that position impossible to decode; returns its bytes."""
    (state,) = owner.execute(
        "SELECT state FROM es.stored_events WHERE notification_id = %s", [position]
    ).fetchone()
    set_state(owner, position, NOT_JSON)
    return state


def set_state(owner, position, state):
    owner.execute("UPDATE es.stored_events SET state = %s WHERE notification_id = %s", [state, position])


def project_all(database):
    with connect_projector(database) as projector:
        while catch_up(projector, VAULT):
            pass


def positions(listed):
    """The first column of the rows that a command lists."""
    return [line.split()[0] for line in listed.stdout.splitlines()[1:]]


def test_parked_events_are_projected_again_once_their_cause_is_gone(run, store, owner, database):
    append(store, History(11).grow(120))
    first, second = (
        position
        for (position,) in owner.execute(
            "SELECT min(notification_id) FROM es.stored_events"
            " WHERE topic IN ('ticket.opened', 'user.registered') GROUP BY topic ORDER BY topic"
        )
    )
    states = {position: spoil(owner, position) for position in (first, second)}
    project_all(database)
    listed = positions(run("parked-event", "list"))
    assert {str(first), str(second)} <= set(listed)

    set_state(owner, first, states[first])
    some = run("parked-event", "retry")
    still = positions(run("parked-event", "list"))
    set_state(owner, second, states[second])
    rest = run("parked-event", "retry")

    assert (some.returncode, rest.returncode) == (1, 0)
    assert str(second) in still
    assert str(first) not in still
    assert f"Events projected: {len(still)}." in rest.stderr
    assert positions(run("parked-event", "list")) == []
    assert verify(database, VAULT, lambda done, total: None).count == 0


def test_dead_letters_are_handled_again_once_their_cause_is_gone(run, store, pool, owner, database, tmp_path):
    with running_receiver() as receiver:
        register(store, receiver.url())
        bad, worse = (open_ticket(store).position for _ in range(2))
        states = {position: spoil(owner, position) for position in (bad, worse)}
        with running_dispatcher(settings_for(database, tmp_path)):
            eventually(lambda: len(dead_letters(pool)) == 2)
            set_state(owner, bad, states[bad])
            set_letter(owner, bad, states[bad])

            done = run("dead-letter", "retry")

            eventually(lambda: receiver.posts)
    assert done.returncode == 1
    assert "\nDead letters handled: 1.\nFailed again: 1." in done.stderr
    assert positions(run("dead-letter", "list")) == [f"log/0/{worse}"]
    assert run("dead-letter", "delete", f"log/0/{worse}").stderr == "Dead letters deleted: 1.\n"
    assert dead_letters(pool) == []


def set_letter(owner, position, state):
    owner.execute("UPDATE hook.dead_letters SET value = %s WHERE record_offset = %s", [state, position])


def dead_letters(pool):
    with pool.connection() as conn:
        return conn.execute("SELECT record_offset FROM hook.dead_letters").fetchall()


def test_dead_deliveries_of_all_webhooks_are_listed_and_sent_again(run, store, pool, database, tmp_path):
    with running_receiver() as receiver:
        receiver.answers = {"/a": answer(500), "/b": answer(404)}
        webhook_ids = [register(store, receiver.url(path)).id for path in ("/b", "/a")]
        open_ticket(store)
        with running_dispatcher(settings_for(database, tmp_path, webhook_retry_seconds=())):
            eventually(lambda: is_settled(pool, 2))
            listed = run("delivery", "list").stdout.splitlines()
            receiver.answers = {}

            done = run("delivery", "retry")

            eventually(lambda: statuses(pool) == {"delivered": 2})
    assert all(any(each in line for line in listed) for each in (*webhook_ids, " 500 ", " 404 "))
    assert done.stderr == "Deliveries due again: 2.\n"


@pytest.mark.parametrize("place", ["log", "log/0", "log/x/1", "log/0/-1", f"log/{2**31}/0", f"log/0/{2**63}"])
def test_a_dead_letter_with_an_impossible_place_is_refused(run, place):
    done = run("dead-letter", "delete", place)

    assert done.returncode == 2
    assert "TOPIC/PARTITION/OFFSET" in done.stderr


def test_the_numbers_of_all_three_are_metrics(database, tmp_path, conn):
    conn.execute(
        "INSERT INTO hook.dead_letters (topic, partition, record_offset, error) VALUES ('t', 0, 1, '')"
    )
    conn.execute("INSERT INTO read.parked_events (position, originator_id, error) VALUES (1, 'x', '')")
    conn.execute(
        "INSERT INTO hook.deliveries (endpoint_id, message_id, aggregate_id, version, status)"
        " SELECT 'w', n, 'x', 1, 'dead' FROM unnest(ARRAY['a', 'b']) AS n"
    )
    with services_on(database, tmp_path) as services:
        update_gauges(services.settings)

    text = render_metrics().decode()
    assert "\nticketing_parked_events 1.0\n" in text
    assert "\nticketing_webhook_dead_letters 1.0\n" in text
    assert "\nticketing_webhook_deliveries_dead 2.0\n" in text
