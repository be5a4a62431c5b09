"""Giving and ending OAuth grants, redeeming their codes, and refreshing their tokens.

Every use of a code or refresh token is decided on the grant's aggregate. One commit saves the event and adds
the new tokens or deletes the old ones, so only one of several concurrent uses succeeds.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import msgspec

from commands.deciding import change
from commands.shown_once import create_once, with_new_attempt
from domain.access import Context
from domain.errors import NotFound
from domain.oauth_client import OAuthClient
from domain.oauth_grant import EndReason, OAuthGrant
from domain.user import User
from infrastructure.keys.tokens import OAUTH_CODE, digest, make_token
from infrastructure.storage.event_store import EventStore
from infrastructure.storage.postgres import Pool, Statement, named_queries

_sql = named_queries(Path(__file__).parent / "sql" / "oauth_grants.sql")

CODE_LIFETIME = timedelta(seconds=60)
ACCESS_LIFETIME = timedelta(hours=1)
REFRESH_LIFETIME = timedelta(days=30)  # each refresh issues a new token with this lifetime
_PURGE_ONE_IN = 200


class GiveGrant(msgspec.Struct, frozen=True, kw_only=True):
    """What the caller consents to. `code_challenge` is the PKCE challenge (method S256)."""

    client_id: str
    scopes: tuple[str, ...]
    redirect_uri: str
    redirect_uri_was_given: bool
    code_challenge: str | None


class NewTokens(msgspec.Struct, frozen=True, kw_only=True):
    """New tokens, to be stored as hashes. `refresh_token` None: the client gets none."""

    access_token: str
    refresh_token: str | None = None
    scopes: tuple[str, ...]
    client_id: str
    user_id: str | None = None


def give_grant(store: EventStore, command: GiveGrant, context: Context) -> str:
    """Record the consent and return its code, which expires after CODE_LIFETIME.

    Raises SecretWasShown for a repeat of the command.
    """
    context = with_new_attempt(context)
    caller = context.caller
    if caller.user_id is None:
        raise NotFound("user")
    client, person = store.load(OAuthClient, command.client_id), store.load(User, caller.user_id)
    caller.require_rights(client.rights.limited_to(person.rights), "let this application act")
    caller.require_scopes(command.scopes, "let an application act")
    grant = OAuthGrant.give(
        f"grant_{context.command_id}",
        context,
        client_id=command.client_id,
        user_id=caller.user_id,
        scopes=command.scopes,
    )
    code = make_token(OAUTH_CODE)
    row = {
        "id": grant.id,
        "client_id": grant.client_id,
        "user_id": grant.user_id,
        "scopes": list(grant.scopes),
        "given_at": grant.created_at,
        "expires_at": grant.ends_at,
        "code_sha256": digest(code),
        "code_lifetime": CODE_LIFETIME,
        "redirect_uri": command.redirect_uri,
        "redirect_uri_was_given": command.redirect_uri_was_given,
        "code_challenge": command.code_challenge,
    }
    remedy = "go back to the application and begin again."
    create_once(store, grant, context, statements=[(_sql["insert_grant"], row)], remedy=remedy)
    return code


def redeem_code(store: EventStore, grant_id: str, tokens: NewTokens, context: Context) -> bool:
    """Store the tokens and return True if the code of the grant is valid. A second use ends the grant."""
    return _use_grant(store, grant_id, tokens, context, lambda grant: grant.redeem_code(context))


def refresh(store: EventStore, grant_id: str, generation: int, tokens: NewTokens, context: Context) -> bool:
    """Store the tokens and return True if the refresh token of that generation is valid.

    A repeated use stores nothing: the first one has stored the same tokens. A second use ends the grant.
    """
    return _use_grant(store, grant_id, tokens, context, lambda grant: grant.refresh(generation, context))


def end_grant(
    store: EventStore, grant_id: str, reason: EndReason, context: Context, *, user_id: str | None = None
) -> OAuthGrant:
    """End a grant with all its tokens. With `user_id`, raises NotFound unless it is that person's grant."""

    def find() -> OAuthGrant:
        grant = store.load(OAuthGrant, grant_id)
        if user_id is not None and grant.user_id != user_id:
            raise NotFound(OAuthGrant.kind)
        return grant

    def decide(grant: OAuthGrant) -> list[Statement]:
        grant.end(reason, context)
        return _end_grant(grant_id, context)

    return change(store, grant_id, context, find, decide)


def issue_service_token(pool: Pool, tokens: NewTokens) -> None:
    """Store a token of a client that acts as itself.

    This records no event: the token expires after an hour, and the event of each action names the client.
    """
    with pool.connection() as conn:
        for statement, parameters in _insert_tokens(tokens, None):
            conn.execute(statement, parameters)


def delete_token(pool: Pool, token: str) -> None:
    """Delete one access token; its grant stays."""
    with pool.connection() as conn:
        conn.execute(_sql["delete_token"], {"token_sha256": digest(token)})


def purge(pool: Pool) -> None:
    """Delete expired tokens and grants, in one of _PURGE_ONE_IN calls."""
    if random.randrange(_PURGE_ONE_IN) == 0:  # noqa: S311 - not a secret
        with pool.connection() as conn:
            conn.execute(_sql["purge_tokens"])
            conn.execute(_sql["purge_grants"])


def rate_key(client_id: str, user_id: str | None) -> str:
    """The key of the rate limit, which is separate for each person for whom an application acts."""
    return f"{client_id}/{user_id or ''}"


def _use_grant(
    store: EventStore,
    grant_id: str,
    tokens: NewTokens,
    context: Context,
    use: Callable[[OAuthGrant], bool],
) -> bool:
    is_valid = False

    def decide(grant: OAuthGrant) -> list[Statement]:
        nonlocal is_valid
        is_valid = use(grant)
        if not is_valid:
            return _end_grant(grant_id, context)
        return _insert_tokens(tokens, grant) if grant.pending else []

    change(store, grant_id, context, partial(store.load, OAuthGrant, grant_id), decide)
    return is_valid


def _insert_tokens(tokens: NewTokens, grant: OAuthGrant | None) -> list[Statement]:
    facts = {
        "client_id": tokens.client_id,
        "grant_id": grant.id if grant else None,
        "user_id": tokens.user_id,
        "generation": grant.generation if grant else 0,
        "rate_key": rate_key(tokens.client_id, tokens.user_id),
        "ends_at": grant.ends_at if grant else None,
    }
    new: list[tuple[str | None, bool, tuple[str, ...], timedelta]] = [
        (tokens.access_token, False, tokens.scopes, ACCESS_LIFETIME),
        (tokens.refresh_token, True, grant.scopes if grant else (), REFRESH_LIFETIME),
    ]
    rows: list[Statement] = []
    for token, is_refresh, scopes, lifetime in new:
        if token is not None:
            row: dict[str, Any] = {
                "token_sha256": digest(token),
                "is_refresh": is_refresh,
                "scopes": list(scopes),
                "lifetime": lifetime,
            }
            rows.append((_sql["insert_token"], facts | row))
    return rows


def _end_grant(grant_id: str, context: Context) -> list[Statement]:
    parameters: dict[str, str | datetime] = {"id": grant_id, "at": context.at}
    return [(_sql["end_grant"], parameters), (_sql["delete_tokens_of_grant"], parameters)]
