"""/oauth/token, /oauth/revoke and /oauth/introspect: what applications call, and the errors they get."""

from __future__ import annotations

import json
from typing import Any, ClassVar

import falcon
from oauthlib.oauth2 import OAuth2Error

from api.http.errors import Failure
from api.http.forms import Form, read_form
from api.http.resource import Operation, Resource
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
MAX_BYTES = 65_536  # of a body; tokens and codes are short
_CHALLENGE = 'Basic realm="oauth", charset="UTF-8"'
_ERROR_OF = {
    "rate_limited": "temporarily_unavailable",
    "unavailable": "temporarily_unavailable",
    "internal_error": "server_error",
    "conflict": "temporarily_unavailable",
}


class TokenEndpoint(Resource):
    """Codes, refresh tokens and secrets of clients in, tokens out (RFC 6749 sections 4.1.3, 4.4.2, 6)."""

    operations: ClassVar[dict[str, Operation]] = {"POST": Operation(summary="Get tokens", public=True)}

    def on_post(self, req: falcon.Request, resp: falcon.Response) -> None:
        fields = _read_fields(req, resp, needs="grant_type")
        if fields is None:
            return
        purge(self.services.pool)
        server = Server(self.services, req)
        _answer(req, resp, server.create_token_response, fields)


class RevocationEndpoint(Resource):
    """An application gives a token back (RFC 7009). The answer to an unknown token is the same."""

    operations: ClassVar[dict[str, Operation]] = {"POST": Operation(summary="Revoke a token", public=True)}

    def on_post(self, req: falcon.Request, resp: falcon.Response) -> None:
        fields = _read_fields(req, resp, needs="token")
        if fields is not None:
            server = Server(self.services, req)
            _answer(req, resp, server.create_revocation_response, fields)


class IntrospectionEndpoint(Resource):
    """A confidential client asks about one of its own tokens (RFC 7662)."""

    operations: ClassVar[dict[str, Operation]] = {
        "POST": Operation(summary="Describe a token", public=True, changes_nothing=True)
    }

    def on_post(self, req: falcon.Request, resp: falcon.Response) -> None:
        fields = _read_fields(req, resp, needs="token")
        if fields is not None:
            server = Server(self.services, req, takes_public=False)
            _answer(req, resp, server.create_introspect_response, fields)


def render_failure(req: falcon.Request, resp: falcon.Response, failure: Failure) -> None:
    """What goes wrong around the protocol, in the protocol's form."""
    error = _ERROR_OF.get(failure.code, "invalid_request" if failure.status < 500 else "server_error")
    _fail(resp, failure.status, error, failure.message)


def _read_fields(req: falcon.Request, resp: falcon.Response, *, needs: str) -> list[tuple[str, str]] | None:
    """The protocol's own fields of the body, or None once an error is answered.

    Only these reach oauthlib, which takes any field for an attribute of the request. Fields without a value
    count as not sent, and none may come twice (RFC 6749 section 3.2).
    """
    form = read_form(req, max_bytes=MAX_BYTES)
    fields = [(name, value) for name in sorted(_FIELDS) for value in form.values(name) if value]
    twice = _sent_twice(form)
    if twice:
        _fail(resp, 400, "invalid_request", f"The parameter {twice} came more than once.")
        return None
    if needs not in dict(fields):
        _fail(resp, 400, "invalid_request", f"The parameter {needs} is missing.")
        return None
    return fields


def _sent_twice(form: Form) -> str | None:
    return next((name for name in sorted(_FIELDS) if len(form.values(name)) > 1), None)


def _answer(req: falcon.Request, resp: falcon.Response, endpoint: Any, fields: list[tuple[str, str]]) -> None:
    """Let oauthlib answer, and put its answer into `resp`."""
    headers = {"Authorization": auth} if (auth := req.get_header("Authorization")) else {}
    try:
        _, body, status = endpoint(req.relative_uri, "POST", fields, headers)
    except OAuth2Error as error:
        body, status = error.json, error.status_code
    if status >= 400:
        told = json.loads(body)
        _fail(resp, status, told["error"], told.get("error_description"))
        req.context.error_code = told["error"]
        return
    resp.status = status
    resp.content_type = falcon.MEDIA_JSON
    resp.text = body
    _never_store(resp)


def _fail(resp: falcon.Response, status: int, error: str, description: str | None) -> None:
    resp.status = status
    resp.content_type = falcon.MEDIA_JSON
    told = {"error": error} | ({"error_description": _plain(description)} if description else {})
    resp.data = json.dumps(told).encode()
    _never_store(resp)
    if status == 401:
        resp.set_header("WWW-Authenticate", _CHALLENGE)


def _never_store(resp: falcon.Response) -> None:
    resp.set_header("Cache-Control", "no-store")
    resp.set_header("Pragma", "no-cache")


def _plain(description: str) -> str:
    """Without what RFC 6749 section 5.2 forbids in a description."""
    return "".join(letter if " " <= letter <= "~" and letter not in '"\\' else "'" for letter in description)
