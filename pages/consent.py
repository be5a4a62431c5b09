"""/oauth/authorize: asks the user whether an application may act for them.

Errors are shown on this page until the redirect URI is known to be registered for the client. After that a
signed-in user is redirected to the application with the error; anyone else only gets a link, because the
page must not redirect to an address that an attacker has registered (RFC 9700 section 4.11).
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
from api.http.scopes import scope_labels
from api.oauth.clients import Client
from api.oauth.descriptions import describe_error
from api.oauth.server import Server
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
    "MissingClientIdError": "The request does not name an application (client_id).",
    "InvalidClientIdError": "No application with this client_id is registered, or it was revoked.",
    "MissingRedirectURIError": "The request has no address to return to (redirect_uri).",
    "InvalidRedirectURIError": "The address to return to (redirect_uri) is not valid.",
    "MismatchingRedirectURIError": "The application has not registered this redirect_uri.",
}


class Authorize(Page):
    """GET shows the question, POST receives the answer. Both have the application's request in the query."""

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
            permissions=scope_labels(scopes),
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
            raise Refused("bad_request", "The field decision must be allow or deny.")
        if decision == "deny":
            state = dict(parse_qsl(_query(req))).get("state")
            self._return_error(resp, redirect_uri, AccessDeniedError(state=state))
            return
        server = Server(self.services, req)
        headers, _, _ = server.create_authorization_response(
            f"{req.path}?{_query(req)}", "GET", scopes=scopes
        )
        redirect(resp, headers["Location"])

    def _check(
        self, req: falcon.Request, resp: falcon.Response, *, is_signed_in: bool
    ) -> tuple[Client, list[str], str] | None:
        """Client, scopes and redirect URI of a valid request; None if an error has been answered."""
        server = Server(self.services, req)
        try:
            scopes, found = server.validate_authorization_request(f"{req.path}?{_query(req)}", "GET")
        except FatalClientError as error:
            message = _FATAL.get(type(error).__name__, "The request has repeated or malformed parameters.")
            _show_error(req, resp, message)
            return None
        except OAuth2Error as error:
            if is_signed_in:
                self._return_error(resp, error.redirect_uri, error)
            else:
                _show_error(req, resp, _message(error), back=self._with_error(error.redirect_uri, error))
            return None
        request: Any = found["request"]
        return request.client, scopes, request.redirect_uri

    def _return_error(self, resp: falcon.Response, redirect_uri: str, error: OAuth2Error) -> None:
        redirect(resp, self._with_error(redirect_uri, error))

    def _with_error(self, redirect_uri: str, error: OAuth2Error) -> str:
        """The redirect URI with the parameters of the error (RFC 6749 section 4.1.2.1)."""
        description = describe_error(error.error, error.description)
        parameters = [("error", error.error), ("error_description", description)]
        if error.state:
            parameters.append(("state", error.state))
        parameters.append(("iss", self.services.settings.base_url))
        location: str = add_params_to_uri(redirect_uri, parameters)
        return location


def _query(req: falcon.Request) -> str:
    """The query with only the parameters of the protocol, encoded again. Raises Refused with 400.

    Other parameters are removed, because oauthlib sets every parameter as an attribute of its request. Empty
    parameters count as missing (RFC 6749 section 3.1).
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


def _show_error(req: falcon.Request, resp: falcon.Response, message: str, *, back: str | None = None) -> None:
    req.context.error_code = "bad_request"
    pages.render(req, resp, "authorize_failure.html", status=400, message=message, back=back)


def _message(error: OAuth2Error) -> str:
    messages = {
        "invalid_scope": "The application requests permissions for which it is not registered.",
        "unsupported_response_type": "The application requests a response_type that is not supported.",
        "unauthorized_client": "The application is not registered for this kind of request.",
    }
    return messages.get(error.error, "The request is incomplete or not valid.")
