"""Signing in with a password, and out again.

Guessing is slowed, never locked out: after a few failures each further attempt waits longer, for the
account from that address and for the address whatever the account. A person elsewhere is not kept out by
someone guessing at their account. An account that does not exist costs the same work and gives the same
answer as a wrong password (OWASP ASVS 5, 6.3.1, 6.3.8).
"""

from __future__ import annotations

import hashlib
import ipaddress
import math
import random
from datetime import timedelta
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
from psycopg import Rollback

from domain.access import Caller, Context
from domain.errors import DomainError
from domain.session import EndReason, FailedSignIn, Session
from infrastructure.keys.passwords import MAX_BYTES, HashingBusy, hash_password, is_outdated, verify_password
from infrastructure.keys.tokens import SESSION, digest, make_token
from infrastructure.storage.event_store import EventStore, create, decide
from infrastructure.storage.postgres import Connection, Pool, named_queries

_sql = named_queries(Path(__file__).parent / "sql" / "sign_in.sql")

IDLE = timedelta(minutes=30)
ABSOLUTE = timedelta(hours=12)
RECORDED_FAILURES = 10  # an hour, of those from one network
RECORDED_FAILURES_IN_ALL = 600
MAX_ACCOUNT_CHARACTERS = 254
_FORGOTTEN_AFTER = timedelta(hours=1)
_PURGE_ONE_IN = 200


class Delay(NamedTuple):
    """How many attempts in a row are free, and how long one of the later ones waits at most."""

    free: int
    longest: timedelta


DELAY_OF_ACCOUNT = Delay(free=5, longest=timedelta(minutes=15))
DELAY_OF_ADDRESS = Delay(free=20, longest=timedelta(minutes=1))


class SignIn(msgspec.Struct, frozen=True, kw_only=True):
    """`account` is an e-mail address or a user's id; `address` the network address of the browser;
    `replaces` the id of the session the browser had before."""

    account: str
    password: str
    address: str
    replaces: str | None = None


class SignedIn(NamedTuple):
    """The session's secret, for the cookie, this once, and what the log knows of it."""

    secret: str
    session: Session


class SignInRefused(DomainError):
    """No such account, no password, or another one: it is not said which."""

    code = "unauthenticated"

    def __init__(self) -> None:
        super().__init__("That e-mail address and password do not belong together.")


class TooManyAttempts(DomainError):
    """The attempt was not looked at. `seconds` until the next one will be."""

    code = "rate_limited"

    def __init__(self, seconds: int) -> None:
        super().__init__(
            f"Too many attempts. Try again in {seconds} {'second' if seconds == 1 else 'seconds'}."
        )
        self.seconds = seconds


class _Account(NamedTuple):
    user_id: str
    role: Any
    hash: str


def sign_in(store: EventStore, pool: Pool, command: SignIn, context: Context) -> SignedIn:
    """Begin a session under a new secret, and end the one the browser had.

    `context` names nobody yet. Raises SignInRefused, TooManyAttempts, or HashingBusy.
    """
    account = _find(pool, command.account)
    mine, address = _buckets(command.account, command.address)
    _take_attempt(pool, mine, address)
    try:
        is_right = verify_password(account.hash if account else None, command.password)
    except HashingBusy:
        _give_back(pool, mine, address)
        raise
    if not is_right or account is None:
        _note_failure(store, pool, account, address, context)
        raise SignInRefused
    with pool.connection() as conn, conn.transaction():
        conn.execute(_sql["forget_failures"], {"bucket": mine})
        conn.execute(_sql["give_back_attempts"], {"buckets": [address]})
        _rehash(conn, account, command.password)
    caller = Caller(
        principal_id=account.user_id,
        name=account.user_id,
        role=account.role,
        auth="session",
        credential_id=f"session_{context.command_id}",
        user_id=account.user_id,
    )
    context = msgspec.structs.replace(context, caller=caller)
    if command.replaces is not None:
        end_session(store, command.replaces, context, reason="signed_in_again")
    return _start(store, account.user_id, context)


def end_session(
    store: EventStore, session_id: str, context: Context, *, reason: EndReason = "signed_out"
) -> Session:
    """End a session on the server: from the commit on its secret opens nothing."""

    def attempt() -> Session:
        session = store.load(Session, session_id)
        session.end(reason, context)
        store.save(session, also=[(_sql["delete_session"], {"session_id": session_id})])
        return session

    return decide(store, session_id, attempt)


def _start(store: EventStore, user_id: str, context: Context) -> SignedIn:
    session = Session.start(f"session_{context.command_id}", user_id, context)
    secret = make_token(SESSION)
    row = {"secret_sha256": digest(secret), "session_id": session.id, "user_id": user_id}
    return SignedIn(secret, create(store, session, context, also=[(_sql["insert_session"], row)]))


def _find(pool: Pool, account: str) -> _Account | None:
    if not account or len(account) > MAX_ACCOUNT_CHARACTERS or "\0" in account:
        return None
    with pool.connection() as conn:
        row = conn.execute(_sql["find_account"], {"account": account}).fetchone()
    return _Account(*row) if row else None


def _buckets(account: str, address: str) -> tuple[bytes, bytes]:
    """What failures are counted under: the account as typed, as one with two names would show that it is one.

    An IPv6 host has a whole /64 of addresses to call from.
    """
    network = _network(address)
    return _bucket("account", account.lower(), network), _bucket("address", network)


def _bucket(*parts: str) -> bytes:
    return hashlib.sha256("\0".join(parts).encode(errors="replace")).digest()


def _network(address: str) -> str:
    try:
        ip = ipaddress.ip_address(address)
    except ValueError:
        return address
    if isinstance(ip, ipaddress.IPv6Address):
        ip = ip.ipv4_mapped or ip
    return str(ipaddress.ip_network((ip, 32 if ip.version == 4 else 64), strict=False))


def _take_attempt(pool: Pool, mine: bytes, address: bytes) -> None:
    """Count the attempt in both buckets, or in neither and raise TooManyAttempts."""
    with pool.connection() as conn:
        if random.randrange(_PURGE_ONE_IN) == 0:  # noqa: S311 - not a secret
            conn.execute(_sql["purge_delays"])
            conn.execute(_sql["purge_failures"])
            conn.execute(_sql["purge_sessions"], {"idle": IDLE, "absolute": ABSOLUTE})
        with conn.transaction() as attempt:
            for bucket, delay in ((mine, DELAY_OF_ACCOUNT), (address, DELAY_OF_ADDRESS)):
                parameters = {"bucket": bucket, "forgotten_after": _FORGOTTEN_AFTER, **delay._asdict()}
                if conn.execute(_sql["take_attempt"], parameters).fetchone() is None:
                    raise Rollback(attempt)
            return
        row = conn.execute(_sql["seconds_blocked"], {"buckets": [mine, address]}).fetchone()
    raise TooManyAttempts(max(1, math.ceil(row[0] if row else 1)))


def _give_back(pool: Pool, *buckets: bytes) -> None:
    with pool.connection() as conn:
        conn.execute(_sql["give_back_attempts"], {"buckets": list(buckets)})


def _note_failure(
    store: EventStore, pool: Pool, account: _Account | None, address: bytes, context: Context
) -> None:
    """Put it on record, but only so often: the log must not be filled by guessing.

    What is done does not depend on whether there is such an account, as its time could be taken.
    """
    with pool.connection() as conn:
        attempts = _count(conn, address.hex(), 1, RECORDED_FAILURES)
        if attempts:
            attempts = _count(conn, "all", attempts, RECORDED_FAILURES_IN_ALL)
    if attempts:
        user_id = account.user_id if account else None
        failure = FailedSignIn.note(
            f"failed_{context.command_id}", context, user_id=user_id, attempts=attempts
        )
        create(store, failure, context)


def _count(conn: Connection, source: str, attempts: int, most: int) -> int:
    """How many attempts the log is to be told of now; 0 for none."""
    parameters = {"source": source, "attempts": attempts, "most": most}
    row = conn.execute(_sql["count_failures"], parameters).fetchone()
    return int(row[0]) if row else 0


def _rehash(conn: Connection, account: _Account, password: str) -> None:
    """Keep the hash of a password that was right at today's strength."""
    if is_outdated(account.hash) and len(password.encode()) <= MAX_BYTES:
        parameters = {"user_id": account.user_id, "hash": hash_password(password), "was": account.hash}
        conn.execute(_sql["rehash_password"], parameters)
