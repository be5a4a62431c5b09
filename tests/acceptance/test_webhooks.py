"""/v1/webhooks with a real API, dispatcher and receiver."""

import json
import os
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest
from standardwebhooks.webhooks import Webhook as Verifier

from commands.api_keys import revoke_key
from tests.acceptance.site import Site, operator
from tests.support.commands import environment
from tests.support.forks import TicketingProcess
from tests.support.postgres import cloned_database
from tests.support.receivers import answer, running_receiver
from tests.support.waiting import eventually

WEBHOOK = {
    "url": "https://your-server.com/webhook-endpoint",
    "events": ["ticket.created", "ticket.updated", "ticket.resolved"],
    "secret": "your_webhook_secret",
}


@contextmanager
def dispatcher_process(dsn, home, **variables):
    settings = environment(
        DATABASE_URL=dsn,
        TICKETING_HOME=str(home),
        WEBHOOK_ALLOW_PRIVATE_ADDRESSES="1",
        WEBHOOK_TIMEOUT_SECONDS="2",
        WEBHOOK_RETRY_SECONDS="0.1",
        **variables,
    )
    process = TicketingProcess("webhook-dispatcher", environ=settings, stdout=home / "dispatcher.log")
    try:
        yield process
    finally:
        process.terminate()
        process.wait(60)


@pytest.fixture(scope="module")
def site(postgres, template, tmp_path_factory):
    """An API that accepts private addresses, with a dispatcher."""
    home = tmp_path_factory.mktemp("dispatcher")
    os.environ["WEBHOOK_ALLOW_PRIVATE_ADDRESSES"] = "1"  # inherited by the API
    try:
        with (
            cloned_database(postgres, template) as dsn,
            Site.running(dsn) as site,
            dispatcher_process(dsn, home),
        ):
            yield site
    finally:
        del os.environ["WEBHOOK_ALLOW_PRIVATE_ADDRESSES"]


@pytest.fixture
def receiver():
    with running_receiver() as running:
        yield running


def register(site, url, *events, role="admin", **more):
    body = {"url": url, "events": list(events) or ["ticket.*"], "secret": "your_webhook_secret", **more}
    made = site.client(role).post("/v1/webhooks", json=body)
    assert made.status_code == 201, made.text
    return made.json()["data"]


def test_registering_answers_as_the_reference_does(site):
    made = site.client().post("/v1/webhooks", json=WEBHOOK)

    assert made.status_code == 201
    data = made.json()["data"]
    assert list(data) == ["id", "url", "events", "created_at"]
    assert (data["url"], data["events"]) == (WEBHOOK["url"], WEBHOOK["events"])
    assert made.headers["ETag"] == '"1"'
    assert made.headers["Location"].endswith(f"/v1/webhooks/{data['id']}")
    assert "your_webhook_secret" not in site.client().get(f"/v1/webhooks/{data['id']}").text


def test_a_generated_secret_is_shown_once_and_to_a_retry(site):
    client, key = site.client(), str(uuid4())
    body = {name: value for name, value in WEBHOOK.items() if name != "secret"}

    made = client.post("/v1/webhooks", json=body, headers={"Idempotency-Key": key})
    again = client.post("/v1/webhooks", json=body, headers={"Idempotency-Key": key})

    secret = made.json()["data"]["secret"]
    assert secret.startswith("whsec_")
    assert again.headers["Idempotent-Replayed"] == "true"
    assert again.json() == made.json()
    assert secret not in client.get(f"/v1/webhooks/{made.json()['data']['id']}").text
    assert secret not in everything_stored(site)


def everything_stored(site):
    """Return the stored events, answers and encrypted secrets as text."""
    with site.pool.connection() as conn:
        return str(
            conn.execute(
                "SELECT (SELECT string_agg(convert_from(state, 'UTF8'), ' ') FROM es.stored_events),"
                "       (SELECT string_agg(convert_from(response_body, 'UTF8'), ' ')"
                "          FROM access.idempotency),"
                "       (SELECT string_agg(sealed::text, ' ') FROM hook.secrets)"
            ).fetchone()
        )


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"url": "http://user:pass@example.com/"}, "url"),
        ({"url": "https://user@example.com/"}, "url"),
        ({"url": "ftp://example.com/"}, "url"),
        ({"url": "https://example.com/#x"}, "url"),
        ({"url": "https://exa mple.com/"}, "url"),
        ({"url": "https://example.com:22/"}, "url"),
        ({"url": "https://2130706433/"}, "url"),
        ({"url": "https://" + "a" * 2_030 + ".example.com/"}, "url"),
        ({"url": ""}, "url"),
        ({"url": None}, "url"),
        ({"events": []}, "events"),
        ({"events": ["ticket.exploded"]}, "events"),
        ({"events": "ticket.created"}, "events"),
        ({"secret": "short"}, "secret"),
        ({"secret": "whsec_not base64!"}, "secret"),
        ({"secret": "whsec_QUJD"}, "secret"),
        ({"colour": "red"}, "colour"),
    ],
)
def test_invalid_values_are_named(site, change, field):
    refused = site.client().post("/v1/webhooks", json={**WEBHOOK, **change})

    assert refused.status_code == 422, refused.text
    assert list(refused.json()["error"]["details"]) == [field]


def test_webhooks_are_visible_to_their_owner_and_admins_only(site):
    mine = register(site, "https://example.com/mine", role="manager")["id"]
    admins = register(site, "https://example.com/admins")["id"]
    manager, admin = site.client("manager"), site.client()

    assert mine in ids(manager.get("/v1/webhooks?per_page=100"))
    assert admins not in ids(manager.get("/v1/webhooks?per_page=100"))
    assert {mine, admins} <= ids(admin.get("/v1/webhooks?per_page=100"))
    foreign = manager.get(f"/v1/webhooks/{admins}")
    absent = manager.get("/v1/webhooks/absent")
    assert (foreign.status_code, foreign.json()["error"]["message"]) == (404, "No such webhook.")
    assert absent.json()["error"]["message"] == foreign.json()["error"]["message"]
    for role in ("staff", "guest"):
        assert site.client(role).get("/v1/webhooks").status_code == 403
        assert site.client(role).get(f"/v1/webhooks/{mine}").status_code == 403
        assert site.client(role).post("/v1/webhooks", json=WEBHOOK).status_code == 403


def test_deliveries_are_visible_to_their_owner_only(site):
    admins = register(site, "https://example.com/admins")["id"]
    tested = site.client().post(f"/v1/webhooks/{admins}/test").json()["data"]["id"]

    for method, path in (("GET", "deliveries/{}"), ("POST", "deliveries/{}/redeliver")):
        own = site.client().request(method, f"/v1/webhooks/{admins}/{path.format(tested)}")
        foreign = site.client("manager").request(method, f"/v1/webhooks/{admins}/{path.format(tested)}")
        absent = site.client("manager").request(method, f"/v1/webhooks/absent/{path.format(tested)}")
        unknown = site.client().request(method, f"/v1/webhooks/{admins}/{path.format(10**12)}")
        assert own.status_code in (200, 202), own.text
        assert (foreign.status_code, absent.status_code, unknown.status_code) == (404, 404, 404)
        assert foreign.json()["error"]["message"] == absent.json()["error"]["message"]
        for role in ("staff", "guest"):
            refused = site.client(role).request(method, f"/v1/webhooks/{admins}/{path.format(tested)}")
            assert refused.status_code == 403


def ids(answer):
    return {item["id"] for item in answer.json()["data"]}


def test_a_webhook_is_changed_disabled_and_deleted(site):
    client = site.client()
    webhook_id = register(site, "https://example.com/hook")["id"]
    path = f"/v1/webhooks/{webhook_id}"

    changed = client.patch(path, json={"events": ["ticket.created"], "enabled": False})
    stale = client.patch(path, json={"enabled": True}, headers={"If-Match": '"1"'})
    off = client.post(f"{path}/test")
    deleted = client.delete(path)

    assert changed.status_code == 200, changed.text
    assert (changed.json()["data"]["enabled"], changed.json()["data"]["disabled_reason"]) == (False, "owner")
    assert changed.json()["data"]["events"] == ["ticket.created"]
    assert changed.headers["ETag"] == '"3"'
    assert (stale.status_code, off.status_code) == (412, 409)
    assert (deleted.status_code, deleted.json()["data"]) == (200, None)
    assert client.get(path).status_code == 404
    assert client.get(f"{path}/deliveries").status_code == 404
    assert webhook_id not in ids(client.get("/v1/webhooks?per_page=100"))


def test_a_posted_ticket_is_received_and_its_delivery_is_listed(site, receiver):
    receiver.answers["/hook"] = answer(200, b"thanks " * 500)
    webhook = register(site, receiver.url(), "ticket.created", "ticket.commented")
    ticket = site.ticket("guest")
    site.client("staff").post(
        f"/v1/tickets/{ticket['id']}/comments", json={"text": "On my way", "visibility": "internal"}
    )

    eventually(lambda: len(receiver.posts) == 2)
    created, commented = receiver.posts
    payload = Verifier(b"your_webhook_secret").verify(created.body, created.headers)
    message = json.loads(commented.body)

    assert {name: payload["data"][name] for name in ticket} == ticket
    assert payload["data"]["requester"] == {"id": "user789", "name": "John Doe"}
    assert payload["data"]["actor"] == {"id": "user789", "name": "John Doe", "role": "guest"}
    assert message["data"]["comment"]["text"] == "On my way"
    assert message["data"]["comment"]["user"]["name"] == "Jane Smith"
    path = f"/v1/webhooks/{webhook['id']}/deliveries"
    done = f"{path}?status=delivered&event=ticket.created"
    eventually(lambda: site.client().get(done).json()["data"])
    (delivery,) = site.client().get(done).json()["data"]
    assert delivery["message_id"] == created.id
    assert delivery["request"]["body"].encode() == created.body
    assert delivery["request"]["headers"]["webhook-signature"] == created.headers["webhook-signature"]
    assert delivery["response_status"] == 200
    assert delivery["latency_ms"] >= 0
    (attempt,) = delivery["attempts"]
    assert (attempt["attempt"], len(attempt["response_body"])) == (1, 2_048)
    assert site.client().get(f"{path}/{delivery['id']}").json()["data"] == delivery
    for absent in ("0", "x", "9" * 30):
        assert site.client().get(f"{path}/{absent}").status_code == 404


def test_a_test_message_and_a_redelivery_are_sent(site, receiver):
    webhook = register(site, receiver.url())
    path = f"/v1/webhooks/{webhook['id']}"

    sent = site.client().post(f"{path}/test")
    eventually(lambda: receiver.posts)
    delivery = sent.json()["data"]
    eventually(
        lambda: (
            site.client().get(f"{path}/deliveries/{delivery['id']}").json()["data"]["status"] == "delivered"
        )
    )
    again = site.client().post(f"{path}/deliveries/{delivery['id']}/redeliver")
    eventually(lambda: len(receiver.posts) == 2)

    assert (sent.status_code, again.status_code) == (202, 202)
    assert (delivery["event"], delivery["status"]) == ("webhook.test", "pending")
    first, second = receiver.posts
    assert (first.id, first.body) == (second.id, second.body)
    assert json.loads(first.body)["data"] == {"webhook_id": webhook["id"]}


def test_dead_deliveries_are_recovered_and_missed_events_are_replayed(site, receiver):
    before = datetime.now(UTC) - timedelta(seconds=2)
    missed = site.ticket()["id"]
    receiver.answers["/hook"] = answer(500)
    webhook = register(site, receiver.url(), "ticket.created")
    path = f"/v1/webhooks/{webhook['id']}"
    failed = site.ticket()["id"]
    eventually(lambda: site.client().get(f"{path}/deliveries?status=dead").json()["data"])
    receiver.answers.clear()
    since = {"since": before.isoformat()}

    recovered = site.client().post(f"{path}/recover", json=since)
    replayed = site.client().post(f"{path}/replay", json=since)
    again = site.client().post(f"{path}/replay", json=since)

    assert (recovered.status_code, recovered.json()["data"]) == (202, {"queued": 1})
    assert replayed.status_code == 202
    assert replayed.json()["data"]["complete"] is True
    assert replayed.json()["data"]["queued"] >= 1
    assert again.json()["data"]["queued"] == 0
    eventually(lambda: {missed, failed} <= {json.loads(post.body)["data"]["id"] for post in receiver.posts})
    assert site.client().post(f"{path}/recover", json={"since": "yesterday"}).status_code == 422
    assert site.client().post(f"{path}/replay", json={"since": "2026-01-01T00:00:00"}).status_code == 422
    assert site.client().post(f"{path}/replay", json={}).status_code == 422
    bad = (
        site.client().post(f"{path}/replay", json={"since": " 2026-01-01T00:00:00Z ", "until": "now"}).json()
    )
    assert list(bad["error"]["details"]) == ["until"]


@pytest.mark.parametrize(
    "since", ["0001-01-01T00:00:00+14:00", "0001-01-01T00:00:00Z", "9999-12-31T23:59:59-14:00"]
)
def test_the_earliest_and_latest_times_are_accepted(site, receiver, since):
    path = f"/v1/webhooks/{register(site, receiver.url(), 'ticket.created')['id']}"

    for action in ("recover", "replay"):
        assert site.client().post(f"{path}/{action}", json={"since": since}).status_code == 202, action


def test_a_webhook_receives_only_tickets_that_its_owner_may_read(site, receiver):
    manager = register(site, receiver.url("/manager"), role="manager")
    register(site, receiver.url("/admin"))
    foreign = site.ticket("admin", property_id="def456", unit_id=None)["id"]
    own = site.ticket("guest")["id"]

    eventually(
        lambda: (
            {foreign, own} <= received_tickets(receiver, "/admin")
            and own in received_tickets(receiver, "/manager")
        )
    )

    assert foreign not in received_tickets(receiver, "/manager")
    path = f"/v1/webhooks/{manager['id']}/deliveries"
    assert foreign not in site.client("manager").get(path).text


def received_tickets(receiver, path):
    return {json.loads(post.body)["data"]["id"] for post in receiver.at(path)}


def test_a_revoked_key_and_a_demoted_owner_receive_nothing_more(site, receiver):

    admin = site.client()
    person = {"name": "M", "email": "m@example.com", "role": "manager", "property_ids": ["abc123"]}
    user = admin.post("/v1/users", json=person).json()["data"]
    demoted = site.client(key=site.key(role="manager", user_id=user["id"]))
    key = site.key(role="admin", name="to be revoked")
    for client, path in ((demoted, "/demoted"), (site.client(key=key), "/revoked"), (admin, "/all")):
        made = client.post(
            "/v1/webhooks", json={**WEBHOOK, "url": receiver.url(path), "events": ["ticket.*"]}
        )
        assert made.status_code == 201, made.text
    first = site.ticket()["id"]
    eventually(
        lambda: all(first in received_tickets(receiver, path) for path in ("/demoted", "/revoked", "/all"))
    )

    admin.patch(f"/v1/users/{user['id']}", json={"role": "guest"})
    with site.pool.connection() as conn:
        (key_id,) = conn.execute("SELECT id FROM access.api_keys WHERE name = 'to be revoked'").fetchone()
    revoke_key(site.store, key_id, operator())
    second = site.ticket()["id"]

    eventually(lambda: second in received_tickets(receiver, "/all"))
    assert received_tickets(receiver, "/demoted") == received_tickets(receiver, "/revoked") == {first}


def test_rotating_shows_a_new_secret_and_signs_with_both(site, receiver):
    webhook = register(site, receiver.url(), "ticket.created")

    rotated = site.client().post(f"/v1/webhooks/{webhook['id']}/rotate", json={})
    site.ticket()
    eventually(lambda: receiver.posts)

    assert rotated.status_code == 200, rotated.text
    secret = rotated.json()["data"]["secret"]
    (post,) = receiver.posts
    assert Verifier(secret).verify(post.body, post.headers)
    assert Verifier(b"your_webhook_secret").verify(post.body, post.headers)
