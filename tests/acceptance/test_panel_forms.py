"""Several forms on one page, and several people at work: a form saves only what its user changed."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import pytest

from infrastructure.storage.postgres import connect
from pages.panel.routes import PANEL
from tests.acceptance.panel import (
    browser_of,
    create_objects,
    give_passwords,
    send_sign_in_form,
)
from tests.support.browser import forms_of

TEMPLATES = Path(__file__).parents[2] / "pages" / "panel" / "templates"
# Every template with more than one form, and its page. A test compares this with the templates.
SEVERAL_FORMS = {
    "tickets.html": "/admin/tickets",
    "ticket.html": "/admin/tickets/{ticket_id}",
    "ticket_history.html": "/admin/tickets/{deleted_id}/history",
    "property.html": "/admin/properties/{property_id}",
    "webhook.html": "/admin/webhooks/{webhook_id}",
}
OF_A_FORM = ("csrf_token", "command_id")  # these differ in each form and each time it is shown


class Work(NamedTuple):
    """A form that changes something, and changes of the same thing through the API."""

    page: str
    api: str
    odd: dict  # stored values that the form shows in another way
    mine: dict[str, str]  # typed into the form
    theirs: dict  # sent to the API: other fields than `mine`
    both: dict  # the answer of the API after both changes
    my_text: str  # a new value for the first field of `mine`
    their_clash: dict  # sent to the API: changes the same field


def address(**lines):
    seaside = {"street": "123 Ocean Drive", "city": "Beachtown", "state": "CA", "zip": "90210"}
    return {"address": {**seaside, "country": "USA", **lines}}


WORK = {
    "ticket": Work(
        "/admin/tickets/{ticket_id}",
        "/v1/tickets/{ticket_id}",
        {},
        {"priority": "critical"},
        {"status": "closed", "unit_id": None, "assigned_to": None},
        {"priority": "critical", "status": "closed", "unit": None, "assigned_to": None},
        "medium",
        {"priority": "low", "status": "open"},
    ),
    "texts of a ticket": Work(
        "/admin/tickets/{ticket_id}/edit",
        "/v1/tickets/{ticket_id}",
        {"description": "Two\nlines", "tags": ["roof", "wet"]},
        {"title": "My title"},
        {"description": "Theirs,\nof two lines", "category": "roofing", "tags": ["wet"]},
        {
            "title": "My title",
            "description": "Theirs,\nof two lines",
            "category": "roofing",
            "tags": ["wet"],
        },
        "Another title of mine",
        {"title": "Their title", "description": "And text"},
    ),
    "property": Work(
        "/admin/properties/{property_id}",
        "/v1/properties/{property_id}",
        {"name": "Two\nlines"},
        {"city": "Otherwhere"},
        {"name": "By the sea", **address(street="1 New Road")},
        {"name": "By the sea", **address(city="Otherwhere", street="1 New Road")},
        "My town",
        {"name": "Theirs", **address(city="Their town", zip="1")},
    ),
    "person": Work(
        "/admin/users/{user_id}",
        "/v1/users/{user_id}",
        {"name": "Jane\nSmith"},
        {"name": "Jane Jones", "notify_sms": "yes"},
        {"role": "manager", "phone": "555-0199", "preferences": {"notifications": {"email": False}}},
        {
            "name": "Jane Jones",
            "role": "manager",
            "phone": "555-0199",
            "preferences": {"notifications": {"email": False, "sms": True}},
        },
        "Jane Smith-Jones",
        {"name": "J. Smith", "role": "staff", "property_ids": ["abc123", "def456"]},
    ),
    "webhook": Work(
        "/admin/webhooks/{webhook_id}",
        "/v1/webhooks/{webhook_id}",
        {"events": ["ticket.deleted", "ticket.created"]},
        {"url": "https://hooks.example/mine"},
        {"events": ["ticket.resolved", "ticket.created"], "enabled": False},
        {"url": "https://hooks.example/mine", "events": ["ticket.resolved", "ticket.created"]},
        "https://hooks.example/my-second",
        {"url": "https://hooks.example/theirs", "events": ["ticket.*"]},
    ),
}


@pytest.fixture(scope="module")
def ids(site):
    give_passwords(site)
    deleted = site.ticket("guest")["id"]
    assert site.client().delete(f"/v1/tickets/{deleted}").status_code == 200
    return {**create_objects(site), "deleted_id": deleted}


@pytest.fixture(scope="module")
def admin(site, ids):
    return browser_of(site, "admin")


def forms_of_page(page, path):
    """Return the page's forms except sign-out, by their address and number."""
    forms = [form for form in forms_of(page) if form.action != "/admin/sign-out"]
    return {(form.action or path, number): form for number, form in enumerate(forms)}


def values_of(form):
    return [pair for pair in form.pairs if pair[0] not in OF_A_FORM]


def work_form(page):
    """Return the page's form that carries a version."""
    return next(form for form in forms_of(page.text) if "version" in form.fields)


def count_events(site):
    """Return the number of events, without those that record reads."""
    with site.pool.connection() as conn:
        query = "SELECT count(*) FROM es.stored_events WHERE topic NOT LIKE 'audit.%'"
        return conn.execute(query).fetchone()[0]


def ways_to_send(form):
    """Yield the form's pairs without typed fields, with empty ones, and with invalid ones."""
    bare = [pair for pair in form.pairs if pair[0] in OF_A_FORM]
    hidden = [pair for pair in form.pairs if pair[0] not in form.typed]
    for text in (None, "", "\N{WRENCH}" * 300):
        yield bare if text is None else hidden + [(name, text) for name in dict.fromkeys(form.typed)]


def test_every_page_with_several_forms_is_listed(site, ids, admin):
    templates = {path.name for path in TEMPLATES.glob("*.html") if path.read_text().count("<form") > 1}
    pages = [path for path, resource in PANEL if "GET" in resource.operations]
    shown = {path for path in pages if len(forms_of_page(admin.open(path.format(**ids)).text, path)) > 1}

    assert templates == set(SEVERAL_FORMS)
    assert shown <= {path.replace("deleted_id", "ticket_id") for path in SEVERAL_FORMS.values()}


@pytest.mark.parametrize("path", SEVERAL_FORMS.values(), ids=SEVERAL_FORMS)
def test_a_refused_form_leaves_the_other_forms_unchanged(site, ids, admin, path):
    path = path.format(**ids)
    before = forms_of_page(admin.open(path).text, path)
    assert len(before) > 1
    events, refusals = count_events(site), 0
    for key, form in before.items():
        if form.method != "post" or not (form.typed or form.buttons):
            continue  # a button alone has nothing to be refused
        for sent in ways_to_send(form):
            answer = admin.send(key[0], sent)
            after = forms_of_page(answer.text, path) if answer.status_code != 303 else {}
            refusals += answer.status_code != 303
            for other in before.keys() & after.keys() - {key}:
                assert values_of(after[other]) == values_of(before[other]), (key, sent, other)
                if after[other].typed and after[other].method == "post":
                    admin.send(other[0], after[other].pairs)
            assert count_events(site) == events, (key, sent)

    assert refusals or path.endswith("/history")


@pytest.mark.parametrize("work", WORK.values(), ids=WORK)
def test_a_form_saved_as_it_is_or_without_its_fields_changes_nothing(site, ids, admin, work):
    path, api = work.page.format(**ids), work.api.format(**ids)
    assert site.client().patch(api, json=work.odd).status_code == 200
    form = work_form(admin.open(path))
    events = count_events(site)

    whole = [
        (name, value.replace("\n", "")) for name, value in form.pairs
    ]  # as browsers do in fields of one line
    bare = [pair for pair in form.pairs if pair[0] in (*OF_A_FORM, "version")]
    answers = [admin.send(path, sent) for sent in (whole, bare, bare[:1])]

    assert [answer.status_code for answer in answers] == [303] * 3
    assert count_events(site) == events


@pytest.mark.parametrize("work", WORK.values(), ids=WORK)
def test_changes_of_two_people_to_different_fields_are_merged(site, ids, admin, work):
    path, api = work.page.format(**ids), work.api.format(**ids)
    form = work_form(admin.open(path))
    assert site.client().patch(api, json=work.theirs).status_code == 200

    answers = [admin.send(path, form.with_typed(**work.mine)) for _ in range(2)]  # as by a double click

    assert [answer.status_code for answer in answers] == [303, 303], answers[0].text
    now = site.client().get(api).json()["data"]
    assert {name: now[name] for name in work.both} == work.both


@pytest.mark.parametrize("work", WORK.values(), ids=WORK)
def test_a_field_that_two_people_change_is_the_only_conflict(site, ids, admin, work):
    path, api = work.page.format(**ids), work.api.format(**ids)
    field = next(iter(work.mine))
    form = work_form(admin.open(path))
    assert site.client().patch(api, json=work.their_clash).status_code == 200
    present = dict(values_of(work_form(admin.open(path))))

    asked = admin.send(path, form.with_typed(**{field: work.my_text}))
    again = work_form(asked)
    saved = admin.send(path, again.pairs)

    assert (asked.status_code, saved.status_code) == (412, 303), asked.text
    assert f'id="{field}-error">Stored value: ' in asked.text
    assert asked.text.count(">Stored value: ") == 1
    assert dict(values_of(again)) == {**present, field: work.my_text}
    assert dict(work_form(admin.open(path)).pairs)[field] == work.my_text


def test_correcting_a_stale_form_keeps_the_changes_of_others(site, admin):
    ticket = site.ticket("guest")
    path = f"/admin/tickets/{ticket['id']}"
    form = work_form(admin.open(path))
    site.client().patch(f"/v1/tickets/{ticket['id']}", json={"status": "closed"})

    refused = admin.send(path, form.with_typed(assigned_to="nobody@example.com", priority="low"))
    mended = admin.send(path, work_form(refused).with_typed(assigned_to="user101"))

    assert (refused.status_code, mended.status_code) == (422, 303)
    now = site.client().get(f"/v1/tickets/{ticket['id']}").json()["data"]
    assert (now["status"], now["priority"], now["assigned_to"]["id"]) == ("closed", "low", "user101")


def test_a_stale_unsent_form_keeps_the_changes_of_others(site, ids):
    admin, ticket = browser_of(site, "admin"), site.ticket("guest")
    path = f"/admin/tickets/{ticket['id']}"
    form = work_form(admin.open(path))
    site.client().patch(f"/v1/tickets/{ticket['id']}", json={"status": "closed"})
    admin.http.cookies.clear()

    shown = send_sign_in_form(admin, admin.send(path, form.with_typed(priority="low")))
    unsent = next(form for form in forms_of(shown.text) if form.action == path)
    refused = admin.send(path, unsent.with_typed(unit_id="nowhere"))
    saved = admin.send(path, work_form(refused).with_typed(unit_id=""))

    assert (refused.status_code, saved.status_code) == (422, 303)
    comment = next(form for form in forms_of(refused.text) if form.action.endswith("/comments"))
    assert dict(comment.pairs)["text"] == ""
    now = site.client().get(f"/v1/tickets/{ticket['id']}").json()["data"]
    assert (now["status"], now["priority"], now["unit"]) == ("closed", "low", None)


def test_check_boxes_that_two_people_changed_are_merged(site, admin):
    body = {"url": "https://hooks.example/ticks", "events": ["ticket.created", "ticket.deleted"]}
    webhook_id = site.client().post("/v1/webhooks", json=body).json()["data"]["id"]
    path = f"/admin/webhooks/{webhook_id}"
    form = work_form(admin.open(path))
    theirs = {"events": ["ticket.created", "ticket.deleted", "ticket.assigned"]}
    site.client().patch(f"/v1/webhooks/{webhook_id}", json=theirs)

    without = [pair for pair in form.pairs if pair != ("events", "ticket.deleted")]
    assert admin.send(path, [*without, ("events", "ticket.updated")]).status_code == 303

    now = site.client().get(f"/v1/webhooks/{webhook_id}").json()["data"]["events"]
    assert now == ["ticket.created", "ticket.assigned", "ticket.updated"]


def test_a_repeated_form_is_no_conflict_after_later_changes(site, admin):
    ticket = site.ticket("guest")
    path = f"/admin/tickets/{ticket['id']}"
    sent = work_form(admin.open(path)).with_typed(status="closed")

    first = admin.send(path, sent)
    site.client().patch(f"/v1/tickets/{ticket['id']}", json={"status": "in_progress"})
    second = admin.send(path, sent)

    assert (first.status_code, second.status_code) == (303, 303)
    assert site.client().get(f"/v1/tickets/{ticket['id']}").json()["data"]["status"] == "in_progress"


def test_an_old_form_with_new_values_is_a_new_command(site, admin):
    """After going back, a browser shows the old form with a command id that was carried out already."""
    ticket = site.ticket("guest")
    path = f"/admin/tickets/{ticket['id']}"
    page = admin.open(path)
    work = work_form(page)
    comment = next(form for form in forms_of(page.text) if form.action.endswith("/comments"))
    assert admin.send(path, work.with_typed(status="closed")).status_code == 303

    saved = admin.send(path, work.with_typed(priority="low"))
    asked = admin.send(path, work.with_typed(status="in_progress"))
    for text in ("first", "second", "second"):
        assert admin.send(comment.action, comment.with_typed(text=text)).status_code == 303

    assert (saved.status_code, asked.status_code) == (303, 412)
    now = site.client().get(f"/v1/tickets/{ticket['id']}").json()["data"]
    assert (now["status"], now["priority"]) == ("closed", "low")
    assert [each["text"] for each in now["comments"]] == ["first", "second"]


def test_the_text_of_a_comment_on_a_deleted_ticket_is_shown_again(site, admin):
    path = f"/admin/tickets/{site.ticket('guest')['id']}"
    comment = next(form for form in forms_of(admin.open(path).text) if form.action.endswith("/comments"))
    site.client().delete(path.replace("/admin/", "/v1/"))

    answer = admin.send(comment.action, comment.with_typed(text="<b>The plumber comes at nine</b>"))

    assert answer.status_code == 404
    assert "&lt;b&gt;The plumber comes at nine&lt;/b&gt;" in answer.text


def test_a_form_that_failed_can_be_sent_again_from_the_error_page(site, admin):
    person = next(form for form in forms_of(admin.open("/admin/users/new").text) if "name" in form.fields)
    typed = person.with_typed(
        name="Kept Person", email="kept@example.com", role="staff", property_ids="abc123"
    )
    with connect(site.dsn, application="tests") as conn, conn.transaction():
        conn.execute("LOCK TABLE es.stored_events IN ACCESS EXCLUSIVE MODE")
        failed = admin.send("/admin/users/new", typed)
    again = next(form for form in forms_of(failed.text) if form.action == "/admin/users/new")

    assert failed.status_code == 503
    assert admin.send(again.action, again.pairs).status_code == 303
    assert "Kept Person" in admin.open("/admin/users").text


def test_a_key_form_with_a_missing_field_creates_no_unrestricted_key(site, admin):
    form = next(form for form in forms_of(admin.open("/admin/keys/new").text) if "rate_limit" in form.fields)
    sent = form.with_typed(name="Half a form")

    unrestricted = admin.send("/admin/keys/new", [pair for pair in sent if pair[0] != "property_ids"])
    unlimited = admin.send("/admin/keys/new", [pair for pair in sent if pair[0] != "rate_limit"])

    assert (unrestricted.status_code, unlimited.status_code) == (422, 200)
    assert "This field was not sent" in unrestricted.text
    with site.pool.connection() as conn:
        made = conn.execute("SELECT rate_limit FROM access.api_keys WHERE name = 'Half a form'").fetchall()
    assert made == [(1000,)]


def test_an_id_takes_precedence_over_an_equal_name(site, admin):
    address = {"street": "1 A St", "city": "B", "state": "C", "zip": "1", "country": "D"}
    site.client().post("/v1/properties", json={"name": "abc123", "address": address})
    form = next(form for form in forms_of(admin.open("/admin/tickets/new").text) if "title" in form.fields)

    answer = admin.send("/admin/tickets/new", form.with_typed(property_id="abc123"))

    assert "has the name abc123" not in answer.text


@pytest.mark.parametrize("version", ["", "x", "999", "-1"])
def test_a_form_with_an_invalid_version_is_a_conflict(site, admin, version):
    ticket = site.ticket("guest")
    path = f"/admin/tickets/{ticket['id']}"
    form = work_form(admin.open(path))

    asked = admin.send(path, form.with_typed(priority="low", version=version))

    assert asked.status_code == 412
    assert asked.text.count(">Stored value: ") == 1
    assert 'id="priority-error">Stored value: High.' in asked.text
    assert site.client().get(f"/v1/tickets/{ticket['id']}").json()["data"]["priority"] == "high"


def test_a_switch_form_without_a_value_does_not_disable_the_webhook(site, ids, admin):
    body = {"url": "https://hooks.example/on", "events": ["ticket.created"]}
    webhook_id = site.client().post("/v1/webhooks", json=body).json()["data"]["id"]
    path = f"/admin/webhooks/{webhook_id}"
    token = work_form(admin.open(path)).fields["csrf_token"]

    assert admin.send(f"{path}/switch", {"csrf_token": token}).status_code == 422
    assert site.client().get(f"/v1/webhooks/{webhook_id}").json()["data"]["enabled"] is True


def test_the_lines_and_tags_of_a_ticket_are_saved_as_they_were_typed(site, admin):
    ticket = site.ticket("guest")
    path = f"/admin/tickets/{ticket['id']}/edit"
    form = work_form(admin.open(path))
    answer = admin.send(path, form.with_typed(description="First\r\n\r\nthird", tags="roof\r\nwet\r\nroof"))
    assert answer.status_code == 303
    now = site.client().get(f"/v1/tickets/{ticket['id']}").json()["data"]
    assert (now["description"], now["tags"]) == ("First\n\nthird", ["roof", "wet"])
