"""Limits and purges of the OAuth and sign-in tables, and the answers without the database."""

import base64
from urllib.parse import urlencode

import pytest
from falcon.testing import TestClient

import api.oauth.validator
import commands.oauth_grants
import commands.sign_in
from server.app import create_app
from tests.support.api import services_on
from tests.support.oauth import make_app
from tests.support.pages import FORM, Page

NOWHERE = "host=127.0.0.1 port=1 dbname=none"


@pytest.fixture
def client(database, tmp_path):
    with services_on(database, tmp_path) as services:
        yield TestClient(create_app(services))


@pytest.fixture
def client_without_database(tmp_path):
    with services_on(NOWHERE, tmp_path) as services:
        yield TestClient(create_app(services))


def request_token(client, app):
    basic = base64.b64encode(f"{app.client_id}:{app.secret}".encode()).decode()
    headers = {"Content-Type": FORM, "Authorization": f"Basic {basic}"}
    body = urlencode({"grant_type": "client_credentials"})
    return client.simulate_post("/oauth/token", body=body, headers=headers)


def count(pool, table):
    with pool.connection() as conn:
        return conn.execute(f"SELECT count(*) FROM access.{table}").fetchone()[0]


def test_the_tokens_of_a_client_are_limited_by_the_hour(client, store, monkeypatch):
    monkeypatch.setattr(api.oauth.validator, "TOKENS_AN_HOUR", 3)
    app, other = make_app(store), make_app(store)

    answers = [request_token(client, app) for _ in range(4)]

    assert [answer.status_code for answer in answers] == [200, 200, 200, 429]
    assert answers[-1].json["error"] == "temporarily_unavailable"
    assert 3_000 < int(answers[-1].headers["retry-after"]) <= 3_600
    assert request_token(client, other).status_code == 200


def test_expired_tokens_and_grants_are_deleted(client, store, pool, monkeypatch):
    monkeypatch.setattr(commands.oauth_grants, "_PURGE_ONE_IN", 1)
    app = make_app(store)
    request_token(client, app)
    with pool.connection() as conn:
        conn.execute("UPDATE access.oauth_tokens SET expires_at = now() - interval '1 second'")
        for days, grant_id in ((-1, "grant_old"), (1, "grant_new")):
            conn.execute(
                "INSERT INTO access.oauth_grants (id, client_id, user_id, scopes, given_at, expires_at,"
                " code_sha256, code_expires_at, redirect_uri, redirect_uri_was_given)"
                " VALUES (%s, 'c', 'u', '{}', now(), now() + %s * interval '1 day', %s, now(), 'x', true)",
                [grant_id, days, grant_id.encode()],
            )

    request_token(client, app)

    assert count(pool, "oauth_tokens") == 1
    with pool.connection() as conn:
        assert conn.execute("SELECT id FROM access.oauth_grants").fetchall() == [("grant_new",)]


def test_expired_sessions_and_sign_in_failures_are_deleted(client, pool, monkeypatch):
    monkeypatch.setattr(commands.sign_in, "_PURGE_ONE_IN", 1)
    with pool.connection() as conn:
        for minutes, session_id in ((31, "old"), (29, "new")):
            conn.execute(
                "INSERT INTO access.sessions (secret_sha256, id, user_id, started_at, last_seen_at)"
                " VALUES (%s, %s, 'u', now(), now() - %s * interval '1 minute')",
                [session_id.encode(), session_id, minutes],
            )
        conn.execute("INSERT INTO access.sign_in_delays VALUES ('\\x00', 9, now(), now())")
        conn.execute("INSERT INTO access.sign_in_failures VALUES ('x', now() - interval '2 days', 1, 0, 1)")

    Page(client).sign_in("nobody", "wrong")

    with pool.connection() as conn:
        assert conn.execute("SELECT id FROM access.sessions").fetchall() == [("new",)]
        buckets = conn.execute("SELECT bucket_sha256 FROM access.sign_in_delays").fetchall()
        assert (b"\0",) not in buckets
        assert len(buckets) == 2
        assert ("x",) not in conn.execute("SELECT source FROM access.sign_in_failures").fetchall()


@pytest.mark.parametrize("path", ["/oauth/token", "/oauth/revoke", "/oauth/introspect"])
def test_without_the_database_oauth_endpoints_are_503_with_retry_after(client_without_database, path):
    body = urlencode({"grant_type": "client_credentials", "token": "x", "client_id": "c"})

    answer = client_without_database.simulate_post(path, body=body, headers={"Content-Type": FORM})

    assert (answer.status_code, answer.json["error"]) == (503, "temporarily_unavailable")
    assert answer.headers["retry-after"] == "1"


def test_without_the_database_pages_are_503_with_retry_after(client_without_database):
    page = Page(client_without_database)
    form = page.open("/admin/sign-in")
    authorization = page.open("/oauth/authorize?client_id=c&response_type=code")
    signed_in = page.sign_in("ada")

    assert form.status_code == 200
    for answer in (authorization, signed_in):
        assert answer.status_code == 503
        assert answer.headers["content-type"].startswith("text/html")
        assert answer.headers["retry-after"] == "1"
