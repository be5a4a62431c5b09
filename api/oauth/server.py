"""The OAuth 2.0 server, composed of oauthlib's parts.

It supports authorization codes with PKCE (S256 only), refresh tokens and client credentials. It supports
neither the implicit grant nor the password grant.
"""

from __future__ import annotations

import math
import re
from typing import Any, ClassVar, cast

import falcon
from oauthlib.common import Request
from oauthlib.oauth2 import (
    AuthorizationCodeGrant,
    AuthorizationEndpoint,
    BearerToken,
    ClientCredentialsGrant,
    IntrospectEndpoint,
    RefreshTokenGrant,
    RevocationEndpoint,
    TokenEndpoint,
)
from oauthlib.oauth2.rfc6749.errors import InvalidRequestError, UnauthorizedClientError
from oauthlib.oauth2.rfc6749.grant_types.authorization_code import code_challenge_method_s256

from api.http.context import RequestContext
from api.http.services import Services
from api.oauth.validator import Validator
from commands.oauth_grants import ACCESS_LIFETIME
from infrastructure.keys.tokens import OAUTH_ACCESS, OAUTH_REFRESH, derive_token, make_token
from infrastructure.keys.vault import Vault

_CHALLENGE = re.compile(r"[A-Za-z0-9_-]{43}")  # a SHA-256 in base64url (RFC 7636 section 4.2)


class Server(AuthorizationEndpoint, TokenEndpoint, RevocationEndpoint, IntrospectEndpoint):  # type: ignore[misc]
    """The server for one request, because the validator holds the state of one request."""

    def __init__(self, services: Services, req: falcon.Request, *, allow_public: bool = True) -> None:
        validator = Validator(services, cast(RequestContext, req.context), allow_public=allow_public)
        code_grant = _CodeGrant(validator, services.settings.base_url)
        bearer = BearerToken(
            validator,
            token_generator=lambda request: _make_token(services.vault, OAUTH_ACCESS, request),
            refresh_token_generator=lambda request: _make_token(services.vault, OAUTH_REFRESH, request),
            expires_in=lambda request: _access_seconds(validator),
        )
        AuthorizationEndpoint.__init__(
            self, default_response_type="code", default_token_type=bearer, response_types={"code": code_grant}
        )
        TokenEndpoint.__init__(
            self,
            default_grant_type="authorization_code",
            default_token_type=bearer,
            grant_types={
                "authorization_code": code_grant,
                "refresh_token": RefreshTokenGrant(validator),
                "client_credentials": ClientCredentialsGrant(validator),
            },
        )
        RevocationEndpoint.__init__(self, validator)
        IntrospectEndpoint.__init__(self, validator)


class _CodeGrant(AuthorizationCodeGrant):  # type: ignore[misc]
    """oauthlib's grant with S256 as the only code_challenge_method.

    oauthlib treats a missing code_challenge_method as `plain`. `plain` is not supported here, so a missing
    method is an error too.
    """

    _code_challenge_methods: ClassVar[dict[str, Any]] = {"S256": code_challenge_method_s256}

    def __init__(self, validator: Validator, issuer: str) -> None:
        super().__init__(validator, pre_auth=[_require_supported])
        self._issuer = issuer
        self.register_token_modifier(_remove_refresh_token_unless_registered)

    def create_authorization_code(self, request: Request) -> dict[str, str]:
        """The answer to the client; `save_authorization_code` fills in the code. `iss`: see RFC 9207."""
        answer = {"code": "", "iss": self._issuer}
        if request.state:
            answer["state"] = request.state
        return answer


def _require_supported(request: Request) -> dict[str, Any]:
    """Refuse parameters of an authorization request that oauthlib accepts but this server does not."""
    if request.response_mode not in (None, "query"):
        raise InvalidRequestError("The response_mode must be query.", request=request)
    if request.code_challenge_method is not None and request.code_challenge is None:
        raise InvalidRequestError("The code_challenge_method needs a code_challenge.", request=request)
    if request.code_challenge is not None and not _CHALLENGE.fullmatch(request.code_challenge):
        raise InvalidRequestError("The code_challenge is not an S256 challenge.", request=request)
    if "authorization_code" not in request.client.grant_types:
        raise UnauthorizedClientError(request=request)
    return {}


def _remove_refresh_token_unless_registered(
    token: dict[str, Any], token_handler: object, request: Request
) -> dict[str, Any]:
    if "refresh_token" not in request.client.grant_types:
        token.pop("refresh_token", None)
    return token


def _make_token(vault: Vault, prefix: str, request: Request) -> str:
    """A new token. That of a refresh is computed from the old refresh token and the scopes, so that a
    repeated refresh gets the same one in every process."""
    if request.grant_type != "refresh_token":
        return make_token(prefix)
    source = " ".join((request.refresh_token, *sorted(request.scopes)))
    return derive_token(prefix, vault.derive(source, purpose=f"refreshed {prefix}"))


def _access_seconds(validator: Validator) -> int:
    """The lifetime of an access token in seconds: an hour, or less if its grant ends earlier."""
    lifetime = ACCESS_LIFETIME.total_seconds()
    left = validator.seconds_left()
    return math.floor(lifetime if left is None else max(0.0, min(lifetime, left)))
