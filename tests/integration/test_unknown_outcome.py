"""A 503 to a write says whether the change may have been made, and how to find out."""

import pytest
from falcon.testing import TestClient

from infrastructure.storage import event_store
from server.app import create_app
from tests.support.api import ROUTES, services_on
from tests.support.keys import bearer, make_key
from tests.support.proxy import Proxy

NOTHING = "Nothing was changed. Try again"
UNKNOWN = "It is unknown whether the change was made."
COUNT = "SELECT count(*) FROM es.stored_events WHERE topic = 'property.registered'"


@pytest.fixture
def proxy(database):
    with Proxy(database) as opened:
        yield opened


@pytest.fixture
def write(proxy, store, tmp_path):
    """Sends a write through the proxy and returns the message of the 503."""
    headers = bearer(make_key(store).key)
    with services_on(proxy.dsn, tmp_path) as services:
        client = TestClient(create_app(services, ROUTES))

        def send(method="POST", body=None, **more):
            answer = client.simulate_request(
                method, "/v1/things", json=body or {"name": "x"}, headers=headers | more
            )
            assert (answer.status_code, answer.json["error"]["code"]) == (503, "unavailable"), answer.text
            return answer.json["error"]["message"]

        yield send


def test_a_change_whose_commit_was_not_answered_may_have_been_made(write, proxy, conn, monkeypatch):
    monkeypatch.setattr(event_store, "APPEND_SECONDS", -1.0)  # one attempt
    proxy.lose_reply_to(b'"type":"property.registered"')

    message = write(**{"Idempotency-Key": "one"})

    assert proxy.losses == 1
    assert conn.execute(COUNT).fetchone() == (1,)
    assert UNKNOWN in message
    assert "the same Idempotency-Key" in message


def test_a_change_after_which_the_server_fails_may_have_been_made(write, conn):
    message = write(body={"name": "x", "refusal": "unavailable"})

    assert conn.execute(COUNT).fetchone() == (1,)
    assert UNKNOWN in message
    assert "Read the object" in message
    assert "Idempotency-Key" in message


def test_a_write_whose_connection_was_lost_before_the_append_changed_nothing(write, proxy, conn):
    proxy.lose_request(b"access.idempotency")

    message = write(**{"Idempotency-Key": "two"})

    assert proxy.losses == 1
    assert message.endswith(f"{NOTHING} with the same Idempotency-Key.")
    assert conn.execute(COUNT).fetchone() == (0,)


def test_a_write_that_the_database_refused_changed_nothing(write, conn):
    with conn.transaction():
        conn.execute(
            "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS"
            " $$ BEGIN RAISE disk_full; END $$;"
            " CREATE TRIGGER refuse BEFORE INSERT ON es.stored_events FOR EACH ROW EXECUTE FUNCTION refuse()"
        )

    message = write()

    assert NOTHING in message
    assert "Idempotency-Key" in message
    assert conn.execute(COUNT).fetchone() == (0,)


def test_a_repeated_write_says_nothing_about_what_the_first_one_changed(write, proxy, conn):
    key = {"Idempotency-Key": "three"}
    first = write(body={"name": "x", "refusal": "unavailable"}, **key)
    proxy.lose_request(b"es.stored_events")

    again = write(body={"name": "x", "refusal": "unavailable"}, **key)

    assert UNKNOWN in first
    assert UNKNOWN in again
    assert conn.execute(COUNT).fetchone() == (1,)
