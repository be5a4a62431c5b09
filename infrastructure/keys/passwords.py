"""Passwords: hashing, comparing, and how guessable one is.

argon2id with the parameters of the OWASP password storage cheat sheet (19 MiB, 2 passes, 1 lane). A
hash costs about 30 ms of one core, so a process computes at most HASHES_AT_A_TIME of them and refuses
the rest for a moment: a flood of sign-ins must not take the machine from everyone else.
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

MAX_BYTES = 1_024  # in UTF-8; checked before anything is hashed
HASHES_AT_A_TIME = 2
WAIT_SECONDS = 2.0
_GUESSED_CHARACTERS = 72  # zxcvbn's time grows faster than the text it looks at

_hasher = PasswordHasher(
    time_cost=2, memory_cost=19_456, parallelism=1, hash_len=32, salt_len=16, type=Type.ID
)
_places = threading.BoundedSemaphore(HASHES_AT_A_TIME)


class HashingBusy(Exception):
    """More passwords are being checked than this process takes on at a time. Try again in a second."""


def hash_password(password: str) -> str:
    """An argon2id hash in PHC form, with its salt. Raises HashingBusy."""
    with _a_place():
        return _hasher.hash(password)


def verify_password(kept: str | None, password: str) -> bool:
    """Whether `password` is the one `kept` is a hash of. Raises HashingBusy.

    `kept` None stands for an account that does not exist: the answer is no, after the same work, so that
    time does not tell which accounts there are.
    """
    if len(password.encode(errors="replace")) > MAX_BYTES:
        return False
    with _a_place():
        try:
            return _hasher.verify(kept or _nobodys_hash(), password) and kept is not None
        except (VerificationError, InvalidHashError, UnicodeEncodeError):
            return False


def is_outdated(kept: str) -> bool:
    """Whether the hash was made with other parameters than today's."""
    return _hasher.check_needs_rehash(kept)


def guessability(password: str, about: Sequence[str]) -> int:
    """From 0 (among the first to be tried) to 4, by zxcvbn, which knows 30,000 leaked passwords, names,
    words, keyboards and dates. `about` are words others know of the person: name, e-mail address."""
    from zxcvbn import zxcvbn  # its word lists take memory that only a new password needs

    found = zxcvbn(password[:_GUESSED_CHARACTERS], user_inputs=list(about))
    return int(found["score"])


@contextmanager
def _a_place() -> Iterator[None]:
    began = time.monotonic()
    has_place = _places.acquire(timeout=seconds_left(WAIT_SECONDS))
    spend(time.monotonic() - began)
    if not has_place:
        raise HashingBusy
    try:
        yield
    finally:
        _places.release()


@cache
def _nobodys_hash() -> str:
    return _hasher.hash("nobody's password")
