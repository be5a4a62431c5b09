"""E-mail addresses are unique among people who are not erased, and people who shared one before keep it."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from cli.database import prepare
from commands.email_addresses import EmailTaken, fill, is_filled, list_doubles
from commands.erasure import erase_user
from domain.errors import Conflict
from domain.user import Preferences, User
from infrastructure.settings import load_settings
from infrastructure.storage.event_store import EventStore
from infrastructure.storage.postgres import make_pool
from tests.support.arrange import change_user, register_user
from tests.support.keys import operator
from tests.support.proxy import Proxy
from tests.support.vault import VAULT

HASHES = "SELECT user_ids FROM privacy.email_addresses ORDER BY user_ids"


def address_rows(conn):
    return [user_ids for (user_ids,) in conn.execute(HASHES)]


def save_without_claim(store, user_id, email):
    """Save a person as versions did that did not know unique addresses."""
    facts = {"phone": None, "role": "staff", "property_ids": (), "preferences": Preferences()}
    store.save(User.register(user_id, operator(), name=user_id, email=email, **facts))


@pytest.fixture
def doubles(store, conn):
    """Two people of an old log with one address, and a third with another."""
    conn.execute("DELETE FROM privacy.email_addresses_filled")
    people = {"first": "Old@Example.com", "second": "old@example.com", "third": "3@x.test"}
    for user_id, email in people.items():
        save_without_claim(store, user_id, email)
    fill(conn, VAULT)


@pytest.mark.parametrize(
    ("present", "wanted"),
    [
        ("jane@example.com", "JANE@Example.COM"),
        ("STRASSE@example.com", "straße@example.com"),
        ("rene\u0301@example.com", "REN\u00c9@example.com"),
        ("j\u030cane@example.com", "\u01f0ane@example.com"),
    ],
)
def test_an_address_in_other_case_or_composition_is_taken(store, present, wanted):
    register_user(store, "u1", operator(), email=present)
    register_user(store, "u2", operator(), email="other@example.com")

    with pytest.raises(EmailTaken) as registration:
        register_user(store, "u3", operator(), email=wanted)
    with pytest.raises(EmailTaken):
        change_user(store, "u2", operator(), email=wanted)

    assert registration.value.details == {"email": ["Another person has this e-mail address."]}
    assert store.find(User, "u3") is None
    assert store.load(User, "u2").email == "other@example.com"
    assert change_user(store, "u1", operator(), email=wanted).email == wanted, "one's own in another case"


def test_dots_and_tags_make_another_address(store):
    for number, email in enumerate(("j.doe@example.com", "jdoe@example.com", "jdoe+home@example.com")):
        register_user(store, f"u{number}", operator(), email=email)


def test_of_simultaneous_claims_of_one_address_one_succeeds(database, store, conn):
    for number in range(4):
        register_user(store, f"old{number}", operator())

    def claim(number):
        with make_pool(database, application="tests", max_size=2) as pool:
            own_store = EventStore(pool, VAULT)
            try:
                if number % 2:
                    change_user(own_store, f"old{number // 2}", operator(), email="Wanted@example.com")
                else:
                    register_user(own_store, f"new{number}", operator(), email="wanted@example.com")
            except EmailTaken:
                return 0
            return 1

    with ThreadPoolExecutor(8) as threads:
        assert sum(threads.map(claim, range(8))) == 1

    assert len(address_rows(conn)) in (4, 5)
    assert all(len(user_ids) == 1 for user_ids in address_rows(conn))


def test_an_address_is_free_after_a_change_and_after_an_erasure(store, conn):
    register_user(store, "u1", operator(), email="one@example.com")

    change_user(store, "u1", operator(), email="two@example.com")
    register_user(store, "u2", operator(), email="one@example.com")
    erase_user(store, "u2", operator())
    register_user(store, "u3", operator(), email="one@example.com")
    erase_user(store, "u1", operator())

    assert address_rows(conn) == [["u3"]], "nothing is left of the erased people"


def test_a_taken_address_does_not_hide_that_the_id_is_taken(store):
    register_user(store, "u1", operator(), email="one@example.com")

    with pytest.raises(Conflict, match="The id u1 is already in use"):
        register_user(store, "u1", operator(), email="one@example.com")


def test_a_registration_whose_commit_is_not_answered_succeeds_once(database, conn):
    with Proxy(database) as proxy, make_pool(proxy.dsn, application="tests", max_size=4) as pool:
        own_store = EventStore(pool, VAULT)
        register_user(own_store, "u1", operator(), email="one@example.com")
        proxy.lose_reply_to(b"COMMIT")

        register_user(own_store, "u2", operator(), email="two@example.com")

        assert proxy.losses == 1
    assert address_rows(conn) == [["u1"], ["u2"]]


def test_people_of_an_old_log_keep_the_address_they_share_until_the_last_one_leaves_it(store, conn, doubles):
    assert address_rows(conn) == [["first", "second"], ["third"]]

    change_user(store, "second", operator(), name="Renamed")
    change_user(store, "first", operator(), email="free@example.com")
    with pytest.raises(EmailTaken):
        register_user(store, "u4", operator(), email="OLD@example.com")
    with pytest.raises(EmailTaken):
        change_user(store, "first", operator(), email="3@x.test")
    change_user(store, "second", operator(), email="second@example.com")

    register_user(store, "u4", operator(), email="OLD@example.com")
    assert address_rows(conn) == [["first"], ["second"], ["third"], ["u4"]]


def test_people_who_share_an_address_may_leave_it_at_the_same_time(store, conn, doubles):
    with ThreadPoolExecutor(2) as threads:
        list(
            threads.map(
                lambda user_id: change_user(store, user_id, operator(), email=f"{user_id}@example.com"),
                ("first", "second"),
            )
        )

    assert address_rows(conn) == [["first"], ["second"], ["third"]]


def test_the_doubles_are_listed_in_the_order_of_registration(store, doubles, catch_up):
    catch_up()

    assert [(one.user_id, one.email) for one in list_doubles(store)] == [
        ("first", "Old@Example.com"),
        ("second", "old@example.com"),
    ]


def test_preparing_an_older_database_fills_in_the_addresses_once(
    database, store, conn, tmp_path, monkeypatch
):
    """In a database with events the migration leaves the table empty, because addresses are encrypted."""
    conn.execute("DELETE FROM privacy.email_addresses_filled")
    save_without_claim(store, "old", "old@example.com")
    save_without_claim(store, "gone", "gone@example.com")
    erase_user(store, "gone", operator())
    monkeypatch.setenv("DATABASE_URL", database)
    monkeypatch.setenv("TICKETING_HOME", str(tmp_path))

    first, again = prepare(load_settings()), prepare(load_settings())

    assert (first, again) == (["e-mail addresses indexed"], [])
    assert is_filled(conn)
    assert address_rows(conn) == [["old"]]
