"""Webhooks that applications, keys and people registered: nothing is sent after the owner lost access."""

from __future__ import annotations

import json

import pytest

from commands.erasure import erase_user
from commands.oauth_clients import revoke_client
from tests.acceptance.panel import hidden
from tests.acceptance.site import operator
from tests.acceptance.test_webhooks import received_tickets
from tests.acceptance.test_webhooks import receiver as receiver
from tests.acceptance.test_webhooks import site as site
from tests.support.arrange import change_user
from tests.support.browser import Browser, forms_of, give_password
from tests.support.oauth import ask, make_app, tokens_for
from tests.support.waiting import eventually

SCOPES = ("tickets:read", "webhooks:read", "webhooks:write")
EVERYTHING = {"events": ["ticket.*"], "secret": "your_webhook_secret"}


@pytest.fixture(scope="module")
def browser(site):
    """The manager of the first property, signed in."""
    give_password(site.store, "user050")
    browser = Browser(site.base_url)
    assert browser.sign_in("user050").status_code == 303
    return browser


def register(site, token, url):
    answer = site.client(key=token).post("/v1/webhooks", json={**EVERYTHING, "url": url})
    assert answer.status_code == 201, answer.text
    return answer.json()["data"]["id"]


def revoke_consent(site, browser, app, tokens):
    """Revoke the consent as the person, on the page that lists the applications."""
    with site.pool.connection() as conn:
        query = "SELECT id FROM access.oauth_grants WHERE client_id = %s"
        ((grant_id,),) = conn.execute(query, [app.client_id]).fetchall()
    forms = forms_of(browser.open("/oauth/applications").text)
    form = next(form for form in forms if form.fields.get("grant") == grant_id)
    assert browser.send(form.action, form.fields).status_code == 303


def revoke_token(site, browser, app, tokens):
    ask(site.base_url, "/oauth/revoke", app, {"token": tokens["refresh_token"]})


def revoke_application(site, browser, app, tokens):
    revoke_client(site.store, app.client_id, operator())


def expire_tokens(site, browser, app, tokens):
    with site.pool.connection() as conn:
        conn.execute(
            "UPDATE access.oauth_tokens SET expires_at = now() WHERE client_id = %s", [app.client_id]
        )


def keep_access(site, browser, app, tokens):
    """The control: the application keeps its access."""


ENDS = (revoke_consent, revoke_token, revoke_application, expire_tokens)


def test_the_webhook_of_an_application_receives_nothing_after_its_access_ended(site, receiver, browser):
    apps = {}
    for end in (*ENDS, keep_access):
        app = make_app(site.store, scopes=SCOPES)
        tokens = tokens_for(browser, app)
        path = f"/{end.__name__}"
        apps[end] = (app, tokens, register(site, tokens["access_token"], receiver.url(path)))
    first = site.ticket()["id"]
    eventually(lambda: all(first in received_tickets(receiver, f"/{end.__name__}") for end in apps))

    for end, (app, tokens, _) in apps.items():
        end(site, browser, app, tokens)
    second = site.ticket()["id"]
    eventually(lambda: second in received_tickets(receiver, "/keep_access"))

    assert {end.__name__: received_tickets(receiver, f"/{end.__name__}") for end in ENDS} == {
        end.__name__: {first} for end in ENDS
    }
    listed = {each["id"]: each for each in site.client("manager").get("/v1/webhooks").json()["data"]}
    assert [listed[apps[end][2]]["access_ended"] for end in (*ENDS, keep_access)] == [True] * 4 + [False]
    assert all(listed[webhook_id]["enabled"] for _, _, webhook_id in apps.values())
    page = browser.open(f"/admin/webhooks/{apps[revoke_consent][2]}").text
    assert "may no longer read tickets" in page
    assert "Send a test" not in page
    assert "Send a test" in browser.open(f"/admin/webhooks/{apps[keep_access][2]}").text

    tokens_for(browser, apps[revoke_consent][0])
    third = site.ticket()["id"]
    eventually(lambda: third in received_tickets(receiver, "/revoke_consent"))
    assert second not in received_tickets(receiver, "/revoke_consent"), "events without access are not queued"


def test_due_deliveries_are_withheld_when_the_access_ends(site, receiver, browser):
    app = make_app(site.store, scopes=SCOPES)
    tokens = tokens_for(browser, app)
    webhook_id = register(site, tokens["access_token"], receiver.url("/late"))
    path = f"/v1/webhooks/{webhook_id}"
    manager = site.client("manager")
    assert manager.patch(path, json={"enabled": False}).status_code == 200
    with site.pool.connection() as conn:  # the delivery will be due, but paused
        conn.execute("UPDATE hook.endpoints SET is_enabled = true WHERE id = %s", [webhook_id])
        conn.execute("INSERT INTO hook.health VALUES (%s, 1, now(), now() + interval '1 hour')", [webhook_id])
    site.ticket()
    eventually(lambda: manager.get(f"{path}/deliveries").json()["data"])

    revoke_token(site, browser, app, tokens)
    with site.pool.connection() as conn:
        conn.execute("DELETE FROM hook.health WHERE endpoint_id = %s", [webhook_id])
    eventually(
        lambda: [each["status"] for each in manager.get(f"{path}/deliveries").json()["data"]] == ["withheld"]
    )

    assert receiver.at("/late") == []
    (delivery,) = manager.get(f"{path}/deliveries").json()["data"]
    assert delivery["request"]["body"] is None


def test_the_webhook_of_an_application_has_the_reach_of_the_application(site, receiver, browser):
    facts = {"scopes": SCOPES, "property_ids": ("def456",)}
    itself, for_admin = make_app(site.store, **facts), make_app(site.store, **facts)
    own = ask(site.base_url, "/oauth/token", itself, {"grant_type": "client_credentials"}).json()
    give_password(site.store, "user001")
    admin = Browser(site.base_url)
    admin.sign_in("user001")
    tokens = tokens_for(admin, for_admin)
    register(site, own["access_token"], receiver.url("/itself"))
    register(site, tokens["access_token"], receiver.url("/for-admin"))

    outside = site.ticket("admin")["id"]
    inside = site.ticket("admin", property_id="def456", unit_id=None)["id"]

    for path in ("/itself", "/for-admin"):
        eventually(lambda path=path: inside in received_tickets(receiver, path))
        assert outside not in received_tickets(receiver, path)


def test_the_webhook_of_a_key_without_tickets_read_receives_nothing(site, receiver):
    key = site.key(role="admin", scopes=("webhooks:read", "webhooks:write"))
    webhook_id = register(site, key, receiver.url("/without-scope"))
    register(site, site.keys["admin"], receiver.url("/control"))

    ticket = site.ticket()["id"]
    eventually(lambda: ticket in received_tickets(receiver, "/control"))

    assert receiver.at("/without-scope") == []
    assert site.client(key=key).get(f"/v1/webhooks/{webhook_id}").json()["data"]["access_ended"]


def deactivate(store, user_id, context):
    change_user(store, user_id, context, active=False)


@pytest.mark.parametrize("leave", [erase_user, deactivate])
def test_a_webhook_of_the_panel_receives_nothing_after_its_owner_is_gone(site, receiver, leave):
    left, staying = f"/left-{leave.__name__}", f"/staying-{leave.__name__}"
    person = site.person(role="manager")
    give_password(site.store, person["id"])
    browser = Browser(site.base_url)
    assert browser.sign_in(person["id"]).status_code == 303
    form = hidden(browser.open("/admin/webhooks/new").text)
    made = browser.send("/admin/webhooks/new", {**form, "url": receiver.url(left), "events": "ticket.*"})
    assert made.status_code == 200, made.text
    register(site, site.keys["admin"], receiver.url(staying))
    first = site.ticket()["id"]
    eventually(lambda: first in received_tickets(receiver, left))

    leave(site.store, person["id"], operator())
    second = site.ticket()["id"]
    eventually(lambda: second in received_tickets(receiver, staying))

    assert {json.loads(post.body)["data"]["id"] for post in receiver.at(left)} == {first}


def test_a_key_that_reads_less_than_its_person_manages_only_its_own_webhooks(site, receiver):
    """Managing a webhook includes reading its deliveries and changing its address."""
    both = site.person(role="manager", property_ids=["abc123", "def456"])["id"]
    whole, again = (site.client(key=site.key(role="manager", user_id=both)) for _ in range(2))
    webhook_id = register(site, whole.headers["Authorization"].removeprefix("Bearer "), receiver.url("/both"))
    site.ticket("admin", property_id="def456", unit_id=None)
    eventually(lambda: whole.get(f"/v1/webhooks/{webhook_id}/deliveries").json()["data"])
    narrow = {
        "properties": {"user_id": both, "role": "manager", "property_ids": ("abc123",)},
        "scopes": {"user_id": both, "role": "manager", "scopes": ("webhooks:read", "webhooks:write")},
        "role": {"user_id": "user001", "role": "manager", "property_ids": ("abc123", "def456")},
        "an admin's scopes": {"role": "admin", "scopes": ("webhooks:read", "webhooks:write")},
    }

    for name, facts in narrow.items():
        key = site.key(**facts)
        client, path = site.client(key=key), f"/v1/webhooks/{webhook_id}"
        own = register(site, key, receiver.url("/own"))
        assert [each["id"] for each in client.get("/v1/webhooks").json()["data"]] == [own], name
        assert client.get(f"{path}/deliveries").status_code == 404, name
        assert client.patch(path, json={"url": receiver.url("/elsewhere")}).status_code == 404, name
        assert client.post(f"{path}/rotate", json={}).status_code == 404, name
        assert client.delete(path).status_code == 404, name
        assert client.patch(f"/v1/webhooks/{own}", json={"enabled": False}).status_code == 200, name

    assert again.get(f"/v1/webhooks/{webhook_id}").json()["data"]["url"] == receiver.url("/both")
    assert site.client("admin").get(f"/v1/webhooks/{webhook_id}").status_code == 200
