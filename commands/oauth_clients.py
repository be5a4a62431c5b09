"""Registering applications for OAuth 2.0, replacing their secrets, and revoking them.

A confidential client gets a secret of the form in infrastructure/keys/tokens.py. It is shown once and stored
as its SHA-256. A public client, such as an app on a phone, cannot keep a secret and uses PKCE instead.
"""

from __future__ import annotations

import unicodedata
from functools import partial
from pathlib import Path
from typing import NamedTuple

import msgspec

from commands.api_keys import MAX_RATE_LIMIT
from commands.deciding import change, create
from commands.shown_once import create_once, only_attempt, require_unanswered
from domain import redirect_uri
from domain.access import SCOPES, Context, Role, rights_of_credential
from domain.errors import Details, Invalid
from domain.oauth_client import GRANT_TYPES, ClientKind, GrantType, OAuthClient
from domain.property import Property
from infrastructure.keys.tokens import OAUTH_CLIENT_SECRET, digest, make_token
from infrastructure.storage.event_store import EventStore
from infrastructure.storage.postgres import Statement, named_queries

_sql = named_queries(Path(__file__).parent / "sql" / "oauth_clients.sql")

MAX_REDIRECT_URIS = 20
_REMEDY = "give the application another secret."
BY_CODE: tuple[GrantType, ...] = ("authorization_code", "refresh_token")


class RegisterClient(msgspec.Struct, frozen=True, kw_only=True):
    """`role` and `property_ids` are the most the client may do, whoever it acts for; as itself
    (client_credentials) it has exactly them. `requires_pkce` always holds for public clients."""

    name: str
    client_kind: ClientKind
    scopes: tuple[str, ...]
    role: Role
    redirect_uris: tuple[str, ...] = ()
    grant_types: tuple[GrantType, ...] = BY_CODE
    requires_pkce: bool = False
    property_ids: tuple[str, ...] = ()
    rate_limit: int | None = 1_000


class RegisteredClient(NamedTuple):
    """The secret, which is stored nowhere (None: a public client), and the client."""

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
    context = context if is_public else only_attempt(context)
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
    context = only_attempt(context)
    secret = make_token(OAUTH_CLIENT_SECRET)

    def decide(client: OAuthClient) -> list[Statement]:
        context.caller.require_rights(client.rights, "change this OAuth client")
        require_unanswered(store, OAuthClient, client_id, context, _REMEDY)
        client.rotate_secret(context)
        return [(_sql["replace_secret"], {"id": client_id, **_secret_row(secret)})]

    find = partial(store.load, OAuthClient, client_id)
    return RegisteredClient(secret, change(store, client_id, context, find, decide))


def revoke_client(store: EventStore, client_id: str, context: Context) -> OAuthClient:
    """Revoke the client for good: from the commit on all its tokens are refused."""
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
    if not 1 <= len(name) <= 255 or any(unicodedata.category(letter).startswith("C") for letter in name):
        details["name"] = ["The name field takes 1 to 255 characters, none of them invisible."]
    if unknown := sorted(set(command.scopes) - set(SCOPES)):
        details["scopes"] = [f"Unknown scope {scope}; known are {', '.join(SCOPES)}." for scope in unknown]
    elif not command.scopes:
        details["scopes"] = ["Name at least one scope, and only those the client needs."]
    if command.rate_limit is not None and not 1 <= command.rate_limit <= MAX_RATE_LIMIT:
        details["rate_limit"] = [f"The rate limit is a number from 1 to {MAX_RATE_LIMIT}."]
    if missing := [place for place in command.property_ids if store.find(Property, place) is None]:
        details["property_ids"] = [f"There is no property {place}." for place in missing]
    details |= _problems_of_grants(command) | _problems_of_redirects(command)
    if details:
        raise Invalid(details)


def _problems_of_grants(command: RegisterClient) -> Details:
    kinds = set(command.grant_types)
    if not kinds or kinds - set(GRANT_TYPES):
        return {"grant_types": [f"The grant types are one or more of {', '.join(GRANT_TYPES)}."]}
    if "client_credentials" in kinds and command.client_kind == "public":
        return {"grant_types": ["A public client has no secret to act as itself with."]}
    if "refresh_token" in kinds and "authorization_code" not in kinds:
        return {"grant_types": ["refresh_token only makes sense beside authorization_code."]}
    return {}


def _problems_of_redirects(command: RegisterClient) -> Details:
    if "authorization_code" not in command.grant_types:
        unused = "Only authorization_code comes back to a redirect URI."
        return {"redirect_uris": [unused]} if command.redirect_uris else {}
    if not 1 <= len(command.redirect_uris) <= MAX_REDIRECT_URIS:
        return {"redirect_uris": [f"Name 1 to {MAX_REDIRECT_URIS} redirect URIs."]}
    found = {uri: redirect_uri.complaint(uri) for uri in command.redirect_uris}
    messages = [f"The redirect URI {uri[:200]} {what}." for uri, what in found.items() if what]
    return {"redirect_uris": messages} if messages else {}
