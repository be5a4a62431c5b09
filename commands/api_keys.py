"""Issuing and revoking API keys.

infrastructure/keys/tokens.py defines the form of a key. A key is shown once. Only its SHA-256 is stored, in a
row that commits with the event.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from functools import partial
from typing import LiteralString, NamedTuple

import msgspec

from commands.deciding import change
from commands.shown_once import create_once, with_new_attempt
from domain.access import SCOPES, Caller, Context, Rights, Role, at_least, rights_of_credential
from domain.api_key import ApiKey
from domain.errors import Details, Invalid
from domain.property import Property
from domain.text import is_visible
from domain.user import User
from infrastructure.keys.tokens import API_KEY, digest, has_form, make_token
from infrastructure.storage.event_store import EventStore
from infrastructure.storage.postgres import Statement

MAX_RATE_LIMIT = 2_147_483_646

_INSERT: LiteralString = (
    "INSERT INTO access.api_keys (id, secret_sha256, hint, name, role, user_id, property_ids, scopes,"
    " rate_limit, expires_at, created_at) VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)"
    " ON CONFLICT (id) DO NOTHING"
)
_REVOKE: LiteralString = "UPDATE access.api_keys SET revoked_at = %s WHERE id = %s AND revoked_at IS NULL"


class IssueKey(msgspec.Struct, frozen=True, kw_only=True):
    """`scopes` None means every scope. `rate_limit` is in requests per hour; None means no limit."""

    name: str
    role: Role
    user_id: str | None = None
    property_ids: tuple[str, ...] = ()
    scopes: tuple[str, ...] | None = None
    rate_limit: int | None = 1_000
    expires_at: datetime | None = None


class IssuedKey(NamedTuple):
    """The key itself, which is stored nowhere, and its aggregate."""

    key: str
    api_key: ApiKey


def issue_key(store: EventStore, command: IssueKey, context: Context) -> IssuedKey:
    """Issue a key.

    Raises Invalid for an unknown user, property or scope and for a role above the user's, and SecretWasShown
    for a repeat of the command.
    """
    context.caller.require("admin", "issue API keys")
    rights = rights_of_credential(command.role, command.property_ids)
    _require_may_hold(store, context.caller, rights, command.user_id, "issue this API key")
    context.caller.require_scopes(SCOPES if command.scopes is None else command.scopes, "issue an API key")
    context = with_new_attempt(context)
    _require_valid(store, command, context)
    api_key = ApiKey.issue(
        f"key_{context.command_id}",
        context,
        name=command.name,
        role=command.role,
        user_id=command.user_id,
        property_ids=tuple(sorted(set(command.property_ids))),
        scopes=tuple(sorted(set(SCOPES if command.scopes is None else command.scopes))),
        rate_limit=command.rate_limit,
        expires_at=command.expires_at,
    )
    key = make_secret()
    row = (
        api_key.id,
        digest(key),
        key[-4:],
        api_key.name,
        api_key.role,
        api_key.user_id,
        list(api_key.property_ids),
        list(api_key.scopes),
        api_key.rate_limit,
        api_key.expires_at,
        api_key.created_at,
    )
    remedy = f"revoke the key {api_key.id} and make another."
    create_once(store, api_key, context, statements=[(_INSERT, row)], remedy=remedy)
    return IssuedKey(key, api_key)


def revoke_key(store: EventStore, key_id: str, context: Context) -> ApiKey:
    """Revoke a key permanently: from the commit on, every worker refuses it."""
    context.caller.require("admin", "revoke API keys")

    def decide(api_key: ApiKey) -> list[Statement]:
        _require_may_hold(store, context.caller, api_key.rights, api_key.user_id, "revoke this API key")
        api_key.revoke(context)
        return [(_REVOKE, (context.at, key_id))]

    return change(store, key_id, context, partial(store.load, ApiKey, key_id), decide)


def make_secret() -> str:
    return make_token(API_KEY)


def has_key_form(key: str) -> bool:
    """Whether the text has the form of an API key of this product."""
    return has_form(key, API_KEY)


def limit_problems(
    store: EventStore, scopes: Collection[str], property_ids: Collection[str], rate_limit: int | None
) -> Details:
    """The errors in the limits of a new credential: unknown scopes and properties, a bad rate limit."""
    details: Details = {}
    if unknown := sorted(set(scopes) - set(SCOPES)):
        details["scopes"] = [
            f"Unknown scope {scope}; the scopes are {', '.join(SCOPES)}." for scope in unknown
        ]
    if rate_limit is not None and not 1 <= rate_limit <= MAX_RATE_LIMIT:
        details["rate_limit"] = [f"The rate limit must be a number from 1 to {MAX_RATE_LIMIT}."]
    if missing := [place for place in property_ids if store.find(Property, place) is None]:
        details["property_ids"] = [f"There is no property {place}." for place in missing]
    return details


def _require_may_hold(
    store: EventStore, caller: Caller, rights: Rights, user_id: str | None, action: str
) -> None:
    """Raise Forbidden unless the caller's rights include those of the key and of its user."""
    user = store.find(User, user_id) if user_id is not None else None
    if user is not None:
        caller.require_rights(user.rights, f"{action} of a person")
        rights = rights.limited_to(user.rights)
    caller.require_rights(rights, action)


def _require_valid(store: EventStore, command: IssueKey, context: Context) -> None:
    details: Details = {}
    if not is_visible(command.name) or len(command.name.strip()) > 255:
        details["name"] = ["The name field must have 1 to 255 characters, of which one can be seen."]
    details |= limit_problems(store, command.scopes or (), command.property_ids, command.rate_limit)
    if command.expires_at is not None and command.expires_at <= context.at:
        details["expires_at"] = ["The expiry date is in the past."]
    if command.user_id is not None:
        user = store.find(User, command.user_id)
        if user is None or user.is_erased:
            details["user_id"] = [f"There is no user {command.user_id}."]
        elif not user.is_active:
            details["user_id"] = [f"The user {user.id} is deactivated. Reactivate the user first."]
        elif not at_least(user.role, command.role):
            details["role"] = [
                f"{user.id} has the role {user.role}; the key may not have the higher role {command.role}."
            ]
    if details:
        raise Invalid(details)
