"""The admin panel over HTTP: who gets where, and what is refused."""

from __future__ import annotations

import re
from uuid import uuid4

import pytest

from pages.panel.routes import PANEL
from tests.acceptance.panel import (
    SIGNED_IN,
    browser_of,
    followers_of,
    give_passwords,
    hidden,
    sign_in_there,
    signed_out_in_between,
)
from tests.acceptance.site import PEOPLE
from tests.support.browser import forms_of
from tests.support.waiting import eventually

RANK = {"guest": 0, "staff": 1, "manager": 2, "admin": 3}
POLICY = (
    "default-src 'none'; style-src 'self'; img-src 'self'; base-uri 'none'; frame-ancestors 'none'; "
    "form-action 'self'"
)
PAGES = [path for path, resource in PANEL if "GET" in resource.operations]
CHANGES = [path for path, resource in PANEL if "POST" in resource.operations]


@pytest.fixture(scope="module")
def panel(site):
    """A browser for each role, with a ticket, a key and an application to look at."""
    give_passwords(site)
    browsers = {role: browser_of(site, role) for role in SIGNED_IN}
    ticket_id = site.ticket("guest")["id"]
    site.key(name="to look at", role="staff")
    with site.pool.connection() as conn:
        ((key_id,),) = conn.execute("SELECT id FROM access.api_keys WHERE name = 'to look at'").fetchall()
    made = send(browsers["admin"], "/admin/clients/new", CLIENT)
    client_id = re.search(r'id="client_id"[^>]*value="([^"]+)"', made.text)[1]
    hook = {"url": "https://hooks.example/in", "events": "ticket.*", "secret": "a secret of ours"}
    webhook = send(browsers["admin"], "/admin/webhooks/new", hook)
    assert webhook.status_code == 303, webhook.text
    webhook_id = webhook.headers["Location"].rpartition("/")[2]
    send(browsers["admin"], f"/admin/webhooks/{webhook_id}/test", {}, f"/admin/webhooks/{webhook_id}")
    with site.pool.connection() as conn:
        ((delivery_id,),) = conn.execute("SELECT id FROM hook.deliveries").fetchall()
    ids = {"ticket_id": ticket_id, "key_id": key_id, "client_id": client_id, "webhook_id": webhook_id}
    ids["delivery_id"] = str(delivery_id)
    return site, browsers, {**ids, "user_id": "user101", "property_id": "abc123"}


CLIENT = {
    "name": "Dispatch",
    "client_kind": "confidential",
    "grant_types": "authorization_code",
    "redirect_uris": "https://app.example/back",
    "scopes": "tickets:read",
    "role": "staff",
}


def send(browser, path, fields, form_page=None):
    """Fill in the form that the page shows, and send it."""
    page = browser.open(form_page or path)
    assert page.status_code == 200, page.text
    return browser.send(path, {**hidden(page.text), **fields})


ADMINS_OWN = ("/admin/webhooks/{",)  # there for managers, but this one is the admin's


@pytest.mark.parametrize("role", SIGNED_IN)
@pytest.mark.parametrize("path", PAGES)
def test_each_page_is_there_for_its_roles_alone(panel, path, role):
    _, browsers, ids = panel
    least = dict(PANEL)[path].operations["GET"].least_role

    answer = browsers[role].open(path.format(**ids))

    allowed = 404 if role != "admin" and path.startswith(ADMINS_OWN) else 200
    assert answer.status_code == (allowed if RANK[role] >= RANK[least] else 403), answer.text
    assert answer.headers["Content-Security-Policy"] == POLICY
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Referrer-Policy"] == "same-origin"
    assert "style=" not in answer.text
    assert "<script" not in answer.text


@pytest.mark.parametrize("path", CHANGES)
def test_no_change_passes_without_the_token_of_this_session(panel, path):
    _, browsers, ids = panel
    path = path.format(**ids)
    foreign = hidden(browsers["manager"].open("/admin/users/new").text)["csrf_token"]

    for token in ("", foreign):
        assert browsers["admin"].send(path, {"csrf_token": token}).status_code == 403


@pytest.mark.parametrize("path", CHANGES)
def test_no_change_passes_from_another_site(panel, path):
    _, browsers, ids = panel
    token = hidden(browsers["admin"].open("/admin/users/new").text)["csrf_token"]

    fields = {"csrf_token": token}
    answer = browsers["admin"].send(path.format(**ids), fields, Sec_Fetch_Site="cross-site")

    assert answer.status_code == 403


@pytest.mark.parametrize("path", CHANGES)
def test_changes_below_the_least_role_are_refused(panel, path):
    _, browsers, ids = panel
    least = dict(PANEL)[path].operations["POST"].least_role

    for role in SIGNED_IN:
        if RANK[role] < RANK[least]:
            assert browsers[role].send(path.format(**ids), {}).status_code == 403


def test_nobody_gets_anywhere_without_signing_in(panel):
    from tests.support.browser import Browser

    site, _, ids = panel
    for path in PAGES:
        answer = Browser(site.base_url).open(path.format(**ids))

        assert answer.status_code == 303
        assert "/admin/sign-in?next=" in answer.headers["Location"]


def test_a_session_is_over_after_signing_out_and_its_cookie_of_no_use(panel):
    site, _, _ = panel
    browser = browser_of(site, "admin")
    kept = dict(browser.http.cookies)
    token = hidden(browser.open("/admin/users/new").text)["csrf_token"]

    browser.send("/admin/sign-out", {"csrf_token": token})
    browser.http.cookies.update(kept)

    assert browser.open("/admin").status_code == 303
    changed = browser.send("/admin/properties/new", {"csrf_token": token, "name": "Late"})
    assert changed.status_code == 403
    assert "what you sent was not saved" in changed.text
    assert browser.send("/admin/sign-out", {"csrf_token": token}).headers["Location"] == "/admin/sign-in"


def test_what_was_written_when_the_session_had_ended_is_sent_after_signing_in(panel):
    site, _, _ = panel
    browser, path, fields = signed_out_in_between(site)
    text = "Hot water <b>off</b> & on.\r\nSecond line"

    asked = browser.send(f"{path}/comments", {**fields, "text": text})
    again = sign_in_there(browser, asked, "wrong")
    sign_in_there(browser, again)
    kept = sign_in_there(browser, again)  # loading the page again sends the form again

    assert (asked.status_code, again.status_code, kept.status_code) == (403, 403, 200)
    assert "what you sent was not saved" in asked.text
    assert "Hot water &lt;b&gt;off&lt;/b&gt; &amp; on." in kept.text
    assert f'href="{path}"' in kept.text
    form = forms_of(kept.text)[0]
    assert [browser.send(form.action, form.fields).headers["Location"] for _ in range(2)] == [path] * 2
    assert browser.open(path).text.count("Hot water &lt;b&gt;") == 1


def test_what_was_written_before_signing_in_again_in_another_tab_is_asked_for_first(panel):
    site, _, _ = panel
    browser, path, fields = signed_out_in_between(site)
    browser.sign_in(PEOPLE["admin"][0])

    asked = browser.send(f"{path}/comments", {**fields, "text": "From the other tab"})
    shown = browser.open(path).text
    form = forms_of(asked.text)[-1]
    sent = browser.send(form.action, form.fields)

    assert asked.status_code == 403
    assert "From the other tab" not in shown
    assert sent.headers["Location"] == path
    assert "From the other tab" in browser.open(path).text


def test_no_password_and_nothing_another_site_wrote_is_kept(panel):
    site, _, ids = panel
    browser, path, fields = signed_out_in_between(site)
    secret = {"password": "a long new password", "again": "a long new password"}

    asked = browser.send(f"/admin/users/{ids['user_id']}/password", {**fields, **secret})
    forged = browser.send(f"{path}/comments", {**fields, "text": "Theirs"}, Sec_Fetch_Site="cross-site")

    assert asked.status_code == 403
    assert "a long new password" not in asked.text
    assert sign_in_there(browser, asked).headers["Location"].endswith("/password")
    assert forged.status_code == 303


@pytest.mark.parametrize("path", [path for path in CHANGES if path not in PAGES])
def test_an_address_that_only_takes_a_form_leads_to_the_page_of_the_form(panel, path):
    _, browsers, ids = panel

    answer = browsers["admin"].open(path.format(**ids))

    assert answer.status_code == 303
    assert browsers["admin"].open(answer.headers["Location"]).status_code == 200


def test_the_longest_text_fits_into_a_form_in_any_script(panel):
    site, browsers, _ = panel
    path = f"/admin/tickets/{site.ticket('guest')['id']}"
    comment = {"text": "\N{WRENCH}" * 65_535, "visibility": "internal"}

    assert send(browsers["admin"], f"{path}/comments", comment, path).status_code == 303


def test_the_overview_tells_admins_how_far_behind_the_log_its_followers_are(panel):
    site, browsers, _ = panel
    events = site.store.recorder.max_notification_id()
    eventually(lambda: followers_of(browsers["admin"])["Projector"] == "Up to date")

    told = followers_of(browsers["admin"])

    assert told["Relay to Kafka"] == "Not configured"
    behind = told["Webhook dispatcher"].removesuffix(" behind").replace(",", "")
    assert int(behind) >= events, "none is running, so none of them was taken"
    assert set(followers_of(browsers["manager"]).values()) == {""}


def test_what_is_beyond_a_managers_reach_looks_absent(panel):
    site, browsers, _ = panel
    foreign = site.ticket("admin", property_id="def456", unit_id=None)["id"]

    for path in (
        f"/admin/tickets/{foreign}",
        f"/admin/tickets/{foreign}/history",
        f"/admin/tickets/{foreign}/delete",
        "/admin/users/user900",
        "/admin/properties/def456",
        "/admin/tickets/absent",
    ):
        assert browsers["manager"].open(path).status_code == 404
    listed = browsers["manager"].open("/admin/tickets").text
    assert foreign not in listed
    assert "Hill House" not in listed
    assert "Fay Foreign" not in browsers["manager"].open("/admin/users").text
    assert foreign in browsers["admin"].open("/admin/tickets").text


def test_bad_fields_are_named_beside_them_and_what_was_typed_is_kept(panel):
    _, browsers, _ = panel
    typed = {"name": "Wendy", "email": "not-an-address", "role": "staff", "property_ids": "abc123"}

    answer = send(browsers["manager"], "/admin/users/new", typed)

    assert answer.status_code == 422
    assert 'value="Wendy"' in answer.text
    assert re.search(
        r'name="email"[^>]*value="not-an-address"[^>]*aria-describedby="email-error"', answer.text
    )
    assert re.search(r'id="email-error">The email field does not have the right form', answer.text)
    assert re.search(r'value="abc123" checked', answer.text)


def test_a_form_sent_twice_is_carried_out_once(panel):
    site, browsers, ids = panel
    page = browsers["staff"].open(f"/admin/tickets/{ids['ticket_id']}")
    fields = {**hidden(page.text[: page.text.index("<aside")]), "text": "Only once", "visibility": "public"}
    path = f"/admin/tickets/{ids['ticket_id']}/comments"

    sent = [browsers["staff"].send(path, fields).status_code for _ in range(2)]

    assert sent == [303, 303]
    comments = site.client("staff").get(f"/v1/tickets/{ids['ticket_id']}").json()["data"]["comments"]
    assert [comment["text"] for comment in comments].count("Only once") == 1


def test_a_key_form_sent_twice_makes_one_key_and_shows_no_second(panel):
    _, browsers, _ = panel
    page = browsers["admin"].open("/admin/keys/new")
    fields = {**hidden(page.text), "name": "twice", "role": "staff", "scopes": "tickets:read"}

    first, second = (browsers["admin"].send("/admin/keys/new", fields) for _ in range(2))

    assert (first.status_code, second.status_code) == (200, 409)
    assert "mts_" in first.text
    assert "mts_" not in second.text
    assert browsers["admin"].open("/admin/keys").text.count(">twice<") == 1


def test_a_change_lands_in_the_log_with_its_actor(panel):
    site, browsers, _ = panel
    ticket_id = site.ticket("guest")["id"]
    change = {"status": "in_progress", "priority": "high", "assigned_to": "user101"}

    answer = send(browsers["manager"], f"/admin/tickets/{ticket_id}", change)

    assert answer.status_code == 303, answer.text
    history = site.client("manager").get(f"/v1/tickets/{ticket_id}/history?order=desc").json()["data"]
    assert history[0]["auth"]["kind"] == "session"
    assert history[0]["actor"]["user"]["id"] == PEOPLE["manager"][0]
    assert "The ticket is saved." in browsers["manager"].open(answer.headers["Location"]).text
    assert "The ticket is saved." not in browsers["manager"].open(answer.headers["Location"]).text


def test_a_deleted_ticket_is_found_again_by_its_history_and_restored(panel):
    site, browsers, _ = panel
    path = f"/admin/tickets/{site.ticket('guest')['id']}"

    deleted = send(browsers["manager"], f"{path}/delete", {})
    gone = browsers["manager"].open(path)
    restored = send(browsers["admin"], f"{path}/restore", {}, f"{path}/history")

    assert (deleted.status_code, gone.status_code, restored.status_code) == (303, 404, 303)
    assert browsers["manager"].open(path).status_code == 200


@pytest.mark.parametrize("version", ["0", "99999999", "x", "-1", str(10**30)])
def test_a_version_that_cannot_be_is_no_failure(panel, version):
    _, browsers, ids = panel

    answer = browsers["staff"].open(f"/admin/tickets/{ids['ticket_id']}/history?version={version}")

    assert answer.status_code in (200, 422)


@pytest.mark.parametrize("path", CHANGES)
def test_a_form_without_fields_or_with_odd_ones_is_no_failure(panel, path):
    _, browsers, ids = panel
    token = hidden(browsers["admin"].open("/admin/users/new").text)["csrf_token"]
    names = ("name", "title", "text", "scopes", "property_ids", "rate_limit", "expires_at", "version", "user")
    odd = {"csrf_token": token, **dict.fromkeys((*names, "command_id", "unit_name", "password"), "é" * 300)}

    long = {**odd, **dict.fromkeys(("version", "rate_limit"), "9" * 6_000)}
    for fields in ({"csrf_token": token}, odd, long):
        for there in (ids, dict.fromkeys(ids, "absent")):
            if "{" in path or there is ids:
                assert browsers["admin"].send(path.format(**there), fields).status_code < 500


@pytest.mark.parametrize("path", PAGES)
def test_no_parameter_of_any_page_is_a_failure(panel, path):
    _, browsers, ids = panel
    address = path.format(**ids)

    for query in ("per_page=0", "per_page=-1", "page=0", f"page={10**17}", "q=%00", "as_of=x", "version=-1"):
        assert browsers["admin"].open(f"{address}?{query}").status_code < 500, query


def test_a_verification_runs_in_the_background_and_its_result_is_shown(panel):
    _, browsers, _ = panel

    started = send(browsers["admin"], "/admin/checks", {"command_id": str(uuid4())})

    assert started.status_code == 303
    eventually(lambda: "No problems" in browsers["admin"].open("/admin/checks").text, within=60)


def test_a_verification_names_the_row_that_differs(panel):
    site, browsers, ids = panel
    with site.pool.connection() as conn:
        conn.execute("UPDATE read.tickets SET title = 'Tampered' WHERE id = %s", [ids["ticket_id"]])

    send(browsers["admin"], "/admin/checks", {"command_id": str(uuid4())})

    eventually(lambda: "1 problem" in browsers["admin"].open("/admin/checks").text, within=60)
    assert ids["ticket_id"] in browsers["admin"].open("/admin/checks").text


def test_a_verification_names_what_is_wrong_in_the_log(panel):
    site, browsers, _ = panel
    with site.pool.connection() as conn:
        conn.execute(
            "INSERT INTO es.stored_events (originator_id, originator_version, topic, state)"
            " VALUES ('a-gap', 7, 'ticket.deleted', '{}')"
        )

    send(browsers["admin"], "/admin/checks", {"command_id": str(uuid4())})

    eventually(lambda: ">log<" in browsers["admin"].open("/admin/checks").text, within=60)
    page = browsers["admin"].open("/admin/checks").text
    assert "a-gap" in page
    assert "CannotProject" in page or "ValidationError" in page, "and what was parked"
