"""Errors of addresses that a browser opens: a page with the status and headers that API clients get."""

from __future__ import annotations

import json
import re
from typing import ClassVar

import pytest
import requests
from falcon.testing import TestClient

from api.http.resource import Operation, Resource
from infrastructure.storage.postgres import connect
from server.app import create_app
from tests.support.api import services_on
from tests.support.chromium import (
    DESKTOP,
    PHONE,
    find_accessibility_problems,
    new_page,
    save_screenshot_if_enabled,
)

BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,*/*;q=0.8"
HTML = "text/html; charset=utf-8"
CASES = [
    ("/nothing-here", 404, "Not found"),
    ("/v1/nothing-here", 404, "Not found"),
    ("/v1/tickets/", 404, "Not found"),
    ("/v1/tickets", 401, "An API key is needed"),
    ("/v1/tickets/bulk", 405, "Not possible at this address"),
]
PAGE_HEADERS = {"content-security-policy", "x-frame-options", "referrer-policy"}
VARYING = {"date", "x-request-id", "content-type", "content-length"}


def get(base_url, path, accept, **headers):
    sent = {"Accept": accept, **headers}
    return requests.get(base_url + path, headers=sent, timeout=20, allow_redirects=False)


@pytest.mark.parametrize(("path", "status", "title"), CASES)
def test_a_browser_gets_a_page_with_the_same_status_and_headers(site, path, status, title):
    page, plain = get(site.base_url, path, BROWSER), get(site.base_url, path, "application/json")

    assert page.status_code == plain.status_code == status
    assert page.headers["Content-Type"] == HTML
    assert f"<h1>{title}</h1>" in page.text
    assert 'href="/docs"' in page.text
    assert plain.json()["error"]["message"] in page.text
    names = {name.lower() for name in plain.headers} - VARYING
    assert {name.lower() for name in page.headers} - VARYING - PAGE_HEADERS == names
    assert {name: page.headers[name] for name in names} == {name: plain.headers[name] for name in names}


@pytest.mark.parametrize("accept", ["*/*", "application/json", "application/json, text/html", "text/csv"])
@pytest.mark.parametrize(("path", "status", "title"), CASES)
def test_api_clients_get_the_envelope(site, path, status, title, accept):
    answer = get(site.base_url, path, accept, **{"X-Request-Id": "one"})

    error = answer.json()["error"]
    envelope = {"status": "error", "error": {**error, "details": {}, "request_id": "one"}}
    assert (answer.status_code, answer.headers["Content-Type"]) == (status, "application/json")
    assert answer.content == json.dumps(envelope, separators=(",", ":")).encode()
    assert not {name.lower() for name in answer.headers} & PAGE_HEADERS


def test_a_write_gets_the_envelope_whatever_it_accepts(site):
    answer = site.client(None).post("/v1/tickets", json={}, headers={"Accept": BROWSER})

    assert (answer.status_code, answer.json()["error"]["code"]) == (401, "unauthenticated")


def test_a_page_without_a_body_answers_head(site):
    answer = requests.head(site.base_url + "/v1/tickets", headers={"Accept": BROWSER}, timeout=20)

    assert (answer.status_code, answer.headers["Content-Type"], answer.text) == (401, HTML, "")


def test_refused_parameters_are_named_on_the_page_and_escaped(site):
    answer = site.client().get("/v1/tickets?per_page=x&<script>=1", headers={"Accept": BROWSER})

    assert answer.status_code == 422
    assert "per_page parameter" in answer.text
    assert "&lt;script&gt;" in answer.text
    assert "<script>" not in answer.text


def test_a_database_that_does_not_answer_is_a_page_too(site):
    with connect(site.dsn, application="tests") as conn, conn.transaction():
        conn.execute("LOCK TABLE read.tickets IN ACCESS EXCLUSIVE MODE")
        page = site.client().get("/v1/tickets", headers={"Accept": BROWSER})

    assert (page.status_code, page.headers["Retry-After"]) == (503, "1")
    assert "<h1>Temporarily unavailable</h1>" in page.text


class Failing(Resource):
    operations: ClassVar[dict[str, Operation]] = {
        "GET": Operation(summary="Fail", public=True, answer=list[str], answer_example=[])
    }

    def on_get(self, req, resp):
        raise RuntimeError("the secret reason")


def test_an_error_of_the_server_is_a_page_without_its_reason(database, tmp_path):
    with services_on(database, tmp_path) as services:
        client = TestClient(create_app(services, (("/v1/failing", Failing),)))
        page = client.simulate_get("/v1/failing", headers={"Accept": BROWSER})
        plain = client.simulate_get("/v1/failing")

    assert (page.status_code, plain.status_code) == (500, 500)
    assert "<h1>Something went wrong</h1>" in page.text
    assert page.headers["X-Request-Id"] in page.text
    assert "secret reason" not in page.text
    assert plain.json["error"]["code"] == "internal_error"


def test_the_page_of_an_error_is_accessible_and_leads_to_the_documentation(site, chromium):
    for size, scheme in ((PHONE, "dark"), (DESKTOP, "light")):
        page = new_page(chromium, site.base_url, viewport=size, color_scheme=scheme)
        page.goto("/v1/tickets")
        assert find_accessibility_problems(page) == []
        assert not page.evaluate("document.documentElement.scrollWidth > window.innerWidth")
        save_screenshot_if_enabled(page, f"error-{scheme}-{size['width']}")
        page.get_by_role("link", name="API documentation").click()
        assert re.search(r"/docs$", page.url)
