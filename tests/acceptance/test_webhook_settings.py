"""The settings of webhooks over HTTP and in the panel: payload, filter, limits and headers."""

import json

import pytest

from tests.acceptance.panel import browser_of, give_passwords
from tests.acceptance.test_webhooks import WEBHOOK, register
from tests.acceptance.test_webhooks import receiver as receiver
from tests.acceptance.test_webhooks import site as site
from tests.support.browser import forms_of
from tests.support.waiting import eventually

SETTINGS = {
    "payload_version": 2,
    "payload": "thin",
    "filter": {"category": {"in": ["plumbing", "roof"]}, "tag": {"in": ["a"], "not": ["b", "c"]}},
    "max_per_second": 20,
    "max_in_flight": 3,
}
TYPED = {
    "payload_version": "2",
    "payload": "thin",
    "filter": "category in plumbing, roof\ntag in a\ntag not b, c",
    "max_per_second": "20",
    "max_in_flight": "3",
}
DEFAULTS = {
    "payload_version": 1,
    "payload": "full",
    "filter": {},
    "max_per_second": None,
    "max_in_flight": None,
}
EMPTY = {"payload_version": "1", "payload": "full", "filter": "", "max_per_second": "", "max_in_flight": ""}


@pytest.fixture(scope="module")
def admin(site):
    give_passwords(site)
    return browser_of(site, "admin")


def settings_of(site, path):
    shown = site.client().get(f"/v1{path}").json()["data"]
    return {name: shown[name] for name in SETTINGS}


def settings_form(page):
    return next(form for form in forms_of(page.text) if "payload_version" in dict(form.pairs))


def shown_settings(form):
    fields = dict(form.pairs)
    return {name: fields[name].replace("\r\n", "\n").strip() for name in TYPED}


@pytest.mark.parametrize(
    ("settings", "field"),
    [
        ({"filter": {"priority": {"in": ["high", "urgent"]}}}, "filter.priority.in"),
        ({"filter": {"priority": {"not": ["High"]}}}, "filter.priority.not"),
        ({"filter": {"actor_role": {"in": ["owner"]}}}, "filter.actor_role.in"),
        ({"filter": {"changed_field": {"in": ["assignee_id"]}}}, "filter.changed_field.in"),
        ({"filter": {"changed_field": {"not": ["comments.1"]}}}, "filter.changed_field.not"),
        ({"filter": {"priority": {"in": []}}}, "filter.priority.in"),
        ({"filter": {"priority": {"is": ["high"]}}}, "filter.priority.is"),
        ({"filter": {"colour": {"in": ["red"]}}}, "filter.colour"),
        ({"payload_version": 1, "payload": "thin"}, "payload"),
        ({"payload_version": 3}, "payload_version"),
        ({"payload": "slim"}, "payload"),
        ({"max_per_second": 0}, "max_per_second"),
        ({"max_in_flight": 11}, "max_in_flight"),
        ({"headers": {"Host": "x"}}, "headers"),
    ],
)
def test_settings_that_cannot_work_are_refused_and_named(site, settings, field):
    path = f"/v1/webhooks/{register(site, 'https://example.com/settings', 'ticket.restored')['id']}"
    before = site.client().get(path).json()

    refused = site.client().post("/v1/webhooks", json={**WEBHOOK, **settings})
    unchanged = site.client().patch(path, json=settings)

    for answered in (refused, unchanged):
        assert answered.status_code == 422, answered.text
        assert list(answered.json()["error"]["details"]) == [field]
    assert site.client().get(path).json() == before


@pytest.mark.parametrize("payload_version", [1, 2])
def test_filters_limits_and_headers_hold_for_both_versions(site, receiver, payload_version):
    settings = {
        "payload_version": payload_version,
        "filter": {
            "property_id": {"not": ["no such property"]},
            "category": {"in": ["roof", "plumbing"]},
            "tag": {"not": ["any tag"]},
            "priority": {"in": ["low"]},
            "changed_field": {"in": ["title", "assigned_to", "deleted", "comments", "attachments"]},
            "actor_role": {"not": ["guest"]},
        },
        "max_per_second": 1_000,
        "max_in_flight": 1,
    }
    made = register(site, receiver.url(), "ticket.created", **settings, headers={"X-Environment": "test"})
    changed = site.client().patch(f"/v1/webhooks/{made['id']}", json=settings)
    site.ticket(priority="high")
    wanted = site.ticket(priority="low")["id"]

    eventually(lambda: receiver.posts)
    assert changed.status_code == 200, changed.text
    shown = changed.json()["data"]
    assert {name: shown[name] for name in settings} == settings
    assert [json.loads(post.body)["data"]["id"] for post in receiver.posts] == [wanted]
    assert receiver.posts[0].headers["x-environment"] == "test"
    assert json.loads(receiver.posts[0].body).get("payload_version", 1) == payload_version


def test_a_thin_webhook_cannot_go_back_to_version_1(site):
    path = (
        f"/v1/webhooks/{register(site, 'https://example.com/thin', 'ticket.restored', payload='thin')['id']}"
    )

    refused = site.client().patch(path, json={"payload_version": 1})
    changed = site.client().patch(path, json={"payload_version": 1, "payload": "full"})

    assert (refused.status_code, list(refused.json()["error"]["details"])) == (422, ["payload"])
    assert (changed.status_code, changed.json()["data"]["payload_version"]) == (200, 1)


def test_the_form_of_a_webhook_shows_keeps_and_changes_its_settings(site, admin):
    made = register(site, "https://example.com/form", "ticket.restored", **SETTINGS)
    path = f"/webhooks/{made['id']}"
    form = settings_form(admin.open(f"/admin{path}"))

    assert shown_settings(form) == TYPED
    kept = admin.send(f"/admin{path}", form.with_typed(url="https://example.com/other"))
    assert (kept.status_code, settings_of(site, path)) == (303, SETTINGS)

    form = settings_form(admin.open(f"/admin{path}"))
    emptied = admin.send(f"/admin{path}", form.with_typed(**EMPTY))
    assert (emptied.status_code, settings_of(site, path)) == (303, DEFAULTS)
    form = settings_form(admin.open(f"/admin{path}"))
    assert shown_settings(form) == EMPTY

    changed = admin.send(f"/admin{path}", form.with_typed(**TYPED, headers="X-Environment: test"))
    assert (changed.status_code, settings_of(site, path)) == (303, SETTINGS)
    page = admin.open(f"/admin{path}").text
    assert "Set: X-Environment" in page
    assert "X-Environment: test" not in page


def test_the_form_of_a_new_webhook_takes_the_settings(site, admin):
    form = settings_form(admin.open("/admin/webhooks/new"))
    typed = form.with_typed(url="https://example.com/new", secret="your_webhook_secret", **TYPED)

    made = admin.send("/admin/webhooks/new", typed)

    assert made.status_code == 303, made.text
    assert settings_of(site, made.headers["Location"].removeprefix("/admin")) == SETTINGS


@pytest.mark.parametrize(
    ("typed", "field"),
    [
        ({"filter": "priority in high, urgent"}, "filter"),
        ({"filter": "colour in red"}, "filter"),
        ({"filter": "priority = high"}, "filter"),
        ({"payload_version": "1", "payload": "thin"}, "payload"),
        ({"max_per_second": "fast"}, "max_per_second"),
        ({"max_in_flight": "11"}, "max_in_flight"),
    ],
)
def test_a_form_with_settings_that_cannot_work_names_the_field_and_keeps_the_text(site, admin, typed, field):
    path = f"/webhooks/{register(site, 'https://example.com/refused', 'ticket.restored')['id']}"
    before = settings_of(site, path)

    for page in ("/admin/webhooks/new", f"/admin{path}"):
        form = settings_form(admin.open(page))
        refused = admin.send(page, form.with_typed(url="https://example.com/refused", **typed))

        assert refused.status_code == 422
        assert f'id="{field}-error"' in refused.text
        again = dict(settings_form(refused).pairs)
        assert {name: again[name].strip() for name in typed} == typed
    assert settings_of(site, path) == before
