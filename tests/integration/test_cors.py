"""CORS: answers to pages of other origins."""

import pytest
from falcon.testing import TestClient

from api.http import cors
from api.http.cors import EXPOSED_HEADERS
from commands.oauth_clients import revoke_client
from infrastructure.storage.event_store import EventStore
from infrastructure.storage.postgres import make_pool
from server.app import create_app
from tests.support.api import ROUTES, services_on
from tests.support.keys import bearer, make_key, operator
from tests.support.oauth import make_app
from tests.support.postgres import cloned_database
from tests.support.proxy import Proxy
from tests.support.vault import VAULT

PAGE = "https://board.example.com"
OF_APP = "https://app.example.com"
ALLOW = "access-control-allow-origin"


@pytest.fixture(scope="module")
def dsn(postgres, template):
    with cloned_database(postgres, template) as dsn:
        yield dsn


@pytest.fixture(scope="module")
def store(dsn):
    with make_pool(dsn, application="tests", max_size=2) as pool:
        yield EventStore(pool, VAULT)


@pytest.fixture(scope="module")
def client(dsn, tmp_path_factory):
    with services_on(dsn, tmp_path_factory.mktemp("home"), cors_origins=(PAGE,)) as services:
        yield TestClient(create_app(services, ROUTES))


@pytest.fixture(autouse=True)
def look_up_always(monkeypatch):
    """Origins of applications are read again for each request."""
    monkeypatch.setattr(cors, "KNOWN_SECONDS", -1.0)
    monkeypatch.setattr(cors, "UNKNOWN_SECONDS", -1.0)


def preflight(client, path, origin=PAGE, method="PATCH", headers="authorization, if-match"):
    return client.simulate_options(
        path,
        headers={
            "Origin": origin,
            "Access-Control-Request-Method": method,
            "Access-Control-Request-Headers": headers,
        },
    )


@pytest.mark.parametrize("path", ["/v1/things", "/v1/nothing", "/oauth/token", "/oauth/revoke"])
def test_a_preflight_request_is_answered_without_a_key(client, path):
    answer = preflight(client, path)

    assert (answer.status_code, answer.text) == (204, "")
    assert answer.headers[ALLOW] == PAGE
    assert {"GET", "POST", "PATCH", "DELETE"} <= set(
        answer.headers["access-control-allow-methods"].split(", ")
    )
    assert answer.headers["access-control-allow-headers"] == "authorization, if-match"
    assert int(answer.headers["access-control-max-age"]) > 0
    assert "access-control-allow-credentials" not in answer.headers


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/v1/things", 200),
        ("POST", "/v1/things", 422),
        ("DELETE", "/v1/things", 500),
        ("PUT", "/v1/things", 405),
        ("GET", "/v1/nothing", 404),
        ("GET", "/v1/things/", 404),
        ("GET", "/v1/openapi.json", 200),
        ("GET", "/.well-known/oauth-authorization-server", 200),
        ("GET", "/.well-known/oauth-protected-resource", 200),
        ("POST", "/oauth/token", 415),
        ("GET", "/oauth/revoke", 405),
    ],
)
def test_every_answer_can_be_read_by_an_allowed_page_and_by_no_other(client, store, method, path, status):
    headers, body = bearer(make_key(store).key), {} if method == "POST" else None

    allowed = client.simulate_request(method, path, json=body, headers=headers | {"Origin": PAGE})
    other = client.simulate_request(
        method, path, json=body, headers=headers | {"Origin": "https://x.example"}
    )
    without = client.simulate_request(method, path, json=body, headers=headers)

    assert [answer.status_code for answer in (allowed, other, without)] == [status] * 3
    assert allowed.headers[ALLOW] == PAGE
    assert allowed.headers["access-control-expose-headers"] == ", ".join(EXPOSED_HEADERS)
    assert "access-control-allow-credentials" not in allowed.headers
    for answer in (allowed, other, without):
        assert "Origin" in answer.headers["vary"]
    assert ALLOW not in other.headers
    assert ALLOW not in without.headers


def test_refusals_before_the_operation_can_be_read(client, store):
    key = make_key(store, rate_limit=1, scopes=("users:read",)).key
    sent = [{"Origin": PAGE}, {"Origin": PAGE, **bearer(key)}, {"Origin": PAGE, **bearer(key)}]

    answers = [client.simulate_get("/v1/things", headers=headers) for headers in sent]

    assert [answer.status_code for answer in answers] == [401, 403, 429]
    assert {answer.headers[ALLOW] for answer in answers} == {PAGE}


@pytest.mark.parametrize(
    "path", ["/admin", "/admin/sign-in", "/oauth/authorize", "/oauth/introspect", "/docs"]
)
def test_pages_and_the_introspection_endpoint_are_never_shared(client, path):
    for answer in (preflight(client, path), client.simulate_get(path, headers={"Origin": PAGE})):
        assert not [name for name in answer.headers if name.startswith("access-control-")]


def test_the_origin_of_an_application_is_allowed_until_the_application_is_revoked(client, store):
    before = preflight(client, "/v1/things", OF_APP)
    app = make_app(store, public=True, origins=(f"{OF_APP}:443/",))

    during = preflight(client, "/v1/things", OF_APP)
    revoke_client(store, app.client_id, operator())
    after = preflight(client, "/v1/things", OF_APP)

    assert [answer.headers.get(ALLOW) for answer in (before, during, after)] == [None, OF_APP, None]


def test_an_error_of_the_database_can_be_read(dsn, store, tmp_path):
    make_app(store, public=True, origins=(OF_APP,))
    key = make_key(store).key
    with Proxy(dsn) as proxy, services_on(proxy.dsn, tmp_path) as services:
        client = TestClient(create_app(services, ROUTES))
        headers = {"Origin": OF_APP, **bearer(key)}
        assert client.simulate_get("/v1/things", headers=headers).headers[ALLOW] == OF_APP
        proxy.set_mode("reset")

        answer = client.simulate_get("/v1/things", headers=headers)

    assert (answer.status_code, answer.headers[ALLOW]) == (503, OF_APP)
