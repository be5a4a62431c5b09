"""Web pages of other origins use the API in Chromium."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from tests.acceptance.site import LEAK, Site
from tests.support.chromium import new_page
from tests.support.oauth import make_app, tokens_for
from tests.support.postgres import cloned_database

CALL = """async ([address, options]) => {
    try {
        const answer = await fetch(address, options)
        return {status: answer.status, headers: Object.fromEntries(answer.headers), body: await answer.text()}
    } catch (error) {
        return {status: 0, error: error.name}
    }
}"""


class _EmptyPage(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.end_headers()
        self.wfile.write(b"<!doctype html><title>A page</title>")

    def log_message(self, *_):
        """Write no log."""


@pytest.fixture(scope="module")
def origins():
    """The origins of three web servers: of an allowed page, of an application's page, and of another page."""
    servers = [ThreadingHTTPServer(("127.0.0.1", 0), _EmptyPage) for _ in range(3)]
    for server in servers:
        threading.Thread(target=server.serve_forever, daemon=True).start()
    yield [f"http://127.0.0.1:{server.server_port}" for server in servers]
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.fixture(scope="module")
def site(postgres, template, origins):
    with (
        cloned_database(postgres, template) as dsn,
        Site.running(dsn, workers=1, CORS_ORIGINS=origins[0]) as site,
    ):
        yield site


@pytest.fixture(scope="module")
def public_app(site, origins):
    return make_app(site.store, public=True, origins=(origins[1],))


@pytest.fixture(scope="module")
def call(chromium, site):
    """A function that sends a request from a page of an origin."""
    pages = {}

    def send(origin, path, **options):
        if origin not in pages:
            pages[origin] = new_page(chromium, origin)
            pages[origin].goto(origin)
        return pages[origin].evaluate(CALL, [site.base_url + path, options])

    yield send
    for page in pages.values():
        page.context.close()


def test_an_allowed_page_reads_and_writes_tickets_and_reads_the_headers(site, origins, call):
    bearer = {"Authorization": f"Bearer {site.keys['admin']}"}
    sent = {**bearer, "Content-Type": "application/json", "Idempotency-Key": "from-a-page"}
    body = json.dumps(LEAK)

    opened = call(origins[0], "/v1/tickets", method="POST", headers=sent, body=body)
    path = opened["headers"]["location"].removeprefix(site.base_url)
    again = call(origins[0], "/v1/tickets", method="POST", headers=sent, body=body)
    listed = call(origins[0], "/v1/tickets", headers=bearer)
    changed = call(
        origins[0],
        path,
        method="PATCH",
        headers={**sent, "Idempotency-Key": "2", "If-Match": opened["headers"]["etag"]},
        body='{"status": "closed"}',
    )
    refused = call(origins[0], "/v1/tickets", headers={"Authorization": "Bearer mts_wrong"})

    answers = (opened, again, listed, changed, refused)
    assert [answer["status"] for answer in answers] == [201, 201, 200, 200, 401]
    assert again["headers"]["idempotent-replayed"] == "true"
    assert (opened["headers"]["etag"], changed["headers"]["etag"]) == ('"1"', '"2"')
    assert {"x-ratelimit-limit", "x-ratelimit-remaining", "x-ratelimit-reset", "x-request-id"} <= listed[
        "headers"
    ].keys()
    assert 'error="invalid_token"' in refused["headers"]["www-authenticate"]


def test_a_page_of_an_application_gets_tokens_and_uses_them(site, origins, call, public_app, browser):
    tokens = tokens_for(browser, public_app)
    client = f"client_id={public_app.client_id}"
    form = f"grant_type=refresh_token&{client}&refresh_token={tokens['refresh_token']}"
    headers = {"Content-Type": "application/x-www-form-urlencoded"}

    metadata = call(origins[1], "/.well-known/oauth-authorization-server")
    refreshed = call(origins[1], "/oauth/token", method="POST", headers=headers, body=form)
    token = json.loads(refreshed["body"])["access_token"]
    listed = call(origins[1], "/v1/tickets", headers={"Authorization": f"Bearer {token}"})
    revoked = call(
        origins[1],
        "/oauth/revoke",
        method="POST",
        headers=headers,
        body=f"{client}&token={token}",
    )

    assert [answer["status"] for answer in (metadata, refreshed, listed, revoked)] == [200] * 4


def test_a_page_of_another_origin_can_read_and_write_nothing(site, origins, call, public_app):
    bearer = {"Authorization": f"Bearer {site.keys['admin']}"}
    calls = [
        ("/v1/tickets", {"headers": bearer}),
        ("/v1/tickets", {"method": "POST", "headers": bearer, "body": "{}"}),
        ("/v1/openapi.json", {}),
        ("/.well-known/oauth-authorization-server", {}),
        ("/admin/sign-in", {}),
    ]

    answers = [call(origins[2], path, **options) for path, options in calls]
    of_the_panel = call(origins[0], "/admin/sign-in", credentials="include")
    with_cookies = call(origins[0], "/v1/tickets", headers=bearer, credentials="include")

    assert answers == [{"status": 0, "error": "TypeError"}] * len(calls)
    assert (of_the_panel["status"], with_cookies["status"]) == (0, 0)
