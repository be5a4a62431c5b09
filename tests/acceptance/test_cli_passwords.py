"""Passwords from the command line: read from standard input, never shown, stored as a hash."""

import pytest

from domain.user import UserPasswordChanged
from infrastructure.keys.passwords import verify_password
from infrastructure.storage.event_store import EventStore
from tests.support.commands import environment, ticketing
from tests.support.log import events_after
from tests.support.vault import VAULT

ADMIN = ("user", "create", "--name", "Ada", "--email", "ada@example.com", "--role", "admin", "--id", "ada")
GOOD = "otter violin quartz bramble"


@pytest.fixture
def run(database, tmp_path):
    environ = environment(DATABASE_URL=database, TICKETING_HOME=str(tmp_path))
    return lambda *arguments, given="": ticketing(*arguments, environ=environ, given=given)


def stored_hashes(pool):
    with pool.connection() as conn:
        return dict(conn.execute("SELECT user_id, hash FROM access.passwords").fetchall())


def test_the_first_administrator_is_created_with_a_password(run, pool):
    done = run(*ADMIN, "--password-stdin", given=GOOD + "\n")

    assert (done.returncode, done.stdout) == (0, "ada\n"), done.stderr
    assert verify_password(stored_hashes(pool)["ada"], GOOD)
    assert GOOD not in done.stdout + done.stderr


def test_changing_a_password_stores_its_hash_and_an_event(run, pool):
    run(*ADMIN)

    done = run("user", "password", "ada", "--password-stdin", given=GOOD)

    assert done.returncode == 0, done.stderr
    assert verify_password(stored_hashes(pool)["ada"], GOOD)
    (changed,) = [
        r.event
        for r in events_after(EventStore(pool, VAULT), 0, 10)
        if isinstance(r.event, UserPasswordChanged)
    ]
    assert changed.actor.auth == "cli"


@pytest.mark.parametrize("password", ["", "short", "password123", "ada@example.com", "x" * 2_000])
def test_a_password_that_the_rules_refuse_stores_nothing(run, pool, password):
    done = run(*ADMIN, "--password-stdin", given=password + "\n")

    assert done.returncode == 1
    assert "password" in done.stderr
    assert stored_hashes(pool) == {}
    assert events_after(EventStore(pool, VAULT), 0, 10) == []


def test_a_password_as_an_argument_is_refused(run, pool):
    run(*ADMIN)

    assert run("user", "password", "ada").returncode == 2
    assert run("user", "password", "ada", GOOD).returncode == 2
    assert run("user", "password", "nobody", "--password-stdin", given=GOOD).returncode == 1
    assert stored_hashes(pool) == {}
