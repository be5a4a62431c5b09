"""The rate limit is exact, and one count holds for all workers."""

import math
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest
import requests
from falcon.testing import TestClient

from api.http.auth import authenticate
from infrastructure.keys.tokens import API_KEY, make_token
from infrastructure.storage.postgres import make_pool
from server.app import create_app
from tests.support.api import ROUTES, services_on
from tests.support.keys import bearer, make_key
from tests.support.server import running_api

LIMIT = 1_000
REQUESTS = 1_300
CLIENTS = 26


@pytest.fixture
def client(database, tmp_path):
    with services_on(database, tmp_path) as services:
        yield TestClient(create_app(services, ROUTES))


def get_things(client, key):
    return client.simulate_get("/v1/things", headers=bearer(key))


def window_of(answer):
    names = ("limit", "remaining", "reset")
    return tuple(int(answer.headers[f"x-ratelimit-{name}"]) for name in names)


def test_of_1300_concurrent_requests_exactly_1000_pass(database, store):
    issued = make_key(store, rate_limit=LIMIT)
    with running_api(database, workers=4, projector=False) as base_url:

        def get_often(count):
            with requests.Session() as session:
                session.headers.update(bearer(issued.key))
                answers = [session.get(f"{base_url}/metrics?x=1", timeout=30) for _ in range(count)]
                return [(answer.status_code, answer.headers) for answer in answers]

        with ThreadPoolExecutor(CLIENTS) as threads:
            batches = threads.map(get_often, [REQUESTS // CLIENTS] * CLIENTS)
            answers = [answer for batch in batches for answer in batch]

    passed = [headers for status, headers in answers if status != 429]
    refused = [headers for status, headers in answers if status == 429]
    assert (len(passed), len(refused)) == (LIMIT, REQUESTS - LIMIT)
    assert Counter(int(headers["X-RateLimit-Remaining"]) for headers in passed) == Counter(range(LIMIT))
    assert {headers["X-RateLimit-Limit"] for _, headers in answers} == {str(LIMIT)}
    assert len({headers["X-RateLimit-Reset"] for _, headers in answers}) == 1
    assert all(int(headers["Retry-After"]) >= 1 for headers in refused)


def test_the_last_request_passes_and_the_next_is_refused(client, store):
    key = make_key(store, rate_limit=2).key

    first, second, third, fourth = (get_things(client, key) for _ in range(4))

    assert [answer.status_code for answer in (first, second, third, fourth)] == [200, 200, 429, 429]
    assert [window_of(answer)[1] for answer in (first, second, third, fourth)] == [1, 0, 0, 0]
    assert third.json["error"]["code"] == "rate_limited"
    assert window_of(first)[0::2] == window_of(fourth)[0::2]


def test_the_window_is_an_hour_from_the_first_request(client, store):
    answer = get_things(client, make_key(store, rate_limit=1).key)

    assert window_of(answer)[2] == pytest.approx(math.ceil(time.time()) + 3_600, abs=2)


def test_retry_after_ends_at_the_reset(client, store):
    key = make_key(store, rate_limit=1).key
    get_things(client, key)

    refused = get_things(client, key)

    assert int(refused.headers["retry-after"]) == pytest.approx(window_of(refused)[2] - time.time(), abs=2)


def test_a_new_window_begins_an_hour_later(client, store, pool):
    key = make_key(store, rate_limit=1).key
    assert [get_things(client, key).status_code for _ in range(3)] == [200, 429, 429]

    with pool.connection() as conn:
        conn.execute("UPDATE access.rate_windows SET started_at = started_at - interval '3600 seconds'")

    assert [get_things(client, key).status_code for _ in range(2)] == [200, 429]


def test_counting_stops_at_one_past_the_limit(client, store, pool):
    key = make_key(store, rate_limit=1).key
    for _ in range(5):
        get_things(client, key)

    with pool.connection() as conn:
        assert conn.execute("SELECT used FROM access.rate_windows").fetchone() == (2,)


def test_keys_are_counted_separately_also_without_a_limit(client, store):
    limited, free = make_key(store, rate_limit=1).key, make_key(store, rate_limit=None).key
    get_things(client, limited)

    assert get_things(client, limited).status_code == 429
    assert window_of(get_things(client, free))[:2] == (2_147_483_647, 2_147_483_646)


def test_errors_are_counted_and_carry_the_window(client, store):
    key = make_key(store, rate_limit=10, scopes=("tickets:read",)).key
    calls = [("GET", "/v1/things"), ("POST", "/v1/things"), ("DELETE", "/v1/things")]

    answers = [client.simulate_request(method, path, headers=bearer(key)) for method, path in calls]

    assert [answer.status_code for answer in answers] == [200, 403, 500]
    assert [window_of(answer)[1] for answer in answers] == [9, 8, 7]


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/v1/nothing", 404),
        ("POST", "/v1/nothing", 404),
        ("GET", "/v1/tickets/", 404),
        ("GET", "//v1/tickets", 404),
        ("GET", "/nothing", 404),
        ("GET", f"/v1/event-types/{'a' * 65}.v1/", 404),
        ("PUT", "/v1/things", 405),
        ("DELETE", "/v1/openapi.json", 405),
    ],
)
def test_a_404_or_405_to_a_valid_key_is_counted_and_carries_the_window(client, store, method, path, status):
    key = make_key(store, rate_limit=2).key
    get_things(client, key)

    valid, above = (client.simulate_request(method, path, headers=bearer(key)) for _ in range(2))
    invalid = client.simulate_request(method, path, headers=bearer(make_token(API_KEY)))

    assert (valid.status_code, window_of(valid)[:2]) == (status, (2, 0))
    assert (above.status_code, window_of(above)[1]) in ((status, 0), (429, 0))
    assert "x-ratelimit-limit" not in invalid.headers


def test_the_panel_counts_no_keys(client, store):
    answer = client.simulate_get("/admin/nothing", headers=bearer(make_key(store).key))

    assert answer.status_code == 404
    assert "x-ratelimit-limit" not in answer.headers


def test_concurrent_first_requests_of_a_key_are_all_counted(store, pool):
    """None of them finds a window; one of them creates it."""
    clients = 8

    def first_request(key, start):
        start.wait()
        return authenticate(pool, f"Bearer {key}")[1].used

    with ThreadPoolExecutor(clients) as threads:
        for _ in range(20):
            key, start = make_key(store).key, threading.Barrier(clients)
            used = threads.map(first_request, [key] * clients, [start] * clients)
            assert sorted(used) == list(range(1, clients + 1))


def test_counting_does_not_wait_for_the_disk(database, store):
    """The backend of the only connection counts how often it waited for the WAL to reach the disk."""
    key = make_key(store).key
    with make_pool(database, application="tests", max_size=1) as pool:

        def waits():
            with pool.connection() as conn:
                conn.execute("SELECT pg_stat_force_next_flush()")
                query = "SELECT fsyncs FROM pg_stat_get_backend_io(pg_backend_pid()) WHERE object = 'wal'"
                return sum(fsyncs or 0 for (fsyncs,) in conn.execute(query))

        before = waits()
        for _ in range(50):
            authenticate(pool, f"Bearer {key}")
        assert waits() == before

        with pool.connection() as conn:  # the control: a write that does wait
            conn.execute("UPDATE access.api_keys SET name = 'renamed'")
        assert waits() > before
