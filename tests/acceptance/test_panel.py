"""The admin panel over HTTP: which roles reach which pages, and which forms are refused."""

from __future__ import annotations

import re
from uuid import uuid4

import pytest

from pages.panel.routes import PANEL
from tests.acceptance.panel import (
    SIGNED_IN,
    browser_of,
    browser_with_ended_session,
    comment_with_file,
    first_position,
    followers_of,
    give_passwords,
    hidden,
    panel_paths,
    send_sign_in_form,
)
from tests.acceptance.site import PEOPLE
from tests.support.browser import Browser, forms_of, without_own_script
from tests.support.waiting import eventually

RANK = {"guest": 0, "staff": 1, "manager": 2, "admin": 3}
POLICY = (
    "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; img-src 'self' blob:; "
    "base-uri 'none'; frame-ancestors 'none'; form-action 'self'"
)
PAGES = panel_paths()
CHANGES = [path for path, resource in PANEL if "POST" in resource.operations]


@pytest.fixture(scope="module")
def panel(site):
    """The site, a browser for each role, and the ids of one object of each kind."""
    give_passwords(site)
    browsers = {role: browser_of(site, role) for role in SIGNED_IN}
    ticket_id = site.ticket("guest")["id"]
    site.key(name="to look at", role="staff")
    with site.pool.connection() as conn:
        ((key_id,),) = conn.execute("SELECT id FROM access.api_keys WHERE name = 'to look at'").fetchall()
    made = send(browsers["admin"], "/admin/clients/new", CLIENT)
    client_id = re.search(r'id="client_id"[^>]*>([^<]+)<', made.text)[1]
    hook = {"url": "https://hooks.example/in", "events": "ticket.*", "secret": "a secret of ours"}
    webhook = send(browsers["admin"], "/admin/webhooks/new", hook)
    assert webhook.status_code == 303, webhook.text
    webhook_id = webhook.headers["Location"].rpartition("/")[2]
    send(browsers["admin"], f"/admin/webhooks/{webhook_id}/test", {}, f"/admin/webhooks/{webhook_id}")
    with site.pool.connection() as conn:
        ((delivery_id,),) = conn.execute("SELECT id FROM hook.deliveries").fetchall()
    ids = {"ticket_id": ticket_id, "key_id": key_id, "client_id": client_id, "webhook_id": webhook_id}
    ids["position"] = first_position(site, ticket_id)
    ids |= {"delivery_id": str(delivery_id), **comment_with_file(site, ticket_id)}
    return site, browsers, {**ids, "user_id": "user101", "property_id": "abc123", "unit_id": "unit456"}


CLIENT = {
    "name": "Dispatch",
    "client_kind": "confidential",
    "grant_types": "authorization_code",
    "redirect_uris": "https://app.example/back",
    "scopes": "tickets:read",
    "role": "staff",
}


def send(browser, path, fields, form_page=None):
    """Open the page, fill in its form and send it."""
    page = browser.open(form_page or path)
    assert page.status_code == 200, page.text
    return browser.send(path, {**hidden(page.text), **fields})


ADMINS_OWN = ("/admin/webhooks/{",)  # managers see only their own webhooks, and this one is the admin's


@pytest.mark.parametrize("role", SIGNED_IN)
@pytest.mark.parametrize("path", PAGES)
def test_each_page_is_served_to_its_roles_only(panel, path, role):
    _, browsers, ids = panel
    least = dict(PANEL)[path].operations["GET"].least_role

    answer = browsers[role].open(path.format(**ids))

    if (role, path) == ("guest", "/admin"):
        assert (answer.status_code, answer.headers["Location"]) == (303, "/admin/my")
        return
    allowed = 404 if role != "admin" and path.startswith(ADMINS_OWN) else 200
    assert answer.status_code == (allowed if RANK[role] >= RANK[least] else 403), answer.text
    assert answer.headers["Content-Security-Policy"] == POLICY
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Referrer-Policy"] == "same-origin"
    assert "style=" not in answer.text
    assert "<script" not in without_own_script(answer.text)


@pytest.mark.parametrize("path", CHANGES)
def test_a_form_without_the_csrf_token_of_the_session_is_refused(panel, path):
    _, browsers, ids = panel
    path = path.format(**ids)
    foreign = hidden(browsers["manager"].open("/admin/users/new").text)["csrf_token"]

    for token in ("", foreign):
        assert browsers["admin"].send(path, {"csrf_token": token}).status_code == 403


@pytest.mark.parametrize("path", CHANGES)
def test_a_form_from_another_site_is_refused(panel, path):
    _, browsers, ids = panel
    token = hidden(browsers["admin"].open("/admin/users/new").text)["csrf_token"]

    fields = {"csrf_token": token}
    answer = browsers["admin"].send(path.format(**ids), fields, Sec_Fetch_Site="cross-site")

    assert answer.status_code == 403


@pytest.mark.parametrize("path", CHANGES)
def test_forms_are_refused_below_their_least_role(panel, path):
    _, browsers, ids = panel
    least = dict(PANEL)[path].operations["POST"].least_role

    for role in SIGNED_IN:
        if RANK[role] < RANK[least]:
            assert browsers[role].send(path.format(**ids), {}).status_code == 403


def test_every_page_redirects_to_the_sign_in_page_without_a_session(panel):
    site, _, ids = panel
    for path in PAGES:
        answer = Browser(site.base_url).open(path.format(**ids))

        assert answer.status_code == 303
        assert "/admin/sign-in?next=" in answer.headers["Location"]


def test_the_cookie_of_a_session_is_invalid_after_signing_out(panel):
    site, _, _ = panel
    browser = browser_of(site, "admin")
    cookies = dict(browser.http.cookies)
    token = hidden(browser.open("/admin/users/new").text)["csrf_token"]

    browser.send("/admin/sign-out", {"csrf_token": token})
    browser.http.cookies.update(cookies)

    assert browser.open("/admin").status_code == 303
    changed = browser.send("/admin/properties/new", {"csrf_token": token, "name": "Late"})
    assert changed.status_code == 403
    assert "what you sent was not saved" in changed.text
    assert browser.send("/admin/sign-out", {"csrf_token": token}).headers["Location"] == "/admin/sign-in"


def test_an_unsent_form_is_shown_after_signing_in_and_can_be_sent(panel):
    site, _, _ = panel
    browser, path, fields = browser_with_ended_session(site)
    text = "Hot water <b>off</b> & on.\r\nSecond line"

    asked = browser.send(f"{path}/comments", {**fields, "text": text})
    again = send_sign_in_form(browser, asked, "wrong")
    send_sign_in_form(browser, again)
    shown = send_sign_in_form(browser, again)  # as reloading the page does

    assert (asked.status_code, again.status_code, shown.status_code) == (403, 403, 200)
    assert "what you sent was not saved" in asked.text
    assert "Hot water &lt;b&gt;off&lt;/b&gt; &amp; on." in shown.text
    assert f'href="{path}"' in shown.text
    form = forms_of(shown.text)[0]
    assert [browser.send(form.action, form.fields).headers["Location"] for _ in range(2)] == [path] * 2
    assert browser.open(path).text.count("Hot water &lt;b&gt;") == 1


def test_a_form_of_an_earlier_session_is_shown_for_confirmation(panel):
    site, _, _ = panel
    browser, path, fields = browser_with_ended_session(site)
    browser.sign_in(PEOPLE["admin"][0])

    asked = browser.send(f"{path}/comments", {**fields, "text": "From the other tab"})
    shown = browser.open(path).text
    form = forms_of(asked.text)[-1]
    sent = browser.send(form.action, form.fields)

    assert asked.status_code == 403
    assert "From the other tab" not in shown
    assert sent.headers["Location"] == path
    assert "From the other tab" in browser.open(path).text


def test_an_unsent_form_has_no_passwords_and_no_input_of_other_sites(panel):
    site, _, ids = panel
    browser, path, fields = browser_with_ended_session(site)
    secret = {"password": "a long new password", "again": "a long new password"}

    asked = browser.send(f"/admin/users/{ids['user_id']}/password", {**fields, **secret})
    forged = browser.send(f"{path}/comments", {**fields, "text": "Theirs"}, Sec_Fetch_Site="cross-site")

    assert asked.status_code == 403
    assert "a long new password" not in asked.text
    assert send_sign_in_form(browser, asked).headers["Location"].endswith("/password")
    assert forged.status_code == 303


@pytest.mark.parametrize("path", [path for path in CHANGES if path not in PAGES])
def test_get_of_an_address_for_forms_redirects_to_the_page_of_the_form(panel, path):
    _, browsers, ids = panel

    answer = browsers["admin"].open(path.format(**ids))

    assert answer.status_code == 303
    assert browsers["admin"].open(answer.headers["Location"]).status_code == 200


def test_a_comment_of_the_maximum_length_fits_into_a_form(panel):
    site, browsers, _ = panel
    path = f"/admin/tickets/{site.ticket('guest')['id']}"
    comment = {"text": "\N{WRENCH}" * 65_535, "visibility": "internal"}

    assert send(browsers["admin"], f"{path}/comments", comment, path).status_code == 303


def test_the_page_of_the_health_shows_admins_the_lag_of_each_follower(panel):
    site, browsers, _ = panel
    events = site.store.recorder.max_notification_id()
    eventually(lambda: followers_of(browsers["admin"])["Projector"] == "Up to date")

    shown = followers_of(browsers["admin"])

    assert shown["Relay to Kafka"] == "Not configured"
    behind = shown["Webhook dispatcher"].removesuffix(" behind").replace(",", "")
    assert int(behind) >= events, "no dispatcher is running"
    assert set(followers_of(browsers["manager"]).values()) == {""}


def test_things_beyond_a_managers_reach_are_404(panel):
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


def test_errors_are_shown_beside_their_fields_and_the_input_is_kept(panel):
    _, browsers, _ = panel
    typed = {"name": "Wendy", "email": "not-an-address", "role": "staff", "property_ids": "abc123"}

    answer = send(browsers["manager"], "/admin/users/new", typed)

    assert answer.status_code == 422
    assert 'value="Wendy"' in answer.text
    assert re.search(
        r'name="email"[^>]*value="not-an-address"[^>]*aria-describedby="email-error"', answer.text
    )
    assert re.search(r'id="email-error">[^<]*E-mail address[^<]* does not have the right form', answer.text)
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


def test_a_key_form_sent_twice_creates_one_key_and_shows_it_once(panel):
    _, browsers, _ = panel
    page = browsers["admin"].open("/admin/keys/new")
    fields = {**hidden(page.text), "name": "twice", "role": "staff", "scopes": "tickets:read"}

    first, second = (browsers["admin"].send("/admin/keys/new", fields) for _ in range(2))

    assert (first.status_code, second.status_code) == (200, 409)
    assert "mts_" in first.text
    assert "mts_" not in second.text
    assert browsers["admin"].open("/admin/keys").text.count(">twice<") == 1


def test_a_change_is_stored_with_its_actor(panel):
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


def test_a_deleted_ticket_is_restored_from_its_history_page(panel):
    site, browsers, _ = panel
    path = f"/admin/tickets/{site.ticket('guest')['id']}"

    deleted = send(browsers["manager"], f"{path}/delete", {})
    gone = browsers["manager"].open(path)
    restored = send(browsers["admin"], f"{path}/restore", {}, f"{path}/history")

    assert (deleted.status_code, gone.status_code, restored.status_code) == (303, 404, 303)
    assert browsers["manager"].open(path).status_code == 200


@pytest.mark.parametrize("version", ["0", "99999999", "x", "-1", str(10**30)])
def test_an_invalid_version_is_not_a_server_error(panel, version):
    _, browsers, ids = panel

    answer = browsers["staff"].open(f"/admin/tickets/{ids['ticket_id']}/history?version={version}")

    assert answer.status_code in (200, 422)


@pytest.mark.parametrize("path", CHANGES)
def test_missing_or_invalid_fields_are_not_a_server_error(panel, path):
    _, browsers, ids = panel
    token = hidden(browsers["admin"].open("/admin/users/new").text)["csrf_token"]
    names = ("name", "title", "text", "scopes", "property_ids", "rate_limit", "expires_at", "version", "user")
    odd = {"csrf_token": token, **dict.fromkeys((*names, "command_id", "unit_names", "password"), "é" * 300)}

    long = {**odd, **dict.fromkeys(("version", "rate_limit"), "9" * 6_000)}
    for fields in ({"csrf_token": token}, odd, long):
        for there in (ids, dict.fromkeys(ids, "absent")):
            if "{" in path or there is ids:
                assert browsers["admin"].send(path.format(**there), fields).status_code < 500


@pytest.mark.parametrize("path", PAGES)
def test_invalid_parameters_of_pages_are_not_a_server_error(panel, path):
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


def test_a_verification_shows_its_findings_in_the_log(panel):
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
    assert "CannotProject" in page or "ValidationError" in page, "the error of the parked event"


def test_the_root_leads_to_the_panel(site):
    answer = Browser(site.base_url).open("/")
    assert (answer.status_code, answer.headers["Location"]) == (303, "/admin")
