"""Secrets that went through the system are found nowhere in it: not stored, not logged, not measured."""

import base64
from urllib.parse import parse_qs, urlsplit

import pytest
import requests

from commands.oauth_clients import rotate_client_secret
from tests.acceptance.site import Site
from tests.support.browser import Browser, forms_of, give_password
from tests.support.keys import operator
from tests.support.oauth import (
    ask,
    authorization_path,
    call,
    consent,
    get_code,
    make_app,
    make_pkce,
    redeem,
    refresh,
)
from tests.support.postgres import cloned_database

USERS = ("user001", "user050", "user101", "user789")


class Seen:
    """Everything that could hold a secret, in the forms it could be written in."""

    def __init__(self, site, log):
        self.texts = {"log": log.read_bytes(), "metrics": metrics(site)}
        with site.pool.connection() as conn:
            tables = conn.execute(
                "SELECT format('%I.%I', schemaname, tablename) FROM pg_tables"
                " WHERE schemaname NOT IN ('pg_catalog', 'information_schema')"
            ).fetchall()
            for (table,) in tables:
                rows = conn.execute(f"SELECT t::text FROM {table} AS t").fetchall()
                self.texts[table] = "\n".join(row for (row,) in rows).encode()

    def places_of(self, secret):
        raw = secret.encode()
        forms = (raw, raw.hex().encode(), base64.b64encode(raw).rstrip(b"="))
        return {place for place, text in self.texts.items() if any(form in text for form in forms)}


def metrics(site):
    return requests.get(
        f"{site.base_url}/metrics", headers={"Authorization": f"Bearer {site.keys['admin']}"}, timeout=20
    ).content


@pytest.fixture(scope="module")
def traffic(postgres, template, tmp_path_factory):
    """A server at its most talkative, used in every way; the secrets that were used, by kind."""
    log = tmp_path_factory.mktemp("canaries") / "output.log"
    with cloned_database(postgres, template) as dsn, Site.running(dsn, log=log, LOG_LEVEL="DEBUG") as site:
        secrets = [(f"key of {role}", key) for role, key in site.keys.items()]
        for number, user_id in enumerate(USERS):
            secrets += use_everything(site, user_id, f"canary violin quartz bramble {number}")
        yield Seen(site, log), secrets, site


def use_everything(site, user_id, password):
    give_password(site.store, user_id, password)
    browser = Browser(site.base_url)
    wrong = f"wrong {password}"
    assert browser.sign_in(user_id, wrong).status_code == 403
    form_cookie = browser.http.cookies["ticketing-form"]
    assert browser.sign_in(user_id, password).status_code == 303
    session = browser.http.cookies["ticketing"]
    app, pkce = make_app(site.store), make_pkce()
    csrf = forms_of(browser.open(authorization_path(app)).text)[0].fields["csrf_token"]
    code = get_code(browser, app, **pkce.asked)
    tokens = redeem(site.base_url, app, code, code_verifier=pkce.verifier).json()
    again = refresh(site.base_url, app, tokens["refresh_token"]).json()
    assert call(site.base_url, again["access_token"]).status_code == 200
    call(site.base_url, again["access_token"], f"/v1/tickets?q={user_id}", method="PUT")
    own = ask(site.base_url, "/oauth/token", app, {"grant_type": "client_credentials"}).json()["access_token"]
    ask(site.base_url, "/oauth/introspect", app, {"token": own})
    ask(site.base_url, "/oauth/revoke", app, {"token": own})
    redeem(site.base_url, app, code, code_verifier="wrong")
    requests.get(f"{site.base_url}/oauth/token?code={code}", timeout=20)
    requests.get(f"{site.base_url}/{again['access_token']}", timeout=20)
    unredeemed = consent(browser, authorization_path(app)).headers["Location"]
    renewed = rotate_client_secret(site.store, app.client_id, operator()).secret
    return [
        ("password", password),
        ("wrong password", wrong),
        ("session", session),
        ("form cookie", form_cookie),
        ("form token", csrf),
        ("code", code),
        ("unredeemed code", parse_qs(urlsplit(unredeemed).query)["code"][0]),
        ("verifier", pkce.verifier),
        ("access token", tokens["access_token"]),
        ("refresh token", tokens["refresh_token"]),
        ("renewed access token", again["access_token"]),
        ("renewed refresh token", again["refresh_token"]),
        ("token of the client itself", own),
        ("client secret", app.secret),
        ("rotated client secret", renewed),
    ]


def test_no_secret_is_found_anywhere(traffic):
    seen, secrets, _ = traffic
    assert len(secrets) >= 60
    assert len({secret for _, secret in secrets}) == len(secrets)

    found = {kind: places for kind, secret in secrets if (places := seen.places_of(secret))}

    assert found == {}


def test_the_search_would_have_found_them(traffic):
    """The control: what is meant to be there is found, in the log of events and in the process's."""
    seen, _, site = traffic
    with site.pool.connection() as conn:
        (grant_id,) = conn.execute("SELECT id FROM access.oauth_grants LIMIT 1").fetchone()

    assert {"es.stored_events", "access.oauth_grants"} <= seen.places_of(grant_id)
    assert "log" in seen.places_of("/oauth/token")
    assert "metrics" in seen.places_of("/oauth/token")
