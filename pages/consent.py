"""/oauth/authorize: the person is asked whether an application may act for them.

Nothing of the request is believed before the client and the redirect URI are known to belong together:
until then errors are shown here and lead nowhere. Nobody is sent back to an application by its say-so
alone either: only someone who is signed in, or who follows a link (RFC 9700 section 4.11).
"""

from __future__ import annotations

from typing import Any, ClassVar
from urllib.parse import parse_qsl, quote, urlencode, urlsplit

import falcon
from oauthlib.common import add_params_to_uri
from oauthlib.oauth2 import FatalClientError, OAuth2Error
from oauthlib.oauth2.rfc6749.errors import AccessDeniedError

from api.http.errors import Refused
from api.http.redirects import redirect
from api.oauth.clients import Client
from api.oauth.server import Server
from api.oauth.words import in_words
from domain.oauth_grant import LONGEST
from domain.redirect_uri import origin
from pages.common import rendering as pages
from pages.common import sessions
from pages.common.page import Page
from pages.common.page_operation import PageOperation

MAX_QUERY_CHARACTERS = 4_000
_FIELDS = (
    "response_type",
    "client_id",
    "redirect_uri",
    "scope",
    "state",
    "code_challenge",
    "code_challenge_method",
    "response_mode",
)
_FATAL = {
    "MissingClientIdError": "It does not say which application it is.",
    "InvalidClientIdError": "No application of that name is registered here, or it was shut out.",
    "MissingRedirectURIError": "It does not say where to go back to.",
    "InvalidRedirectURIError": "The address to go back to is not a valid one.",
    "MismatchingRedirectURIError": "The address to go back to is not one the application has registered.",
}


class Authorize(Page):
    """GET asks, POST takes the answer. The request itself is in the query both times."""

    operations: ClassVar[dict[str, PageOperation]] = {
        "GET": PageOperation(summary="Ask for consent", public=True),
        "POST": PageOperation(summary="Give or refuse consent"),
    }

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        session = sessions.find_session(req, self.services)
        if session is not None:
            req.context.session, req.context.caller = session, session.caller
        checked = self._check(req, resp, is_signed_in=session is not None)
        if checked is None:
            return
        if session is None:
            next_path = f"{req.path}?{_query(req)}"
            redirect(resp, f"{sessions.SIGN_IN_PATH}?next={quote(next_path, safe='')}")
            return
        client, scopes, redirect_uri = checked
        pages.render(
            req,
            resp,
            "consent.html",
            form_targets=(origin(redirect_uri),),
            client=client,
            target=urlsplit(redirect_uri).hostname or origin(redirect_uri),
            permissions=in_words(scopes),
            action=f"{req.path}?{_query(req)}",
            longest_days=LONGEST.days,
            keeps_access="refresh_token" in client.grant_types,
        )

    def on_post(self, req: falcon.Request, resp: falcon.Response) -> None:
        checked = self._check(req, resp, is_signed_in=True)
        if checked is None:
            return
        _, scopes, redirect_uri = checked
        decision = req.context.form.value("decision")
        if decision not in ("allow", "deny"):
            raise Refused("bad_request", "Choose to allow it or not.")
        if decision == "deny":
            state = dict(parse_qsl(_query(req))).get("state")
            self._go_back(resp, redirect_uri, AccessDeniedError(state=state))
            return
        server = Server(self.services, req)
        headers, _, _ = server.create_authorization_response(
            f"{req.path}?{_query(req)}", "GET", scopes=scopes
        )
        redirect(resp, headers["Location"])

    def _check(
        self, req: falcon.Request, resp: falcon.Response, *, is_signed_in: bool
    ) -> tuple[Client, list[str], str] | None:
        """Client, scopes and redirect URI of a good request, or None once an error is answered."""
        server = Server(self.services, req)
        try:
            scopes, found = server.validate_authorization_request(f"{req.path}?{_query(req)}", "GET")
        except FatalClientError as error:
            message = _FATAL.get(type(error).__name__, "It repeats or garbles what it asks for.")
            _refuse(req, resp, message)
            return None
        except OAuth2Error as error:
            if is_signed_in:
                self._go_back(resp, error.redirect_uri, error)
            else:
                _refuse(req, resp, _sentence(error), back=self._with_error(error.redirect_uri, error))
            return None
        request: Any = found["request"]
        return request.client, scopes, request.redirect_uri

    def _go_back(self, resp: falcon.Response, redirect_uri: str, error: OAuth2Error) -> None:
        redirect(resp, self._with_error(redirect_uri, error))

    def _with_error(self, redirect_uri: str, error: OAuth2Error) -> str:
        told = [("error", error.error)]
        if error.description:
            told.append(("error_description", error.description))
        if error.state:
            told.append(("state", error.state))
        location: str = add_params_to_uri(redirect_uri, [*told, ("iss", self.services.settings.base_url)])
        return location


def _query(req: falcon.Request) -> str:
    """The protocol's own parameters, as sent but in one spelling; Refused with 400 when they cannot be read.

    Only these reach oauthlib, which takes any parameter for an attribute of the request. Parameters without
    a value count as not sent (RFC 6749 section 3.1).
    """
    if len(req.query_string) > MAX_QUERY_CHARACTERS:
        raise Refused("bad_request", "The application's request is too long.")
    try:
        pairs = parse_qsl(req.query_string, keep_blank_values=True, max_num_fields=50, errors="strict")
    except ValueError:
        raise Refused("bad_request", "The application's request is not valid.") from None
    if any("\0" in value for _, value in pairs):
        raise Refused("bad_request", "The application's request is not valid.")
    return urlencode([(name, value) for name, value in pairs if name in _FIELDS and value])


def _refuse(req: falcon.Request, resp: falcon.Response, message: str, *, back: str | None = None) -> None:
    req.context.error_code = "bad_request"
    pages.render(req, resp, "authorize_failure.html", status=400, message=message, back=back)


def _sentence(error: OAuth2Error) -> str:
    words = {
        "invalid_scope": "It asks for more than it is registered for.",
        "unsupported_response_type": "It asks in a way that is not offered here.",
        "unauthorized_client": "It is not registered for asking people.",
    }
    return words.get(error.error, "What it asks for is incomplete or not valid.")
