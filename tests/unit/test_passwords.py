"""Passwords: which are taken, and what is kept of them."""

import threading

import pytest

from commands.passwords import require_good_password
from domain.errors import Invalid
from infrastructure.keys import passwords
from infrastructure.keys.passwords import HashingBusy, hash_password, verify_password

GOOD = "otter violin quartz bramble"
LONG = "".join(f"{number} sheep, " for number in range(90))


@pytest.mark.parametrize(
    "password",
    [
        "",
        "short7!",
        "12345678",
        "password123",
        "P@ssw0rd1!",
        "qwertyuiop",
        "JaneSmith1",
        "jane.smith@example.com",
        "ticketing1",
        "x" * 1_025,
        "é" * 513,
        "otter\0violin quartz",
        "otter \ud800 violin quartz",
    ],
)
def test_a_password_that_is_guessed_first_or_cannot_be_kept_is_refused(password):
    with pytest.raises(Invalid) as refusal:
        require_good_password(password, "Jane Smith", "jane.smith@example.com")

    assert list(refusal.value.details) == ["password"]
    assert password not in str(refusal.value) or not password


@pytest.mark.parametrize(
    "password",
    [GOOD, "ყვავილების ბაღი მთაში", "  spaces count too  ", LONG],
)
def test_long_and_odd_passwords_are_taken_as_they_are(password):
    require_good_password(password, "Jane Smith", "jane.smith@example.com")
    assert verify_password(hash_password(password), password)
    assert not verify_password(hash_password(password), password.strip() + "x")


def test_the_hash_is_argon2id_at_the_strength_of_the_owasp_floor():
    kept = hash_password(GOOD)

    assert kept.startswith("$argon2id$v=19$m=19456,t=2,p=1$")
    assert GOOD not in kept
    assert hash_password(GOOD) != kept


def test_an_unknown_account_costs_the_same_work(monkeypatch):
    calls = []
    hasher = passwords._hasher
    monkeypatch.setattr(
        passwords, "_hasher", type("Counting", (), {
            "hash": hasher.hash,
            "verify": lambda self, kept, password: (calls.append(kept), hasher.verify(kept, password))[1],
        })()
    )  # fmt: skip

    assert not verify_password(None, "nobody's password")
    assert not verify_password(hash_password("else"), "nobody's password")
    assert len(calls) == 2
    assert all(kept.startswith("$argon2id$v=19$m=19456,t=2,p=1$") for kept in calls)


def test_a_password_past_the_cap_is_not_hashed_at_all(monkeypatch):
    monkeypatch.setattr(passwords, "_hasher", None)

    assert not verify_password("$argon2id$", "x" * 1_025)


def test_at_most_two_are_hashed_at_a_time(monkeypatch):
    monkeypatch.setattr(passwords, "WAIT_SECONDS", 0.01)
    held, release = threading.Barrier(3), threading.Event()

    def hold():
        with passwords._hashing_slot():
            held.wait(10)
            release.wait(10)

    holders = [threading.Thread(target=hold) for _ in range(2)]
    for holder in holders:
        holder.start()
    held.wait(10)
    try:
        with pytest.raises(HashingBusy):
            hash_password(GOOD)
    finally:
        release.set()
        for holder in holders:
            holder.join(10)
    assert hash_password(GOOD)
