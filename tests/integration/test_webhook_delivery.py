"""From an event in the log to a signed post, with good and with bad receivers."""

import json
import re

import pytest
import svix.webhooks
from msgspec.structs import replace
from standardwebhooks.webhooks import Webhook as Verifier

from commands.oauth_clients import RegisterClient, register_client
from domain.webhook import Webhook
from tests.support import receivers
from tests.support.arrange import change_webhook, rotate_webhook_secret
from tests.support.receivers import answer, running_receiver, self_signed
from tests.support.vault import VAULT
from tests.support.waiting import eventually
from tests.support.webhooks import (
    SECRET,
    is_settled,
    open_ticket,
    register,
    running_dispatcher,
    settings_for,
    statuses,
    system,
)
from webhook_dispatcher.queue import SLOW_SECONDS


@pytest.fixture
def receiver():
    with running_receiver() as running:
        yield running


@pytest.fixture
def dispatcher(database, tmp_path):
    with running_dispatcher(settings_for(database, tmp_path)):
        yield


def verify(post, secret):
    """Verifies the post with both public libraries; returns its payload."""
    key = secret if secret.startswith("whsec_") else secret.encode()
    svix.webhooks.Webhook(key).verify(post.body, post.headers)
    return Verifier(key).verify(post.body, post.headers)


def attempts(pool):
    with pool.connection() as conn:
        return conn.execute(
            "SELECT number, status, error FROM hook.attempts ORDER BY delivery_id, number"
        ).fetchall()


def test_a_new_ticket_is_posted_in_the_form_of_the_reference(store, pool, receiver, dispatcher):
    register(store, receiver.url())
    ticket = open_ticket(store)

    eventually(lambda: receiver.posts)
    payload = verify(receiver.posts[0], SECRET)

    assert list(payload) == ["event", "timestamp", "data", "id", "version", "sequence"]
    assert payload["event"] == "ticket.created"
    assert payload["timestamp"] == f"{ticket.created_at:%Y-%m-%dT%H:%M:%SZ}"
    assert payload["id"] == receiver.posts[0].id
    assert (payload["version"], payload["sequence"]) == (1, ticket.position)
    assert payload["data"]["id"] == ticket.id
    assert payload["data"]["requester"] == {"id": "u1", "name": "u1"}
    assert payload["data"]["changes"]["title"] == {"from": None, "to": "Water leak in bathroom"}
    assert payload["data"]["actor"] == {"id": None, "name": "cli", "role": "admin"}
    assert receiver.posts[0].headers["content-type"] == "application/json"
    eventually(lambda: statuses(pool) == {"delivered": 1})


def test_a_requester_without_a_user_has_the_name_of_its_application(store, receiver, dispatcher):
    application = RegisterClient(
        name="Nightly report",
        client_kind="confidential",
        scopes=("tickets:write",),
        role="staff",
        grant_types=("client_credentials",),
    )
    client = register_client(store, application, system()).client
    register(store, receiver.url())
    open_ticket(store, requester_id=client.id)

    eventually(lambda: receiver.posts)

    data = json.loads(receiver.posts[0].body)["data"]
    assert data["requester"] == {"id": client.id, "name": "Nightly report"}


def test_one_event_may_be_two_webhook_events_with_different_ids(store, receiver, dispatcher):
    register(store, receiver.url("/both"), "ticket.updated", "ticket.resolved")
    register(store, receiver.url("/one"), "ticket.resolved")
    ticket = open_ticket(store)
    ticket.change({"status": "closed"}, system())
    store.save(ticket)

    eventually(lambda: len(receiver.at("/both")) == 2 and len(receiver.at("/one")) == 1)

    both = {json.loads(post.body)["event"]: post for post in receiver.at("/both")}
    assert set(both) == {"ticket.updated", "ticket.resolved"}
    assert len({post.id for post in both.values()}) == 2
    (one,) = receiver.at("/one")
    assert (one.id, one.body) == (both["ticket.resolved"].id, both["ticket.resolved"].body)
    assert json.loads(one.body)["data"]["changes"] == {"status": {"from": "open", "to": "closed"}}


def test_events_from_before_the_registration_are_not_sent(store, pool, receiver, dispatcher):
    open_ticket(store)
    register(store, receiver.url())
    later = open_ticket(store)

    eventually(lambda: receiver.posts and is_settled(pool, 1))

    assert [json.loads(post.body)["data"]["id"] for post in receiver.posts] == [later.id]


@pytest.mark.parametrize("secret", [None, "whsec_" + "A" * 32, "ünïcode secret"])
def test_public_libraries_verify_during_a_rotation_with_either_secret(
    store, pool, receiver, dispatcher, secret
):
    webhook = register(store, receiver.url(), secret=SECRET)
    rotate_webhook_secret(store, webhook.id, system(), secret=secret)
    open_ticket(store)

    eventually(lambda: receiver.posts)

    verify(receiver.posts[0], SECRET)
    verify(receiver.posts[0], newest_secret(pool))
    assert len(receiver.posts[0].headers["webhook-signature"].split()) == 2


def test_a_retried_change_is_carried_out_once(store):
    webhook = register(store, "https://example.com/hook")
    retry = replace(system(), is_retry=True)

    for _ in range(2):
        changed = change_webhook(store, webhook.id, retry, frozenset({1}), enabled=False)
        change_webhook(store, webhook.id, system(), enabled=True)

    assert (changed.is_enabled, changed.version) == (False, 2)
    assert store.load(Webhook, webhook.id).is_enabled


def test_a_secret_that_cannot_be_decrypted_fails_the_deliveries_of_its_webhook_only(
    store, pool, receiver, dispatcher
):
    broken = register(store, receiver.url("/broken"))
    register(store, receiver.url("/whole"))
    with pool.connection() as conn:
        conn.execute("UPDATE hook.secrets SET sealed = 'altered' WHERE endpoint_id = %s", [broken.id])
    open_ticket(store)

    eventually(lambda: statuses(pool) == {"dead": 1, "delivered": 1})

    message = "not sent: an internal error occurred"
    assert sorted(attempts(pool), key=str)[-3:] == [(number, None, message) for number in (1, 2, 3)]
    assert [post.path for post in receiver.posts] == ["/whole"]


def newest_secret(pool):
    with pool.connection() as conn:
        (sealed,) = conn.execute("SELECT sealed FROM hook.secrets WHERE expires_at IS NULL").fetchone()
    return VAULT.decrypt(bytes(sealed), purpose="webhook secret").decode()


def test_the_events_of_a_ticket_arrive_in_order_although_one_fails_at_first(
    store, pool, receiver, dispatcher
):
    failures = iter([500, 500])
    receiver.answers["/hook"] = lambda handler: answer(next(failures, 200))(handler)
    register(store, receiver.url())
    ticket = open_ticket(store)
    for number in range(5):
        ticket.change({"title": f"Leak {number}"}, system())
        store.save(ticket)

    eventually(lambda: is_settled(pool, 6))

    versions = [json.loads(post.body)["version"] for post in receiver.posts]
    assert versions == [1, 1, 1, 2, 3, 4, 5, 6]
    assert len({post.id for post in receiver.posts}) == 6
    assert len({post.body for post in receiver.posts[:3]}) == 1


def test_a_webhook_that_was_slow_and_failed_is_tried_again(store, pool, receiver, dispatcher):
    """It must not lose its places as a slow one and as a failing one: then it got no post any more."""

    def fail_slowly(handler):
        receiver.answers.clear()
        receiver.stopping.wait(1.2 * SLOW_SECONDS)
        answer(500)(handler)

    receiver.answers["/hook"] = fail_slowly
    register(store, receiver.url())
    open_ticket(store)

    eventually(lambda: is_settled(pool, 1))
    assert [status for _, status, _ in attempts(pool)] == [500, 200]


def test_a_delivery_is_dead_after_the_last_attempt_and_the_next_one_of_its_ticket_is_sent(
    store, pool, receiver, dispatcher
):
    receiver.answers["/hook"] = lambda handler: answer(500 if len(receiver.posts) <= 3 else 200)(handler)
    register(store, receiver.url())
    ticket = open_ticket(store)
    ticket.change({"title": "Flood"}, system())
    store.save(ticket)

    eventually(lambda: is_settled(pool, 2))

    assert statuses(pool) == {"dead": 1, "delivered": 1}
    assert [row[:2] for row in attempts(pool)] == [(1, 500), (2, 500), (3, 500), (1, 200)]


BAD = {
    "/hang": (receivers.hang, None, "no answer within 1 s"),
    "/reset": (receivers.reset, None, "disconnected|reset"),
    "/garbage": (receivers.garbage, None, "."),
    "/redirect": (answer(302, Location="http://127.0.0.1:1/"), 302, "redirects are not followed"),
    "/error": (answer(500, b"x" * 5_000), 500, None),
}
SLOPPY = {
    "/drip": receivers.drip,
    "/drip-body": receivers.drip_body,
    "/gigabyte": receivers.gigabyte,
    "/bomb": receivers.gzip_bomb,
    "/empty": answer(204, b""),
}


def test_failures_of_bad_receivers_are_recorded_and_other_webhooks_are_delivered(
    store, pool, receiver, database, tmp_path
):
    paths = [*BAD, *SLOPPY, "/good"]
    receiver.answers |= {path: bad for path, (bad, _, _) in BAD.items()} | SLOPPY
    webhooks = {path: register(store, receiver.url(path), "ticket.created").id for path in paths}
    settings = settings_for(database, tmp_path, webhook_retry_seconds=())
    open_ticket(store)

    with running_dispatcher(settings):
        eventually(lambda: is_settled(pool, len(paths)))

    with pool.connection() as conn:
        rows = conn.execute(
            "SELECT d.endpoint_id, d.status, a.status, a.error, a.response_body, a.milliseconds"
            "  FROM hook.deliveries d JOIN hook.attempts a ON a.delivery_id = d.id"
        ).fetchall()
    found = {row[0]: row[1:] for row in rows}
    for path, (_, status, error) in BAD.items():
        outcome, got_status, got_error, body, milliseconds = found[webhooks[path]]
        assert (outcome, got_status) == ("dead", status), path
        assert error is None or re.search(error, got_error), (path, got_error)
        assert len(body) <= 2_048
        assert milliseconds < 3_000
    for path in (*SLOPPY, "/good"):
        assert found[webhooks[path]][0] == "delivered", path
        assert len(found[webhooks[path]][3]) <= 2_048


def test_retry_after_delays_every_delivery_to_that_receiver(store, pool, receiver, dispatcher):
    first = iter([answer(429, Retry_After="1")])
    receiver.answers["/hook"] = lambda handler: next(first, answer(200))(handler)
    register(store, receiver.url())
    open_ticket(store)
    eventually(lambda: attempts(pool))
    open_ticket(store)

    eventually(lambda: is_settled(pool, 2))

    refused, *later = receiver.posts
    assert all(post.at - refused.at >= 0.95 for post in later)


def test_410_disables_the_webhook_and_is_recorded(store, pool, receiver, dispatcher):
    receiver.answers["/hook"] = answer(410)
    webhook = register(store, receiver.url())
    open_ticket(store)

    eventually(lambda: not reload(store, webhook).is_enabled)
    missed = open_ticket(store)
    eventually(lambda: position(pool) >= missed.position)
    receiver.answers.clear()
    change_webhook(store, webhook.id, system(), enabled=True)
    last = open_ticket(store)

    eventually(lambda: len(receiver.posts) == 2)
    assert json.loads(receiver.posts[1].body)["data"]["id"] == last.id
    with pool.connection() as conn:
        topics = conn.execute(
            "SELECT topic FROM es.stored_events WHERE originator_id = %s ORDER BY originator_version",
            [webhook.id],
        ).fetchall()
    assert topics == [("webhook.registered",), ("webhook.disabled",), ("webhook.enabled",)]


def position(pool):
    with pool.connection() as conn:
        return conn.execute("SELECT position FROM hook.position").fetchone()[0]


def reload(store, webhook):
    return store.load(type(webhook), webhook.id)


def test_after_ten_failures_in_a_row_a_webhook_pauses(store, pool, receiver, dispatcher):
    receiver.answers["/hook"] = answer(500)
    register(store, receiver.url())
    for _ in range(40):
        open_ticket(store)

    eventually(lambda: is_paused(pool))
    posted = len(receiver.posts)

    assert posted <= 20  # ten, and those in flight at the tenth failure
    assert statuses(pool)["pending"] >= 20


def is_paused(pool):
    with pool.connection() as conn:
        return conn.execute(
            "SELECT 1 FROM hook.health WHERE paused_until > now() + interval '20 s'"
        ).fetchone()


def test_tls_certificates_are_verified_for_the_host_name(store, pool, database, tmp_path, monkeypatch):
    good, trusted = self_signed(tmp_path, "localhost")
    other, _ = self_signed(tmp_path, "other.test")
    monkeypatch.setenv("SSL_CERT_FILE", str(trusted))
    with running_receiver(good) as right, running_receiver(other) as wrong:
        urls = [f"https://localhost:{each.port}/hook" for each in (right, wrong)] + [right.url()]
        webhook_ids = [register(store, url).id for url in urls]
        open_ticket(store)
        with running_dispatcher(settings_for(database, tmp_path, webhook_retry_seconds=())):
            eventually(lambda: is_settled(pool, 3))

    with pool.connection() as conn:
        outcomes = dict(conn.execute("SELECT endpoint_id, status FROM hook.deliveries").fetchall())
    assert [outcomes[webhook_id] for webhook_id in webhook_ids] == ["delivered", "dead", "dead"]
    assert len(right.posts) == 1
    assert wrong.posts == []


def test_an_event_that_cannot_be_handled_becomes_a_dead_letter_and_later_ones_are_sent(
    store, pool, receiver, dispatcher
):
    register(store, receiver.url())
    with pool.connection() as conn:
        conn.execute(
            "INSERT INTO es.stored_events (originator_id, originator_version, topic, state)"
            " VALUES ('x', 1, 'ticket.opened', 'not json')"
        )
    after = open_ticket(store)

    eventually(lambda: receiver.posts)

    assert json.loads(receiver.posts[0].body)["data"]["id"] == after.id
    with pool.connection() as conn:
        (dead_letter,) = conn.execute("SELECT topic, value, error FROM hook.dead_letters").fetchall()
    assert dead_letter[:2] == ("log", b"not json")
