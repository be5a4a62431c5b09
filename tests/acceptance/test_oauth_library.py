"""authlib, a public OAuth client library, against a running server. It is given the server's address only."""

from __future__ import annotations

import pytest
from authlib.integrations.base_client.errors import OAuthError
from authlib.integrations.requests_client import OAuth2Session

from tests.support.browser import Browser, forms_of, give_password
from tests.support.oauth import CALLBACK, make_app


@pytest.fixture(scope="module")
def endpoints(site):
    """The metadata document, from which clients read the endpoints."""
    give_password(site.store, "user101")
    return site.client(None).get("/.well-known/oauth-authorization-server").json()


def allow(site, url):
    """Sign in with a new browser, allow the application, and return the address of the redirect."""
    browser = Browser(site.base_url)
    path = url.removeprefix(site.base_url)
    sent = browser.open(path)
    form = forms_of(browser.open(sent.headers["Location"]).text)[0]
    fields = {**form.fields, "account": "user101@example.com", "password": "otter violin quartz bramble"}
    back = browser.send(form.action, fields)
    page = browser.open(back.headers["Location"])
    form = next(form for form in forms_of(page.text) if form.buttons)
    return browser.send(form.action, {**form.fields, "decision": "allow"}).headers["Location"]


@pytest.mark.parametrize("method", ["client_secret_basic", "client_secret_post", "none"])
def test_code_with_pkce_and_refresh(site, endpoints, method):
    app = make_app(site.store, public=method == "none")
    session = OAuth2Session(
        app.client_id,
        app.secret,
        token_endpoint_auth_method=method,
        scope="tickets:read",
        redirect_uri=CALLBACK,
        code_challenge_method="S256",
        token_endpoint=endpoints["token_endpoint"],
        revocation_endpoint_auth_method=method,
    )
    verifier = "a-verifier-of-at-least-forty-three-characters-in-all"
    url, state = session.create_authorization_url(endpoints["authorization_endpoint"], code_verifier=verifier)

    location = allow(site, url)
    tokens = session.fetch_token(
        endpoints["token_endpoint"], authorization_response=location, state=state, code_verifier=verifier
    )

    assert tokens["scope"] == "tickets:read"
    assert session.get(f"{site.base_url}/v1/tickets").status_code == 200
    renewed = session.refresh_token(endpoints["token_endpoint"])
    assert renewed["access_token"] != tokens["access_token"]
    assert session.get(f"{site.base_url}/v1/tickets").json()["status"] == "success"
    session.revoke_token(
        endpoints["revocation_endpoint"], token=renewed["refresh_token"], token_type_hint="refresh_token"
    )
    assert session.get(f"{site.base_url}/v1/tickets").status_code == 401


def test_client_credentials_and_introspection(site, endpoints):
    app = make_app(site.store)
    session = OAuth2Session(app.client_id, app.secret, scope="tickets:read tickets:write")

    token = session.fetch_token(endpoints["token_endpoint"], grant_type="client_credentials")

    assert token["token_type"] == "Bearer"
    assert session.get(f"{site.base_url}/v1/tickets").status_code == 200
    described = session.introspect_token(
        endpoints["introspection_endpoint"], token=token["access_token"]
    ).json()
    assert (described["active"], described["client_id"]) == (True, app.client_id)


def test_the_library_reports_our_errors(site, endpoints):
    app = make_app(site.store)
    session = OAuth2Session(app.client_id, app.secret, redirect_uri=CALLBACK)

    with pytest.raises(OAuthError) as refusal:
        session.fetch_token(endpoints["token_endpoint"], grant_type="authorization_code", code="mtc_0")
    assert refusal.value.error == "invalid_grant"
    with pytest.raises(OAuthError) as refusal:
        OAuth2Session(app.client_id, "wrong").fetch_token(
            endpoints["token_endpoint"], grant_type="client_credentials"
        )
    assert refusal.value.error == "invalid_client"
