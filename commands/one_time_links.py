"""One-time links: a person opens the link and sets a password, without signing in.

A link is shown once, to the manager or admin who asks for it; only its SHA-256 is stored. It is valid for a
day, an invitation for a week, and for one use, and only until its person gets a newer link, a new password,
another role or other properties, or is deactivated or erased, or until the issuer is deactivated.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import NamedTuple

import msgspec

from commands.deciding import change
from commands.link_statements import sql
from commands.passwords import has_password, save_password
from commands.shown_once import require_no_answer_yet, with_new_attempt
from commands.users import visible_user
from domain.access import SCOPES, Caller, Context
from domain.errors import Conflict, DomainError, Forbidden
from domain.user import User
from infrastructure.keys.tokens import ONE_TIME_LINK, digest, has_form, make_token
from infrastructure.storage.event_store import EventStore
from infrastructure.storage.postgres import Statement

LINK_PATH = "/admin/one-time-link"
LIFETIME = timedelta(hours=24)
INVITATION_LIFETIME = timedelta(days=7)
_REMEDY = "ask for a new link."


class IssuedLink(NamedTuple):
    """`secret` is the last part of the link's address; it is stored nowhere."""

    secret: str
    expires_at: datetime
    user: User


class HasPassword(Conflict):
    """An invitation is for the first password only: it is valid for longer than a link for a new one."""

    def __init__(self) -> None:
        super().__init__("This person has a password already. Make a one-time link instead.")


class LinkInvalid(DomainError):
    """Unknown, expired, used or void: the message does not reveal which."""

    code = "not_found"

    def __init__(self) -> None:
        super().__init__("This link is not valid any more. Ask for a new one.")


def issue_link(store: EventStore, user_id: str, context: Context) -> IssuedLink:
    """Make a new link for a person, instead of an earlier one.

    The caller's rights must include those of the person, with every scope, because the holder of the link can
    sign in as the person. Nobody makes a link for themselves, because it would replace the current password.
    Raises SecretWasShown for a repeat of the command, UserIsDeactivated and UserIsErased.
    """
    return _issue(store, user_id, context, f"link_{context.command_id}", LIFETIME)


def issue_invitation(store: EventStore, user_id: str, context: Context) -> IssuedLink:
    """Make a link with which a person sets their first password, instead of an earlier link.

    The same rights are needed and the same errors raised as in `issue_link`, and HasPassword.
    """

    def require_no_password() -> None:
        if has_password(store, user_id):
            raise HasPassword

    link_id = f"invitation_{context.command_id}"
    return _issue(store, user_id, context, link_id, INVITATION_LIFETIME, require_no_password)


def _issue(
    store: EventStore,
    user_id: str,
    context: Context,
    link_id: str,
    lifetime: timedelta,
    require: Callable[[], None] = lambda: None,
) -> IssuedLink:
    """Make a link. `require` is called after the checks of the caller, and may refuse."""
    caller = context.caller
    context = with_new_attempt(context)
    secret, expires_at = make_token(ONE_TIME_LINK), context.at + lifetime

    def decide(user: User) -> list[Statement]:
        caller.require("manager", "make one-time links")
        caller.require_rights(user.rights, "make a one-time link for this person")
        caller.require_scopes(SCOPES, "make a one-time link")
        if user.id == caller.user_id:
            raise Forbidden("You may not make a one-time link for yourself. Change your password instead.")
        require_no_answer_yet(store, User, user.id, context, _REMEDY)
        require()
        user.issue_link(link_id, expires_at, context)
        row = {
            "user_id": user.id,
            "id": link_id,
            "secret_sha256": digest(secret),
            "issuer_id": caller.user_id,
            "expires_at": expires_at,
        }
        return [(sql["replace_link"], row)]

    user = change(store, user_id, context, lambda: visible_user(store, caller, user_id), decide)
    return IssuedLink(secret, expires_at, user)


def link_url(base_url: str, secret: str) -> str:
    """The address of the page on which the person of the link sets a password."""
    return f"{base_url}{LINK_PATH}?link={secret}"


def find_person(store: EventStore, secret: str) -> User:
    """The person of a valid link. Raises LinkInvalid."""
    _, user = _find(store, secret)
    return user


def use_link(store: EventStore, secret: str, password: str, context: Context) -> User:
    """Set the password of the link's person, end their sessions and make the link invalid, in one commit.

    The event names the person as its actor, with the link as the credential. Raises LinkInvalid, Invalid and
    HashingBusy; after the last two the link stays valid.
    """
    link_id, person = _find(store, secret)
    caller = Caller(
        principal_id=person.id,
        name=person.name,
        role=person.role,
        auth="session",
        credential_id=link_id,
        user_id=person.id,
    )
    context = msgspec.structs.replace(context, caller=caller)
    return save_password(store, lambda: find_person(store, secret), password, context)


def _find(store: EventStore, secret: str) -> tuple[str, User]:
    """The link's id and its person.

    The link is read again after the person: a use that commits before this second read has deleted the link,
    and one that commits later has changed the person, so that saving this version of the person conflicts.
    """
    if not has_form(secret, ONE_TIME_LINK):
        raise LinkInvalid
    parameters = {"secret_sha256": digest(secret)}
    for _, user_id in store.select(sql["find_link"], parameters):
        user = store.find(User, user_id)
        for link_id, _ in store.select(sql["find_link"], parameters):
            if user is not None and user.is_active:
                return str(link_id), user
    raise LinkInvalid
