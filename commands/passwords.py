"""Setting passwords.

The rules follow NIST SP 800-63B and OWASP ASVS 5, 6.2: a minimum length, no required kinds of characters,
no password that is easy to guess, and no silent truncation.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from commands.deciding import change
from commands.link_statements import void_link
from domain.access import Caller, Context
from domain.errors import Invalid
from domain.user import User
from infrastructure.keys.passwords import MAX_BYTES, guessability, hash_password
from infrastructure.storage.event_store import EventStore
from infrastructure.storage.postgres import Statement, named_queries

_sql = named_queries(Path(__file__).parent / "sql" / "passwords.sql")

MIN_CHARACTERS = 8
LEAST_GUESSABILITY = 3  # on a scale from 0 to 4, where 4 is the hardest to guess
_PRODUCT_WORDS = ("ticketing", "ticket", "maintenance", "property")


def change_password(store: EventStore, user_id: str, password: str, context: Context) -> User:
    """Set the password of a person for them; end their sessions and void their one-time link, in one commit.

    An admin may set the password of a person whose rights do not exceed the admin's. Other callers may set
    only their own. Raises Invalid for a password that is too short, too long or easy to guess, and
    HashingBusy when too many passwords are being hashed.
    """
    if user_id != context.caller.user_id:
        context.caller.require("admin", "set someone else's password")

    def find() -> User:
        return _permitted_user(store, context.caller, user_id)

    return save_password(store, find, password, context)


def save_password(
    store: EventStore,
    find: Callable[[], User],
    password: str,
    context: Context,
    *,
    kept_session_id: str | None = None,
) -> User:
    """Set the password of the person that `find` returns; `find` refuses if the caller may not do that.

    In one commit this ends the sessions of the person, except `kept_session_id`, and voids their one-time
    link. Raises Invalid and HashingBusy.
    """
    user = find()
    require_good_password(password, user.name, user.email)
    parameters = {
        "user_id": user.id,
        "hash": hash_password(password),
        "changed_at": context.at,
        "kept_session_id": kept_session_id,
    }

    def decide(user: User) -> list[Statement]:
        user.change_password(context)
        return [
            (_sql["save_password"], parameters),
            (_sql["delete_other_sessions"], parameters),
            *void_link(user.id),
        ]

    return change(store, user.id, context, find, decide)


def has_password(store: EventStore, user_id: str) -> bool:
    """Whether the person has ever set a password, or an admin for them."""
    return bool(store.select(_sql["find_hash"], {"user_id": user_id}))


def _permitted_user(store: EventStore, caller: Caller, user_id: str) -> User:
    """The person. Raises Forbidden if the person's rights exceed those of the caller, who could otherwise
    sign in as that person."""
    user = store.load(User, user_id)
    caller.require_rights(user.rights, "set the password of this person")
    return user


def require_good_password(password: str, name: str, email: str) -> None:
    """Raise Invalid, with details of the field `password`, if the rules for passwords forbid it."""
    if problem := _password_problem(password, name, email):
        raise Invalid({"password": [problem]})


def _password_problem(password: str, name: str, email: str) -> str | None:
    try:
        size = len(password.encode())
    except UnicodeEncodeError:
        return "The password contains half of a surrogate pair, which is not a character."
    if len(password) < MIN_CHARACTERS:
        return f"The password must have at least {MIN_CHARACTERS} characters; 15 or more are better."
    if size > MAX_BYTES:
        return f"The password may not be longer than {MAX_BYTES} bytes."
    if "\0" in password:
        return "The password must not contain the NUL character."
    personal_words = [email, *email.split("@"), *name.split(), *_PRODUCT_WORDS]
    if guessability(password, personal_words) < LEAST_GUESSABILITY:
        return "The password is easy to guess. Four unrelated words make a good password."
    return None
