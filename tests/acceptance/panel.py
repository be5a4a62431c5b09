"""Browsers with sessions in the admin panel, and objects that its pages show."""

from __future__ import annotations

import re
from typing import Any

from playwright.sync_api import Page
from requests import Response

from pages.panel.routes import PANEL
from tests.acceptance.site import PEOPLE, Site
from tests.support.browser import PASSWORD, Browser, forms_of, give_password
from tests.support.oauth import make_app
from tests.support.waiting import eventually

PIXEL = b"GIF89a\x01\0\x01\0\x80\0\0\0\0\0\xff\xff\xff,\0\0\0\0\x01\0\x01\0\0\x02\x02D\x01\0;"  # a picture
SIGNED_IN = ("admin", "manager", "staff", "guest")


def give_passwords(site: Site) -> None:
    for role in SIGNED_IN:
        give_password(site.store, PEOPLE[role][0])


def browser_of(site: Site, role: str) -> Browser:
    """Return a browser in which the person with that role is signed in."""
    browser = Browser(site.base_url)
    answer = browser.sign_in(PEOPLE[role][0])
    assert answer.status_code == 303, answer.text
    return browser


def browser_with_ended_session(site: Site) -> tuple[Browser, str, dict[str, str]]:
    """Return an admin's browser whose session has ended, a ticket's path, and its comment form's fields."""
    browser, path = browser_of(site, "admin"), f"/admin/tickets/{site.ticket('guest')['id']}"
    fields = hidden(browser.open(path).text)
    browser.http.cookies.clear()
    return browser, path, {**fields, "visibility": "internal"}


def send_sign_in_form(browser: Browser, answer: Response, password: str = PASSWORD) -> Response:
    """Send the sign-in form of that page as the admin."""
    form = forms_of(answer.text)[0]
    return browser.send(form.action, {**form.fields, "account": PEOPLE["admin"][0], "password": password})


def followers_of(browser: Browser) -> dict[str, str]:
    """Return what the page of the system's health shows about each follower of the log; empty for callers who
    may not see it."""
    page = browser.open("/admin/health").text
    names = ("Projector", "Relay to Kafka", "Webhook dispatcher")
    shown = {name: re.search(rf"<dt>{name}</dt><dd>\s*<span[^>]*>([^<]*)</span>", page) for name in names}
    return {name: found[1] if found else "" for name, found in shown.items()}


def hidden(page: str) -> dict[str, str]:
    """Return the hidden fields of the last POST form of the page; the first one is the sign-out form."""
    form = re.findall(r'<form[^>]*method="post".*?</form>', page, re.DOTALL)[-1]
    return dict(re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)"', form))


def create_objects(site: Site) -> dict[str, str]:
    """Create one object of each kind and return the ids, for the addresses of the panel's pages."""
    ticket = site.ticket("guest", description="First line\nSecond line " + "long " * 80)
    staff = site.client("staff")
    staff.patch(f"/v1/tickets/{ticket['id']}", json={"status": "in_progress", "assigned_to": "user101"})
    site.key(role="staff", name="K" * 120)
    with site.pool.connection() as conn:
        (key_id,) = conn.execute("SELECT max(id) FROM access.api_keys").fetchone()
    return {
        "ticket_id": ticket["id"],
        "position": first_position(site, ticket["id"]),
        **comment_with_file(site, ticket["id"]),
        "user_id": "user101",
        "link": _one_time_link(site),
        "property_id": "abc123",
        "unit_id": "unit456",
        "key_id": key_id,
        "client_id": make_app(site.store, name="To look at").client_id,
        **_create_webhook(site),
    }


def first_position(site: Site, ticket_id: str) -> str:
    """Return the position of the first event of the ticket, once the audit trail contains it."""
    (opened,) = eventually(lambda: events_of(site, ticket_id)[-1:], within=60)
    return str(opened["position"])


def events_of(site: Site, ticket_id: str) -> list[dict[str, Any]]:
    """Return the events of the ticket in the audit trail, newest first."""
    found = site.client().get(f"/v1/audit/events?ticket_id={ticket_id}&per_page=100").json()["data"]
    return list(found)


def comment_with_file(site: Site, ticket_id: str) -> dict[str, str]:
    """Comment on the ticket and attach a file and a photo as a member of staff.

    Returns the ids of the comment and of the photo.
    """
    client, path = site.client("staff"), f"/v1/tickets/{ticket_id}"
    comment = client.post(f"{path}/comments", json={"text": "W" * 200, "visibility": "internal"})
    client.post(f"{path}/attachments", files={"file": ("F" * 200, b"hello", "text/plain")})
    file = client.post(f"{path}/attachments", files={"file": ("P" * 200, PIXEL, "image/gif")})
    return {"comment_id": comment.json()["data"]["id"], "attachment_id": file.json()["data"]["id"]}


def _one_time_link(site: Site) -> str:
    """Return the path and query of a new one-time link."""
    user_id = site.person(role="guest")["id"]
    url = site.client().post(f"/v1/users/{user_id}/one-time-link").json()["data"]["url"]
    return str(url).removeprefix(site.base_url)


def _create_webhook(site: Site) -> dict[str, str]:
    body = {"url": "https://hooks.example/" + "p" * 300, "events": ["ticket.*"]}
    webhook_id = site.client("admin").post("/v1/webhooks", json=body).json()["data"]["id"]
    sent = site.client("admin").post(f"/v1/webhooks/{webhook_id}/test").json()["data"]
    return {"webhook_id": webhook_id, "delivery_id": sent["id"]}


def give_session(page: Page, site: Site, browser: Browser) -> None:
    """Give the page of Chromium the session of that browser."""
    cookies = [{"name": one.name, "value": one.value, "url": site.base_url} for one in browser.http.cookies]
    page.context.add_cookies(cookies)


def with_session(page: Page, site: Site, browser: Browser) -> Page:
    """The page of Chromium, with the session of that browser."""
    give_session(page, site, browser)
    return page


def panel_paths() -> list[str]:
    """The paths of the pages of the panel."""
    return [path for path, resource in PANEL if "GET" in resource.operations]
