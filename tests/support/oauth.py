"""OAuth clients for tests, and the steps of the authorization code flow in a browser."""

from __future__ import annotations

import base64
import hashlib
import secrets
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple
from urllib.parse import parse_qs, urlencode, urlsplit

import requests
from msgspec.structs import replace

from commands.oauth_clients import RegisterClient, register_client
from commands.oauth_grants import GiveGrant, NewTokens, give_grant, redeem_code
from commands.oauth_grants import refresh as refresh_grant
from domain.access import Caller
from infrastructure.keys.tokens import OAUTH_ACCESS, OAUTH_REFRESH, make_token
from infrastructure.storage.event_store import EventStore
from tests.support.browser import Browser, forms_of
from tests.support.keys import operator

CALLBACK = "https://app.example.com/callback"
ALL_GRANTS = ("authorization_code", "refresh_token", "client_credentials")


class App(NamedTuple):
    """A registered OAuth client with its credentials."""

    client_id: str
    secret: str | None
    redirect_uri: str = CALLBACK

    @property
    def basic(self) -> tuple[str, str] | None:
        return (self.client_id, self.secret) if self.secret else None


class Pkce(NamedTuple):
    verifier: str
    challenge: str

    @property
    def parameters(self) -> dict[str, str]:
        return {"code_challenge": self.challenge, "code_challenge_method": "S256"}


def make_pkce() -> Pkce:
    verifier = secrets.token_urlsafe(48)
    sha256 = hashlib.sha256(verifier.encode()).digest()
    return Pkce(verifier, base64.urlsafe_b64encode(sha256).rstrip(b"=").decode())


def make_app(store: EventStore, *, public: bool = False, **facts: Any) -> App:
    """Register a client with the scopes of tickets, the role admin and every grant type of its kind."""
    parameters = {
        "name": "Board",
        "client_kind": "public" if public else "confidential",
        "scopes": ("tickets:read", "tickets:write"),
        "role": "admin",
        "redirect_uris": (CALLBACK,),
        "grant_types": ALL_GRANTS[:2] if public else ALL_GRANTS,
        **facts,
    }
    registered = register_client(store, RegisterClient(**parameters), operator())
    uris = registered.client.redirect_uris
    return App(registered.client.id, registered.secret, uris[0] if uris else "")


def authorization_path(app: App, **fields: str | None) -> str:
    parameters = {
        "response_type": "code",
        "client_id": app.client_id,
        "redirect_uri": app.redirect_uri,
        "state": "s-1",
        **fields,
    }
    return "/oauth/authorize?" + urlencode(
        {name: value for name, value in parameters.items() if value is not None}
    )


def answer_of(response: requests.Response) -> dict[str, str]:
    """The query parameters of a redirect to the client."""
    assert response.status_code == 303, response.text
    return {
        name: values[0] for name, values in parse_qs(urlsplit(response.headers["Location"]).query).items()
    }


def consent(browser: Browser, path: str, decision: str = "allow") -> requests.Response:
    """Open the consent page and press a button."""
    page = browser.open(path)
    assert page.status_code == 200, (page.status_code, page.text)
    form = next(form for form in forms_of(page.text) if form.action.startswith("/oauth/authorize"))
    return browser.send(form.action, {**form.fields, "decision": decision})


def get_code(browser: Browser, app: App, **fields: str | None) -> str:
    return answer_of(consent(browser, authorization_path(app, **fields)))["code"]


def ask(
    base_url: str, path: str, app: App | None, fields: dict[str, Any], **headers: str
) -> requests.Response:
    """Send a request of the client, with its credentials."""
    parameters = dict(fields)
    if app is not None and app.basic is None:
        parameters.setdefault("client_id", app.client_id)
    return requests.post(
        base_url + path, data=parameters, auth=app.basic if app else None, headers=headers, timeout=30
    )


def redeem(base_url: str, app: App, code: str, **fields: str) -> requests.Response:
    parameters = {
        "grant_type": "authorization_code", "code": code, "redirect_uri": app.redirect_uri, **fields
    }  # fmt: skip
    return ask(base_url, "/oauth/token", app, parameters)


def refresh(base_url: str, app: App, token: str, **fields: str) -> requests.Response:
    return ask(
        base_url, "/oauth/token", app, {"grant_type": "refresh_token", "refresh_token": token, **fields}
    )


def tokens_for(browser: Browser, app: App, **fields: str | None) -> dict[str, Any]:
    """Run the whole flow (consent, code, redemption) and return the tokens."""
    pkce = make_pkce()
    answer = redeem(
        browser.base_url,
        app,
        get_code(browser, app, **pkce.parameters, **fields),
        code_verifier=pkce.verifier,
    )
    assert answer.status_code == 200, answer.text
    tokens: dict[str, Any] = answer.json()
    return tokens


def refreshed_before(store: EventStore, app: App, seconds: float) -> list[NewTokens]:
    """The tokens of a consent that Jane Smith gave that long ago: of its code, and of a refresh then."""
    at = datetime.now(UTC) - timedelta(seconds=seconds)
    jane = Caller(principal_id="user101", name="Jane Smith", role="staff", auth="session", user_id="user101")
    given = replace(operator(), at=at, caller=jane)
    scopes = ("tickets:read", "tickets:write")
    request = GiveGrant(
        client_id=app.client_id,
        scopes=scopes,
        redirect_uri=app.redirect_uri,
        redirect_uri_was_given=True,
        code_challenge=None,
    )
    give_grant(store, request, given)
    grant_id = f"grant_{given.command_id}"
    made = [
        NewTokens(
            access_token=make_token(OAUTH_ACCESS),
            refresh_token=make_token(OAUTH_REFRESH),
            scopes=scopes,
            client_id=app.client_id,
            user_id="user101",
        )
        for _ in range(2)
    ]
    assert redeem_code(store, grant_id, made[0], replace(operator(), at=at))
    assert refresh_grant(store, grant_id, 1, made[1], replace(operator(), at=at))
    return made


def call(base_url: str, token: str, path: str = "/v1/tickets", **more: Any) -> requests.Response:
    method = more.pop("method", "GET")
    headers = {"Authorization": f"Bearer {token}", **more.pop("headers", {})}
    return requests.request(method, base_url + path, headers=headers, timeout=30, **more)


def error_of(answer: requests.Response) -> tuple[int, str]:
    """The status and the OAuth error code."""
    return answer.status_code, answer.json()["error"]


def metadata(base_url: str) -> dict[str, Any]:
    found: dict[str, Any] = requests.get(
        f"{base_url}/.well-known/oauth-authorization-server", timeout=20
    ).json()
    return found
