"""Signing in: guesses are delayed, no account is locked or revealed, and events contain no secrets."""

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

import pytest

import commands.sign_in
from commands.attempts import TooManyAttempts, buckets_of
from commands.email_addresses import hash_address
from commands.erasure import erase_user
from commands.passwords import change_password
from commands.sign_in import (
    RECORDED_FAILURES,
    SignIn,
    SignInRefused,
    end_session,
    sign_in,
)
from domain.access import Caller, Context
from domain.errors import Forbidden, NotFound
from domain.session import FailedSignIn, Session, SessionEnded, SessionStarted, SignInsFailed
from domain.user import User, UserPasswordChanged
from infrastructure.ids import new_id
from infrastructure.keys.passwords import HashingBusy
from infrastructure.keys.tokens import digest
from projections.choices import find_person
from tests.support.arrange import register_user
from tests.support.browser import PASSWORD, give_password
from tests.support.keys import operator
from tests.support.log import events_after

ANONYMOUS = Caller(principal_id="nobody", name="nobody", role="guest", auth="session")
HOME, ELSEWHERE = "192.0.2.7", "198.51.100.9"


@pytest.fixture
def ada(store, catch_up):
    register_user(store, "ada", operator(), name="Ada", email="Ada@Example.com", role="admin")
    give_password(store, "ada")
    catch_up()
    return "ada@example.com"


@pytest.fixture
def attempt(store, pool):
    def attempt(account, password=PASSWORD, address=HOME):
        context = Context(at=datetime.now(UTC), caller=ANONYMOUS, request_id=new_id(), command_id=new_id())
        return sign_in(store, pool, SignIn(account=account, password=password, address=address), context)

    return attempt


def events(store, kind):
    return [r.event for r in events_after(store, 0, 10_000) if isinstance(r.event, kind)]


def value(pool, statement):
    with pool.connection() as conn:
        return conn.execute(statement).fetchone()[0]


@pytest.mark.parametrize("account", ["ada@example.com", "ADA@EXAMPLE.COM", "ada"])
def test_the_right_password_starts_a_session_whose_secret_is_stored_as_a_hash(
    attempt, ada, store, pool, account
):
    signed_in = attempt(account)

    assert store.load(Session, signed_in.session.id).user_id == "ada"
    assert value(pool, "SELECT secret_sha256 FROM access.sessions") == digest(signed_in.secret)
    (started,) = events(store, SessionStarted)
    assert (started.actor.user_id, started.actor.auth, started.actor.role) == ("ada", "session", "admin")
    assert started.actor.credential_id == signed_in.session.id


def test_people_sign_in_with_every_spelling_of_their_address_that_is_taken(attempt, store, pool, catch_up):
    register_user(
        store, "zoe", operator(), name="Zoe", email="Zo\u00eb.Strau\u00df@example.com", role="staff"
    )
    give_password(store, "zoe")
    catch_up()

    for account in ("zoe\u0308.strau\u00df@example.com", "ZO\u00cb.STRAUSS@EXAMPLE.COM"):
        assert attempt(account).session.user_id == "zoe"
        assert find_person(pool, account, hash_address(store, account)) == "zoe"
    with pytest.raises(SignInRefused):
        attempt("zoe.strauss@example.com")


def test_guesses_in_other_spellings_of_an_address_are_delayed_together():
    spellings = (
        "ZO\u00cb.STRAUSS@example.com",
        "zoe\u0308.strau\u00df@example.com",
        "zo\u00eb.\u017ftrauss@example.com\u200b",
    )

    assert len({buckets_of(account, HOME) for account in spellings}) == 1


def test_a_wrong_password_and_an_unknown_account_get_the_same_message(attempt, ada):
    messages = set()
    for account in (ada, "nobody@example.com", "", "x" * 10_000, "a\0b", "ada' OR '1'='1"):
        with pytest.raises(SignInRefused) as refusal:
            attempt(account, "wrong", address=f"192.0.2.{len(account) % 250}")
        messages.add(str(refusal.value))

    assert len(messages) == 1


def test_a_user_without_a_password_cannot_sign_in(attempt, store, catch_up):
    register_user(store, "bob", operator(), name="Bob", email="bob@example.com", role="staff")
    catch_up()

    with pytest.raises(SignInRefused):
        attempt("bob@example.com", "")


def test_of_a_thousand_guesses_few_are_checked_and_the_owner_is_not_locked_out(attempt, ada, store, pool):
    outcomes, longest = {"refused": 0, "delayed": 0}, 0
    for n in range(1_000):
        try:
            attempt(ada, PASSWORD if n == 500 else f"guess {n}")
        except SignInRefused:
            outcomes["refused"] += 1
        except TooManyAttempts as delay:
            outcomes["delayed"] += 1
            longest = max(longest, delay.seconds)

    assert outcomes["refused"] + outcomes["delayed"] == 1_000, "the right password was checked"
    assert outcomes["refused"] < 20
    assert 1 <= longest <= 900
    assert attempt(ada, address=ELSEWHERE).session.user_id == "ada"
    with pool.connection() as conn:
        conn.execute("UPDATE access.sign_in_delays SET blocked_until = now()")
    assert attempt(ada).session.user_id == "ada"


def test_guesses_for_an_unknown_account_are_delayed_in_the_same_way(attempt, ada):
    def answers(account, address):
        kinds = []
        for _ in range(10):
            try:
                attempt(account, "wrong", address)
            except (SignInRefused, TooManyAttempts) as refusal:
                kinds.append(type(refusal))
        return kinds

    assert answers(ada, HOME)[:6] == answers("nobody@example.com", ELSEWHERE)[:6]


def test_delays_do_not_reveal_that_two_names_belong_to_one_account(attempt, ada):
    for _ in range(5):
        with pytest.raises(SignInRefused):
            attempt(ada, "wrong")
    with pytest.raises(TooManyAttempts):
        attempt(ada, "wrong")

    with pytest.raises(SignInRefused):
        attempt("ada", "wrong")


def test_each_failure_after_the_first_ones_doubles_the_delay_up_to_a_limit(attempt, ada, pool):
    delays = []
    for _ in range(20):
        with pytest.raises(SignInRefused):
            attempt(ada, "wrong")
        delays.append(
            round(
                value(
                    pool,
                    "SELECT max(date_part('epoch', blocked_until - (forgotten_at - interval '1 hour')))"
                    "  FROM access.sign_in_delays",
                )
            )
        )
        with pool.connection() as conn:
            conn.execute("UPDATE access.sign_in_delays SET blocked_until = now()")

    assert [delay for delay in delays if delay > 0][:5] == [1, 2, 4, 8, 16]
    assert delays == sorted(delays)
    assert max(delays) <= 900


def test_an_address_that_tries_many_accounts_is_delayed(attempt, ada):
    with pytest.raises(TooManyAttempts):
        for n in range(100):
            with pytest.raises(SignInRefused):
                attempt(f"person{n}@example.com", "spring2026")

    assert n < 25
    assert attempt(ada, address=ELSEWHERE)


def test_a_whole_ipv6_network_counts_as_one_address(attempt, ada):
    with pytest.raises(TooManyAttempts):
        for n in range(100):
            with pytest.raises(SignInRefused):
                attempt(f"person{n}@example.com", "spring2026", f"2001:db8::{n:x}")


def test_concurrent_guesses_are_all_counted(attempt, ada, pool):
    def guess(n):
        try:
            attempt(ada, f"guess {n}")
        except (TooManyAttempts, HashingBusy):  # nothing was checked
            return 0
        except SignInRefused:
            return 1

    with ThreadPoolExecutor(8) as threads:
        checked = sum(threads.map(guess, range(100)))

    assert checked < 12


def test_the_right_password_resets_the_count(attempt, ada, pool):
    for _ in range(6):
        for n in range(3):
            with pytest.raises(SignInRefused):
                attempt(ada, f"wrong {n}")
        assert attempt(ada)


def test_failures_are_recorded_with_the_account_but_without_the_typed_text(attempt, ada, store):
    with pytest.raises(SignInRefused):
        attempt(ada, "typed by mistake")
    with pytest.raises(SignInRefused):
        attempt("my password in the wrong field", "x")

    known, unknown = events(store, SignInsFailed)
    assert (known.user_id, known.attempts, known.actor.user_id) == ("ada", 1, None)
    assert unknown.user_id is None
    assert store.load(FailedSignIn, known.originator_id).attempts == 1
    states = b"".join(bytes(n.state) for n in store.recorder.select_notifications(1, 100))
    assert b"mistake" not in states
    assert b"wrong field" not in states


def end_delays(pool):
    with pool.connection() as conn:
        conn.execute("UPDATE access.sign_in_delays SET blocked_until = now()")


@pytest.mark.parametrize("account", ["ada", "nobody@example.com"])
def test_guesses_cause_a_limited_number_of_events_that_count_every_attempt(
    attempt, ada, store, pool, account
):
    for _ in range(RECORDED_FAILURES + 7):
        with pytest.raises(SignInRefused):
            attempt(account, "wrong")
        end_delays(pool)
    assert len(events(store, SignInsFailed)) == RECORDED_FAILURES
    with pool.connection() as conn:
        conn.execute("UPDATE access.sign_in_failures SET hour_began_at = now() - interval '2 hours'")

    with pytest.raises(SignInRefused):
        attempt(account, "wrong")

    assert events(store, SignInsFailed)[-1].attempts == 8
    assert sum(event.attempts for event in events(store, SignInsFailed)) == RECORDED_FAILURES + 8


def test_guesses_from_many_networks_cause_a_limited_number_of_events(attempt, ada, store, pool, monkeypatch):
    monkeypatch.setattr(commands.sign_in, "RECORDED_FAILURES_IN_ALL", 20)
    for n in range(30):
        with pytest.raises(SignInRefused):
            attempt("ada", "wrong", address=f"192.0.2.{n}")
    assert len(events(store, SignInsFailed)) == 20
    with pool.connection() as conn:
        conn.execute("UPDATE access.sign_in_failures SET hour_began_at = now() - interval '2 hours'")

    with pytest.raises(SignInRefused):
        attempt("ada", "wrong", address=ELSEWHERE)

    assert sum(event.attempts for event in events(store, SignInsFailed)) == 31


def test_an_attempt_that_was_not_checked_is_not_counted(attempt, ada, store, pool, monkeypatch):
    def raise_busy(stored_hash, password):
        raise HashingBusy

    monkeypatch.setattr(commands.sign_in, "verify_password", raise_busy)
    for _ in range(10):
        with pytest.raises(HashingBusy):
            attempt(ada)

    assert value(pool, "SELECT max(failures) FROM access.sign_in_delays") == 0
    assert events(store, SignInsFailed) == []


def test_signing_out_ends_the_session_on_the_server_once(attempt, ada, store, pool):
    session = attempt(ada).session

    for _ in range(2):
        end_session(store, session.id, operator())

    assert value(pool, "SELECT count(*) FROM access.sessions") == 0
    assert [event.reason for event in events(store, SessionEnded)] == ["signed_out"]
    with pytest.raises(NotFound):
        end_session(store, "session_unknown", operator())


def test_a_new_password_ends_every_session_and_the_old_one_is_refused(attempt, ada, store, pool):
    attempt(ada)
    attempt(ada, address=ELSEWHERE)

    give_password(store, "ada", "another violin quartz bramble")

    assert value(pool, "SELECT count(*) FROM access.sessions") == 0
    with pytest.raises(SignInRefused):
        attempt(ada)
    assert attempt(ada, "another violin quartz bramble")
    changes = events(store, UserPasswordChanged)
    assert len(changes) == 2
    assert store.load(User, "ada").version == 3


def test_only_an_admin_sets_someone_elses_password(store, ada):
    staff = Caller(principal_id="sam", name="Sam", role="manager", auth="session", user_id="sam")
    context = Context(at=datetime.now(UTC), caller=staff, request_id="r", command_id=new_id())

    with pytest.raises(Forbidden):
        change_password(store, "ada", PASSWORD, context)


def test_a_weaker_hash_is_replaced_at_the_next_sign_in(attempt, ada, pool):
    from argon2 import PasswordHasher

    weak = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1).hash(PASSWORD)
    with pool.connection() as conn:
        conn.execute("UPDATE access.passwords SET hash = %s", [weak])

    attempt(ada)

    assert value(pool, "SELECT hash FROM access.passwords").startswith("$argon2id$v=19$m=19456,t=2,p=1$")
    assert attempt(ada)


def test_an_erased_person_cannot_sign_in(attempt, ada, store, pool, catch_up):
    attempt(ada)

    erase_user(store, "ada", operator())
    catch_up()

    assert value(pool, "SELECT count(*) FROM access.sessions") == 0
    assert value(pool, "SELECT count(*) FROM access.passwords") == 0
    with pytest.raises(SignInRefused):
        attempt("ada")
