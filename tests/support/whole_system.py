"""Uses every process of a running system once: API, projector, webhook dispatcher and notary."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from infrastructure.storage.postgres import Connection, fetch_value
from tests.acceptance.site import PEOPLE, Site
from tests.support.browser import Browser, give_password
from tests.support.receivers import Receiver, running_receiver
from tests.support.waiting import eventually

COLLIDING = 8
FOLLOWERS = ("webhook-dispatcher", "notary")
SIGNED_ERASURES = "SELECT count(*) FROM notary.statements WHERE line LIKE '%erasure%' AND position IS NULL"


@contextmanager
def whole_system(dsn: str, log: Path, **variables: str) -> Iterator[Site]:
    """A site with every process; `variables` are settings by name, and `dsn` is a direct connection."""
    with Site.running(
        dsn,
        others=FOLLOWERS,
        log=log,
        WEBHOOK_ALLOW_PRIVATE_ADDRESSES="1",
        WEBHOOK_RETRY_SECONDS="0.1",
        **variables,
    ) as site:
        yield site


def use_whole_system(site: Site) -> dict[str, object]:
    """Write and read through each part. Returns what was found, by the part that did it."""
    client = site.client()
    with running_receiver() as receiver:
        hook = client.post("/v1/webhooks", json={"url": receiver.url(), "events": ["ticket.*"]})
        ticket = site.ticket(title="Zebra finch behind the boiler")
        changed = client.patch(f"/v1/tickets/{ticket['id']}", json={"status": "in_progress"})
        read = client.get(f"/v1/tickets/{ticket['id']}").json()["data"]
        listed = client.get("/v1/tickets", params={"q": "zebra finch"}).json()["data"]
        feed = client.get("/v1/events", params={"limit": 100}).json()["data"]["events"]
        delivered = _deliveries(receiver, ticket["id"])
    return {
        "webhook": hook.status_code,
        "change": changed.status_code,
        "detail": (read["id"], read["status"]),
        "list": [(row["id"], row["status"]) for row in listed][:1],
        "feed": any(ticket["id"] in str(event) for event in feed),
        "times": {read["created_at"][-1], *(row["created_at"][-1] for row in listed)},
        "file": _upload(site, ticket["id"]),
        "sign-in": _sign_in(site),
        "delivered": delivered,
        "signed": _sign_erasure(site),
        "collisions": _collide(site, ticket["id"]),
    } | {"ticket": ticket["id"]}


def expected_of(found: dict[str, object]) -> dict[str, object]:
    """What `use_whole_system` returns when every part works."""
    shown = (found["ticket"], "in_progress")
    return {
        "webhook": 201,
        "change": 200,
        "detail": shown,
        "list": [shown],
        "feed": True,
        "times": {"Z"},
        "file": b"leak",
        "sign-in": (303, 200),
        "delivered": True,
        "signed": True,
        "collisions": {200},
        "ticket": found["ticket"],
    }


def _deliveries(receiver: Receiver, ticket_id: str) -> bool:
    return eventually(lambda: sum(ticket_id.encode() in post.body for post in receiver.posts) >= 2)


def _upload(site: Site, ticket_id: str) -> bytes:
    files = {"file": ("leak.txt", b"leak", "text/plain")}
    made = site.client().post(f"/v1/tickets/{ticket_id}/attachments", files=files)
    path = made.json()["data"]["url"].partition("/v1/")[2]
    return site.client(None).get(f"/v1/{path}").content


def _collide(site: Site, ticket_id: str) -> set[int]:
    """Change one ticket in many requests at the same time: after a collision they need a lock."""

    def change(number: int) -> int:
        body = {"title": f"Changed at the same time {number}"}
        return site.client().patch(f"/v1/tickets/{ticket_id}", json=body).status_code

    with ThreadPoolExecutor(COLLIDING) as executor:
        return set(executor.map(change, range(3 * COLLIDING)))


def _sign_in(site: Site) -> tuple[int, int]:
    user_id = PEOPLE["manager"][0]
    give_password(site.store, user_id)
    browser = Browser(site.base_url)
    signed_in = browser.sign_in(user_id)
    return signed_in.status_code, browser.open("/admin/tickets").status_code


def _sign_erasure(site: Site) -> bool:
    """Erase a person, which the notary signs at once."""
    person = site.person()["id"]
    with site.pool.connection() as conn:
        before = _signed(conn)
        site.client().post(f"/v1/users/{person}/erase", json={}).raise_for_status()
        return eventually(lambda: _signed(conn) > before)


def _signed(conn: Connection) -> int:
    return fetch_value(conn, SIGNED_ERASURES, default=0)
