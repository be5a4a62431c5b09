"""/oauth/token, /oauth/revoke and /oauth/introspect: the endpoints for clients, and their errors."""

from __future__ import annotations

import json
from typing import Any, ClassVar

import falcon
from oauthlib.oauth2 import OAuth2Error

from api.http.error_size import shorten_text
from api.http.errors import Failure
from api.http.forms import read_form
from api.http.resource import Operation, Resource
from api.oauth.descriptions import describe_error
from api.oauth.server import Server
from commands.oauth_grants import purge

_FIELDS = frozenset(
    (
        "grant_type",
        "code",
        "redirect_uri",
        "client_id",
        "client_secret",
        "code_verifier",
        "refresh_token",
        "scope",
        "token",
        "token_type_hint",
    )
)
MAX_BYTES = 65_536  # of a request body; tokens and codes are short
_CHALLENGE = 'Basic realm="oauth", charset="UTF-8"'
_ERROR_OF = {
    "rate_limited": "temporarily_unavailable",
    "unavailable": "temporarily_unavailable",
    "internal_error": "server_error",
    "conflict": "temporarily_unavailable",
}


class TokenEndpoint(Resource):
    """Issues tokens for a code, a refresh token or a secret (RFC 6749 sections 4.1.3, 4.4.2, 6)."""

    operations: ClassVar[dict[str, Operation]] = {"POST": Operation(summary="Get tokens", public=True)}

    def on_post(self, req: falcon.Request, resp: falcon.Response) -> None:
        fields = _read_fields(req, resp, needs="grant_type")
        if fields is None:
            return
        purge(self.services.pool)
        server = Server(self.services, req)
        _answer(req, resp, server.create_token_response, fields)


class RevocationEndpoint(Resource):
    """Revokes a token of the client (RFC 7009). An unknown token gets the same answer."""

    operations: ClassVar[dict[str, Operation]] = {"POST": Operation(summary="Revoke a token", public=True)}

    def on_post(self, req: falcon.Request, resp: falcon.Response) -> None:
        fields = _read_fields(req, resp, needs="token")
        if fields is not None:
            server = Server(self.services, req)
            _answer(req, resp, server.create_revocation_response, fields)


class IntrospectionEndpoint(Resource):
    """Describes a token of a confidential client to that client (RFC 7662)."""

    operations: ClassVar[dict[str, Operation]] = {
        "POST": Operation(summary="Describe a token", public=True, changes_nothing=True)
    }

    def on_post(self, req: falcon.Request, resp: falcon.Response) -> None:
        fields = _read_fields(req, resp, needs="token")
        if fields is not None:
            server = Server(self.services, req, allow_public=False)
            _answer(req, resp, server.create_introspect_response, fields)


def render_failure(req: falcon.Request, resp: falcon.Response, failure: Failure) -> None:
    """Answer an error of the HTTP layer in the form of RFC 6749 section 5.2."""
    error = _ERROR_OF.get(failure.code, "invalid_request" if failure.status < 500 else "server_error")
    _fail(resp, failure.status, error, failure.message)


def _read_fields(req: falcon.Request, resp: falcon.Response, *, needs: str) -> list[tuple[str, str]] | None:
    """The fields of the body that the protocol defines; None if an error has been answered.

    Other fields are removed, because oauthlib sets every field as an attribute of its request. Empty fields
    count as missing, and no field may be repeated (RFC 6749 section 3.2).
    """
    form = read_form(req, max_bytes=MAX_BYTES)
    fields = [(name, value) for name in sorted(_FIELDS) for value in form.values(name) if value]
    repeated = next((name for name in sorted(_FIELDS) if len(form.values(name)) > 1), None)
    if repeated:
        _fail(resp, 400, "invalid_request", f"The parameter {repeated} is given more than once.")
        return None
    if needs not in dict(fields):
        _fail(resp, 400, "invalid_request", f"The parameter {needs} is missing.")
        return None
    return fields


def _answer(req: falcon.Request, resp: falcon.Response, endpoint: Any, fields: list[tuple[str, str]]) -> None:
    """Call an endpoint of oauthlib and copy its answer into `resp`."""
    headers = {"Authorization": auth} if (auth := req.get_header("Authorization")) else {}
    try:
        _, body, status = endpoint(req.relative_uri, "POST", fields, headers)
    except OAuth2Error as error:
        body, status = error.json, error.status_code
    if status >= 400:
        failure = json.loads(body)
        _fail(
            resp, status, failure["error"], describe_error(failure["error"], failure.get("error_description"))
        )
        req.context.error_code = failure["error"]
        return
    resp.status = status
    resp.content_type = falcon.MEDIA_JSON
    resp.text = body
    _forbid_caching(resp)


def _fail(resp: falcon.Response, status: int, error: str, description: str) -> None:
    resp.status = status
    resp.content_type = falcon.MEDIA_JSON
    resp.data = json.dumps({"error": error, "error_description": _plain(shorten_text(description))}).encode()
    _forbid_caching(resp)
    if status == 401:
        resp.set_header("WWW-Authenticate", _CHALLENGE)


def _forbid_caching(resp: falcon.Response) -> None:
    resp.set_header("Cache-Control", "no-store")
    resp.set_header("Pragma", "no-cache")


def _plain(description: str) -> str:
    """The description with the characters replaced that RFC 6749 section 5.2 does not allow."""
    return "".join(letter if " " <= letter <= "~" and letter not in '"\\' else "'" for letter in description)
