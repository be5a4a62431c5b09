"""Counts attempts to give a password, and delays further ones.

Failed attempts cause delays, not a lock-out: after a few failures each further attempt waits longer. Attempts
are counted per account and network, and per network, so that failures in one network do not delay people in
another.
"""

from __future__ import annotations

import hashlib
import math
from datetime import timedelta
from pathlib import Path
from typing import NamedTuple

from psycopg import Rollback

from domain.errors import DomainError
from domain.ip_addresses import network_prefix
from domain.text import fold_case
from infrastructure.storage.postgres import Connection, Pool, fetch_value, named_queries

_sql = named_queries(Path(__file__).parent / "sql" / "attempts.sql")

_FORGOTTEN_AFTER = timedelta(hours=1)


class Delay(NamedTuple):
    """The number of attempts in a row without a delay, and the longest delay of later attempts."""

    free: int
    longest: timedelta


DELAY_OF_ACCOUNT = Delay(free=5, longest=timedelta(minutes=15))
DELAY_OF_ADDRESS = Delay(free=20, longest=timedelta(minutes=1))


class TooManyAttempts(DomainError):
    """The password was not checked. Another attempt is allowed after `seconds`."""

    code = "rate_limited"

    def __init__(self, seconds: int) -> None:
        super().__init__(
            f"Too many attempts. Try again in {seconds} {'second' if seconds == 1 else 'seconds'}."
        )
        self.seconds = seconds


def buckets_of(account: str, address: str) -> tuple[bytes, bytes]:
    """The keys under which failures are counted: by account and network, and by network.

    The account is used as typed: resolving it would reveal that an e-mail address and an id are one account.
    The network of an IPv6 address is its /64, because one host can use all of it.
    """
    network = network_prefix(address, ipv4_bits=32, ipv6_bits=64) or address
    return _bucket("account", fold_case(account), network), _bucket("address", network)


def take_attempt(pool: Pool, account_bucket: bytes, address: bytes) -> None:
    """Count the attempt in both buckets, or in neither and raise TooManyAttempts."""
    with pool.connection() as conn:
        with conn.transaction() as attempt:
            for bucket, delay in ((account_bucket, DELAY_OF_ACCOUNT), (address, DELAY_OF_ADDRESS)):
                parameters = {"bucket": bucket, "forgotten_after": _FORGOTTEN_AFTER, **delay._asdict()}
                if conn.execute(_sql["take_attempt"], parameters).fetchone() is None:
                    raise Rollback(attempt)
            return
        seconds = fetch_value(
            conn, _sql["seconds_blocked"], {"buckets": [account_bucket, address]}, default=1.0
        )
    raise TooManyAttempts(max(1, math.ceil(seconds)))


def give_back_attempts(pool: Pool, *buckets: bytes) -> None:
    with pool.connection() as conn:
        conn.execute(_sql["give_back_attempts"], {"buckets": list(buckets)})


def forget_failures(conn: Connection, account_bucket: bytes, address: bytes) -> None:
    """After a correct password: forget the failures of the account, and undo the count of the address."""
    conn.execute(_sql["forget_failures"], {"bucket": account_bucket})
    conn.execute(_sql["give_back_attempts"], {"buckets": [address]})


def purge_attempts(conn: Connection) -> None:
    """Delete delays and counts that are over."""
    conn.execute(_sql["purge_delays"])
    conn.execute(_sql["purge_failures"])


def _bucket(*parts: str) -> bytes:
    return hashlib.sha256("\0".join(parts).encode(errors="replace")).digest()
