"""Browsers for the people of the admin panel, and objects to show on its pages."""

from __future__ import annotations

import re

from requests import Response

from tests.acceptance.site import PEOPLE, Site
from tests.support.browser import PASSWORD, Browser, forms_of, give_password
from tests.support.oauth import make_app

SIGNED_IN = ("admin", "manager", "staff", "guest")


def give_passwords(site: Site) -> None:
    for role in SIGNED_IN:
        give_password(site.store, PEOPLE[role][0])


def browser_of(site: Site, role: str) -> Browser:
    """A browser in which a person with that role is signed in."""
    browser = Browser(site.base_url)
    answer = browser.sign_in(PEOPLE[role][0])
    assert answer.status_code == 303, answer.text
    return browser


def signed_out_in_between(site: Site) -> tuple[Browser, str, dict[str, str]]:
    """An admin's browser on the page of a ticket, with an ended session; the ticket's path; and the fields of
    its comment form."""
    browser, path = browser_of(site, "admin"), f"/admin/tickets/{site.ticket('guest')['id']}"
    fields = hidden(browser.open(path).text)
    browser.http.cookies.clear()
    return browser, path, {**fields, "visibility": "internal"}


def sign_in_there(browser: Browser, answer: Response, password: str = PASSWORD) -> Response:
    """Send the sign-in form of the answer as the admin."""
    form = forms_of(answer.text)[0]
    return browser.send(form.action, {**form.fields, "account": PEOPLE["admin"][0], "password": password})


def followers_of(browser: Browser) -> dict[str, str]:
    """What the overview shows about each follower of the log."""
    page = browser.open("/admin").text
    names = ("Projector", "Relay to Kafka", "Webhook dispatcher")
    said = {name: re.search(rf"<dt>{name}</dt><dd>\s*<span[^>]*>([^<]*)</span>", page) for name in names}
    return {name: found[1] if found else "" for name, found in said.items()}


def hidden(page: str) -> dict[str, str]:
    """The hidden fields of the last POST form of the page; the first one is the sign-out form."""
    form = re.findall(r'<form[^>]*method="post".*?</form>', page, re.DOTALL)[-1]
    return dict(re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)"', form))


def things_to_look_at(site: Site) -> dict[str, str]:
    """Create one object of each kind and return the ids, for the addresses of the panel's pages."""
    ticket = site.ticket("guest", description="First line\nSecond line " + "long " * 80)
    staff = site.client("staff")
    staff.patch(f"/v1/tickets/{ticket['id']}", json={"status": "in_progress", "assigned_to": "user101"})
    staff.post(f"/v1/tickets/{ticket['id']}/comments", json={"text": "W" * 200, "visibility": "internal"})
    site.key(role="staff", name="K" * 120)
    with site.pool.connection() as conn:
        (key_id,) = conn.execute("SELECT max(id) FROM access.api_keys").fetchone()
    return {
        "ticket_id": ticket["id"],
        "user_id": "user101",
        "property_id": "abc123",
        "key_id": key_id,
        "client_id": make_app(site.store, name="To look at").client_id,
        **_webhook_to_look_at(site),
    }


def _webhook_to_look_at(site: Site) -> dict[str, str]:
    body = {"url": "https://hooks.example/" + "p" * 300, "events": ["ticket.*"]}
    webhook_id = site.client("admin").post("/v1/webhooks", json=body).json()["data"]["id"]
    sent = site.client("admin").post(f"/v1/webhooks/{webhook_id}/test").json()["data"]
    return {"webhook_id": webhook_id, "delivery_id": sent["id"]}
