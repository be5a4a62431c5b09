"""Registering applications for OAuth 2.0, replacing their secrets, and revoking them.

A confidential client gets a secret, whose form infrastructure/keys/tokens.py defines. The secret is shown
once; only its SHA-256 is stored. A public client, such as an app on a phone, has no secret and uses PKCE.
"""

from __future__ import annotations

import unicodedata
from functools import partial
from pathlib import Path
from typing import NamedTuple

import msgspec

from commands.api_keys import limit_problems
from commands.deciding import change, create
from commands.shown_once import create_once, require_no_answer_yet, with_new_attempt
from domain.access import Context, Role, rights_of_credential
from domain.errors import Details, Invalid
from domain.oauth_client import GRANT_TYPES, ClientKind, GrantType, OAuthClient
from domain.redirect_uri import redirect_uri_problem
from domain.text import is_visible
from domain.web_origin import origin_problem, parse_origin
from infrastructure.keys.tokens import OAUTH_CLIENT_SECRET, digest, make_token
from infrastructure.storage.event_store import EventStore
from infrastructure.storage.postgres import Statement, named_queries

_sql = named_queries(Path(__file__).parent / "sql" / "oauth_clients.sql")

MAX_REDIRECT_URIS = 20
MAX_ORIGINS = 20
_REMEDY = "give the application a new secret."
DEFAULT_GRANT_TYPES: tuple[GrantType, ...] = ("authorization_code", "refresh_token")


class RegisterClient(msgspec.Struct, frozen=True, kw_only=True):
    """`role` and `property_ids` limit what the client may do for a person.

    When it acts for itself (client_credentials), it has exactly these rights. Public clients always require
    PKCE. Web pages of `origins` may use the API in a browser.
    """

    name: str
    client_kind: ClientKind
    scopes: tuple[str, ...]
    role: Role
    redirect_uris: tuple[str, ...] = ()
    grant_types: tuple[GrantType, ...] = DEFAULT_GRANT_TYPES
    requires_pkce: bool = False
    property_ids: tuple[str, ...] = ()
    rate_limit: int | None = 1_000
    origins: tuple[str, ...] = ()


class RegisteredClient(NamedTuple):
    """The client and its secret, which is stored nowhere. A public client has no secret."""

    secret: str | None
    client: OAuthClient


def register_client(store: EventStore, command: RegisterClient, context: Context) -> RegisteredClient:
    """Register an application.

    Raises Invalid, which names every bad field, and SecretWasShown for a repeat that would make a secret.
    """
    caller = context.caller
    caller.require("admin", "register OAuth clients")
    rights = rights_of_credential(command.role, command.property_ids)
    caller.require_rights(rights, "register this OAuth client")
    caller.require_scopes(command.scopes, "register an OAuth client")
    _require_valid(store, command)
    is_public = command.client_kind == "public"
    context = context if is_public else with_new_attempt(context)
    client = OAuthClient.register(
        f"client_{context.command_id}",
        context,
        name=command.name.strip(),
        client_kind=command.client_kind,
        redirect_uris=tuple(dict.fromkeys(command.redirect_uris)),
        scopes=tuple(sorted(set(command.scopes))),
        grant_types=tuple(kind for kind in GRANT_TYPES if kind in command.grant_types),
        requires_pkce=is_public or command.requires_pkce,
        role=command.role,
        property_ids=tuple(sorted(set(command.property_ids))),
        rate_limit=command.rate_limit,
        origins=_parse_origins(command.origins),
    )
    secret = None if is_public else make_token(OAUTH_CLIENT_SECRET)
    row = {
        "id": client.id,
        "name": client.name,
        "redirect_uris": list(client.redirect_uris),
        "scopes": list(client.scopes),
        "grant_types": list(client.grant_types),
        "requires_pkce": client.requires_pkce,
        "role": client.role,
        "property_ids": list(client.property_ids),
        "rate_limit": client.rate_limit,
        "origins": list(client.origins),
        "created_at": client.created_at,
        **_secret_row(secret),
    }
    statements = [(_sql["insert_client"], row)]
    if is_public:
        return RegisteredClient(None, create(store, client, context, statements=statements))
    return RegisteredClient(
        secret, create_once(store, client, context, statements=statements, remedy=_REMEDY)
    )


def rotate_client_secret(store: EventStore, client_id: str, context: Context) -> RegisteredClient:
    """Replace the client's secret; the old one is refused from the commit on.

    Raises SecretWasShown for a repeat of the command.
    """
    context.caller.require("admin", "change OAuth clients")
    context = with_new_attempt(context)
    secret = make_token(OAUTH_CLIENT_SECRET)

    def decide(client: OAuthClient) -> list[Statement]:
        context.caller.require_rights(client.rights, "change this OAuth client")
        require_no_answer_yet(store, OAuthClient, client_id, context, _REMEDY)
        client.rotate_secret(context)
        return [(_sql["replace_secret"], {"id": client_id, **_secret_row(secret)})]

    find = partial(store.load, OAuthClient, client_id)
    return RegisteredClient(secret, change(store, client_id, context, find, decide))


def revoke_client(store: EventStore, client_id: str, context: Context) -> OAuthClient:
    """Revoke the client permanently: from the commit on, all its tokens are refused."""
    context.caller.require("admin", "revoke OAuth clients")
    parameters = {"id": client_id, "at": context.at}
    names = ("revoke_client", "end_grants_of_client", "delete_tokens_of_client")

    def decide(client: OAuthClient) -> list[Statement]:
        context.caller.require_rights(client.rights, "revoke this OAuth client")
        client.revoke(context)
        return [(_sql[name], parameters) for name in names]

    return change(store, client_id, context, partial(store.load, OAuthClient, client_id), decide)


def _secret_row(secret: str | None) -> dict[str, bytes | str | None]:
    return {"secret_sha256": digest(secret) if secret else None, "hint": secret[-4:] if secret else None}


def _require_valid(store: EventStore, command: RegisterClient) -> None:
    details: Details = {}
    name = command.name.strip()
    has_controls = any(unicodedata.category(character).startswith("C") for character in name)
    if has_controls or not is_visible(name) or len(name) > 255:
        details["name"] = ["The name field must have 1 to 255 characters, none of them invisible."]
    if not command.scopes:
        details["scopes"] = ["Choose at least one scope, and only those that the client needs."]
    details |= limit_problems(store, command.scopes, command.property_ids, command.rate_limit)
    details |= _grant_problems(command) | _redirect_problems(command) | _origin_problems(command)
    if details:
        raise Invalid(details)


def _grant_problems(command: RegisterClient) -> Details:
    kinds = set(command.grant_types)
    if not kinds or kinds - set(GRANT_TYPES):
        return {"grant_types": [f"The grant types are one or more of {', '.join(GRANT_TYPES)}."]}
    if "client_credentials" in kinds and command.client_kind == "public":
        return {"grant_types": ["A public client cannot use client_credentials, because it has no secret."]}
    if "refresh_token" in kinds and "authorization_code" not in kinds:
        return {"grant_types": ["refresh_token requires authorization_code."]}
    return {}


def _redirect_problems(command: RegisterClient) -> Details:
    if "authorization_code" not in command.grant_types:
        unused = "Redirect URIs are used only with authorization_code."
        return {"redirect_uris": [unused]} if command.redirect_uris else {}
    if not 1 <= len(command.redirect_uris) <= MAX_REDIRECT_URIS:
        return {"redirect_uris": [f"Give 1 to {MAX_REDIRECT_URIS} redirect URIs."]}
    problems = {uri: redirect_uri_problem(uri) for uri in command.redirect_uris}
    messages = [f"The redirect URI {uri[:200]} {problem}." for uri, problem in problems.items() if problem]
    return {"redirect_uris": messages} if messages else {}


def _origin_problems(command: RegisterClient) -> Details:
    if len(command.origins) > MAX_ORIGINS:
        return {"origins": [f"Give at most {MAX_ORIGINS} origins."]}
    problems = {text: origin_problem(text) for text in command.origins}
    messages = [f"The origin {text[:200]} {problem}." for text, problem in problems.items() if problem]
    return {"origins": messages} if messages else {}


def _parse_origins(texts: tuple[str, ...]) -> tuple[str, ...]:
    """The origins as browsers send them, without duplicates."""
    return tuple(dict.fromkeys(origin for text in texts if (origin := parse_origin(text)) is not None))
