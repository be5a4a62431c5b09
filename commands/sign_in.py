"""Signing in with a password, and signing out.

Failed attempts cause delays (commands/attempts.py). An unknown or deactivated account causes the same work
and the same answer as a wrong password (OWASP ASVS 5, 6.3.1, 6.3.8).
"""

from __future__ import annotations

import random
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from commands.attempts import buckets_of, forget_failures, give_back_attempts, purge_attempts, take_attempt
from commands.deciding import change, create
from commands.email_addresses import hash_address
from domain.access import Caller, Context
from domain.errors import DomainError
from domain.session import EndReason, FailedSignIn, Session
from infrastructure.keys.passwords import MAX_BYTES, HashingBusy, hash_password, is_outdated, verify_password
from infrastructure.keys.tokens import SESSION, digest, make_token
from infrastructure.storage.event_store import EventStore
from infrastructure.storage.postgres import Connection, Pool, Statement, fetch_value, named_queries

_sql = named_queries(Path(__file__).parent / "sql" / "sign_in.sql")

IDLE = timedelta(minutes=30)
ABSOLUTE = timedelta(hours=12)
RECORDED_FAILURES = 10  # per hour and network
RECORDED_FAILURES_IN_ALL = 600
MAX_ACCOUNT_CHARACTERS = 254
_PURGE_ONE_IN = 200


class SignIn(msgspec.Struct, frozen=True, kw_only=True):
    """`account` is an e-mail address or a user's id; `address` the network address of the browser;
    `replaces` the id of the session the browser had before."""

    account: str
    password: str
    address: str
    replaces: str | None = None


class SignedIn(NamedTuple):
    """The session, and its secret for the cookie, which is stored nowhere."""

    secret: str
    session: Session


class SignInRefused(DomainError):
    """Unknown or deactivated account, account without a password, or wrong password: the message does not
    reveal which."""

    code = "unauthenticated"

    def __init__(self) -> None:
        super().__init__("The e-mail address or the password is wrong.")


class _Account(NamedTuple):
    user_id: str
    role: Any
    hash: str


def sign_in(store: EventStore, pool: Pool, command: SignIn, context: Context) -> SignedIn:
    """Start a session with a new secret, and end the session that the browser had before.

    The caller in `context` is not authenticated yet. Raises SignInRefused, TooManyAttempts, or HashingBusy.
    """
    account = _find_account(store, pool, command.account)
    account_bucket, address = buckets_of(command.account, command.address)
    _purge(pool)
    take_attempt(pool, account_bucket, address)
    try:
        is_correct = verify_password(account.hash if account else None, command.password)
    except HashingBusy:
        give_back_attempts(pool, account_bucket, address)
        raise
    if not is_correct or account is None:
        _note_failure(store, pool, account, address, context)
        raise SignInRefused
    with pool.connection() as conn, conn.transaction():
        forget_failures(conn, account_bucket, address)
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
    return _start_session(store, account.user_id, context)


def end_session(
    store: EventStore, session_id: str, context: Context, *, reason: EndReason = "signed_out"
) -> Session:
    """End a session on the server: from the commit on its secret is refused."""

    def decide(session: Session) -> list[Statement]:
        session.end(reason, context)
        return [(_sql["delete_session"], {"session_id": session_id})]

    return change(store, session_id, context, partial(store.load, Session, session_id), decide)


def _start_session(store: EventStore, user_id: str, context: Context) -> SignedIn:
    session = Session.start(f"session_{context.command_id}", user_id, context)
    secret = make_token(SESSION)
    row = {"secret_sha256": digest(secret), "session_id": session.id, "user_id": user_id}
    return SignedIn(secret, create(store, session, context, statements=[(_sql["insert_session"], row)]))


def _find_account(store: EventStore, pool: Pool, account: str) -> _Account | None:
    if not account or len(account) > MAX_ACCOUNT_CHARACTERS or "\0" in account:
        return None
    parameters = {"account": account, "address_hmac": hash_address(store, account)}
    with pool.connection() as conn:
        row = conn.execute(_sql["find_account"], parameters).fetchone()
    return _Account(*row) if row else None


def _purge(pool: Pool) -> None:
    """Delete sessions, delays and counts that are over, in one of _PURGE_ONE_IN calls."""
    if random.randrange(_PURGE_ONE_IN) == 0:  # noqa: S311 - not a secret
        with pool.connection() as conn:
            purge_attempts(conn)
            conn.execute(_sql["purge_sessions"], {"idle": IDLE, "absolute": ABSOLUTE})


def _note_failure(
    store: EventStore, pool: Pool, account: _Account | None, address: bytes, context: Context
) -> None:
    """Record the failure, up to a limit, so that guessing cannot fill the log.

    Does the same work for unknown accounts, to prevent timing attacks.
    """
    with pool.connection() as conn:
        attempts = _count_failures(conn, address.hex(), 1, RECORDED_FAILURES)
        if attempts:
            attempts = _count_failures(conn, "all", attempts, RECORDED_FAILURES_IN_ALL)
    if attempts:
        user_id = account.user_id if account else None
        failure = FailedSignIn.note(
            f"failed_{context.command_id}", context, user_id=user_id, attempts=attempts
        )
        create(store, failure, context)


def _count_failures(conn: Connection, source: str, attempts: int, most: int) -> int:
    """The number of attempts to record now; 0 while the limit is reached."""
    parameters = {"source": source, "attempts": attempts, "most": most}
    return fetch_value(conn, _sql["count_failures"], parameters, default=0)


def _rehash(conn: Connection, account: _Account, password: str) -> None:
    """Replace the hash of a correct password if it was made with outdated parameters."""
    if is_outdated(account.hash) and len(password.encode()) <= MAX_BYTES:
        parameters = {"user_id": account.user_id, "hash": hash_password(password), "was": account.hash}
        conn.execute(_sql["rehash_password"], parameters)
