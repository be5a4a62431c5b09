"""The checklist, part one: a test for each point of OWASP ASVS 5 chapter 10.4, with those of RFC 9700 on it.

Each docstring names the point. Part two is test_oauth_best_practice.py.

Points about clients, other token formats or unoffered features have a test that the feature is absent.
"""

import pytest

from domain.oauth_grant import OAuthGrantEnded
from tests.support.browser import forms_of
from tests.support.log import events_after
from tests.support.oauth import (
    CALLBACK,
    answer_of,
    ask,
    authorization_path,
    call,
    consent,
    error_of,
    get_code,
    make_app,
    make_pkce,
    metadata,
    redeem,
    refresh,
    refreshed_before,
    tokens_for,
)


@pytest.mark.parametrize(
    "near",
    [
        CALLBACK + "/",
        CALLBACK + "?x=1",
        CALLBACK + "/../callback",
        CALLBACK + "%2F",
        CALLBACK.replace("https", "http"),
        CALLBACK.replace("app.example.com", "app.example.com.evil.example"),
        CALLBACK.replace("app.example.com", "app.example.com:443"),
        CALLBACK.replace("app.example.com", "user@app.example.com"),
        CALLBACK.replace("app.example.com", "APP.example.com"),
        CALLBACK + "#fragment",
        "https://evil.example/callback",
        "//app.example.com/callback",
        "javascript:alert(1)",
    ],
)
def test_redirect_uris_are_compared_exactly_and_others_are_not_followed(site, browser, app, near):
    """ASVS 10.4.1; RFC 9700 section 2.1, 4.1.3, 4.11.1: exact matching, no open redirector."""
    answer = browser.open(authorization_path(app, redirect_uri=near))

    assert answer.status_code == 400
    assert "Location" not in answer.headers
    assert "href=" not in answer.text.split("<main")[1]
    assert "registered" in answer.text or "valid" in answer.text


def test_a_code_is_valid_once_and_a_second_use_revokes_its_tokens(site, browser, app):
    """ASVS 10.4.2; RFC 9700 section 2.1.1, RFC 6749 section 4.1.2."""
    code = get_code(browser, app)
    tokens = redeem(site.base_url, app, code).json()
    assert call(site.base_url, tokens["access_token"]).status_code == 200

    assert error_of(redeem(site.base_url, app, code)) == (400, "invalid_grant")

    assert call(site.base_url, tokens["access_token"]).status_code == 401
    assert error_of(refresh(site.base_url, app, tokens["refresh_token"])) == (400, "invalid_grant")
    ended = [r.event for r in events_after(site.store, 0, 10_000) if isinstance(r.event, OAuthGrantEnded)]
    assert ended[-1].reason == "code_used_twice"


def test_a_code_expires_after_a_minute(site, browser, app):
    """ASVS 10.4.3 (level 3: at most one minute)."""
    code = get_code(browser, app)
    with site.pool.connection() as conn:
        (seconds,) = conn.execute(
            "SELECT date_part('epoch', code_expires_at - given_at) FROM access.oauth_grants"
            " ORDER BY given_at DESC LIMIT 1"
        ).fetchone()
        assert 59 <= seconds <= 61
        conn.execute(
            "UPDATE access.oauth_grants SET code_expires_at = now() WHERE client_id = %s", [app.client_id]
        )

    assert error_of(redeem(site.base_url, app, code)) == (400, "invalid_grant")


@pytest.mark.parametrize(
    "grant_type", ["password", "implicit", "token", "urn:ietf:params:oauth:grant-type:device_code"]
)
def test_other_grant_types_are_refused(site, app, grant_type):
    """ASVS 10.4.4; RFC 9700 section 2.1.2, 2.4: no implicit grant, no passwords."""
    given = {"grant_type": grant_type, "username": "user101", "password": "x"}

    assert error_of(ask(site.base_url, "/oauth/token", app, given)) == (400, "unsupported_grant_type")
    assert "password" not in metadata(site.base_url)["grant_types_supported"]


@pytest.mark.parametrize(
    "response_type", ["token", "code token", "id_token", "none", "code id_token", "CODE"]
)
def test_other_response_types_are_refused(browser, app, response_type):
    """ASVS 10.4.4; RFC 9700 section 2.1.2."""
    answer = answer_of(browser.open(authorization_path(app, response_type=response_type)))

    assert answer["error"] in ("unsupported_response_type", "unauthorized_client")
    assert "access_token" not in answer


def test_a_client_uses_only_the_grants_it_is_registered_for(site, browser):
    """ASVS 10.4.4."""
    by_code = make_app(site.store, grant_types=("authorization_code",))
    as_itself = make_app(site.store, grant_types=("client_credentials",), redirect_uris=())

    refused = ask(site.base_url, "/oauth/token", by_code, {"grant_type": "client_credentials"})
    assert error_of(refused) == (400, "unauthorized_client")
    tokens = redeem(site.base_url, by_code, get_code(browser, by_code)).json()
    assert "refresh_token" not in tokens
    given = {"grant_type": "authorization_code", "code": "mtc_" + "0" * 49}
    assert error_of(ask(site.base_url, "/oauth/token", as_itself, given)) == (400, "unauthorized_client")
    assert browser.open(authorization_path(as_itself, redirect_uri=None)).status_code == 400


def test_a_refresh_token_is_valid_once_and_a_second_use_revokes_all_tokens(site, public_app):
    """ASVS 10.4.5; RFC 9700 section 2.2.2, 4.14.2: rotation; a reuse ends the whole grant."""
    first, second = refreshed_before(site.store, public_app, seconds=31)
    assert call(site.base_url, second.access_token).status_code == 200

    assert error_of(refresh(site.base_url, public_app, first.refresh_token)) == (400, "invalid_grant")

    assert error_of(refresh(site.base_url, public_app, second.refresh_token)) == (400, "invalid_grant")
    assert call(site.base_url, first.access_token).status_code == 401
    assert call(site.base_url, second.access_token).status_code == 401
    ended = [r.event for r in events_after(site.store, 0, 10_000) if isinstance(r.event, OAuthGrantEnded)]
    assert ended[-1].reason == "refresh_token_used_twice"


def test_a_refresh_token_belongs_to_its_client(site, browser, app, public_app):
    """RFC 9700 section 4.14.2: bound to the client; an attempt of another client revokes nothing."""
    tokens = tokens_for(browser, app)

    assert error_of(refresh(site.base_url, public_app, tokens["refresh_token"])) == (400, "invalid_grant")
    assert refresh(site.base_url, app, tokens["refresh_token"]).status_code == 200


def test_a_public_client_must_use_pkce(site, browser, public_app):
    """ASVS 10.4.6; RFC 9700 section 2.1.1."""
    assert answer_of(browser.open(authorization_path(public_app)))["error"] == "invalid_request"


def test_a_confidential_client_can_be_required_to_use_pkce(site, browser):
    """ASVS 10.4.6."""
    strict = make_app(site.store, requires_pkce=True)

    assert answer_of(browser.open(authorization_path(strict)))["error"] == "invalid_request"
    assert tokens_for(browser, strict)


@pytest.mark.parametrize(
    "asked",
    [
        {"code_challenge": "x" * 43, "code_challenge_method": "plain"},
        {"code_challenge": "x" * 43},
        {"code_challenge": "x" * 43, "code_challenge_method": "s256"},
        {"code_challenge": "x" * 43, "code_challenge_method": "S512"},
        {"code_challenge": "x" * 42, "code_challenge_method": "S256"},
        {"code_challenge": "x" * 44, "code_challenge_method": "S256"},
        {"code_challenge": "é" * 43, "code_challenge_method": "S256"},
        {"code_challenge_method": "S256"},
        {"code_challenge": "", "code_challenge_method": "S256"},
    ],
)
@pytest.mark.parametrize("kind", ["app", "public_app"])
def test_only_an_s256_challenge_is_accepted(browser, request, kind, asked):
    """ASVS 10.4.6; RFC 9700 section 2.1.1: never `plain`, which is the default of a missing method."""
    answer = browser.open(authorization_path(request.getfixturevalue(kind), **asked))

    assert answer_of(answer)["error"] == "invalid_request"


@pytest.mark.parametrize("verifier", [None, "", "x" * 43, "short", "x" * 129, "é" * 43, "challenge"])
@pytest.mark.parametrize("kind", ["app", "public_app"])
def test_a_challenge_that_was_sent_is_always_verified(site, browser, request, kind, verifier):
    """ASVS 10.4.6; RFC 9700 section 4.5.3, 4.8.2."""
    client, pkce = request.getfixturevalue(kind), make_pkce()
    code = get_code(browser, client, **pkce.parameters)
    verifier = pkce.challenge if verifier == "challenge" else verifier
    given = {} if verifier is None else {"code_verifier": verifier}

    assert error_of(redeem(site.base_url, client, code, **given))[1] in ("invalid_grant", "invalid_request")


def test_a_verifier_without_a_challenge_is_refused(site, browser, app):
    """RFC 9700 section 2.1.1, 4.8.2: PKCE downgrade."""
    code = get_code(browser, app)

    answer = redeem(site.base_url, app, code, code_verifier=make_pkce().verifier)

    assert error_of(answer) == (400, "invalid_grant")


def test_clients_cannot_register_themselves(site):
    """ASVS 10.4.7; RFC 9700 section 4.15.1: no dynamic registration, and the server generates the ids."""
    assert "registration_endpoint" not in metadata(site.base_url)
    assert site.client(None).post("/oauth/register", json={"client_id": "user001"}).status_code == 404
    assert make_app(site.store).client_id.startswith("client_")


def test_a_grant_ends_after_ninety_days_even_if_it_is_refreshed(site, browser, app):
    """ASVS 10.4.8."""
    tokens = tokens_for(browser, app)
    with site.pool.connection() as conn:
        (days, sliding) = conn.execute(
            "SELECT date_part('epoch', g.expires_at - g.given_at) / 86400,"
            "       date_part('epoch', t.expires_at - t.issued_at) / 86400"
            "  FROM access.oauth_grants g JOIN access.oauth_tokens t ON t.grant_id = g.id AND t.is_refresh"
            " ORDER BY g.given_at DESC LIMIT 1"
        ).fetchone()
    assert (days, sliding) == (90, 30)
    assert refresh(site.base_url, app, tokens["refresh_token"]).status_code == 200


def test_an_unused_refresh_token_expires(site, browser, app):
    """ASVS 10.4.8; RFC 9700 section 4.14.2."""
    tokens = tokens_for(browser, app)
    with site.pool.connection() as conn:
        conn.execute(
            "UPDATE access.oauth_tokens SET expires_at = now() WHERE client_id = %s", [app.client_id]
        )

    assert error_of(refresh(site.base_url, app, tokens["refresh_token"])) == (400, "invalid_grant")
    assert call(site.base_url, tokens["access_token"]).status_code == 401


def test_the_person_can_revoke_in_the_user_interface(site, browser):
    """ASVS 10.4.9, 10.7.3."""
    mine = make_app(site.store, name="Revoke me here")
    tokens = tokens_for(browser, mine)
    page = browser.open("/oauth/applications").text
    form = next(form for form in forms_of(page.split("Revoke me here", 1)[1]) if "grant" in form.fields)

    browser.send("/oauth/applications", form.fields)

    assert call(site.base_url, tokens["access_token"]).status_code == 401


@pytest.mark.parametrize("path", ["/oauth/token", "/oauth/revoke", "/oauth/introspect"])
def test_a_confidential_client_authenticates_at_every_endpoint(site, browser, app, path):
    """ASVS 10.4.10; RFC 9700 section 2.5."""
    given = {"grant_type": "client_credentials", "token": "mto_" + "0" * 49, "client_id": app.client_id}
    tries = (
        ask(site.base_url, path, None, given),
        ask(site.base_url, path, None, given | {"client_secret": "wrong"}),
        ask(site.base_url, path, None, given | {"client_secret": "mtk_" + "0" * 49}),
        ask(site.base_url, path, app._replace(secret="mtk_" + "0" * 49), given),
        ask(site.base_url, path, app._replace(client_id="client_nobody"), given),
    )

    for answer in tries:
        assert error_of(answer) == (401, "invalid_client")
        assert answer.headers["WWW-Authenticate"].startswith("Basic ")


def test_a_client_gets_no_scope_beyond_those_it_is_registered_for(site, browser):
    """ASVS 10.4.11; RFC 9700 section 2.3."""
    reader = make_app(site.store, scopes=("tickets:read",))

    asked = answer_of(browser.open(authorization_path(reader, scope="tickets:read tickets:write")))
    assert asked["error"] == "invalid_scope"
    given = {"grant_type": "client_credentials", "scope": "users:read"}
    assert error_of(ask(site.base_url, "/oauth/token", reader, given)) == (400, "invalid_scope")
    assert tokens_for(browser, reader)["scope"] == "tickets:read"


def test_a_refresh_may_narrow_the_scopes_but_not_widen_them(site, browser, app):
    """RFC 9700 section 4.14.2; RFC 6749 section 6."""
    tokens = tokens_for(browser, app, scope="tickets:read tickets:write")

    narrow = refresh(site.base_url, app, tokens["refresh_token"], scope="tickets:read").json()
    assert narrow["scope"] == "tickets:read"
    assert call(site.base_url, narrow["access_token"], method="POST", json={}).status_code == 403
    wide = refresh(site.base_url, app, narrow["refresh_token"], scope="tickets:read tickets:write")
    assert wide.json()["scope"] == "tickets:read tickets:write"
    beyond = refresh(site.base_url, app, wide.json()["refresh_token"], scope="users:read")
    assert error_of(beyond) == (400, "invalid_scope")


@pytest.mark.parametrize("response_mode", ["fragment", "form_post", "web_message", "query.jwt"])
def test_other_response_modes_than_query_are_refused(browser, app, response_mode):
    """ASVS 10.4.12."""
    answer = browser.open(authorization_path(app, response_mode=response_mode))

    assert answer_of(answer)["error"] == "invalid_request"
    assert answer_of(consent(browser, authorization_path(app, response_mode="query")))["code"]


def test_the_metadata_claims_no_level_three_options(site):
    """ASVS 10.4.13 to 10.4.16 (level 3) are not offered, and the metadata does not claim them."""
    document = metadata(site.base_url)

    assert not {name for name in document if "pushed" in name or "dpop" in name or "tls_client" in name}
    assert set(document["token_endpoint_auth_methods_supported"]) == {
        "client_secret_basic",
        "client_secret_post",
        "none",
    }
