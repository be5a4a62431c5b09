"""Passwords: which are accepted, and how they are hashed."""

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
def test_a_password_that_is_weak_too_long_or_not_valid_text_is_refused(password):
    with pytest.raises(Invalid) as refusal:
        require_good_password(password, "Jane Smith", "jane.smith@example.com")

    assert list(refusal.value.details) == ["password"]
    assert password not in str(refusal.value) or not password


@pytest.mark.parametrize(
    "password",
    [GOOD, "ყვავილების ბაღი მთაში", "  spaces count too  ", LONG],
)
def test_long_and_unusual_passwords_are_accepted_unchanged(password):
    require_good_password(password, "Jane Smith", "jane.smith@example.com")
    assert verify_password(hash_password(password), password)
    assert not verify_password(hash_password(password), password.strip() + "x")


def test_the_hash_is_argon2id_with_the_minimum_parameters_of_owasp():
    hashed = hash_password(GOOD)

    assert hashed.startswith("$argon2id$v=19$m=19456,t=2,p=1$")
    assert GOOD not in hashed
    assert hash_password(GOOD) != hashed


def test_a_password_for_an_unknown_account_is_hashed_too(monkeypatch):
    calls = []
    hasher = passwords._hasher
    monkeypatch.setattr(
        passwords, "_hasher", type("Counting", (), {
            "hash": hasher.hash,
            "verify": lambda self, known, password: (calls.append(known), hasher.verify(known, password))[1],
        })()
    )  # fmt: skip

    assert not verify_password(None, "some password")
    assert not verify_password(hash_password("else"), "some password")
    assert len(calls) == 2
    assert all(hashed.startswith("$argon2id$v=19$m=19456,t=2,p=1$") for hashed in calls)


def test_a_password_over_the_length_limit_is_not_hashed(monkeypatch):
    monkeypatch.setattr(passwords, "_hasher", None)

    assert not verify_password("$argon2id$", "x" * 1_025)


def test_at_most_two_passwords_are_hashed_at_a_time(monkeypatch):
    monkeypatch.setattr(passwords, "WAIT_SECONDS", 0.01)
    both_hold, release = threading.Barrier(3), threading.Event()

    def hold():
        with passwords._hashing_slot():
            both_hold.wait(10)
            release.wait(10)

    holders = [threading.Thread(target=hold) for _ in range(2)]
    for holder in holders:
        holder.start()
    both_hold.wait(10)
    try:
        with pytest.raises(HashingBusy):
            hash_password(GOOD)
    finally:
        release.set()
        for holder in holders:
            holder.join(10)
    assert hash_password(GOOD)
