"""The admin panel in Chromium: its tasks, its accessibility, and script in text fields."""

from __future__ import annotations

import re
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest
import requests
from markupsafe import escape
from standardwebhooks.webhooks import Webhook as Verifier

from tests.acceptance.panel import browser_of, create_objects, give_passwords, panel_paths
from tests.acceptance.script_in_fields import SCRIPT, fill
from tests.acceptance.site import PEOPLE, Site
from tests.acceptance.test_webhooks import dispatcher_process
from tests.support.browser import PASSWORD, Browser, forms_of, without_own_script
from tests.support.chromium import (
    SIZES_AND_SCHEMES,
    find_accessibility_problems,
    new_page,
    save_screenshot,
    save_screenshot_if_enabled,
)
from tests.support.oauth import make_app, make_pkce
from tests.support.postgres import cloned_database
from tests.support.receivers import answer, running_receiver
from tests.support.waiting import eventually

# Elements that only an injected text can create.
FOREIGN = 'script:not([src="/web/site.js"], [src="/docs/script.js"]), img:not([src^="/admin/"]), [onerror]'


@pytest.fixture(scope="module")
def ready(postgres, template, tmp_path_factory):
    """The site with a webhook dispatcher, and passwords for its people."""
    home = tmp_path_factory.mktemp("dispatcher")
    with (
        cloned_database(postgres, template) as dsn,
        Site.running(dsn, WEBHOOK_ALLOW_PRIVATE_ADDRESSES="1") as site,
        dispatcher_process(dsn, home),
    ):
        give_passwords(site)
        yield site


@pytest.fixture
def page(chromium, ready):
    """A page without a session. A reported violation of the Content Security Policy fails the test."""
    page = new_page(chromium, ready.base_url)
    messages = []
    page.on("console", lambda message: messages.append(message.text))
    yield page
    page.context.close()
    assert [text for text in messages if "Content Security Policy" in text] == []


def sign_in(page, role="admin", path="/admin"):
    page.goto(path)
    page.get_by_label("E-mail address").fill(f"{PEOPLE[role][0]}@example.com")
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in").click()
    page.wait_for_url(f"**{path}")


def test_signing_in_leads_to_the_requested_page_and_signing_out_ends_the_session(page):
    page.goto("/admin/tickets")
    page.get_by_label("E-mail address").fill("user001@example.com")
    page.get_by_label("Password").fill("not the password at all")
    page.get_by_role("button", name="Sign in").click()
    assert "password is wrong" in page.get_by_role("alert").inner_text()

    sign_in(page, path="/admin/tickets")
    save_screenshot(page, "tickets")
    page.get_by_role("button", name="Sign out").click()
    page.wait_for_url("**/admin/sign-in")
    page.go_back()
    page.goto("/admin/tickets")

    assert "/admin/sign-in" in page.url


def test_a_key_is_created_used_revoked_and_refused(page, ready):
    sign_in(page)
    page.get_by_role("link", name="API keys").click()
    page.get_by_role("link", name=re.compile("New key|Create the first key")).first.click()
    page.get_by_role("textbox", name="Name").fill("Night porter's phone")
    page.get_by_label("Acts as").fill("user101@example.com")
    page.get_by_label("Role", exact=True).select_option("staff")
    page.get_by_role("checkbox", name="tickets:write").uncheck()
    page.get_by_label("Requests an hour").fill("50")
    page.get_by_role("button", name="Create key").click()
    key = page.get_by_label("API key", exact=True).inner_text()
    assert find_accessibility_problems(page) == []
    save_screenshot(page, "key-created")

    def ask():
        headers = {"Authorization": f"Bearer {key}"}
        return requests.get(f"{ready.base_url}/v1/tickets", headers=headers, timeout=20)

    used = ask()
    page.get_by_role("link", name="I have saved it").click()
    row = page.get_by_role("row").filter(has_text="Night porter's phone")
    assert key not in page.content()
    assert key[-4:] in row.inner_text()
    assert "Jane Smith" in row.inner_text()
    assert "Never" not in row.inner_text()
    save_screenshot(page, "keys")
    row.get_by_role("link", name="Revoke").click()
    save_screenshot(page, "confirm")
    page.get_by_role("button", name="Revoke key").click()
    assert "Requests with it are refused" in page.get_by_role("status").inner_text()

    assert used.status_code == 200
    assert used.headers["X-RateLimit-Limit"] == "50"
    assert ask().status_code == 401


def test_a_ticket_is_changed_and_commented_on_and_its_history_is_shown(page, ready):
    ready.ticket("guest", title="Lift stuck between floors")
    sign_in(page, "manager")
    page.get_by_role("link", name="Tickets", exact=True).click()
    page.get_by_label("Search").fill("lift")
    page.get_by_role("link", name="Lift stuck between floors").click()
    page.get_by_label("Status").select_option("in_progress")
    page.get_by_label("Assignee").select_option("user101")
    page.get_by_role("button", name="Save").click()
    assert "is saved" in page.get_by_role("status").inner_text()
    page.get_by_label("Add a comment").fill("The <b>engineer</b> is on the way.")
    page.get_by_label("Who may read it").select_option("internal")
    page.get_by_role("button", name="Comment").click()
    assert "The <b>engineer</b> is on the way." in page.get_by_role("article").inner_text()
    save_screenshot(page, "ticket")

    page.get_by_role("link", name="History").click()
    entries = page.locator(".timeline > li").all_inner_texts()
    assert [re.sub(r"\s+", " ", entry).split(" in the")[0].split(" with")[0] for entry in entries] == [
        "Max Manager commented",
        "Max Manager changed the status",
        "Max Manager assigned the ticket",
        "John Doe opened the ticket",
    ]
    change = page.locator("#v3 tbody tr")
    assert change.locator("th, td").all_inner_texts() == ["Status", "open", "in progress"]
    slider = page.get_by_role("slider", name=re.compile("Version"))
    slider.focus()
    slider.press("Home")
    page.get_by_role("button", name="Show").click()
    past = page.locator("#past").inner_text()
    save_screenshot(page, "history")

    assert "As of version 1" in past
    assert "Nobody" in past


def test_a_ticket_is_opened_for_a_unit_with_the_enter_key(page, ready):
    sign_in(page)
    page.goto("/admin/tickets/new")
    page.get_by_label("Title").fill("Window will not shut")
    page.get_by_label("Property").select_option("abc123")
    page.get_by_role("button", name="Choose a unit").click()
    page.get_by_label("Unit").select_option("unit456")
    page.get_by_label("Title").press("Enter")
    page.wait_for_url("**/admin/tickets/*-*")

    assert page.get_by_role("heading", level=1).inner_text() == "Window will not shut"
    assert "Unit 101" in page.get_by_role("main").inner_text()


def test_a_webhook_is_registered_fails_and_its_delivery_is_sent_again(page, ready):
    with running_receiver() as receiver:
        receiver.answers["/hook"] = answer(500)
        sign_in(page, "manager")
        page.get_by_role("link", name="Webhooks").click()
        page.get_by_role("link", name=re.compile("New webhook|Register the first webhook")).first.click()
        page.get_by_role("textbox", name="Address").fill(receiver.url())
        page.get_by_role("button", name="Register webhook").click()
        secret = page.get_by_label("Secret", exact=True).inner_text()
        assert find_accessibility_problems(page) == []
        page.get_by_role("link", name="I have saved it").click()
        ready.ticket("guest", title="Gate does not close")
        eventually(lambda: "500" in deliveries(page), within=60)
        save_screenshot(page, "webhook-failing")

        del receiver.answers["/hook"]
        page.get_by_role("button", name="Redeliver").click()
        assert "queued again" in page.get_by_role("status").first.inner_text()
        eventually(lambda: "Delivered" in state_of_delivery(page), within=60)
        save_screenshot(page, "delivery")
        assert find_accessibility_problems(page) == []

    last = receiver.posts[-1]
    assert Verifier(secret).verify(last.body, last.headers)["event"] == "ticket.created"
    assert len({post.body for post in receiver.posts}) == 1


def deliveries(page):
    page.reload()
    return " ".join(page.locator("tbody").all_inner_texts())


def state_of_delivery(page):
    page.reload()
    return page.locator("dl").first.inner_text()


class Callback(BaseHTTPRequestHandler):
    """Answers at the redirect address of an application."""

    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"You may close this window.")

    def log_message(self, *args):
        pass


def test_an_application_is_registered_gets_consent_and_reads_tickets(page, ready):
    server = HTTPServer(("127.0.0.1", 0), Callback)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    callback = f"http://127.0.0.1:{server.server_port}/callback"
    try:
        sign_in(page)
        page.goto("/admin/clients/new")
        page.get_by_role("textbox", name="Name").fill("Wall board")
        page.get_by_label("Redirect addresses").fill(callback)
        page.get_by_role("button", name="Register application").click()
        client_id = page.get_by_label("Client id").inner_text()
        secret = page.get_by_label("Client secret").inner_text()
        assert find_accessibility_problems(page) == []
        save_screenshot(page, "application")
        page.goto("/oauth/authorize?" + urlencode(authorization_query(client_id, callback)))
        assert "Wall board" in page.get_by_role("main").inner_text()
        save_screenshot(page, "consent")
        page.get_by_role("button", name="Allow", exact=True).click()
        page.wait_for_url(f"{callback}**")
    finally:
        server.shutdown()
        server.server_close()

    answer = parse_qs(urlsplit(page.url).query)
    token = requests.post(
        f"{ready.base_url}/oauth/token",
        data={"grant_type": "authorization_code", "code": answer["code"][0], "redirect_uri": callback},
        auth=(client_id, secret),
        timeout=20,
    ).json()
    read = requests.get(
        f"{ready.base_url}/v1/tickets",
        headers={"Authorization": f"Bearer {token['access_token']}"},
        timeout=20,
    )
    assert answer["state"] == ["xyz"]
    assert read.status_code == 200
    page.goto(f"{ready.base_url}/admin/clients")
    assert "Wall board" in page.get_by_role("main").inner_text()


def authorization_query(client_id, callback):
    return {
        "response_type": "code",
        "client_id": client_id,
        "redirect_uri": callback,
        "scope": "tickets:read",
        "state": "xyz",
    }


def test_the_panel_works_with_the_keyboard_alone(page):
    page.goto("/admin/sign-in")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to the content"
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    page.keyboard.type("user001@example.com")
    page.keyboard.press("Tab")
    page.keyboard.type(PASSWORD)
    page.keyboard.press("Enter")
    page.wait_for_url("**/admin")

    assert page.get_by_role("heading", level=1).inner_text() == "Overview"


@SIZES_AND_SCHEMES
def test_no_page_has_an_accessibility_problem_or_is_wider_than_the_screen(chromium, ready, size, scheme):
    ids = create_objects(ready)
    rules = () if scheme == "light" else ("color-contrast",)  # the other rules do not depend on colours
    page = new_page(chromium, ready.base_url, viewport=size, color_scheme=scheme, bypass_csp=True)
    page.goto("/admin/sign-in")
    found = {"/admin/sign-in": find_accessibility_problems(page, rules=rules)}
    save_screenshot_if_enabled(page, f"admin-sign-in-{scheme}")
    sign_in(page)
    too_wide = []
    app = make_app(ready.store)
    consent = "/oauth/authorize?" + urlencode(
        {**authorization_query(app.client_id, app.redirect_uri), **make_pkce().parameters}
    )
    panel = [path.format(**ids) for path in panel_paths()]
    for path in (*panel, ids["link"], "/admin/nothing-here", consent, "/oauth/applications"):
        page.goto(path)
        found[path] = find_accessibility_problems(page, rules=rules)
        if page.evaluate("document.documentElement.scrollWidth > window.innerWidth"):
            too_wide.append(path)
        name = re.sub(r"[0-9a-f-]{32,}", "id", path.partition("?")[0]).replace("/", "-").strip("-")
        save_screenshot_if_enabled(page, f"{name}-{scheme}")
    page.context.close()

    assert {path: problems for path, problems in found.items() if problems} == {}
    assert too_wide == []


@pytest.fixture(scope="module")
def site_with_script(ready):
    """The objects with script in every text field, and the paths of all pages that show them."""
    with running_receiver() as receiver:
        filled = fill(ready, receiver)
    paths = [path.format(**filled.ids) for path in panel_paths()]
    asked_for = {
        **authorization_query(filled.ids["client_id"], filled.address),
        **make_pkce().parameters,
        "state": SCRIPT,
    }
    consent = "/oauth/authorize?" + urlencode(asked_for)
    for each in ready.client().get(f"/v1/webhooks/{filled.ids['webhook_id']}/deliveries").json()["data"]:
        paths.append(f"/admin/webhooks/{filled.ids['webhook_id']}/deliveries/{each['id']}")
    people = ready.client().get("/v1/users?per_page=20").json()["data"]
    paths += [f"/admin/users/{person['id']}" for person in people]
    places = ready.client().get("/v1/properties?per_page=20").json()["data"]
    paths += [f"/admin/properties/{place['id']}" for place in places]
    tickets = ready.client().get("/v1/tickets?per_page=10").json()["data"]
    paths += [f"/admin/tickets/{ticket['id']}/history" for ticket in tickets]
    return filled, [*paths, consent, "/oauth/applications", f"/oauth/authorize?client_id={SCRIPT}"]


def test_script_in_every_text_field_is_shown_as_text(ready, site_with_script):
    filled, paths = site_with_script
    admin = browser_of(ready, "admin")

    pages = {path: without_own_script(admin.open(path).text) for path in paths}

    assert filled.left_out == set()
    assert [path for path, page in pages.items() if "<script" in page or "<img src=x" in page] == []
    shown = "".join(pages.values())
    assert [what for what, text in filled.texts.items() if str(escape(text)) not in shown] == []


def test_script_in_every_field_of_every_form_is_shown_again_as_text(ready, site_with_script):
    """The script is sent in all fields at once, and in the query of every list."""
    _, paths = site_with_script
    admin, answers = browser_of(ready, "admin"), {}
    for path in paths:
        for form in forms_of(admin.open(path).text):
            typed = dict.fromkeys(form.typed, SCRIPT)
            if typed and form.method == "post":
                answers[form.action or path] = admin.send(form.action or path, {**form.fields, **typed})
            elif typed:
                query = urlencode({**typed, "page": "1"})
                answers[f"{path}?{query}"] = admin.open(f"{path.partition('?')[0]}?{query}")
                only_words = urlencode({"q": SCRIPT})
                answers[f"{path}?{only_words}"] = admin.open(f"{path.partition('?')[0]}?{only_words}")
    nobody = Browser(ready.base_url)
    answers["sign-in"] = nobody.sign_in(SCRIPT, SCRIPT, next_path=SCRIPT)
    admin.http.cookies["ticketing-done"] = SCRIPT
    answers["flash"] = admin.open("/admin")

    assert len([path for path in answers if path.startswith("/admin")]) >= 20
    assert {answer.status_code for answer in answers.values()} <= {200, 303, 403, 404, 409, 412, 422}
    texts = {path: without_own_script(answer.text) for path, answer in answers.items()}
    assert [path for path, text in texts.items() if "<script" in text or "<img src=x" in text] == []


def test_no_injected_script_runs_in_chromium(chromium, ready, site_with_script):
    """The Content Security Policy is switched off, so that only the escaping is tested."""
    _, paths = site_with_script
    page = new_page(chromium, ready.base_url, bypass_csp=True)
    sign_in(page)
    ran = []
    for path in paths:
        page.goto(path, wait_until="load")
        if page.evaluate(f"window.ran === 1 || document.querySelector('{FOREIGN}') !== null"):
            ran.append(path)
    page.set_content(f"<body>{SCRIPT}</body>")
    control_ran = page.evaluate("window.ran === 1")
    page.context.close()

    assert ran == []
    assert control_ran
