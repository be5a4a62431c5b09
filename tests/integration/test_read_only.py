"""While the database is read-only, valid credentials can still read, and all others stay refused."""

import os
from datetime import timedelta
from pathlib import Path
from urllib.parse import urlencode

import psycopg
import pytest
from falcon.testing import TestClient

from api.http import read_only
from api.http.errors import STATUS_OF
from commands.api_keys import revoke_key
from infrastructure.keys.tokens import OAUTH_ACCESS, digest, make_token
from infrastructure.process.metrics import requests_uncounted
from infrastructure.storage import disk_space
from infrastructure.storage.disk_space import DiskSpace, Reserve, has_room
from infrastructure.storage.postgres import READ_ONLY_SECONDS, connect, make_pool
from server.app import create_app
from tests.support.api import ROUTES, services_on
from tests.support.keys import bearer, make_key, operator
from tests.support.oauth import make_app
from tests.support.postgres import cloned_database
from tests.support.waiting import eventually


@pytest.fixture
def database(postgres, database_with_people):
    """A database in which Max and Ada can sign in."""
    with cloned_database(postgres, database_with_people) as dsn:
        yield dsn


@pytest.fixture
def stop_writing(database, monkeypatch):
    """Returns a function that makes all later transactions of the API read-only, as on a standby.

    A full disk causes another error (tests/faults/test_full_disk.py).
    """
    monkeypatch.setattr(read_only, "_retry_at", 0.0)

    return lambda: alter(database, "SET default_transaction_read_only = on")


def alter(database, setting):
    """Changes a setting of the database and ends the connections of the API."""
    name = psycopg.conninfo.conninfo_to_dict(database)["dbname"]
    with connect(database, application="tests", options="-c default_transaction_read_only=off") as conn:
        conn.execute(f"ALTER DATABASE {name} {setting}")
        conn.execute(
            "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity"
            " WHERE datname = current_database() AND application_name LIKE 'ticketing-api%'"
        )


@pytest.fixture
def client(database, tmp_path):
    with services_on(database, tmp_path) as services:
        yield TestClient(create_app(services, ROUTES))


def status_of(client, credential, method="GET"):
    body = {"name": "x"} if method == "POST" else None
    return client.simulate_request(method, "/v1/things", headers=bearer(credential), json=body).status_code


def make_access_token(pool, app, user_id="ada", lifetime=timedelta(hours=1)):
    token = make_token(OAUTH_ACCESS)
    with pool.connection() as conn:
        conn.execute(
            "INSERT INTO access.oauth_tokens VALUES"
            " (%s, false, %s, NULL, %s, '{tickets:read}', 0, %s, now(), now() + %s)",
            [digest(token), app.client_id, user_id, f"{app.client_id}/{user_id}", lifetime],
        )
    return token


def test_keys_and_tokens_can_read_without_being_counted_and_cannot_write(client, store, pool, stop_writing):
    key, fresh = make_key(store, rate_limit=5).key, make_key(store).key
    token = make_access_token(pool, make_app(store))
    before = requests_uncounted._value.get()
    assert [status_of(client, one) for one in (key, token)] == [200, 200]

    stop_writing()

    for _ in range(10):
        assert [status_of(client, one) for one in (key, fresh, token)] == [200, 200, 200]
    answer = client.simulate_get("/v1/things", headers=bearer(key))
    written = client.simulate_post("/v1/things", headers=bearer(fresh), json={"name": "x"})
    assert answer.headers["x-ratelimit-remaining"] == "4"
    assert answer.json["data"]["caller"]["role"] == "admin"
    assert (written.status_code, written.json["error"]["code"]) == (503, "unavailable")
    assert "The database is read-only" in written.json["error"]["message"]
    assert "Nothing was changed" in written.json["error"]["message"]
    assert "retry-after" in written.headers
    assert requests_uncounted._value.get() == before + 32


def test_invalid_and_exhausted_credentials_stay_refused(client, store, pool, stop_writing):
    revoked, expired, exhausted = (make_key(store, rate_limit=1) for _ in range(3))
    app = make_app(store)
    old = make_access_token(pool, app, lifetime=timedelta(0))
    of_revoked = make_access_token(pool, make_app(store, name="Gone"))
    revoke_key(store, revoked.api_key.id, operator())
    with pool.connection() as conn:
        conn.execute("UPDATE access.api_keys SET expires_at = now() WHERE id = %s", [expired.api_key.id])
        conn.execute("UPDATE access.oauth_clients SET revoked_at = now() WHERE name = 'Gone'")
    credentials = (revoked.key, expired.key, exhausted.key, old, of_revoked, make_token(OAUTH_ACCESS))
    for _ in range(2):
        status_of(client, exhausted.key)

    stop_writing()

    assert [status_of(client, one) for one in credentials] == [401, 401, 429, 401, 401, 401]


def test_a_session_can_read_and_an_unknown_session_cannot(page, pool, stop_writing):
    page.sign_in()
    before = page.open("/admin/desk").json
    stop_writing()

    answer = page.open("/admin/desk")

    assert answer.json == before
    page.cookies["ticketing"] = make_token("mtw_")
    assert page.open("/admin/desk").status_code == 303


def test_requests_are_counted_again_when_writes_are_possible(
    client, store, database, stop_writing, monkeypatch
):
    monkeypatch.setattr(read_only, "RETRY_SECONDS", 0.0)
    key = make_key(store, rate_limit=5).key
    stop_writing()
    assert status_of(client, key) == 200
    alter(database, "RESET default_transaction_read_only")

    answer = client.simulate_get("/v1/things", headers=bearer(key))

    assert answer.headers["x-ratelimit-remaining"] == "4"


def test_writes_succeed_as_soon_as_the_database_can_be_written_again(client, store, database, stop_writing):
    """The sessions of the pool keep the old setting, so they are replaced."""
    key = make_key(store).key
    stop_writing()
    refused = status_of(client, key, "POST")
    with connect(database, application="tests") as conn:
        conn.execute("SET default_transaction_read_only = off")
        conn.execute(f"ALTER DATABASE {conn.info.dbname} RESET default_transaction_read_only")

    assert refused == 503
    eventually(lambda: status_of(client, key, "POST") == 201, within=20)


@pytest.fixture
def nearly_full(monkeypatch):
    """Makes every disk smaller than the required free space."""
    monkeypatch.setattr(disk_space, "LEAST_FREE_BYTES", 2**62)


def test_a_nearly_full_disk_refuses_only_requests_that_write(database, store, tmp_path, nearly_full):
    key = make_key(store).key
    app = make_app(store)
    with services_on(database, tmp_path, postgres_data_dir=tmp_path) as services:
        client = TestClient(create_app(services, ROUTES))
        read, written = (status_of(client, key, method) for method in ("GET", "POST"))
        unknown = status_of(client, make_token("mts_"), "POST")
        fields = {"client_id": app.client_id, "client_secret": app.secret}
        described = send(client, "/oauth/introspect", token="x", **fields)
        refused = send(client, "/oauth/token", grant_type="client_credentials", **fields)

    assert (read, written, unknown) == (200, STATUS_OF["unavailable"], 401)
    assert (described.status_code, described.json) == (200, {"active": False})
    assert (refused.status_code, refused.json["error"]) == (503, "temporarily_unavailable")
    assert int(refused.headers["retry-after"]) >= 1


def send(client, path, **fields):
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    return client.simulate_post(path, body=urlencode(fields), headers=headers)


def test_a_disk_of_another_machine_is_never_low(nearly_full, tmp_path):
    assert not DiskSpace(None).is_low()
    assert not DiskSpace(tmp_path / "nowhere").is_low()
    assert DiskSpace(tmp_path).is_low()


def test_the_reserve_occupies_space_and_is_released_when_needed(tmp_path, monkeypatch):
    reserve = Reserve(tmp_path)
    file = tmp_path / disk_space.RESERVE

    reserve.create()
    size = os.stat(file).st_blocks * 512
    is_released = reserve.release()
    monkeypatch.setattr(disk_space, "LEAST_FREE_BYTES", 2**62)

    assert size >= disk_space.RESERVE_BYTES
    assert not is_released
    assert reserve.release()
    assert not file.exists()
    reserve.create()
    assert not file.exists()
    assert has_room(Path("/"), 1)


def test_a_connection_that_could_not_write_is_not_used_again(database):
    """A load balancer in front of two servers does not report that a session has another server."""
    with make_pool(database, application="tests", max_size=2) as pool:
        with pytest.raises(psycopg.errors.ReadOnlySqlTransaction), pool.connection() as refused:
            refused.opened_at -= 2 * READ_ONLY_SECONDS
            refused.execute("BEGIN READ ONLY")
            refused.execute("INSERT INTO access.secrets VALUES ('test', '')")

        assert refused.closed
        assert pool.fetch("SELECT 1") == [(1,)]
