"""The deliveries of a webhook in the panel: outcomes, formatted JSON, refreshing, recovery and replay."""

from __future__ import annotations

import re
import threading

import pytest

from tests.acceptance.panel import browser_of, give_passwords, give_session, hidden
from tests.acceptance.site import Site
from tests.acceptance.test_webhooks import dispatcher_process, register
from tests.support.chromium import (
    SIZES_AND_SCHEMES,
    find_accessibility_problems,
    new_page,
    save_screenshot_if_enabled,
)
from tests.support.postgres import cloned_database
from tests.support.receivers import answer, hang, running_receiver
from tests.support.waiting import eventually

LONG_AGO = "2020-01-01T00:00"
PART = {"HX-Request": "true"}


@pytest.fixture(scope="module")
def site(postgres, template, tmp_path_factory):
    """The site with a dispatcher, and passwords for its people."""
    home = tmp_path_factory.mktemp("dispatcher")
    with (
        cloned_database(postgres, template) as dsn,
        Site.running(dsn, WEBHOOK_ALLOW_PRIVATE_ADDRESSES="1") as site,
        dispatcher_process(dsn, home),
    ):
        give_passwords(site)
        yield site


@pytest.fixture(scope="module")
def manager(site):
    return browser_of(site, "manager")


@pytest.fixture
def receiver():
    with running_receiver() as running:
        yield running


@pytest.fixture
def hook(site, receiver):
    """The path of the page of a webhook of the manager, to `receiver`."""
    return f"/admin/webhooks/{register(site, receiver.url(), role='manager')['id']}"


@pytest.fixture
def deliveries(site, hook):
    """Returns a function that returns the deliveries of the webhook."""
    return lambda: site.client("manager").get(f"/v1{hook[6:]}/deliveries").json()["data"]


@pytest.fixture
def open_page(chromium, site, manager):
    """Returns a function that opens a page of Chromium as the manager."""
    contexts = []

    def open_page(path, **options):
        page = new_page(chromium, site.base_url, **options)
        contexts.append(page.context)
        give_session(page, site, manager)
        page.goto(path)
        return page

    yield open_page
    for context in contexts:
        context.close()


def send(browser, path, **fields):
    """Send the form of that page."""
    return browser.send(path, {**hidden(browser.open(path).text), **fields})


def fail_all(site, hook):
    """Make all deliveries of the webhook as if their last attempt had failed."""
    with site.pool.connection() as conn:
        conn.execute(
            "UPDATE hook.deliveries SET status = 'dead', finished_at = now() WHERE endpoint_id = %s",
            [hook.rpartition("/")[2]],
        )


def forget_all(site, hook):
    """Remove the deliveries of the webhook, as if they had never been created."""
    with site.pool.connection() as conn:
        conn.execute("DELETE FROM hook.deliveries WHERE endpoint_id = %s", [hook.rpartition("/")[2]])


def has_status(deliveries, status):
    return lambda: [one["status"] for one in deliveries()] == [status]


def check(page, name):
    """The page is accessible and not wider than the screen."""
    assert find_accessibility_problems(page) == []
    assert not page.evaluate("document.documentElement.scrollWidth > window.innerWidth")
    save_screenshot_if_enabled(page, name)


def test_the_log_is_filtered_by_outcome(site, manager, hook, deliveries):
    site.ticket("guest")
    eventually(has_status(deliveries, "delivered"), within=60)

    shown = {
        status: manager.open(f"{hook}?status={status}").text for status in ("delivered", "dead", "pending")
    }

    row = f'id="delivery-{deliveries()[0]["id"]}"'
    assert {status: row in page for status, page in shown.items()} == {
        "delivered": True,
        "dead": False,
        "pending": False,
    }
    assert "There are no deliveries with this outcome." in shown["dead"]
    assert f'<a href="{hook}?status=dead" aria-current="true">Failed</a>' in shown["dead"]


def test_the_body_and_the_answer_are_indented_and_escaped(site, manager, hook, deliveries, receiver):
    receiver.answers["/hook"] = answer(200, b'{"ok":true,"note":"<b>"}', X_Kind="demo")
    site.ticket("guest", title="Leak <i>")
    eventually(has_status(deliveries, "delivered"), within=60)

    page = manager.open(f"{hook}/deliveries/{deliveries()[0]['id']}").text

    assert "{\n  &#34;ok&#34;: true,\n  &#34;note&#34;: &#34;&lt;b&gt;&#34;\n}" in page
    assert "\n    &#34;title&#34;: &#34;Leak &lt;i&gt;&#34;," in page
    assert "<dt>webhook-signature</dt>" in page
    assert "<dt>Attempts</dt><dd>1</dd>" in page


@pytest.mark.parametrize("text", [b"[" * 900, b"[" * 900 + b"]" * 900, b'{"a": ', b"\xff\x00", b""])
def test_an_answer_that_is_not_json_or_very_deep_is_shown_as_it_is(
    site, manager, hook, deliveries, receiver, text
):
    receiver.answers["/hook"] = answer(200, text)
    site.ticket("guest")
    eventually(has_status(deliveries, "delivered"), within=60)

    page = manager.open(f"{hook}/deliveries/{deliveries()[0]['id']}")

    assert page.status_code == 200
    assert len(page.text) < 30_000


def test_failed_deliveries_are_sent_again_after_their_number_was_shown(
    site, manager, hook, deliveries, receiver
):
    site.ticket("guest")
    eventually(has_status(deliveries, "delivered"), within=60)
    fail_all(site, hook)

    asked = send(manager, f"{hook}/recover", since=LONG_AGO)
    assert "1 failed delivery since" in asked.text
    assert len(receiver.posts) == 1, "nothing is sent before it is confirmed"
    sent = manager.send(f"{hook}/recover", {**hidden(asked.text), "confirmed": "yes"})

    assert (sent.status_code, sent.headers["Location"]) == (303, hook)
    assert "The failed deliveries are queued again." in manager.open(hook).text
    eventually(lambda: len(receiver.posts) == 2, within=60)
    assert receiver.posts[0].body == receiver.posts[1].body


def test_events_without_a_delivery_are_counted_and_sent(site, manager, hook, deliveries, receiver):
    site.ticket("guest")
    eventually(has_status(deliveries, "delivered"), within=60)
    forget_all(site, hook)

    asked = send(manager, f"{hook}/replay", since=LONG_AGO)
    shown = int(re.search(r'class="subject">(\d+) event', asked.text)[1])
    assert deliveries() == [], "the count changes nothing"
    sent = manager.send(f"{hook}/replay", {**hidden(asked.text), "confirmed": "yes"})

    assert (sent.status_code, shown >= 1) == (303, True)
    assert len(deliveries()) == shown
    nothing = send(manager, f"{hook}/replay", since=LONG_AGO)
    assert "every event has a delivery" in nothing.text
    assert "confirmed" not in nothing.text


@pytest.mark.parametrize("action", ["recover", "replay"])
@pytest.mark.parametrize("since", ["", "yesterday", "2026-13-01T00:00", "9" * 400, "<b>"])
def test_a_time_that_is_none_is_refused_at_the_field(manager, hook, action, since):
    answer = send(manager, f"{hook}/{action}", since=since, confirmed="yes")

    assert answer.status_code == 422
    assert 'id="since-error">Enter a date and a time such as 2030-01-31T15:30.' in answer.text


@pytest.mark.parametrize("action", ["recover", "replay"])
@pytest.mark.parametrize("since", ["0001-01-01T00:00", "9999-12-31T23:59", "2026-01-01T00:00:00+02:00"])
def test_every_time_of_the_calendar_is_accepted(manager, hook, action, since):
    assert send(manager, f"{hook}/{action}", since=since).status_code == 200


@pytest.mark.parametrize("action", ["recover", "replay"])
def test_a_disabled_webhook_sends_nothing_again(site, manager, hook, action):
    fields = {**hidden(manager.open(f"{hook}/{action}").text), "since": LONG_AGO}
    site.client("manager").patch(f"/v1{hook[6:]}", json={"enabled": False})

    answer = manager.send(f"{hook}/{action}", {**fields, "confirmed": "yes"})

    assert answer.status_code == 409
    assert "disabled" in answer.text


@pytest.mark.parametrize("action", ["recover", "replay"])
def test_only_those_who_manage_the_webhook_may_send_again(site, hook, action):
    with running_receiver() as other:
        of_admin = f"/admin/webhooks/{register(site, other.url(), role='admin')['id']}"
    fields = {"since": LONG_AGO, "confirmed": "yes"}
    for role in ("staff", "guest"):
        browser = browser_of(site, role)
        sent = {**hidden(browser.open("/admin/password").text), **fields}
        assert browser.open(f"{hook}/{action}").status_code == 403
        assert browser.send(f"{hook}/{action}", sent).status_code == 403
    manager = browser_of(site, "manager")
    sent = {**hidden(manager.open("/admin/password").text), **fields}
    assert manager.open(f"{of_admin}/{action}").status_code == 404
    assert manager.send(f"{of_admin}/{action}", sent).status_code == 404


def test_the_log_is_asked_for_again_only_while_a_delivery_is_due(site, manager, hook, deliveries, receiver):
    receiver.answers["/hook"] = answer(500)
    before = manager.open(hook).text
    site.ticket("guest")
    eventually(lambda: deliveries() and deliveries()[0]["attempts"], within=60)

    failing = manager.http.get(f"{manager.base_url}{hook}", headers=PART, timeout=20).text
    site.client("manager").patch(f"/v1{hook[6:]}", json={"enabled": False})
    off = manager.http.get(f"{manager.base_url}{hook}", headers=PART, timeout=20).text

    assert "data-refresh" not in before
    assert failing.lstrip().startswith('<div id="log" data-refresh hx-get=')
    assert "<html" not in failing
    assert "data-refresh" not in off


@SIZES_AND_SCHEMES
def test_the_log_and_the_delivery_refresh_themselves(open_page, hook, receiver, size, scheme):
    released = threading.Event()

    def respond(handler):
        released.wait(1.5)
        answer(200, b'{"taken":true,"items":[1,2]}')(handler)

    receiver.answers["/hook"] = respond
    page = open_page(hook, viewport=size, color_scheme=scheme)
    page.get_by_role("button", name="Send a test").click()
    page.locator(".live").wait_for()
    page.get_by_label("Most posts per second").fill("7")
    released.set()
    row = page.locator("#log tbody tr").first
    row.filter(has_text="Delivered").wait_for()
    page.locator("#log:not([data-refresh])").wait_for()

    assert page.get_by_label("Most posts per second").input_value() == "7"
    check(page, f"log-{scheme}")
    row.get_by_role("link").click()
    page.get_by_role("heading", name="Attempts").wait_for()
    check(page, f"delivery-{scheme}")


def test_a_hidden_page_asks_for_nothing(open_page, hook, receiver):
    receiver.answers["/hook"] = hang
    page = open_page(hook)
    page.get_by_role("button", name="Send a test").click()
    page.locator("#log[data-refresh]").wait_for()
    asked = []
    page.on("request", lambda request: asked.append(request.url))

    page.evaluate("() => Object.defineProperty(document, 'hidden', { value: true, configurable: true })")
    asked.clear()
    with page.expect_event("console", lambda message: message.text == "paused twice"):
        page.evaluate(
            "() => { let times = 0; document.addEventListener('htmx:beforeRequest', (event) => {"
            " if (event.defaultPrevented && ++times === 2) console.log('paused twice') }) }"
        )
    assert asked == []
    page.evaluate("() => { delete document.hidden }")
    with page.expect_request(f"**{hook}"):
        pass


def test_a_session_that_ends_stops_the_refreshing_and_keeps_what_was_typed(open_page, hook, receiver):
    receiver.answers["/hook"] = hang
    page = open_page(hook)
    page.get_by_role("button", name="Send a test").click()
    page.locator("#log[data-refresh]").wait_for()
    page.get_by_label("Most posts per second").fill("7")
    check(page, "log-live")

    page.context.clear_cookies()
    page.get_by_role("alert").filter(has_text="Your session has ended.").wait_for()

    assert page.locator("#log[data-refresh]").count() == 0
    assert page.get_by_label("Most posts per second").input_value() == "7"


@SIZES_AND_SCHEMES
def test_failed_deliveries_are_sent_again_in_chromium(
    site, open_page, hook, deliveries, receiver, size, scheme
):
    site.ticket("guest")
    eventually(has_status(deliveries, "delivered"), within=60)
    fail_all(site, hook)
    page = open_page(hook, viewport=size, color_scheme=scheme)

    page.get_by_role("link", name="Resend failed").click()
    assert find_accessibility_problems(page) == []
    save_screenshot_if_enabled(page, f"recover-{scheme}")
    page.get_by_label("Since (UTC)").fill(LONG_AGO)
    page.get_by_role("button", name="Continue").click()
    page.get_by_text("1 failed delivery since").wait_for()
    assert find_accessibility_problems(page) == []
    save_screenshot_if_enabled(page, f"recover-asked-{scheme}")
    page.get_by_role("button", name="Send again").click()

    page.get_by_role("status").filter(has_text="queued again").wait_for()
    page.locator("#log tbody tr").filter(has_text="Delivered").wait_for()
