"""A request sent twice is carried out once, and answered the same both times."""

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
    with services_on(database, tmp_path) as made:
        yield made


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
def registered(pool):
    """How many properties the log holds."""

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


def forget_the_answer(pool):
    """As after a crash between the command and the keeping of its answer."""
    with pool.connection() as conn:
        conn.execute("UPDATE access.idempotency SET response_status = NULL, response_body = NULL")


def test_the_second_time_the_first_answer_comes_back(post, registered):
    first = post()
    second = post()

    assert (first.status_code, second.status_code) == (201, 201)
    assert second.content == first.content
    for name in ("location", "etag", "content-type"):
        assert second.headers[name] == first.headers[name]
    assert "idempotent-replayed" not in first.headers
    assert second.headers["idempotent-replayed"] == "true"
    assert second.headers["x-request-id"] != first.headers["x-request-id"]
    assert registered() == 1


def test_a_refusal_of_the_command_is_kept_with_its_request_id(post):
    first = post('{"name": 7}')
    second = post('{"name": 7}')

    assert (first.status_code, second.status_code) == (422, 422)
    assert second.content == first.content
    assert second.headers["x-request-id"] == second.json["error"]["request_id"]


@pytest.mark.parametrize(
    ("body", "query"), [('{"name": "B"}', ""), ('{"name": "A" }', ""), ('{"name": "A"}', "x=1")]
)
def test_the_key_of_another_request_is_refused(post, registered, body, query):
    post()

    answer = post(body, query=query)

    assert (answer.status_code, answer.json["error"]["code"]) == (422, "idempotency_key_reused")
    assert registered() == 1


def test_each_holder_has_keys_of_its_own(post, store, registered):
    post()

    assert post(key=make_key(store).key).headers.get("idempotent-replayed") is None
    assert registered() == 2


def test_while_the_first_is_under_way_the_second_is_409(post, pool):
    post()
    forget_the_answer(pool)

    answer = post()

    assert (answer.status_code, answer.json["error"]["code"]) == (409, "idempotency_in_progress")
    assert answer.headers["retry-after"] == "1"


def test_after_a_crash_the_retry_takes_over_under_the_same_command_id(post, pool, registered):
    first = post()
    forget_the_answer(pool)
    age(pool, 31)

    second = post()

    assert second.status_code == 201
    assert second.json["data"] == {"id": first.json["data"]["id"], "is_retry": True}
    assert registered() == 1
    assert post().content == second.content


def test_a_failure_is_not_kept_but_its_command_id_is(post, registered):
    assert post('{"name": "A", "fails": true}').status_code == 500
    assert post('{"name": "A", "fails": true}').status_code == 500

    assert registered() == 1


@pytest.mark.parametrize(
    ("code", "is_kept"), [("not_found", True), ("conflict", False), ("precondition_failed", False)]
)
def test_a_refusal_that_may_not_come_again_is_not_kept(post, registered, code, is_kept):
    body = f'{{"name": "A", "refusal": "{code}"}}'
    first = post(body)

    second = post(body)

    assert first.json["error"]["code"] == second.json["error"]["code"] == code
    assert ("idempotent-replayed" in second.headers) is is_kept
    assert registered() == 1


def test_another_request_does_not_take_over(post, pool):
    post()
    forget_the_answer(pool)
    age(pool, 31)

    assert post('{"name": "B"}').json["error"]["code"] == "idempotency_key_reused"


def test_a_day_later_the_key_is_free(post, pool, registered):
    first = post()
    age(pool, 24 * 3_600 + 1)

    second = post('{"name": "B"}')

    assert second.status_code == 201
    assert second.json["data"]["id"] != first.json["data"]["id"]
    assert registered() == 2


@pytest.mark.parametrize("bad", ["", " ", "x" * 256, "a\tb", "caf\u00e9"])
def test_a_malformed_key_is_named(post, bad):
    answer = post(idempotency_key=bad)

    assert answer.status_code == 422
    assert list(answer.json["error"]["details"]) == ["Idempotency-Key"]


def test_what_comes_before_the_command_claims_nothing(post, store, pool):
    unable = make_key(store, scopes=("users:read",)).key
    spent = make_key(store, rate_limit=1).key
    post(idempotency_key="other", key=spent)

    assert post(key=unable).status_code == 403
    assert post(key=spent).status_code == 429
    assert post("x" * 1_048_577).status_code == 413
    with pool.connection() as conn:
        assert conn.execute("SELECT idempotency_key FROM access.idempotency").fetchall() == [("other",)]


def test_of_many_at_once_one_is_carried_out(post, registered):
    statuses = []
    threads = [threading.Thread(target=lambda: statuses.append(post().status_code)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert set(statuses) <= {201, 409}
    assert 201 in statuses
    assert registered() == 1


def test_the_command_id_names_what_was_made(post, store, pool):
    made = post().json["data"]["id"]

    with pool.connection() as conn:
        (claimed, digest) = conn.execute(
            "SELECT command_id, request_sha256 FROM access.idempotency"
        ).fetchone()
    assert claimed == made == store.load(Property, made).id
    assert digest == hashlib.sha256(b'POST\0/v1/things\0\0{"name": "A"}').digest()


def test_expired_answers_are_purged_now_and_then(post, pool, monkeypatch):
    post()
    age(pool, 24 * 3_600 + 1)
    monkeypatch.setattr("api.http.idempotency._PURGE_ONE_IN", 1)

    post(idempotency_key="k2")

    with pool.connection() as conn:
        assert conn.execute("SELECT idempotency_key FROM access.idempotency").fetchall() == [("k2",)]
