"""The page /docs: examples that work, search, copying, and trying operations with a key."""

from __future__ import annotations

import gzip
import json
import os
import re
import subprocess
import sys
from html import unescape
from urllib.parse import urlsplit

import pytest
import requests

from tests.acceptance.site import LEAK
from tests.support.chromium import (
    DESKTOP,
    PHONE,
    find_accessibility_problems,
    new_page,
    save_screenshot_if_enabled,
)

WIDE = {"width": 1440, "height": 900}
MOST_BYTES = 100_000  # compressed, of the page with its style and script
LANGUAGES = ["curl", "Python", "JavaScript"]
TRIED = ["listTickets", "createTicket", "getTicket", "updateTicket", "uploadTicketAttachment", "getMetrics"]


@pytest.fixture(scope="module")
def page_text(site):
    return requests.get(f"{site.base_url}/docs", timeout=20).text


@pytest.fixture
def docs(chromium, site):
    """The page in Chromium. A reported violation of the Content Security Policy fails the test."""
    page = new_page(chromium, site.base_url, permissions=["clipboard-read", "clipboard-write"])
    messages = []
    page.on("console", lambda message: messages.append(message.text))
    page.goto("/docs")
    yield page
    page.context.close()
    assert [text for text in messages if "Content Security Policy" in text] == []


def examples_of(page, operation_id):
    """Return the examples of the operation, by language."""
    article = re.search(rf'<article id="{operation_id}".*?</article>', page, re.DOTALL)[0]
    found = re.findall(r"<summary>(\w+)</summary><pre[^>]*><code>(.*?)</code></pre>", article, re.DOTALL)
    return {language: unescape(text) for language, text in found}


def run(site, tmp_path, program, text, ticket_id):
    """Run an example with a real key and ticket. Returns the process and its output."""
    (tmp_path / "photo.jpg").write_bytes(b"\xff\xd8 photo")
    text = text.replace("YOUR_API_KEY", site.keys["admin"]).replace("TICKET_ID", ticket_id)
    clean = {name: value for name, value in os.environ.items() if "proxy" not in name.lower()}
    return subprocess.run(
        [*program, text], cwd=tmp_path, env=clean, capture_output=True, text=True, timeout=60, check=True
    ).stdout


def test_every_operation_has_an_example_in_every_language(site, page_text):
    paths = requests.get(f"{site.base_url}/v1/openapi.json", timeout=20).json()["paths"]
    operations = [one["operationId"] for methods in paths.values() for one in methods.values()]

    assert len(operations) > 50
    for operation in operations:
        assert list(examples_of(page_text, operation)) == LANGUAGES, operation


def test_every_python_example_compiles(page_text):
    for operation in re.findall(r'<article id="(\w+)"', page_text):
        compile(examples_of(page_text, operation)["Python"], operation, "exec")


@pytest.mark.parametrize("operation", TRIED)
def test_the_curl_example_works(site, page_text, tmp_path, operation):
    ticket_id = site.ticket()["id"]

    output = run(site, tmp_path, ["sh", "-ec"], examples_of(page_text, operation)["curl"], ticket_id)

    check(site, operation, output, ticket_id)


@pytest.mark.parametrize("operation", TRIED)
def test_the_python_example_works(site, page_text, tmp_path, operation):
    ticket_id = site.ticket()["id"]

    program = [sys.executable, "-c"]
    output = run(site, tmp_path, program, examples_of(page_text, operation)["Python"], ticket_id)

    check(site, operation, output, ticket_id)


def check(site, operation, output, ticket_id):
    if operation == "getMetrics":
        assert "# TYPE" in output
        return
    assert "success" in output
    if operation == "uploadTicketAttachment":
        files = site.client().get(f"/v1/tickets/{ticket_id}/attachments").json()["data"]
        assert [file["filename"] for file in files] == ["photo.jpg"]
    elif operation != "listTickets":
        assert LEAK["title"] in output


def test_the_javascript_example_works(docs, page_text, site):
    ticket_id = site.ticket()["id"]
    for operation in ("listTickets", "createTicket", "getTicket", "updateTicket"):
        text = examples_of(page_text, operation)["JavaScript"].replace("YOUR_API_KEY", site.keys["admin"])
        text = text.replace("TICKET_ID", ticket_id).replace("console.log(", "return (")
        answer = docs.evaluate(f"async () => {{ {text} }}")
        assert answer["status"] == "success", operation


def test_the_page_with_its_style_and_script_is_small_and_compressed(site):
    size = 0
    for path in ("/docs", "/docs/style.css", "/docs/script.js"):
        answer = requests.get(
            site.base_url + path, headers={"Accept-Encoding": "gzip"}, stream=True, timeout=20
        )
        body = answer.raw.read()
        assert answer.headers["Content-Encoding"] == "gzip"
        plain = requests.get(site.base_url + path, headers={"Accept-Encoding": ""}, timeout=20)
        assert plain.content == gzip.decompress(body)
        again = requests.get(
            site.base_url + path, headers={"If-None-Match": answer.headers["ETag"]}, timeout=20
        )
        assert again.status_code == 304
        size += len(body)
    assert size <= MOST_BYTES


def test_the_policy_allows_only_this_site(site):
    policy = requests.get(f"{site.base_url}/docs", timeout=20).headers["Content-Security-Policy"]

    assert policy == (
        "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; base-uri 'none';"
        " form-action 'none'; frame-ancestors 'none'"
    )


def test_operations_are_found_as_one_types(docs):
    docs.keyboard.press("/")
    docs.keyboard.type("restore ticket")

    assert docs.get_by_role("status").first.inner_text() == "1 operation"
    visible = [one.get_attribute("id") for one in docs.locator("article").all() if one.is_visible()]
    assert visible == ["restoreTicket"]
    assert docs.locator("nav .group a:visible").count() == 1
    docs.get_by_label("Find an operation").fill("")
    assert docs.locator("article:visible").count() > 50


def test_an_example_is_copied_and_the_language_is_remembered(docs):
    article = docs.locator("#createTicket")
    article.get_by_role("tab", name="Python").click()
    article.get_by_role("tabpanel").get_by_role("button", name="Copy").click()
    article.get_by_role("button", name="Copied").wait_for()
    copied = docs.evaluate("navigator.clipboard.readText()")
    assert copied.startswith("import requests\n")

    docs.reload()

    assert docs.locator("#listTickets").get_by_role("tab", selected=True).inner_text() == "Python"
    docs.locator("#listTickets").get_by_role("tab", name="Python").press("ArrowRight")
    assert docs.locator("#getUser").get_by_role("tab", selected=True).inner_text() == "JavaScript"


def test_an_operation_is_tried_with_a_key_that_stays_in_this_tab(docs, site):
    ticket = site.ticket(title="Tried in the documentation")
    sent = []
    docs.on("request", lambda request: sent.append(request))
    docs.locator("#getTicket").get_by_role("button", name="Try it").click()
    form = docs.get_by_role("form", name="Try: GET /v1/tickets/{ticket_id}")
    form.get_by_label("API key").fill(site.keys["admin"])
    form.get_by_label("ticket_id").fill(ticket["id"])
    form.get_by_label("Query").fill("fields=id,title")
    form.get_by_role("button", name="Send").click()
    form.get_by_text("200 OK").wait_for()

    shown = json.loads(form.locator(".answer > .copied code").inner_text())
    assert shown["data"] == {"id": ticket["id"], "title": ticket["title"]}
    form.get_by_text("Headers").click()
    assert "etag:" in form.locator(".answer details").inner_text()
    assert [urlsplit(request.url).query for request in sent] == ["fields=id,title"]
    assert {f"{urlsplit(one.url).scheme}://{urlsplit(one.url).netloc}" for one in sent} == {site.base_url}
    assert "cookie" not in sent[0].all_headers()
    assert docs.evaluate("[localStorage.length, document.cookie]") == [0, ""]
    form.get_by_role("button", name="Forget the key").click()
    assert docs.evaluate("sessionStorage.length") == 0


def test_a_write_is_marked_and_shows_its_refusal(docs, site):
    docs.evaluate(f"sessionStorage.setItem('docs-key', '{site.keys['admin']}')")
    docs.locator("#createTicket").get_by_role("button", name="Try it").click()
    form = docs.get_by_role("form", name="Try: POST /v1/tickets")
    assert form.get_by_text("This request changes data on this server.").is_visible()
    form.get_by_role("button", name="Send POST: changes data").click()
    form.get_by_text("201 Created").wait_for()
    form.get_by_label("Body").fill("{}")
    form.get_by_role("button", name="Send POST: changes data").click()
    form.get_by_text("422").wait_for()

    assert "The title field is required." in form.locator(".answer").inner_text()


@pytest.mark.parametrize(("size", "scheme"), [(PHONE, "light"), (WIDE, "dark")], ids=["phone", "wide"])
def test_the_page_is_accessible_at_every_width(chromium, site, size, scheme):
    page = new_page(chromium, site.base_url, viewport=size, color_scheme=scheme, bypass_csp=True)
    page.goto("/docs")
    page.locator("#createTicket").get_by_role("button", name="Try it").click()
    form = page.get_by_role("form", name="Try: POST /v1/tickets")
    form.get_by_label("API key").fill(site.keys["admin"])
    form.get_by_role("button", name="Send POST").click()
    form.get_by_text("201 Created").wait_for()

    rules = () if scheme == "light" else ("color-contrast",)  # the other rules do not depend on colours
    assert find_accessibility_problems(page, rules=rules) == []
    assert not page.evaluate("document.documentElement.scrollWidth > window.innerWidth")
    save_screenshot_if_enabled(page, f"docs-{scheme}-{size['width']}")
    page.context.close()


def test_without_script_all_examples_and_the_contents_are_there(chromium, site):
    page = new_page(chromium, site.base_url, viewport=DESKTOP, java_script_enabled=False)
    page.goto("/docs")

    assert page.locator("#createTicket .examples summary").all_inner_texts() == LANGUAGES
    page.locator("#createTicket").get_by_text("Python").click()
    assert page.locator("#createTicket").get_by_text("requests.post(").is_visible()
    assert not page.get_by_label("Find an operation").is_visible()
    assert page.get_by_role("button").count() == 0
    page.context.close()
