"""Puts script into every text field that people, OAuth clients and webhook receivers can fill."""

from __future__ import annotations

from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from typing import Any, NamedTuple

import msgspec

from domain.aggregate import DomainEvent
from tests.acceptance.panel import first_position
from tests.acceptance.site import Site
from tests.support.log import events_after
from tests.support.oauth import make_app
from tests.support.receivers import Receiver, answer
from tests.support.waiting import eventually

SCRIPT = "<script>window.ran=1</script>\"'><img src=x onerror=window.ran=1>"
IN_ADDRESSES = "'onerror='window.ran=1"  # script that a valid address can contain
ADDRESS_LINES = ("street", "city", "state", "zip", "country")
EMAIL = '"<script>window.ran=1</script>"@{}.example.com'

# Text fields of events that cannot contain script: ids, names from a list, slugs, numbers, hashes.
CLOSED = {
    "api_key.issued": {"scopes", "property_ids"},
    "audit.read": {"route", "filters"},  # filters are validated and no page shows them
    "access.denied": {"method", "route", "code"},
    "oauth_client.registered": {"scopes", "property_ids", "client_kind", "grant_types", "role", "origins"},
    "oauth_grant.given": {"scopes"},
    "property.unit_added": set(),
    "ticket.opened": {"category", "priority", "tags"},
    "ticket.tags_changed": {"tags"},
    "ticket.category_changed": {"category"},
    "ticket.file_attached": {"sha256", "content_type"},
    "user.registered": {"phone", "property_ids", "role", "preferences"},
    "user.phone_changed": {"phone"},
    "user.properties_changed": {"property_ids"},
    "user.preferences_changed": {"preferences"},
    "webhook.registered": {"event_names", "header_names", "payload", "filter"},
    "webhook.headers_changed": {"header_names"},
    "webhook.filter_changed": {"filter"},
    "webhook.payload_changed": {"payload"},
    "webhook.event_names_changed": {"event_names"},
}


class Filled(NamedTuple):
    """The objects whose text fields contain script."""

    ids: dict[str, str]
    texts: dict[str, str]  # by field; each is shown by a page
    address: str  # the redirect URI of the OAuth client
    left_out: set[tuple[str, str]]  # text fields of events, by tag and name, without script


def text(what: str) -> str:
    """Return script that names its field."""
    return f"{what} {SCRIPT}"


def fill(site: Site, receiver: Receiver) -> Filled:
    """Put script into every text field of every aggregate, and into the answers of a webhook receiver."""
    admin, texts = site.client("admin"), {}

    def mark(what: str) -> str:
        texts[what] = text(what)
        return texts[what]

    receiver.answers["/" + IN_ADDRESSES] = answer(500, mark("answer").encode(), X_Header=text("header"))
    receiver.answers["/garbage"] = _garbage
    hooks = [_webhook(admin, receiver, path) for path in ("/" + IN_ADDRESSES, "/garbage")]
    places = [_property(admin, mark, "registered"), _property(admin, mark, "changed")]
    unit = {"name": mark("unit"), "external_ids": {"sap": text("id of a unit")}}
    unit = admin.post(f"/v1/properties/{places[0]}/units", json=unit).json()["data"]["id"]
    changes = {"external_ids": {"crm": text("other id of a unit")}}
    assert admin.patch(f"/v1/properties/{places[0]}/units/{unit}", json=changes).status_code == 200
    people = [_person(admin, mark, f"person{n}", places) for n in range(2)]
    opened = {"title": mark("title"), "description": mark("description"), "priority": "critical"}
    tickets = [
        site.ticket("admin", **opened, property_id=places[0], unit_id=unit, external_ids={"sap": mark("id")}),
        site.ticket("admin", title="Plain", description="Plain", property_id=places[1], unit_id=None),
    ]
    for ticket, person in zip(tickets, people, strict=True):
        changes = {"title": mark("new title"), "description": mark("new description"), "assigned_to": person}
        changes["external_ids"] = {"crm": text(f"id of {ticket['id']}")}
        assert admin.patch(f"/v1/tickets/{ticket['id']}", json=changes).status_code == 200
    path = f"/v1/tickets/{tickets[0]['id']}"
    assert admin.post(f"{path}/comments", json={"text": mark("comment")}).status_code == 201
    comment_id = admin.post(f"{path}/comments", json={"text": "Plain"}).json()["data"]["id"]
    edited = {"text": mark("edited comment")}
    assert admin.patch(f"{path}/comments/{comment_id}", json=edited).status_code == 200
    texts["file"] = "<img src=x onerror=window.ran=1>.jpg"  # without a slash, which would end a folder name
    file = {"file": (texts["file"], b"\xff\xd8\xff\xe0", "image/jpeg")}
    attachment_id = admin.post(f"{path}/attachments", files=file).json()["data"]["id"]
    site.key(name=mark("key"), role="staff")
    app = make_app(site.store, name=mark("application"), redirect_uris=(f"https://a.example/{IN_ADDRESSES}",))
    ids = {
        "ticket_id": tickets[0]["id"],
        "position": first_position(site, tickets[0]["id"]),
        "comment_id": comment_id,
        "attachment_id": attachment_id,
        "property_id": places[0],
        "unit_id": unit,
        "user_id": people[0],
        "key_id": _newest(site, "SELECT max(id) FROM access.api_keys"),
        "client_id": app.client_id,
        "webhook_id": hooks[0],
        "delivery_id": _delivered(admin, hooks[0]),
    }
    _delivered(admin, hooks[1])
    left_out = _fields_without_script([recorded.event for recorded in events_after(site.store, 0, 100_000)])
    texts["parked"] = _park(site)
    return Filled(ids, texts, app.redirect_uri, left_out)


def _fields_without_script(events: list[DomainEvent]) -> set[tuple[str, str]]:
    """Return the text fields that contain no script in these events and are not in CLOSED."""
    fields = {(kind.__struct_config__.tag, name) for kind in _kinds() for name in _texts_of(kind)}
    with_script = {
        (event.tag, name)
        for event in events
        for name in _texts_of(type(event))
        if any(sign in str(msgspec.to_builtins(getattr(event, name))) for sign in ("<script", "onerror="))
    }
    return fields - with_script


def _kinds() -> Iterator[type[DomainEvent]]:
    import domain.events  # noqa: F401 - defines every kind of event

    waiting = [*DomainEvent.__subclasses__()]
    while waiting:
        kind = waiting.pop()
        waiting += kind.__subclasses__()
        if kind.__module__.startswith("domain."):  # other tests define further events
            yield kind


def _texts_of(kind: type[DomainEvent]) -> list[str]:
    """Return the names of the fields that this kind of event adds and that can contain typed text."""
    common = {field.name for field in msgspec.structs.fields(DomainEvent)}
    closed = CLOSED.get(str(kind.__struct_config__.tag), set())
    return [
        field.name
        for field in msgspec.structs.fields(kind)
        if field.name not in common | closed
        and not field.name.endswith("_id")
        and any(word in str(field.type) for word in ("str", "Address"))
    ]


def _webhook(admin: Any, receiver: Receiver, path: str) -> str:
    """Register a webhook and change its address twice, so that both kinds of event contain it."""
    body = {"url": receiver.url(path), "events": ["ticket.created"], "secret": "a secret of ours"}
    webhook_id = str(admin.post("/v1/webhooks", json=body).json()["data"]["id"])
    for url in (receiver.url("/elsewhere"), receiver.url(path)):
        assert admin.patch(f"/v1/webhooks/{webhook_id}", json={"url": url}).status_code == 200
    return webhook_id


def _property(admin: Any, mark: Any, what: str) -> str:
    body = {"name": mark(f"property {what}"), "address": {n: mark(f"{n} {what}") for n in ADDRESS_LINES}}
    body["external_ids"] = {"sap": text(f"id of property {what}")}
    plain = {"name": "Plain", "address": dict.fromkeys(ADDRESS_LINES, "Plain")}
    made = admin.post("/v1/properties", json=plain if what == "changed" else body).json()["data"]
    if what == "changed":
        assert admin.patch(f"/v1/properties/{made['id']}", json=body).status_code == 200
    return str(made["id"])


def _person(admin: Any, mark: Any, what: str, places: list[str]) -> str:
    body = {"name": mark(what), "email": EMAIL.format(what), "role": "staff", "property_ids": places}
    body["external_ids"] = {"hr": text(f"id of {what}")}
    plain = body | {"name": "Plain", "email": f"{what}@example.com", "external_ids": {}}
    made = admin.post("/v1/users", json=body if what == "person0" else plain).json()["data"]
    assert admin.patch(f"/v1/users/{made['id']}", json=body).status_code == 200
    return str(made["id"])


def _garbage(handler: BaseHTTPRequestHandler) -> None:
    """Answer with bytes that are not HTTP and that appear in the error message."""
    handler.wfile.write(f"HTTP/1.1 {SCRIPT}\r\n\r\n".encode())
    handler.close_connection = True


def _delivered(admin: Any, webhook_id: str) -> str:
    def attempted_deliveries() -> Any:
        found = admin.get(f"/v1/webhooks/{webhook_id}/deliveries").json()["data"]
        return [each["id"] for each in found if each["attempts"]]

    return str(eventually(attempted_deliveries, 60)[0])


def _park(site: Site) -> str:
    """Store an event that cannot be projected, with script in every field."""
    with site.pool.connection() as conn:
        conn.execute(
            "INSERT INTO es.stored_events (originator_id, originator_version, topic, state)"
            " VALUES (%s, 1, %s, %s)",
            [text("parked"), text("topic"), msgspec.json.encode({"type": text("type")})],
        )
    return text("parked")


def _newest(site: Site, query: Any) -> str:
    with site.pool.connection() as conn:
        return str(conn.execute(query).fetchone()[0])
