"""`ticketing user`: deactivating people, one-time links, and people who share an address."""

from __future__ import annotations

import re

import pytest

from cli.database import Database, open_database
from cli.first_admin import ensure_admin
from domain.user import User
from infrastructure.settings import load_settings
from infrastructure.storage.event_store import EventStore
from tests.support.arrange import change_user, register_user
from tests.support.commands import environment, ticketing
from tests.support.keys import operator
from tests.support.vault import VAULT


@pytest.fixture
def run(database, tmp_path):
    environ = environment(DATABASE_URL=database, TICKETING_HOME=str(tmp_path), BASE_URL="https://t.example")
    return lambda *arguments: ticketing("user", *arguments, environ=environ)


@pytest.fixture
def opened(database, tmp_path, monkeypatch) -> Database:
    monkeypatch.setenv("DATABASE_URL", database)
    monkeypatch.setenv("TICKETING_HOME", str(tmp_path))
    with open_database(load_settings()) as opened:
        yield opened


def test_people_are_deactivated_and_get_links_by_commands(run, pool):
    store = EventStore(pool, VAULT)
    register_user(store, "sam", operator(), name="Sam")

    link = run("link", "sam")
    gone = run("deactivate", "sam")
    refused = run("link", "sam")
    back = run("reactivate", "sam")
    taken = run("create", "--name", "Kim", "--email", "SAM@example.com", "--role", "staff")

    assert re.fullmatch(r"https://t\.example/admin/one-time-link\?link=mtl_\w{49}\n", link.stdout)
    assert "valid until" in link.stderr
    assert (gone.returncode, gone.stderr) == (0, "Sam is deactivated.\n")
    assert (refused.returncode, refused.stdout) == (1, "")
    assert "The user sam is deactivated. Reactivate the user first." in refused.stderr
    assert (back.returncode, back.stderr) == (0, "Sam is active.\n")
    assert store.load(User, "sam").is_active
    assert taken.returncode == 1
    assert "Another person has this e-mail address." in taken.stderr


def test_people_who_share_an_address_are_listed(run, pool, conn):
    store = EventStore(pool, VAULT)
    for user_id in ("one", "two", "three"):
        register_user(store, user_id, operator())
    assert run("doubles").stderr == "No two people have the same e-mail address.\n"
    conn.execute("DELETE FROM privacy.email_addresses WHERE user_ids = '{two}'")
    conn.execute("UPDATE privacy.email_addresses SET user_ids = '{one,two}' WHERE user_ids = '{one}'")

    listed = run("doubles")

    assert [line.split()[1] for line in listed.stdout.splitlines()] == ["ID", "one", "two"]


@pytest.mark.parametrize("address", ["admin@example.com", "another@example.com"])
def test_a_start_makes_another_admin_when_the_one_in_the_file_is_deactivated(opened, tmp_path, address):
    store = opened.store
    assert ensure_admin(opened, tmp_path / "admin") is not None
    register_user(store, "other", operator(), role="admin", email="other@example.com")
    opened.wait_until_shown(store.recorder.max_notification_id())
    change_user(store, "admin", operator(), email=address)
    gone = change_user(store, "admin", operator(), active=False)
    opened.wait_until_shown(gone.position)

    account, _ = ensure_admin(opened, tmp_path / "admin")

    made = store.load(User, account)
    assert (made.role, made.is_active, made.id == "admin") == ("admin", True, False)
    assert made.email.startswith("admin")
