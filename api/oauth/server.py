"""The grants we offer, put together from oauthlib's parts: nothing implicit, no passwords, no `plain`."""

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
from infrastructure.keys.tokens import OAUTH_ACCESS, OAUTH_REFRESH, make_token

_CHALLENGE = re.compile(r"[A-Za-z0-9_-]{43}")  # a SHA-256 in base64url (RFC 7636 section 4.2)


class Server(AuthorizationEndpoint, TokenEndpoint, RevocationEndpoint, IntrospectEndpoint):  # type: ignore[misc]
    """One a request: it is a few small objects, and the validator belongs to one request."""

    def __init__(self, services: Services, req: falcon.Request, *, takes_public: bool = True) -> None:
        validator = Validator(services, cast(RequestContext, req.context), takes_public=takes_public)
        by_code = _CodeGrant(validator, services.settings.base_url)
        by_refresh = RefreshTokenGrant(validator)
        as_itself = ClientCredentialsGrant(validator)
        bearer = BearerToken(
            validator,
            token_generator=lambda request: make_token(OAUTH_ACCESS),
            refresh_token_generator=lambda request: make_token(OAUTH_REFRESH),
            expires_in=lambda request: _lifetime(validator),
        )
        AuthorizationEndpoint.__init__(
            self, default_response_type="code", default_token_type=bearer, response_types={"code": by_code}
        )
        TokenEndpoint.__init__(
            self,
            default_grant_type="authorization_code",
            default_token_type=bearer,
            grant_types={
                "authorization_code": by_code,
                "refresh_token": by_refresh,
                "client_credentials": as_itself,
            },
        )
        RevocationEndpoint.__init__(self, validator)
        IntrospectEndpoint.__init__(self, validator)


class _CodeGrant(AuthorizationCodeGrant):  # type: ignore[misc]
    """oauthlib's, with S256 as the only way to prove a challenge.

    oauthlib takes a missing code_challenge_method for `plain`; here `plain` is unknown, so that leaving it
    out is an error as well.
    """

    _code_challenge_methods: ClassVar[dict[str, Any]] = {"S256": code_challenge_method_s256}

    def __init__(self, validator: Validator, issuer: str) -> None:
        super().__init__(validator, pre_auth=[_require_known_forms])
        self._issuer = issuer
        self.register_token_modifier(_without_refresh_token_unless_registered)

    def create_authorization_code(self, request: Request) -> dict[str, str]:
        """The answer to the client; `save_authorization_code` puts the code in. `iss` is RFC 9207's."""
        answer = {"code": "", "iss": self._issuer}
        if request.state:
            answer["state"] = request.state
        return answer


def _require_known_forms(request: Request) -> dict[str, Any]:
    if request.response_mode not in (None, "query"):
        raise InvalidRequestError("The response_mode must be query.", request=request)
    if request.code_challenge_method is not None and request.code_challenge is None:
        raise InvalidRequestError(
            "There is a code_challenge_method without a code_challenge.", request=request
        )
    if request.code_challenge is not None and not _CHALLENGE.fullmatch(request.code_challenge):
        raise InvalidRequestError("The code_challenge is not an S256 challenge.", request=request)
    if "authorization_code" not in request.client.grant_types:
        raise UnauthorizedClientError(request=request)
    return {}


def _without_refresh_token_unless_registered(
    token: dict[str, Any], token_handler: object, request: Request
) -> dict[str, Any]:
    if "refresh_token" not in request.client.grant_types:
        token.pop("refresh_token", None)
    return token


def _lifetime(validator: Validator) -> int:
    """Seconds an access token lives: an hour, or what is left of its grant."""
    lifetime = ACCESS_LIFETIME.total_seconds()
    left = validator.seconds_left()
    return math.floor(lifetime if left is None else max(0.0, min(lifetime, left)))
