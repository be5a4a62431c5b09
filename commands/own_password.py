"""People change their own password, for which they need the present one."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import msgspec

from commands.attempts import buckets_of, forget_failures, give_back_attempts, take_attempt
from commands.passwords import save_password
from domain.access import Context
from domain.errors import Forbidden, Invalid
from domain.user import User
from infrastructure.keys.passwords import HashingBusy, verify_password
from infrastructure.storage.event_store import EventStore
from infrastructure.storage.postgres import Pool, fetch_value, named_queries

_sql = named_queries(Path(__file__).parent / "sql" / "passwords.sql")

WRONG = "This is not your current password."


class ChangeOwnPassword(msgspec.Struct, frozen=True, kw_only=True):
    """`address` is the network address of the browser, `session_id` the session that does not end."""

    current: str
    password: str
    address: str
    session_id: str


def change_own_password(store: EventStore, pool: Pool, command: ChangeOwnPassword, context: Context) -> User:
    """Set the caller's password; end their other sessions and void their one-time link.

    Guesses of the current password are delayed like those at sign-in. Raises TooManyAttempts, HashingBusy,
    and Invalid for a wrong current password or a bad new one.
    """
    user_id = context.caller.user_id
    if user_id is None:
        raise Forbidden("This caller is not a person and has no password.")
    _verify_current(pool, user_id, command)
    find = partial(store.load, User, user_id)
    return save_password(store, find, command.password, context, kept_session_id=command.session_id)


def _verify_current(pool: Pool, user_id: str, command: ChangeOwnPassword) -> None:
    with pool.connection() as conn:
        stored: str | None = fetch_value(conn, _sql["find_hash"], {"user_id": user_id}, default=None)
    account, address = buckets_of(user_id, command.address)
    take_attempt(pool, account, address)
    try:
        is_correct = verify_password(stored, command.current)
    except HashingBusy:
        give_back_attempts(pool, account, address)
        raise
    if not is_correct:
        raise Invalid({"current": [WRONG]})
    with pool.connection() as conn, conn.transaction():
        forget_failures(conn, account, address)
