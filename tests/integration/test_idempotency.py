"""A request that is sent twice is carried out once and gets the same answer both times."""

import hashlib
import threading

import pytest
from falcon.testing import TestClient

from domain.property import Property
from server.app import create_app
from tests.support.api import ROUTES, services_on
from tests.support.keys import bearer, make_key


@pytest.fixture
def services(database, tmp_path):
    with services_on(database, tmp_path) as opened:
        yield opened


@pytest.fixture
def client(services):
    return TestClient(create_app(services, ROUTES))


@pytest.fixture
def post(client, store):
    """Posts a thing with an Idempotency-Key, by default always with the same API key."""
    usual = make_key(store).key

    def post(body='{"name": "A"}', idempotency_key="k1", key=usual, query="", **more):
        headers = {**bearer(key), "Content-Type": "application/json", "Idempotency-Key": idempotency_key}
        return client.simulate_post("/v1/things", body=body, headers=headers, query_string=query, **more)

    return post


@pytest.fixture
def count_registered(pool):
    """Returns a function that counts the registered properties in the log."""

    def count():
        with pool.connection() as conn:
            query = "SELECT count(*) FROM es.stored_events WHERE topic = 'property.registered'"
            return conn.execute(query).fetchone()[0]

    return count


def age(pool, seconds):
    with pool.connection() as conn:
        conn.execute(
            "UPDATE access.idempotency SET claimed_at = claimed_at - make_interval(secs => %(age)s),"
            " expires_at = expires_at - make_interval(secs => %(age)s)",
            {"age": seconds},
        )


def delete_answers(pool):
    """Creates the state after a crash between the command and storing its answer."""
    with pool.connection() as conn:
        conn.execute("UPDATE access.idempotency SET response_status = NULL, response_body = NULL")


def test_the_second_request_gets_the_first_answer(post, count_registered):
    first = post()
    second = post()

    assert (first.status_code, second.status_code) == (201, 201)
    assert second.content == first.content
    for name in ("location", "etag", "content-type"):
        assert second.headers[name] == first.headers[name]
    assert "idempotent-replayed" not in first.headers
    assert second.headers["idempotent-replayed"] == "true"
    assert second.headers["x-request-id"] != first.headers["x-request-id"]
    assert count_registered() == 1


def test_a_refusal_of_the_command_is_stored_with_its_request_id(post):
    first = post('{"name": 7}')
    second = post('{"name": 7}')

    assert (first.status_code, second.status_code) == (422, 422)
    assert second.content == first.content
    assert second.headers["x-request-id"] == second.json["error"]["request_id"]


@pytest.mark.parametrize(
    ("body", "query"), [('{"name": "B"}', ""), ('{"name": "A" }', ""), ('{"name": "A"}', "x=1")]
)
def test_the_key_of_another_request_is_refused(post, count_registered, body, query):
    post()

    answer = post(body, query=query)

    assert (answer.status_code, answer.json["error"]["code"]) == (422, "idempotency_key_reused")
    assert count_registered() == 1


def test_two_api_keys_may_use_the_same_idempotency_key(post, store, count_registered):
    post()

    assert post(key=make_key(store).key).headers.get("idempotent-replayed") is None
    assert count_registered() == 2


def test_a_second_request_during_the_first_is_409(post, pool):
    post()
    delete_answers(pool)

    answer = post()

    assert (answer.status_code, answer.json["error"]["code"]) == (409, "idempotency_in_progress")
    assert answer.headers["retry-after"] == "1"


def test_a_retry_after_a_crash_has_the_same_command_id(post, pool, count_registered):
    first = post()
    delete_answers(pool)
    age(pool, 31)

    second = post()

    assert second.status_code == 201
    assert second.json["data"] == {"id": first.json["data"]["id"], "is_retry": True}
    assert count_registered() == 1
    assert post().content == second.content


def test_the_answer_500_is_not_stored_but_its_command_id_is(post, count_registered):
    assert post('{"name": "A", "fails": true}').status_code == 500
    assert post('{"name": "A", "fails": true}').status_code == 500

    assert count_registered() == 1


@pytest.mark.parametrize(
    ("code", "is_stored"), [("not_found", True), ("conflict", False), ("precondition_failed", False)]
)
def test_a_refusal_that_depends_on_concurrent_changes_is_not_stored(post, count_registered, code, is_stored):
    body = f'{{"name": "A", "refusal": "{code}"}}'
    first = post(body)

    second = post(body)

    assert first.json["error"]["code"] == second.json["error"]["code"] == code
    assert ("idempotent-replayed" in second.headers) is is_stored
    assert count_registered() == 1


def test_another_request_does_not_take_over_an_abandoned_key(post, pool):
    post()
    delete_answers(pool)
    age(pool, 31)

    assert post('{"name": "B"}').json["error"]["code"] == "idempotency_key_reused"


def test_a_key_may_be_used_for_another_request_after_a_day(post, pool, count_registered):
    first = post()
    age(pool, 24 * 3_600 + 1)

    second = post('{"name": "B"}')

    assert second.status_code == 201
    assert second.json["data"]["id"] != first.json["data"]["id"]
    assert count_registered() == 2


@pytest.mark.parametrize("bad", ["", " ", "x" * 256, "a\tb", "caf\u00e9"])
def test_a_malformed_key_is_named(post, bad):
    answer = post(idempotency_key=bad)

    assert answer.status_code == 422
    assert list(answer.json["error"]["details"]) == ["Idempotency-Key"]


def test_a_request_that_is_refused_before_its_command_claims_no_key(post, store, pool):
    without_scope = make_key(store, scopes=("users:read",)).key
    exhausted = make_key(store, rate_limit=1).key
    post(idempotency_key="other", key=exhausted)

    assert post(key=without_scope).status_code == 403
    assert post(key=exhausted).status_code == 429
    assert post("x" * 1_048_577).status_code == 413
    with pool.connection() as conn:
        assert conn.execute("SELECT idempotency_key FROM access.idempotency").fetchall() == [("other",)]


def test_of_many_concurrent_requests_one_is_carried_out(post, count_registered):
    statuses = []
    threads = [threading.Thread(target=lambda: statuses.append(post().status_code)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert set(statuses) <= {201, 409}
    assert 201 in statuses
    assert count_registered() == 1


def test_the_command_id_is_the_id_of_the_created_property(post, store, pool):
    created_id = post().json["data"]["id"]

    with pool.connection() as conn:
        (command_id, digest) = conn.execute(
            "SELECT command_id, request_sha256 FROM access.idempotency"
        ).fetchone()
    assert command_id == created_id == store.load(Property, created_id).id
    assert digest == hashlib.sha256(b'POST\0/v1/things\0\0{"name": "A"}').digest()


def test_expired_answers_are_purged(post, pool, monkeypatch):
    post()
    age(pool, 24 * 3_600 + 1)
    monkeypatch.setattr("api.http.idempotency._PURGE_ONE_IN", 1)

    post(idempotency_key="k2")

    with pool.connection() as conn:
        assert conn.execute("SELECT idempotency_key FROM access.idempotency").fetchall() == [("k2",)]
