"""The checklist, part two: a test for each point of RFC 9700 about browsers, redirects and attackers.

Each docstring names the point. Part one is test_oauth_checklist.py.
"""

import re
from urllib.parse import parse_qs, urlencode, urlsplit

from tests.support.browser import Browser, forms_of, without_own_script
from tests.support.oauth import (
    CALLBACK,
    answer_of,
    ask,
    authorization_path,
    consent,
    error_of,
    get_code,
    make_app,
    make_pkce,
    metadata,
    redeem,
    tokens_for,
)


def test_the_authorization_response_names_its_issuer(site, browser, app):
    """RFC 9700 section 2.1, 4.4.2.1; RFC 9207: mix-up."""
    good = answer_of(consent(browser, authorization_path(app)))
    bad = answer_of(browser.open(authorization_path(app, scope="nonsense")))

    assert good["iss"] == bad["iss"] == metadata(site.base_url)["issuer"] == site.base_url
    assert metadata(site.base_url)["authorization_response_iss_parameter_supported"] is True


def test_the_redirect_after_the_form_is_a_303(browser, app):
    """RFC 9700 section 2.1, 4.12: a 307 would send the form's fields to the client."""
    assert consent(browser, authorization_path(app)).status_code == 303
    assert consent(browser, authorization_path(app), decision="deny").status_code == 303


def test_state_is_returned_unchanged(browser, app):
    """RFC 9700 section 2.1, 4.7.1: the client's protection against forged answers."""
    state = "a&b=c #%+/ \u00e9 'x' <y>"

    assert answer_of(consent(browser, authorization_path(app, state=state)))["state"] == state
    assert (
        answer_of(consent(browser, authorization_path(app, state=state), decision="deny"))["state"] == state
    )
    assert "state" not in answer_of(consent(browser, authorization_path(app, state=None)))


def test_consent_cannot_be_forged_by_another_site(site, browser, app):
    """RFC 9700 section 4.7: the consent form is protected against forged requests."""
    path = authorization_path(app)
    form = next(form for form in forms_of(browser.open(path).text) if "oauth" in form.action)
    allow = {**form.fields, "decision": "allow"}

    assert browser.send(path, {"decision": "allow"}).status_code == 403
    assert browser.send(path, allow | {"csrf_token": "0" * 64}).status_code == 403
    assert browser.send(path, allow, Sec_Fetch_Site="cross-site").status_code == 403
    assert browser.send(path, form.fields).status_code == 400
    anonymous = Browser(site.base_url).send(path, allow)
    assert anonymous.status_code == 403
    assert 'action="/admin/sign-in"' in anonymous.text
    assert "Location" not in anonymous.headers


def test_every_authorization_asks_the_person(browser, app):
    """ASVS 10.7.1: an earlier consent does not replace asking again."""
    get_code(browser, app)

    assert browser.open(authorization_path(app)).status_code == 200
    assert browser.open(authorization_path(app) + "&prompt=none").status_code == 200


def test_a_person_without_a_session_is_not_redirected_to_a_client(site, app):
    """RFC 9700 section 4.11.2: the authorization server as an open redirector."""
    anonymous = Browser(site.base_url)

    wrong = anonymous.open(authorization_path(app, scope="nonsense", state="s"))
    assert wrong.status_code == 400
    assert "Location" not in wrong.headers
    back = re.search(r'<a href="([^"]+)" rel="noreferrer">', wrong.text).group(1).replace("&amp;", "&")
    assert back.startswith(CALLBACK + "?")
    assert parse_qs(urlsplit(back).query)["error"] == ["invalid_scope"]
    good = anonymous.open(authorization_path(app))
    assert good.headers["Location"].startswith("/admin/sign-in?next=")


def test_a_code_belongs_to_its_client_and_redirect_uri(site, browser, app, public_app):
    """RFC 9700 section 4.5: code injection."""
    two = make_app(site.store, redirect_uris=(CALLBACK, CALLBACK + "/2"))
    code = get_code(browser, two)

    assert error_of(redeem(site.base_url, app, code)) == (400, "invalid_grant")
    assert error_of(redeem(site.base_url, two, code, redirect_uri=CALLBACK + "/2")) == (400, "invalid_grant")
    without = ask(site.base_url, "/oauth/token", two, {"grant_type": "authorization_code", "code": code})
    assert without.status_code == 400
    assert redeem(site.base_url, two, code).status_code == 200


def test_a_token_in_the_address_or_the_body_is_refused(site, browser, app):
    """RFC 9700 section 4.3.2; RFC 6750 section 2.3: tokens do not belong in addresses."""
    token = tokens_for(browser, app)["access_token"]

    assert site.client(None).get(f"/v1/tickets?access_token={token}").status_code == 401
    assert site.client(None).post("/v1/tickets", data={"access_token": token}).status_code == 401


def test_the_consent_page_cannot_be_framed_and_leaks_no_address(browser, app):
    """RFC 9700 section 4.2.4, 4.16: referrers and clickjacking."""
    page = browser.open(authorization_path(app))

    policy = page.headers["Content-Security-Policy"]
    assert "frame-ancestors 'none'" in policy
    assert "default-src 'none'" in policy
    assert page.headers["X-Frame-Options"] == "DENY"
    assert page.headers["Referrer-Policy"] == "same-origin"
    assert page.headers["Cache-Control"] == "no-store"
    assert "<script" not in without_own_script(page.text)


def test_the_id_of_a_client_is_not_the_id_of_a_person(site, app):
    """RFC 9700 section 4.15: client impersonating resource owner."""
    got = ask(site.base_url, "/oauth/token", app, {"grant_type": "client_credentials"}).json()
    introspected = ask(site.base_url, "/oauth/introspect", app, {"token": got["access_token"]}).json()

    assert introspected["sub"] == app.client_id
    users = site.client().get("/v1/users?per_page=100").json()["data"]
    assert app.client_id not in {user["id"] for user in users}


def test_proxy_headers_from_a_client_are_ignored(site, browser, app):
    """RFC 9700 section 4.13: headers of proxies may be forged."""
    answer = ask(
        site.base_url,
        "/oauth/token",
        app,
        {"grant_type": "client_credentials"},
        **{"X-Forwarded-Host": "evil.example", "X-Forwarded-Proto": "gopher", "Host": "evil.example"},
    )

    assert answer.status_code == 200
    path, headers = "/.well-known/oauth-authorization-server", {"Host": "evil.example"}
    assert site.client(None).get(path, headers=headers).json()["issuer"] == site.base_url


def test_tokens_and_codes_are_stored_as_hashes_only(site, browser, app):
    """RFC 9700 section 2.2 with RFC 6819 section 5.1.4.1: stored values cannot be used as credentials."""
    code = get_code(browser, app)
    tokens = redeem(site.base_url, app, code).json()
    with site.pool.connection() as conn:
        rows = conn.execute(
            "SELECT t::text FROM access.oauth_tokens t UNION ALL SELECT g::text FROM access.oauth_grants g"
            " UNION ALL SELECT c::text FROM access.oauth_clients c"
        ).fetchall()

    stored = "".join(row for (row,) in rows)
    for secret in (code, tokens["access_token"], tokens["refresh_token"], app.secret):
        assert secret not in stored
        assert secret.encode().hex() not in stored


def test_answers_with_tokens_forbid_caching(site, app):
    """RFC 6749 section 5.1, RFC 9700 section 4.3."""
    answer = ask(site.base_url, "/oauth/token", app, {"grant_type": "client_credentials"})

    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.headers["Pragma"] == "no-cache"
    assert "Access-Control-Allow-Origin" not in answer.headers


def test_parameters_in_the_address_of_the_token_endpoint_are_refused(site, app):
    """RFC 6749 section 2.3.1, RFC 9700 section 4.3: credentials do not belong in addresses."""
    query = urlencode({"client_id": app.client_id, "client_secret": app.secret})

    answer = ask(site.base_url, f"/oauth/token?{query}", None, {"grant_type": "client_credentials"})

    assert error_of(answer) == (400, "invalid_request")


def test_an_app_on_a_desktop_is_redirected_to_the_loopback_port_of_its_request(site, browser):
    """RFC 8252 section 7.3."""
    app = make_app(site.store, public=True, redirect_uris=("http://127.0.0.1/cb",))
    pkce, used = make_pkce(), app._replace(redirect_uri="http://127.0.0.1:53124/cb")

    sent = consent(browser, authorization_path(used, **pkce.parameters))

    assert sent.headers["Location"].startswith("http://127.0.0.1:53124/cb?")
    code = answer_of(sent)["code"]
    other_port = redeem(site.base_url, app, code, code_verifier=pkce.verifier)
    assert (other_port.status_code, other_port.json()["error"]) == (400, "invalid_grant")
    assert redeem(site.base_url, used, code, code_verifier=pkce.verifier).status_code == 200
