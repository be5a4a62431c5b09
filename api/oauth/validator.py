"""The callbacks of oauthlib that read and write clients, codes and tokens, for one request.

oauthlib defines the order of the checks and the form of the answers.
"""

from __future__ import annotations

import base64
import binascii
import math
import re
from datetime import UTC, datetime
from typing import Any
from urllib.parse import unquote_plus

from oauthlib.common import Request
from oauthlib.oauth2 import RequestValidator
from oauthlib.oauth2.rfc6749.errors import InvalidGrantError, InvalidRequestError

from api.http.context import RequestContext
from api.http.rate_limit import count_action
from api.http.services import Services
from api.oauth.clients import Client, find_client
from api.oauth.grants import FoundCode, FoundGrant, find_code, find_refresh_token, find_token
from commands.oauth_grants import (
    GiveGrant,
    NewTokens,
    delete_token,
    end_grant,
    give_grant,
    issue_service_token,
    rate_key,
    redeem_code,
    refresh,
)
from domain.access import Caller, effective_rights
from domain.errors import Conflict
from domain.oauth_grant import EndReason, OAuthGrant
from domain.redirect_uri import matches_redirect_uri

TOKENS_AN_HOUR = 1_000  # of one client for each user, and for itself
_VERIFIER = re.compile(r"[A-Za-z0-9._~-]{43,128}")


class Validator(RequestValidator):  # type: ignore[misc]
    """The validator of one request. `context` is that of the HTTP request; with `allow_public=False` public
    clients are refused, because they have no secret."""

    def __init__(self, services: Services, context: RequestContext, *, allow_public: bool = True) -> None:
        super().__init__()
        self._services = services
        self._context = context
        self._allow_public = allow_public
        self._found: FoundGrant | None = None
        self._code: FoundCode | None = None
        self._generation = 0

    # The client

    def client_authentication_required(self, request: Request, *args: Any, **kwargs: Any) -> bool:
        return True  # authenticate_client handles public clients too

    def authenticate_client(self, request: Request, *args: Any, **kwargs: Any) -> bool:
        """Authenticate the client by Authorization: Basic or by client_secret in the body, but not both; a
        public client by its id alone."""
        basic = _basic(request.headers.get("Authorization"))
        if basic is not None and request.client_secret is not None:
            message = "The client authenticates with a header and in the body. Use one of them."
            raise InvalidRequestError(message, request=request)
        client_id, secret = basic or (request.client_id, request.client_secret)
        if request.client_id not in (None, client_id):
            return False
        client = find_client(self._services.pool, client_id)
        if client is None:
            return False
        if client.is_public:
            is_authentic = self._allow_public and not secret
        else:
            is_authentic = client.has_secret(secret or "")
        if is_authentic:
            request.client, request.client_id = client, client.client_id
        return is_authentic

    def validate_client_id(self, client_id: str, request: Request, *args: Any, **kwargs: Any) -> bool:
        request.client = find_client(self._services.pool, client_id)
        return request.client is not None

    def validate_grant_type(
        self, client_id: str, grant_type: str, client: Client, request: Request, *args: Any, **kwargs: Any
    ) -> bool:
        return grant_type in client.grant_types and not (
            grant_type == "client_credentials" and client.is_public
        )

    # The authorization request

    def validate_redirect_uri(
        self, client_id: str, redirect_uri: str, request: Request, *args: Any, **kwargs: Any
    ) -> bool:
        return any(matches_redirect_uri(uri, redirect_uri) for uri in request.client.redirect_uris)

    def get_default_redirect_uri(
        self, client_id: str, request: Request, *args: Any, **kwargs: Any
    ) -> str | None:
        uris = request.client.redirect_uris
        return uris[0] if len(uris) == 1 else None

    def validate_response_type(
        self,
        client_id: str,
        response_type: str,
        client: Client,
        request: Request,
        *args: Any,
        **kwargs: Any,
    ) -> bool:
        return response_type == "code" and "authorization_code" in client.grant_types

    def is_pkce_required(self, client_id: str, request: Request) -> bool:
        client: Client = request.client
        return client.requires_pkce

    def get_default_scopes(self, client_id: str, request: Request, *args: Any, **kwargs: Any) -> list[str]:
        scopes: list[str] = request.client.scopes
        return scopes

    def validate_scopes(
        self, client_id: str, scopes: list[str], client: Client, request: Request, *args: Any, **kwargs: Any
    ) -> bool:
        return bool(scopes) and set(scopes) <= set(client.scopes)

    def save_authorization_code(
        self, client_id: str, code: dict[str, str], request: Request, *args: Any, **kwargs: Any
    ) -> None:
        """Append the event of the consent, and add the new code to the answer."""
        command = GiveGrant(
            client_id=client_id,
            scopes=tuple(sorted(set(request.scopes))),
            redirect_uri=request.redirect_uri,
            redirect_uri_was_given=not request.using_default_redirect_uri,
            code_challenge=request.code_challenge,
        )
        code["code"] = give_grant(self._services.store, command, self._context.command())

    # The code

    def validate_code(
        self, client_id: str, code: str, client: Client, request: Request, *args: Any, **kwargs: Any
    ) -> bool:
        """Find the grant of the code. A code that is used again ends its grant, even if the rest of the
        request is invalid."""
        found = find_code(self._services.pool, code)
        if found is None or found.client_id != client_id:
            return False
        self._found = self._code = found
        request.scopes = found.scopes
        if self._aggregate().generation > 0:
            self._end(client, "code_used_twice")
            return False
        return found.is_fresh

    def get_code_challenge(self, code: str, request: Request) -> str | None:
        """The challenge of the code. Refuses a verifier without a challenge, to prevent a downgrade attack
        (RFC 9700 section 2.1.1)."""
        challenge = self._valid_code().code_challenge
        verifier = request.code_verifier
        if challenge is None and verifier is not None:
            raise InvalidGrantError("The code has no code_challenge.", request=request)
        if verifier is not None and not _VERIFIER.fullmatch(verifier):
            raise InvalidGrantError("The code_verifier is malformed.", request=request)
        return challenge

    def get_code_challenge_method(self, code: str, request: Request) -> str:
        return "S256"

    def confirm_redirect_uri(
        self,
        client_id: str,
        code: str,
        redirect_uri: str,
        client: Client,
        request: Request,
        *args: Any,
        **kwargs: Any,
    ) -> bool:
        found = self._valid_code()
        is_omitted = found.redirect_uri_was_given and request.using_default_redirect_uri
        if redirect_uri != found.redirect_uri or is_omitted:
            message = "The redirect_uri differs from that of the authorization request."
            raise InvalidGrantError(message, request=request)
        return True

    def invalidate_authorization_code(self, *args: Any, **kwargs: Any) -> None:
        """Does nothing: the transaction that saved the tokens has invalidated the code."""

    # Tokens

    def validate_refresh_token(
        self, refresh_token: str, client: Client, request: Request, *args: Any, **kwargs: Any
    ) -> bool:
        """Find the grant of the token. A token that is used a second time ends its grant, even if the rest of
        the request is invalid."""
        found = find_refresh_token(self._services.pool, refresh_token)
        if found is None or found.client_id != client.client_id:
            return False
        self._found, self._generation = found, found.generation
        is_valid = self._aggregate().generation == self._generation or self._is_repeated_refresh(request)
        if not is_valid:
            self._end(client, "refresh_token_used_twice")
        return is_valid

    def get_original_scopes(
        self, refresh_token: str, request: Request, *args: Any, **kwargs: Any
    ) -> list[str]:
        return self._grant().scopes

    def save_bearer_token(self, token: dict[str, Any], request: Request, *args: Any, **kwargs: Any) -> None:
        """Save the tokens. Raises InvalidGrantError if the code or refresh token is not valid any more."""
        client: Client = request.client
        user_id = self._found.user_id if self._found else None
        key = f"token/{rate_key(client.client_id, user_id)}"
        limit_text = "This client may get {} tokens an hour for each user."
        count_action(self._services.pool, key, TOKENS_AN_HOUR, limit_text)
        tokens = NewTokens(
            access_token=token["access_token"],
            refresh_token=token.get("refresh_token"),
            scopes=tuple(request.scopes),
            client_id=client.client_id,
            user_id=user_id,
        )
        if request.grant_type == "client_credentials":
            issue_service_token(self._services.pool, tokens)
            return
        store, grant_id = self._services.store, self._grant().grant_id
        self._act_as(client)
        try:
            if request.grant_type == "refresh_token":
                is_valid = refresh(store, grant_id, self._generation, tokens, self._context.command())
            else:
                is_valid = redeem_code(store, grant_id, tokens, self._context.command())
        except Conflict:  # in every attempt, another request had already used the code or token
            is_valid = self._is_repeated_refresh(request)
        if not is_valid:
            raise InvalidGrantError(request=request)
        if request.grant_type == "refresh_token":
            token["expires_in"] = self._seconds_left_of(tokens.access_token, request)

    def seconds_left(self) -> float | None:
        """The seconds until the grant expires; None for client credentials."""
        return (self._found.expires_at - datetime.now(UTC)).total_seconds() if self._found else None

    def revoke_token(
        self, token: str, token_type_hint: str, request: Request, *args: Any, **kwargs: Any
    ) -> None:
        """Revoke an access token, or end the grant of a refresh token. Ignores tokens of other clients
        (RFC 7009)."""
        client: Client = request.client
        found = find_token(self._services.pool, token, client.client_id)
        if found is None:
            return
        if not found.is_refresh:
            delete_token(self._services.pool, token)
            return
        self._found = FoundGrant(
            found.grant_id, client.client_id, found.user_id, [], datetime.now(UTC), "guest"
        )
        self._end(client, "revoked_by_client")

    def introspect_token(
        self, token: str, token_type_hint: str, request: Request, *args: Any, **kwargs: Any
    ) -> dict[str, Any] | None:
        """The description of a token of this client (RFC 7662); None for a token of another client."""
        found = find_token(self._services.pool, token, request.client.client_id)
        if found is None or not found.is_valid:
            return None
        return {
            "scope": " ".join(found.scopes),
            "client_id": request.client.client_id,
            "sub": found.user_id or request.client.client_id,
            "iat": int(found.issued_at.timestamp()),
            "exp": int(found.expires_at.timestamp()),
            "iss": self._services.settings.base_url,
            **({} if found.is_refresh else {"token_type": "Bearer"}),
        }

    def _aggregate(self) -> OAuthGrant:
        return self._services.store.load(OAuthGrant, self._grant().grant_id)

    def _is_repeated_refresh(self, request: Request) -> bool:
        """Whether the refresh token of the request was used a moment ago, perhaps by this request itself."""
        return request.grant_type == "refresh_token" and self._aggregate().is_repeated_use(
            self._generation, datetime.now(UTC)
        )

    def _seconds_left_of(self, access_token: str, request: Request) -> int:
        """The seconds until the access token expires, which this refresh or the one that it repeats has
        stored. Raises InvalidGrantError if that one had other scopes, or the token was revoked since."""
        stored = find_token(self._services.pool, access_token, request.client.client_id)
        if stored is None:
            raise InvalidGrantError(request=request)
        return math.ceil((stored.expires_at - datetime.now(UTC)).total_seconds())

    def _end(self, client: Client, reason: EndReason) -> None:
        self._act_as(client)
        end_grant(self._services.store, self._grant().grant_id, reason, self._context.command())

    def _act_as(self, client: Client) -> None:
        """Set the caller that the event records: the client, acting for the user."""
        found = self._grant()
        rights = effective_rights((found.role, ()), (client.role, ()))
        self._context.caller = Caller(
            principal_id=found.user_id,
            name=client.name,
            role=rights.role,
            auth="oauth",
            credential_id=client.client_id,
            user_id=found.user_id,
        )

    def _grant(self) -> FoundGrant:
        if self._found is None:
            raise InvalidGrantError
        return self._found

    def _valid_code(self) -> FoundCode:
        if self._code is None:
            raise InvalidGrantError
        return self._code


def _basic(authorization: str | None) -> tuple[str, str] | None:
    """Client id and secret of an Authorization header: each form-encoded, then Basic (RFC 6749, 2.3.1).

    None without the header; ("", "") if it is malformed, which matches no client.
    """
    if authorization is None:
        return None
    scheme, _, encoded = authorization.partition(" ")
    if scheme.lower() != "basic":
        return "", ""
    try:
        client_id, colon, secret = base64.b64decode(encoded.strip(), validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        return "", ""
    return (unquote_plus(client_id), unquote_plus(secret)) if colon else ("", "")
