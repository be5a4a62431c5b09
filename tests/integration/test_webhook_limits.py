"""Limits and headers of webhooks, and messages about failing and disabled ones, with real dispatchers."""

import json

import pytest

from domain.errors import Invalid
from tests.support.arrange import change_webhook
from tests.support.receivers import answer, running_receiver
from tests.support.waiting import eventually
from tests.support.webhooks import (
    is_settled,
    open_ticket,
    register,
    running_dispatcher,
    settings_for,
    statuses,
    system,
)


@pytest.fixture
def receiver():
    with running_receiver() as running:
        yield running


def attempt_times(pool, webhook):
    """The times of the posts to the webhook in seconds, in order."""
    with pool.connection() as conn:
        rows = conn.execute(
            "SELECT extract(epoch FROM a.at)::float8 FROM hook.attempts a"
            " JOIN hook.deliveries d ON d.id = a.delivery_id WHERE d.endpoint_id = %s ORDER BY 1",
            [webhook.id],
        ).fetchall()
    return [at for (at,) in rows]


def test_two_dispatchers_together_keep_the_rate_of_a_webhook(database, tmp_path, store, pool, receiver):
    webhook = register(store, receiver.url(), "ticket.created", payload_version=2, max_per_second=40)
    for _ in range(100):
        open_ticket(store)

    settings = settings_for(database, tmp_path)
    with running_dispatcher(settings), running_dispatcher(settings):
        eventually(lambda: is_settled(pool, 100))

    times = attempt_times(pool, webhook)
    rate = 99 / (times[-1] - times[0])
    assert 38 <= rate <= 42


def test_two_dispatchers_together_keep_the_number_of_posts_at_a_time(
    database, tmp_path, store, pool, receiver
):
    register(store, receiver.url("/slow"), "ticket.created", payload_version=2, max_in_flight=2)
    present: set[object] = set()
    most = []

    def respond(handler):
        present.add(handler)
        most.append(len(present))
        receiver.stopping.wait(0.1)
        present.remove(handler)
        answer(200)(handler)

    receiver.answers["/slow"] = respond
    for _ in range(8):
        open_ticket(store)

    settings = settings_for(database, tmp_path)
    with running_dispatcher(settings), running_dispatcher(settings):
        eventually(lambda: is_settled(pool, 8))

    assert statuses(pool) == {"delivered": 8}
    assert max(most) == 2


def test_custom_headers_are_sent_and_their_values_are_stored_encrypted_only(
    database, tmp_path, store, pool, receiver
):
    webhook = register(store, receiver.url(), headers={"X-Environment": "value-to-hide"})
    open_ticket(store)

    with running_dispatcher(settings_for(database, tmp_path)):
        eventually(lambda: is_settled(pool, 1))

    assert receiver.posts[0].headers["x-environment"] == "value-to-hide"
    with pool.connection() as conn:
        stored = str(
            conn.execute(
                "SELECT (SELECT string_agg(e::text, ' ') FROM hook.endpoints e),"
                " (SELECT string_agg(a::text, ' ') FROM hook.attempts a),"
                " (SELECT string_agg(convert_from(state, 'UTF8'), ' ') FROM es.stored_events)"
            ).fetchone()
        )
    assert "X-Environment" in stored
    assert "value-to-hide" not in stored
    change_webhook(store, webhook.id, system(), headers={})
    with pool.connection() as conn:
        assert conn.execute("SELECT header_names, headers_sealed FROM hook.endpoints").fetchall() == [
            ([], None)
        ]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("Webhook-Id", "x"),
        ("HOST", "x"),
        ("content-length", "1"),
        ("Authorization", "x"),
        ("Transfer-Encoding", "chunked"),
        ("X\r\nHost", "x"),
        ("X-Line", "a\r\nHost: b"),
        ("X-Line", "漏水"),
    ],
)
def test_headers_that_would_change_the_request_are_refused(store, name, value):
    with pytest.raises(Invalid) as refused:
        register(store, "https://example.com/", headers={name: value})

    assert list(refused.value.details) == ["headers"]


def test_the_owners_other_webhooks_hear_once_that_one_is_failing_and_that_it_was_disabled(
    database, tmp_path, store, pool, receiver
):
    names = ("webhook.failing", "webhook.disabled")
    failing = register(store, "http://127.0.0.1:1025/", "ticket.*", *names)
    register(store, receiver.url("/all-tickets"), "ticket.*")
    register(store, receiver.url("/notices"), *names)
    for _ in range(12):
        open_ticket(store)

    with running_dispatcher(settings_for(database, tmp_path)):
        eventually(lambda: receiver.at("/notices"))
        change_webhook(store, failing.id, system(), enabled=False)
        eventually(lambda: len(receiver.at("/notices")) == 2)

    found = [json.loads(post.body) for post in receiver.at("/notices")]
    assert [each["event"] for each in found] == list(names)
    assert all(each["data"]["webhook_id"] == failing.id for each in found)
    assert found[0]["data"]["failures"] >= 10
    assert found[1]["data"]["reason"] == "owner"
    assert not [post for post in receiver.at("/all-tickets") if b'"webhook.' in post.body]
