"""Many at the same time: a code and a refresh token are good once, however they are raced."""

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest

from domain.oauth_grant import OAuthCodeRedeemed, OAuthGrantEnded, OAuthTokenRefreshed
from tests.support.browser import Browser, give_password
from tests.support.oauth import call, get_code, make_app, make_pkce, redeem, refresh, tokens_for

AT_ONCE = 100


@pytest.fixture(scope="module")
def browser(site):
    give_password(site.store, "user101")
    browser = Browser(site.base_url)
    browser.sign_in("user101")
    return browser


def all_at_once(ask):
    barrier = Barrier(AT_ONCE)

    def one(n):
        barrier.wait(60)
        return ask(n)

    with ThreadPoolExecutor(AT_ONCE) as threads:
        return list(threads.map(one, range(AT_ONCE)))


def events_of(site, grant_id):
    return [r.event for r in site.store.events_after(0, 100_000) if r.event.originator_id == grant_id]


def grant_of(site, app):
    with site.pool.connection() as conn:
        (grant_id,) = conn.execute(
            "SELECT id FROM access.oauth_grants WHERE client_id = %s", [app.client_id]
        ).fetchone()
    return grant_id


def test_of_a_hundred_redemptions_of_one_code_exactly_one_succeeds_and_its_tokens_die(site, browser):
    app, pkce = make_app(site.store, public=True), make_pkce()
    code = get_code(browser, app, **pkce.asked)

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


def test_of_a_hundred_uses_of_one_refresh_token_exactly_one_succeeds_and_the_family_dies(site, browser):
    app = make_app(site.store)
    tokens = tokens_for(browser, app)

    answers = all_at_once(lambda n: refresh(site.base_url, app, tokens["refresh_token"]))

    good = [answer.json() for answer in answers if answer.status_code == 200]
    assert len(good) == 1
    assert refresh(site.base_url, app, tokens["refresh_token"]).status_code == 400
    assert call(site.base_url, good[0]["access_token"]).status_code == 401
    assert call(site.base_url, tokens["access_token"]).status_code == 401
    assert refresh(site.base_url, app, good[0]["refresh_token"]).status_code == 400
    kinds = [type(event) for event in events_of(site, grant_of(site, app))]
    assert kinds.count(OAuthTokenRefreshed) == 1
    assert kinds.count(OAuthGrantEnded) == 1
    with site.pool.connection() as conn:
        left = conn.execute(
            "SELECT count(*) FROM access.oauth_tokens WHERE client_id = %s", [app.client_id]
        ).fetchone()
    assert left == (0,)


def test_the_limit_of_a_client_and_person_is_exact_across_workers(site, browser):
    app = make_app(site.store, rate_limit=60)
    token = tokens_for(browser, app)["access_token"]

    answers = all_at_once(lambda n: call(site.base_url, token))

    passed = [answer for answer in answers if answer.status_code == 200]
    assert len(passed) == 60
    assert sorted(int(answer.headers["X-RateLimit-Remaining"]) for answer in passed) == list(range(60))
    assert {answer.status_code for answer in answers} == {200, 429}
