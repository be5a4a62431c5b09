"""Secrets that were used, and data of erased people, are in no table, dump, Kafka record, log or metric."""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Callable
from typing import NamedTuple
from urllib.parse import parse_qs, quote, quote_plus, urlsplit
from uuid import NAMESPACE_URL, uuid5

import pytest
import requests

from commands.oauth_clients import rotate_client_secret
from infrastructure.storage.postgres import connect
from tests.acceptance.site import Site
from tests.support.browser import Browser, forms_of, give_password
from tests.support.commands import MASTER_KEY
from tests.support.dump import everything
from tests.support.keys import operator
from tests.support.oauth import (
    ask,
    authorization_path,
    call,
    consent,
    get_code,
    make_app,
    make_pkce,
    redeem,
    refresh,
)
from tests.support.postgres import cloned_database
from tests.support.receivers import Receiver, answer, running_receiver
from tests.support.stream import everything_sent, published_position, stream_settings
from tests.support.waiting import eventually

ERASED = {"name": "Quirina Zwetkova", "email": "quirina.zwetkova@example.net", "phone": "+7 495 111-22-33"}
KEPT = {
    "name": "Ottoline Vandermolen",
    "email": "ottoline.vandermolen@example.net",
    "phone": "+31 20 444-55-66",
}
USERS = ("user001", "user050", "user101", "user789")
WITH_WEBHOOKS = ("admin", "manager")
BESIDE = ("relay", "webhook-dispatcher", "notary")
WAIT_SECONDS = 120


class SearchedPlaces:
    """The contents of every place where a secret could be: tables, dump, Kafka, logs and metrics."""

    def __init__(self, site, log, sent):
        metrics = site.client().get("/metrics").content
        self.texts = {**everything(site.dsn), "kafka": sent, "log": log.read_bytes(), "metrics": metrics}

    def places_of(self, secret):
        """Return the names of the places that contain the secret in any form."""
        forms = forms_of_secret(secret)
        return {place for place, text in self.texts.items() if any(form in text for form in forms)}

    def places_of_person(self, person):
        """Return the places with one of the values or a word of the name, in upper or lower case."""
        words = [*person.values(), *person["name"].split(), person["phone"].replace(" ", "")]
        forms = {
            form.lower() for word in words for form in forms_of_secret(word) | forms_of_secret(word.lower())
        }
        return {place for place, text in self.texts.items() if any(form in text.lower() for form in forms)}


class Traffic(NamedTuple):
    """The site after everything was used: the places, and the secrets by kind. `collect` reads them again."""

    places: SearchedPlaces
    secrets: list[tuple[str, str]]
    site: Site
    receiver: Receiver
    collect: Callable[[], SearchedPlaces]


def forms_of_secret(secret):
    """Return the secret as plain text, hex, base64, JSON and in URLs; also the bytes of a `whsec_` secret."""
    raws = [secret.encode()]
    if secret.startswith("whsec_"):
        raws.append(base64.b64decode(secret.removeprefix("whsec_")))
    forms = {form for raw in raws for form in (raw, raw.hex().encode(), base64.b64encode(raw).rstrip(b"="))}
    texts = (json.dumps(secret)[1:-1], quote(secret, safe=""), quote_plus(secret))
    return forms | {text.encode() for text in texts}


@pytest.fixture(scope="module")
def traffic(postgres, template, kafka, tmp_path_factory):
    """Runs every process with debug logs, and uses the system in every way that involves a secret."""
    home = tmp_path_factory.mktemp("canaries")
    log = home / "output.log"
    with cloned_database(postgres, template) as dsn, running_receiver() as receiver:
        settings = stream_settings(dsn, kafka, f"canaries-{os.getpid()}", home)
        variables = {
            "LOG_LEVEL": "DEBUG",
            "KAFKA_BOOTSTRAP_SERVERS": kafka,
            "KAFKA_PREFIX": settings.kafka_prefix,
            "WEBHOOK_ALLOW_PRIVATE_ADDRESSES": "1",
            "WEBHOOK_RETRY_SECONDS": "0.1",
        }
        with Site.running(dsn, log=log, others=BESIDE, **variables) as site:
            secrets = [(f"key of {role}", key) for role, key in site.keys.items()]
            secrets.append(("master key", MASTER_KEY))
            for role in WITH_WEBHOOKS:
                secrets += use_webhooks(site, receiver, role)
            for number, user_id in enumerate(USERS):
                secrets += use_everything(site, user_id, f"canary violin quartz bramble {number}")
            last = site.store.recorder.max_notification_id()
            eventually(lambda: published_position(dsn) >= last, WAIT_SECONDS)
            collect = lambda: SearchedPlaces(site, log, everything_sent(settings))  # noqa: E731
            yield Traffic(collect(), secrets, site, receiver, collect)


def use_webhooks(site, receiver, role):
    """Use chosen and generated webhook secrets and rotations, for posts that succeed and fail."""
    client = site.client(role)
    receiver.answers[f"/{role}-failing"] = answer(500, b"no")
    secrets = []
    for path, given in ((f"/{role}", f"canary given {role} secret"), (f"/{role}-failing", None)):
        body = {"url": receiver.url(path), "events": ["ticket.*"], "secret": given}
        retried = {"Idempotency-Key": f"webhook {path}"}
        made = [client.post("/v1/webhooks", json=body, headers=retried).json()["data"] for _ in range(2)]
        assert made[0] == made[1]
        secrets.append((f"webhook secret of {path}", given or made[0]["secret"]))
        send_ticket(site, client, made[0]["id"], receiver, path)
        rotation = f"/v1/webhooks/{made[0]['id']}/rotate"
        renewed = client.post(rotation, json={}, headers={"Idempotency-Key": f"rotate {path}"}).json()["data"]
        secrets.append((f"rotated webhook secret of {path}", renewed["secret"]))
        send_ticket(site, client, made[0]["id"], receiver, path)
        last = f"canary last {path} secret"
        assert client.post(rotation, json={"secret": last}).status_code == 200
        secrets.append((f"given webhook secret of {path}", last))
        send_ticket(site, client, made[0]["id"], receiver, path)
    bad = client.post(
        "/v1/webhooks", json={"url": "nowhere", "events": [], "secret": f"canary refused {role}"}
    )
    assert bad.status_code == 422
    return [*secrets, ("refused webhook secret", f"canary refused {role}")]


def send_ticket(site, client, webhook_id, receiver, path):
    """Open a ticket, and wait until the receiver has its message and the attempt is stored."""
    ticket_id = site.ticket("guest")["id"]
    has_received = lambda: any(ticket_id.encode() in post.body for post in receiver.at(path))  # noqa: E731
    eventually(has_received, WAIT_SECONDS)
    deliveries = f"/v1/webhooks/{webhook_id}/deliveries"
    eventually(lambda: client.get(deliveries).json()["data"][0]["attempts"], WAIT_SECONDS)


def use_everything(site, user_id, password):
    """Sign in and use OAuth as that user; return every secret involved, with its kind."""
    give_password(site.store, user_id, password)
    browser = Browser(site.base_url)
    wrong = f"wrong {password}"
    assert browser.sign_in(user_id, wrong).status_code == 403
    form_cookie = browser.http.cookies["ticketing-form"]
    assert browser.sign_in(user_id, password).status_code == 303
    session = browser.http.cookies["ticketing"]
    app, pkce = make_app(site.store), make_pkce()
    csrf = forms_of(browser.open(authorization_path(app)).text)[0].fields["csrf_token"]
    code = get_code(browser, app, **pkce.parameters)
    tokens = redeem(site.base_url, app, code, code_verifier=pkce.verifier).json()
    again = refresh(site.base_url, app, tokens["refresh_token"]).json()
    assert call(site.base_url, again["access_token"]).status_code == 200
    call(site.base_url, again["access_token"], f"/v1/tickets?q={user_id}", method="PUT")
    own = ask(site.base_url, "/oauth/token", app, {"grant_type": "client_credentials"}).json()["access_token"]
    ask(site.base_url, "/oauth/introspect", app, {"token": own})
    ask(site.base_url, "/oauth/revoke", app, {"token": own})
    redeem(site.base_url, app, code, code_verifier="wrong")
    requests.get(f"{site.base_url}/oauth/token?code={code}", timeout=20)
    requests.get(f"{site.base_url}/{again['access_token']}", timeout=20)
    unredeemed = consent(browser, authorization_path(app)).headers["Location"]
    renewed = rotate_client_secret(site.store, app.client_id, operator()).secret
    return [
        ("password", password),
        ("wrong password", wrong),
        ("session", session),
        ("form cookie", form_cookie),
        ("form token", csrf),
        ("code", code),
        ("unredeemed code", parse_qs(urlsplit(unredeemed).query)["code"][0]),
        ("verifier", pkce.verifier),
        ("access token", tokens["access_token"]),
        ("refresh token", tokens["refresh_token"]),
        ("renewed access token", again["access_token"]),
        ("renewed refresh token", again["refresh_token"]),
        ("token of the client itself", own),
        ("client secret", app.secret),
        ("rotated client secret", renewed),
    ]


def test_no_secret_is_found_anywhere(traffic):
    places, secrets = traffic.places, traffic.secrets
    assert len(secrets) >= 80
    assert len({secret for _, secret in secrets}) == len(secrets)

    found = {kind: names for kind, secret in secrets if (names := places.places_of(secret))}

    assert found == {}


def test_the_search_finds_values_that_are_stored_on_purpose(traffic):
    """The control: values that are not secret are found in every place and from every process."""
    places, site = traffic.places, traffic.site
    with site.pool.connection() as conn:
        (grant_id,) = conn.execute("SELECT id FROM access.oauth_grants LIMIT 1").fetchone()
        (webhook_id,) = conn.execute("SELECT id FROM hook.endpoints LIMIT 1").fetchone()
        (message_id,) = conn.execute("SELECT message_id FROM hook.deliveries LIMIT 1").fetchone()

    in_the_log = {"pg_dump", "es.stored_events", "kafka"}
    assert in_the_log | {"access.oauth_grants"} <= places.places_of(grant_id)
    assert in_the_log | {"hook.endpoints", "hook.secrets", "log"} <= places.places_of(webhook_id)
    assert {"pg_dump", "hook.messages", "hook.attempts"} <= places.places_of(message_id), (
        "a header of the attempt has it"
    )
    assert {"log", "metrics"} <= places.places_of("/oauth/token")
    assert grant_id.encode().hex().encode() in places.texts["pg_dump"], "a dump has the bytes in hex"
    for event in ("projector_leads", "relay_starts", "notary_leads", "checkpoint_signed"):
        assert "log" in places.places_of(event)


def test_personal_data_of_an_erased_user_is_found_nowhere(traffic):
    """The control is a user with the same actions who is not erased: the search finds their data."""
    site, admin = traffic.site, traffic.site.client()
    erased, key, ticket = use_system_as(traffic, ERASED)
    kept, _, _ = use_system_as(traffic, KEPT)
    before = collect_when_published(traffic)

    first, again = (admin.post(f"/v1/users/{erased}/erase") for _ in range(2))

    replayed = register(admin, ERASED)
    shown = admin.get(f"/v1/tickets/{ticket}").json()["data"]
    after = collect_when_published(traffic)
    in_tables = {"pg_dump", "read.users", "access.idempotency", "hook.messages"}
    assert in_tables <= before.places_of_person(ERASED)
    assert in_tables <= before.places_of_person(KEPT) == after.places_of_person(KEPT)
    assert "kafka" not in before.places_of_person(ERASED), "Kafka has only encrypted fields"
    assert after.places_of_person(ERASED) == set()
    assert {"kafka", "es.stored_events"} <= after.places_of(erased), "the id stays"
    assert (first.status_code, first.json()["data"]["name"]) == (200, "Erased user")
    assert again.json() == first.json()
    assert shown["assigned_to"] == {"id": erased, "name": "Erased user"}
    assert site.client(key=key).get("/v1/tickets").status_code == 401
    assert replayed.headers["Idempotent-Replayed"] == "true"
    assert ERASED["name"] not in replayed.text
    assert after.texts["kafka"].count(kept.encode()) < after.texts["kafka"].count(erased.encode())


def register(admin, person):
    """Register the person with a fixed Idempotency-Key. The second answer is a replay."""
    body = person | {"role": "staff", "property_ids": ["abc123"]}
    return admin.post(
        "/v1/users", json=body, headers={"Idempotency-Key": str(uuid5(NAMESPACE_URL, person["email"]))}
    )


def use_system_as(traffic, person):
    """Register a user and store their name in as many places as possible; return id, key and ticket."""
    site, admin = traffic.site, traffic.site.client()
    user_id = register(admin, person).json()["data"]["id"]
    key = site.key(role="staff", user_id=user_id)
    ticket = site.ticket()["id"]
    for title in ("Leak", "Bigger leak"):
        change = {"assigned_to": user_id, "title": title}
        changed = admin.patch(
            f"/v1/tickets/{ticket}", json=change, headers={"Idempotency-Key": title + ticket}
        )
        assert changed.status_code == 200
    mine = site.client(key=key).post(f"/v1/tickets/{ticket}/comments", json={"text": "Done"})
    assert mine.status_code == 201
    give_password(site.store, user_id, "canary of a person")
    browser = Browser(site.base_url)
    for name, password, status in (
        (person["email"], "wrong", 403),
        (person["email"], "canary of a person", 303),
    ):
        assert browser.sign_in(name, password).status_code == status
    for path in ("/v1/tickets", "/v1/users"):
        admin.get(path, params={"q": person["name"]})
    has_received = lambda: any(person["name"].encode() in post.body for post in traffic.receiver.at("/admin"))  # noqa: E731
    eventually(has_received, WAIT_SECONDS)
    return user_id, key, ticket


def collect_when_published(traffic):
    """Wait until Kafka has the whole log, update the statistics of PostgreSQL, and read all places."""
    site = traffic.site
    last = site.store.recorder.max_notification_id()
    eventually(lambda: published_position(site.dsn) >= last, WAIT_SECONDS)
    with connect(site.dsn, application="tests") as conn:
        conn.execute("ANALYZE")
    return traffic.collect()
