"""API keys: the caller that a key stands for, and the answers to requests without a valid key."""

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from threading import Barrier

import pytest
from falcon.testing import TestClient

from commands.api_keys import make_secret, revoke_key
from domain.api_key import ApiKey
from server.app import create_app
from tests.support.api import ROUTES, services_on
from tests.support.arrange import change_user, register_property, register_user
from tests.support.keys import bearer, make_key, operator

RESOURCE_METADATA = 'resource_metadata="http://127.0.0.1:8000/.well-known/oauth-protected-resource"'


@pytest.fixture
def services(database, tmp_path):
    with services_on(database, tmp_path) as opened:
        yield opened


@pytest.fixture
def client(services):
    return TestClient(create_app(services, ROUTES))


@pytest.fixture
def people(store, catch_up):
    """Two properties, a manager of the first and an admin."""
    for property_id in ("p1", "p2"):
        register_property(store, property_id, operator(), name=property_id)
    for user_id, role, property_ids in (("max", "manager", ("p1",)), ("ada", "admin", ())):
        register_user(
            store,
            user_id,
            operator(),
            name=user_id,
            email=f"{user_id}@example.com",
            role=role,
            property_ids=property_ids,
        )
    catch_up()


def caller_of(client, key):
    answer = client.simulate_get("/v1/things", headers=bearer(key))
    assert answer.status_code == 200, answer.text
    return answer.json["data"]["caller"]


def code_of(answer):
    return answer.status_code, answer.json["error"]["code"]


@pytest.mark.parametrize(
    "authorization",
    [
        None,
        "",
        "Bearer",
        "Bearer ",
        "Basic dXNlcjpwYXNz",
        "mts_x",
        "Bearer mts_x",
        "Bearer mts_" + "0" * 49,
        "Bearer sk_" + "0" * 49,
        "Bearer a b",
        "Bearer \u00e9",
        "Bearer " + "x" * 5_000,
    ],
)
def test_a_request_without_a_valid_credential_is_401(client, authorization):
    headers = {} if authorization is None else {"Authorization": authorization}

    answer = client.simulate_get("/v1/things", headers=headers)

    assert code_of(answer) == (401, "unauthenticated")
    error = 'error="invalid_token", ' if (authorization or "").startswith("Bearer") else ""
    assert answer.headers["www-authenticate"] == f'Bearer {error}scope="tickets:read", {RESOURCE_METADATA}'
    assert "x-ratelimit-limit" not in answer.headers


def test_the_challenge_names_a_document_that_describes_the_api(client):
    challenge = client.simulate_get("/v1/things").headers["www-authenticate"]
    address = challenge.partition('resource_metadata="')[2].rstrip('"')

    document = client.simulate_get(address.removeprefix("http://127.0.0.1:8000")).json

    assert address.startswith(document["resource"])
    assert document["authorization_servers"] == ["http://127.0.0.1:8000"]
    assert "tickets:read" in document["scopes_supported"]
    assert document["bearer_methods_supported"] == ["header"]


def test_a_well_formed_key_that_was_never_issued_is_401(client):
    assert client.simulate_get("/v1/things", headers=bearer(make_secret())).status_code == 401


def test_the_scheme_is_not_case_sensitive(client, store):
    key = make_key(store).key

    for scheme in ("Bearer", "bearer", "BEARER"):
        answer = client.simulate_get("/v1/things", headers={"Authorization": f"{scheme} {key}"})
        assert answer.status_code == 200


def test_a_revoked_key_is_refused_at_once(client, store):
    issued = make_key(store)
    assert client.simulate_get("/v1/things", headers=bearer(issued.key)).status_code == 200

    revoke_key(store, issued.api_key.id, operator())

    assert client.simulate_get("/v1/things", headers=bearer(issued.key)).status_code == 401


def test_an_expired_key_is_refused(client, store, pool):
    issued = make_key(store, expires_at=datetime.now(UTC) + timedelta(hours=1))
    assert client.simulate_get("/v1/things", headers=bearer(issued.key)).status_code == 200

    with pool.connection() as conn:
        conn.execute("UPDATE access.api_keys SET expires_at = now() - interval '1 second'")

    assert client.simulate_get("/v1/things", headers=bearer(issued.key)).status_code == 401


def test_a_key_with_a_user_acts_as_that_user(client, store, people):
    caller = caller_of(client, make_key(store, role="manager", user_id="max").key)

    assert (caller["principal_id"], caller["user_id"], caller["name"]) == ("max", "max", "max")
    assert (caller["role"], caller["property_ids"]) == ("manager", ["p1"])


@pytest.mark.parametrize(
    ("user_id", "role", "property_ids", "reach"),
    [
        ("max", "staff", (), ["p1"]),
        ("max", "manager", ("p1", "p2"), ["p1"]),
        ("max", "manager", ("p2",), []),
        ("ada", "admin", (), None),
        ("ada", "staff", (), None),
        ("ada", "admin", ("p2",), ["p2"]),
        (None, "staff", (), None),
        (None, "staff", ("p2",), ["p2"]),
    ],
)
def test_a_key_reaches_no_further_than_its_user_and_its_properties(
    client, store, people, user_id, role, property_ids, reach
):
    caller = caller_of(client, make_key(store, role=role, user_id=user_id, property_ids=property_ids).key)

    assert (caller["role"], caller["property_ids"]) == (role, reach)


def test_a_key_loses_the_rights_that_its_user_loses(client, store, people, catch_up):
    key = make_key(store, role="manager", user_id="max").key

    change_user(store, "max", operator(), role="guest")
    catch_up()

    assert caller_of(client, key)["role"] == "guest"


def test_a_service_key_is_a_principal_under_its_own_name(client, store):
    issued = make_key(store, name="Lobby kiosk")

    caller = caller_of(client, issued.key)

    assert (caller["principal_id"], caller["name"]) == (issued.api_key.id, "Lobby kiosk")
    assert caller["user_id"] is None


def test_a_key_whose_user_is_not_projected_yet_is_503_with_retry_after(client, store):
    register_user(store, "new", operator(), name="N", email="n@example.com", role="staff")
    key = make_key(store, role="staff", user_id="new").key

    answer = client.simulate_get("/v1/things", headers=bearer(key))

    assert code_of(answer) == (503, "unavailable")
    assert answer.headers["retry-after"] == "1"


def test_a_missing_scope_is_named(client, store):
    key = make_key(store, scopes=("users:read",)).key

    answer = client.simulate_post("/v1/things", headers=bearer(key), body="{broken")

    assert code_of(answer) == (403, "insufficient_scope")
    assert "properties:write" in answer.json["error"]["message"]
    assert answer.headers["www-authenticate"] == (
        f'Bearer error="insufficient_scope", scope="properties:write", {RESOURCE_METADATA}'
    )
    assert answer.headers["x-ratelimit-limit"] == "2147483647"


def test_route_and_method_are_checked_before_the_key(client):
    assert client.simulate_get("/v1/nothing").status_code == 404
    assert client.simulate_get("/v1/things/" + "x" * 65).status_code == 404
    refused = client.simulate_put("/v1/things")
    assert (refused.status_code, refused.headers["allow"]) == (405, "DELETE, GET, HEAD, OPTIONS, POST")
    assert client.simulate_options("/v1/things").status_code == 204


def test_a_request_creates_one_command_context(client, store):
    assert client.simulate_get("/v1/things", headers=bearer(make_key(store).key)).json["data"][
        "has_one_command"
    ]


def test_an_unexpected_exception_is_500_without_its_text(client, store):
    answer = client.simulate_delete("/v1/things", headers=bearer(make_key(store).key))

    assert code_of(answer) == (500, "internal_error")
    assert "passwd" not in answer.text
    assert answer.headers["x-ratelimit-remaining"] == "2147483646"


@pytest.mark.parametrize(
    ("given", "is_used"),
    [("my-id_1", True), ("x" * 64, True), ("x" * 65, False), ("a b", False), ("a\tb", False), ("", False)],
)
def test_a_request_id_of_the_client_is_used_when_it_is_valid(client, given, is_used):
    answer = client.simulate_get("/v1/things", headers={"X-Request-Id": given})

    assert (answer.headers["x-request-id"] == given) == is_used
    assert answer.json["error"]["request_id"] == answer.headers["x-request-id"]


def test_every_answer_to_a_program_is_json_that_may_not_be_cached(client):
    for accept in ("application/json", "application/xml", "*/*"):
        answer = client.simulate_get("/v1/nothing", headers={"Accept": accept})

        assert answer.headers["content-type"] == "application/json"
        assert answer.headers["cache-control"] == "no-store"
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert "access-control-allow-origin" not in answer.headers
        assert answer.json["error"]["details"] == {}


def test_concurrent_revocations_of_one_key_all_succeed(store):
    clients = 4
    ready = Barrier(clients, timeout=60)

    def revoke(key_id):
        ready.wait()
        return revoke_key(store, key_id, operator()).is_revoked

    with ThreadPoolExecutor(clients) as threads:
        for _ in range(10):
            key_id = make_key(store).api_key.id

            assert list(threads.map(revoke, [key_id] * clients)) == [True] * clients
            assert store.load(ApiKey, key_id).version == 2
