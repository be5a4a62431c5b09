"""Passwords: hashing, verifying, and estimating how easy one is to guess.

Uses argon2id with the parameters of the OWASP password storage cheat sheet (19 MiB, 2 passes, 1 lane). A hash
takes about 30 ms of one core. A process computes at most HASHES_AT_A_TIME in parallel and refuses further
ones, so that many sign-ins cannot use up the CPU.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache

from argon2 import PasswordHasher, Type
from argon2.exceptions import InvalidHashError, VerificationError

from infrastructure.process.deadlines import seconds_left, spend

MAX_BYTES = 1_024  # of a password in UTF-8; checked before hashing
HASHES_AT_A_TIME = 2
WAIT_SECONDS = 2.0
_GUESSED_CHARACTERS = 72  # zxcvbn's time grows faster than the length of the text

_hasher = PasswordHasher(
    time_cost=2, memory_cost=19_456, parallelism=1, hash_len=32, salt_len=16, type=Type.ID
)
_slots = threading.BoundedSemaphore(HASHES_AT_A_TIME)


class HashingBusy(Exception):
    """This process already computes HASHES_AT_A_TIME hashes. Try again in a second."""


def hash_password(password: str) -> str:
    """An argon2id hash in PHC form, with its salt. Raises HashingBusy."""
    with _hashing_slot():
        return _hasher.hash(password)


def verify_password(stored_hash: str | None, password: str) -> bool:
    """Whether the stored hash is that of `password`. Raises HashingBusy.

    None stands for an unknown account: returns False after the same work, to prevent timing attacks.
    """
    if len(password.encode(errors="replace")) > MAX_BYTES:
        return False
    with _hashing_slot():
        try:
            return _hasher.verify(stored_hash or _dummy_hash(), password) and stored_hash is not None
        except (VerificationError, InvalidHashError, UnicodeEncodeError):
            return False


def is_outdated(stored_hash: str) -> bool:
    """Whether the parameters of the hash differ from the current ones."""
    return _hasher.check_needs_rehash(stored_hash)


def guessability(password: str, about: Sequence[str]) -> int:
    """The score of zxcvbn, from 0 (easiest to guess) to 4.

    zxcvbn looks for leaked passwords, names, words, keyboard patterns and dates. `about` are words about the
    person, such as name and e-mail address.
    """
    from zxcvbn import zxcvbn  # imported here, because its word lists take much memory

    found = zxcvbn(password[:_GUESSED_CHARACTERS], user_inputs=list(about))
    return int(found["score"])


@contextmanager
def _hashing_slot() -> Iterator[None]:
    began = time.monotonic()
    has_slot = _slots.acquire(timeout=seconds_left(WAIT_SECONDS))
    spend(time.monotonic() - began)
    if not has_slot:
        raise HashingBusy
    try:
        yield
    finally:
        _slots.release()


@cache
def _dummy_hash() -> str:
    return _hasher.hash("the password of no account")
