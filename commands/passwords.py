"""Setting a person's password.

The rules follow NIST SP 800-63B and OWASP ASVS 5, 6.2: a minimum length, no required kinds of characters,
no password that attackers guess first, and no silent truncation.
"""

from __future__ import annotations

from pathlib import Path

from commands.deciding import change
from domain.access import Caller, Context
from domain.errors import Invalid
from domain.user import User
from infrastructure.keys.passwords import MAX_BYTES, guessability, hash_password
from infrastructure.storage.event_store import EventStore
from infrastructure.storage.postgres import Statement, named_queries

_sql = named_queries(Path(__file__).parent / "sql" / "passwords.sql")

MIN_CHARACTERS = 8
LEAST_GUESSABILITY = 3  # of 4; below it a leaked hash, or a patient guesser, would not need long
_PRODUCT_WORDS = ("ticketing", "ticket", "maintenance", "property")


def change_password(store: EventStore, user_id: str, password: str, context: Context) -> User:
    """Set the password and end every session of the person, in one commit.

    An admin sets the passwords of people within the admin's own rights. Everybody else sets their own; the
    page for that has checked the old password. Raises Invalid for a password that is too short, too long or
    easily guessed, and HashingBusy when too many passwords are being hashed.
    """
    if user_id != context.caller.user_id:
        context.caller.require("admin", "set someone else's password")
    user = _permitted_user(store, context.caller, user_id)
    require_good_password(password, user.name, user.email)
    parameters = {"user_id": user_id, "hash": hash_password(password), "changed_at": context.at}

    def decide(user: User) -> list[Statement]:
        user.change_password(context)
        return [(_sql["save_password"], parameters), (_sql["delete_sessions_of_user"], parameters)]

    return change(store, user_id, context, lambda: _permitted_user(store, context.caller, user_id), decide)


def _permitted_user(store: EventStore, caller: Caller, user_id: str) -> User:
    """The person, if the caller may set their password: whoever does so can sign in with all their rights."""
    user = store.load(User, user_id)
    caller.require_rights(user.rights, "set the password of this person")
    return user


def require_good_password(password: str, name: str, email: str) -> None:
    """Raise Invalid, naming the field `password`, unless a person of that name may have it."""
    if complaint := _complaint(password, name, email):
        raise Invalid({"password": [complaint]})


def _complaint(password: str, name: str, email: str) -> str | None:
    try:
        size = len(password.encode())
    except UnicodeEncodeError:
        return "The password holds half of a surrogate pair, which is no character."
    if len(password) < MIN_CHARACTERS:
        return f"The password must have at least {MIN_CHARACTERS} characters; 15 or more are better."
    if size > MAX_BYTES:
        return f"The password may not be longer than {MAX_BYTES} bytes."
    if "\0" in password:
        return "The password must not contain the NUL character."
    about = [email, *email.split("@"), *name.split(), *_PRODUCT_WORDS]
    if guessability(password, about) < LEAST_GUESSABILITY:
        return "The password is among those that are guessed first. Four unrelated words make a good one."
    return None
