"""Invalid and simultaneous requests to the OAuth endpoints: errors have the form of RFC 6749, none is a 500,
and each code and refresh token is used once."""

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest

from domain.oauth_grant import OAuthCodeRedeemed, OAuthGrantEnded, OAuthTokenRefreshed
from tests.support.browser import Browser, without_own_script
from tests.support.log import events_after
from tests.support.oauth import (
    ask,
    authorization_path,
    call,
    get_code,
    make_app,
    make_pkce,
    redeem,
    refresh,
    tokens_for,
)

AT_ONCE = 100
FORM = "application/x-www-form-urlencoded"
ENDPOINTS = ("/oauth/token", "/oauth/revoke", "/oauth/introspect")


def post(site, path, body, content_type=FORM, **headers):
    headers = {"Content-Type": content_type, **headers} if content_type else headers
    return site.client(None).post(path, data=body, headers=headers)


@pytest.mark.parametrize("path", ENDPOINTS)
@pytest.mark.parametrize(
    ("body", "content_type", "status"),
    [
        ("{}", "application/json", 415),
        ("", "", 415),
        ("", FORM, 400),
        ("grant_type=&token=", FORM, 400),
        ("grant_type=client_credentials&grant_type=client_credentials&token=a&token=b", FORM, 400),
        ("grant_type=%00&token=%00", FORM, 400),
        ("grant_type=%ff&token=%ff", FORM, 400),
        (b"grant_type=\xff&token=\xff", FORM, 400),
        ("x=" + "y" * 70_000, FORM, 413),
        ("&".join(f"a{n}=1" for n in range(600)), FORM, 400),
        ("grant_type=client_credentials&token=x&client=admin&user=user001&scopes=a", FORM, 401),
        ("grant_type=client_credentials&token=x&client_id=%F0%9F%92%A9&client_secret=x", FORM, 401),
        ("grant_type=client_credentials&token=x&client_id=" + "x" * 5_000, FORM, 401),
    ],
)
def test_invalid_requests_get_an_oauth_error(site, path, body, content_type, status):
    answer = post(site, path, body, content_type)

    assert answer.status_code == status, answer.text
    assert answer.headers["Content-Type"] == "application/json"
    error = answer.json()
    assert error["error"] in ("invalid_request", "invalid_client")
    assert error.keys() == {"error", "error_description"}
    assert answer.headers["Cache-Control"] == "no-store"


@pytest.mark.parametrize(
    "authorization",
    [
        "Basic",
        "Basic !!!!",
        "Basic " + "x" * 3_000,
        "Basic bm9jb2xvbg==",
        "Basic /w==",
        "Bearer mto_" + "0" * 49,
        "Digest x",
    ],
)
@pytest.mark.parametrize("path", ENDPOINTS)
def test_an_invalid_authorization_header_is_invalid_client(site, path, authorization):
    answer = post(site, path, "grant_type=client_credentials&token=x", Authorization=authorization)

    assert (answer.status_code, answer.json()["error"]) == (401, "invalid_client")


def test_two_methods_of_client_authentication_at_once_are_refused(site, app):
    body = f"grant_type=client_credentials&client_secret={app.secret}"

    answer = site.client(None).post("/oauth/token", data=body, auth=app.basic, headers={"Content-Type": FORM})

    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_request")


def test_two_different_client_ids_are_refused(site, app):
    answer = site.client(None).post(
        "/oauth/token",
        data="grant_type=client_credentials&client_id=client_other",
        auth=app.basic,
        headers={"Content-Type": FORM},
    )

    assert (answer.status_code, answer.json()["error"]) == (401, "invalid_client")


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"code": "x"},
        {"code": "mtc_" + "0" * 49},
        {"code": "x" * 10_000},
        {"code": "é"},
        {"code": "mto_" + "0" * 49, "redirect_uri": "https://evil.example"},
    ],
)
def test_invalid_codes_are_refused(site, app, fields):
    answer = site.client(None).post(
        "/oauth/token", data={"grant_type": "authorization_code", **fields}, auth=app.basic
    )

    assert answer.status_code == 400
    assert answer.json()["error"] == ("invalid_grant" if fields else "invalid_request")


@pytest.mark.parametrize("token", [None, "x", "mtr_" + "0" * 49, "mto_" + "0" * 49, "x" * 10_000])
def test_invalid_refresh_tokens_are_refused(site, app, token):
    fields = {"grant_type": "refresh_token"} | ({"refresh_token": token} if token else {})

    answer = site.client(None).post("/oauth/token", data=fields, auth=app.basic)

    assert answer.status_code == 400
    assert answer.json()["error"] == ("invalid_grant" if token else "invalid_request")


@pytest.mark.parametrize(
    "scope", ["root", "tickets:read root", "tickets:read,tickets:write", "é", '"', "x" * 9_000]
)
def test_unknown_scopes_are_refused(site, app, scope):
    answer = site.client(None).post(
        "/oauth/token", data={"grant_type": "client_credentials", "scope": scope}, auth=app.basic
    )

    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_scope")


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "PATCH"])
@pytest.mark.parametrize("path", ENDPOINTS)
def test_other_methods_are_refused(site, method, path):
    answer = site.client(None).request(method, path)

    assert answer.status_code == 405
    assert "POST" in answer.headers["Allow"]
    assert answer.json()["error"] == "invalid_request"


@pytest.mark.parametrize(
    "query",
    [
        "",
        "client_id=",
        "client_id=nobody",
        "client_id=%00",
        "client_id=%ff",
        "client_id=" + "x" * 3_000,
        "x" * 5_000,
        "&".join(f"a{n}=1" for n in range(100)),
        "client=x&user=user001&scopes=a",
        "client_id={id}&client_id={id}",
        "client_id={id}&redirect_uri=https://evil.example/%0d%0aSet-Cookie:a=b",
        "client_id={id}&state=a&state=b",
        "client_id={id}&scope=a&scope=b&response_type=code",
    ],
)
def test_invalid_authorization_requests_are_answered_with_a_page_and_no_redirect(site, browser, app, query):
    for who in (browser, Browser(site.base_url)):
        answer = who.open("/oauth/authorize?" + query.replace("{id}", app.client_id))

        assert answer.status_code == 400, answer.text
        assert answer.headers["Content-Type"].startswith("text/html")
        assert "Location" not in answer.headers


@pytest.mark.parametrize("text", ["<script>alert(1)</script>", '"><img src=x>', "{{ 7 * 7 }}"])
def test_values_from_an_application_are_escaped(site, browser, text):
    named = make_app(site.store, name=text)

    page = browser.open(authorization_path(named, state=text)).text
    unknown = browser.open(authorization_path(named, client_id=text)).text

    assert text not in page + unknown or text == "{{ 7 * 7 }}"
    assert "<script" not in without_own_script(page + unknown)
    assert "<img" not in page + unknown
    assert ">49<" not in page + unknown


def test_unknown_methods_and_paths_are_refused(site):
    assert site.client(None).put("/oauth/authorize").status_code == 405
    assert site.client(None).get("/oauth/nothing").json()["error"] == "invalid_request"
    assert site.client(None).get("/.well-known/nothing").status_code == 404
    assert site.client(None).get("/v1/.well-known/x").status_code == 404


def all_at_once(ask):
    barrier = Barrier(AT_ONCE)

    def one(n):
        barrier.wait(60)
        return ask(n)

    with ThreadPoolExecutor(AT_ONCE) as threads:
        return list(threads.map(one, range(AT_ONCE)))


def events_of(site, grant_id):
    return [r.event for r in events_after(site.store, 0, 100_000) if r.event.originator_id == grant_id]


def grant_of(site, app):
    with site.pool.connection() as conn:
        (grant_id,) = conn.execute(
            "SELECT id FROM access.oauth_grants WHERE client_id = %s", [app.client_id]
        ).fetchone()
    return grant_id


def test_one_of_a_hundred_redemptions_of_a_code_succeeds_and_its_tokens_are_revoked(site, browser):
    app, pkce = make_app(site.store, public=True), make_pkce()
    code = get_code(browser, app, **pkce.parameters)

    answers = all_at_once(lambda n: redeem(site.base_url, app, code, code_verifier=pkce.verifier))

    good = [answer for answer in answers if answer.status_code == 200]
    assert len(good) == 1
    refused = {(a.status_code, a.json()["error"]) for a in answers if a.status_code != 200}
    assert refused == {(400, "invalid_grant")}
    tokens = good[0].json()
    assert redeem(site.base_url, app, code, code_verifier=pkce.verifier).status_code == 400
    assert call(site.base_url, tokens["access_token"]).status_code == 401
    assert refresh(site.base_url, app, tokens["refresh_token"]).status_code == 400
    kinds = [type(event) for event in events_of(site, grant_of(site, app))]
    assert kinds.count(OAuthCodeRedeemed) == 1
    assert kinds.count(OAuthGrantEnded) == 1


def test_a_hundred_simultaneous_uses_of_a_refresh_token_get_the_same_tokens(site, browser):
    app = make_app(site.store)
    tokens = tokens_for(browser, app)

    answers = all_at_once(lambda n: refresh(site.base_url, app, tokens["refresh_token"]))

    assert {answer.status_code for answer in answers} == {200}
    pairs = {(answer.json()["access_token"], answer.json()["refresh_token"]) for answer in answers}
    ((access_token, refresh_token),) = pairs
    assert call(site.base_url, access_token).status_code == 200
    kinds = [type(event) for event in events_of(site, grant_of(site, app))]
    assert kinds.count(OAuthTokenRefreshed) == 1
    assert kinds.count(OAuthGrantEnded) == 0
    assert refresh(site.base_url, app, refresh_token).json()["refresh_token"] not in (
        refresh_token,
        tokens["refresh_token"],
    )


def test_a_repeated_refresh_with_other_scopes_or_after_a_revocation_gets_no_tokens(site, browser):
    app = make_app(site.store)
    first = tokens_for(browser, app)["refresh_token"]
    second = refresh(site.base_url, app, first).json()

    narrowed = refresh(site.base_url, app, first, scope="tickets:read")
    again = refresh(site.base_url, app, first)
    ask(site.base_url, "/oauth/revoke", app, {"token": second["access_token"]})
    revoked = refresh(site.base_url, app, first)
    third = refresh(site.base_url, app, second["refresh_token"])

    assert (again.status_code, again.json()["access_token"]) == (200, second["access_token"])
    for answer in (narrowed, revoked):
        assert (answer.status_code, answer.json()["error"]) == (400, "invalid_grant")
    assert third.status_code == 200, "the consent is still valid"


def test_the_rate_limit_of_a_client_and_person_is_exact_across_workers(site, browser):
    app = make_app(site.store, rate_limit=60)
    token = tokens_for(browser, app)["access_token"]

    answers = all_at_once(lambda n: call(site.base_url, token))

    passed = [answer for answer in answers if answer.status_code == 200]
    assert len(passed) == 60
    assert sorted(int(answer.headers["X-RateLimit-Remaining"]) for answer in passed) == list(range(60))
    assert {answer.status_code for answer in answers} == {200, 429}
