"""Keys and other secrets in the panel: what the form of a new key proposes, and copying a secret."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from projections.api_keys import list_keys
from tests.acceptance.panel import browser_of, give_passwords, give_session
from tests.acceptance.site import PEOPLE
from tests.support.browser import PASSWORD, forms_of
from tests.support.chromium import (
    PHONE,
    SIZES_AND_SCHEMES,
    find_accessibility_problems,
    new_page,
    save_screenshot_if_enabled,
)

FORM = "/admin/keys/new"


@pytest.fixture(scope="module")
def admin(site):
    give_passwords(site)
    return browser_of(site, "admin")


@pytest.fixture
def form(admin):
    """The form of a new key, as it is proposed."""
    return next(form for form in forms_of(admin.open(FORM).text) if "rate_limit" in form.fields)


@pytest.fixture
def key_named(site):
    """Returns a function that returns the stored key of that name."""

    def find(name):
        (key,) = (key for key in list_keys(site.pool, 100, 0).items if key.name == name)
        return key

    return find


@pytest.fixture
def open_page(chromium, site, admin):
    """Returns a function that opens a page of Chromium as the admin; with permission to copy."""
    contexts = []

    def open_page(path, **options):
        page = new_page(chromium, site.base_url, **options)
        contexts.append(page.context)
        page.context.grant_permissions(["clipboard-read", "clipboard-write"], origin=site.base_url)
        give_session(page, site, admin)
        page.goto(path)
        return page

    yield open_page
    for context in contexts:
        context.close()


def in_ninety_days():
    return (datetime.now(UTC) + timedelta(days=90)).date()


def test_a_new_key_as_proposed_only_reads_and_expires_in_ninety_days(admin, form, key_named):
    assert admin.send(FORM, form.with_typed(name="As proposed")).status_code == 200

    key = key_named("As proposed")
    assert key.role == "staff"
    assert sorted(key.scopes) == ["properties:read", "tickets:read", "users:read"]
    assert key.expires_at.date() == in_ninety_days()


def test_the_proposed_expiry_can_be_cleared_or_changed(admin, form, key_named):
    other = (in_ninety_days() + timedelta(days=7)).isoformat()

    assert admin.send(FORM, form.with_typed(name="For ever", expires_at="")).status_code == 200
    assert admin.send(FORM, form.with_typed(name="Longer", expires_at=other)).status_code == 200

    assert key_named("For ever").expires_at is None
    assert key_named("Longer").expires_at.date().isoformat() == other


def test_a_form_without_the_expiry_makes_a_key_that_expires(admin, form, key_named):
    sent = [pair for pair in form.with_typed(name="Left out") if pair[0] != "expires_at"]

    assert admin.send(FORM, sent).status_code == 200

    assert key_named("Left out").expires_at.date() == in_ninety_days()


def test_a_refused_form_keeps_the_cleared_expiry_and_the_chosen_scopes(admin, form):
    sent = [pair for pair in form.with_typed(name="", expires_at="") if pair != ("scopes", "users:read")]

    answer = admin.send(FORM, sent)

    again = next(form for form in forms_of(answer.text) if "rate_limit" in form.fields)
    assert (answer.status_code, again.fields["expires_at"]) == (422, "")
    ticked = [value for name, value in again.pairs if name == "scopes" and value]
    assert ticked == ["tickets:read", "properties:read"]


@SIZES_AND_SCHEMES
def test_a_key_is_copied_with_one_click_which_is_announced(open_page, size, scheme):
    page = open_page(FORM, viewport=size, color_scheme=scheme)
    assert find_accessibility_problems(page) == []
    save_screenshot_if_enabled(page, f"key-new-{scheme}")
    page.get_by_role("textbox", name="Name").fill("Copied")
    page.get_by_role("button", name="Create key").click()
    key = page.get_by_label("API key", exact=True).inner_text()

    page.get_by_role("button", name="Copy API key").click()
    page.get_by_role("status").filter(has_text="Copied").first.wait_for()

    assert page.evaluate("navigator.clipboard.readText()") == key
    assert find_accessibility_problems(page) == []
    assert not page.evaluate("document.documentElement.scrollWidth > window.innerWidth")
    save_screenshot_if_enabled(page, f"key-copied-{scheme}")
    page.get_by_role("button", name="Copy the command").click()
    page.wait_for_function("navigator.clipboard.readText().then((text) => text.startsWith('curl '))")


def test_a_text_that_the_browser_does_not_copy_is_selected(open_page):
    page = open_page(FORM)
    page.get_by_role("textbox", name="Name").fill("Not copied")
    page.get_by_role("button", name="Create key").click()
    key = page.get_by_label("API key", exact=True).inner_text()
    page.evaluate("() => { navigator.clipboard.writeText = () => Promise.reject(new Error()) }")

    page.get_by_role("button", name="Copy API key").click()
    page.get_by_role("status").filter(has_text="Ctrl+C").wait_for()

    assert page.evaluate("getSelection().toString()").strip() == key


def test_without_script_a_secret_has_no_button_and_a_click_selects_all_of_it(chromium, site, admin):
    page = new_page(chromium, site.base_url, java_script_enabled=False)
    page.goto(FORM)
    page.get_by_label("E-mail address").fill(PEOPLE["admin"][0])
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in").click()
    page.get_by_role("textbox", name="Name").fill("Without script")
    page.get_by_role("button", name="Create key").click()
    key = page.get_by_label("API key", exact=True)

    key.click()

    assert page.get_by_role("button", name="Copy").count() == 0
    assert page.evaluate("getSelection().toString()").strip() == key.inner_text()
    page.context.close()


@pytest.mark.parametrize(
    ("path", "fields", "label"),
    [
        ("/admin/webhooks/new", {"Address": "https://hooks.example/new"}, "Secret"),
        (
            "/admin/clients/new",
            {"Name": "Board", "Redirect addresses": "https://board.example/"},
            "Client secret",
        ),
    ],
    ids=["webhook", "application"],
)
def test_the_secret_of_a_webhook_and_of_an_application_can_be_copied(open_page, path, fields, label):
    page = open_page(path, viewport=PHONE)
    for name, value in fields.items():
        page.get_by_role("textbox", name=name).fill(value)
    page.get_by_role("button", name="Register").click()
    secret = page.get_by_label(label, exact=True).inner_text()

    page.get_by_role("button", name=f"Copy {label}").click()
    page.get_by_role("status").filter(has_text="Copied").wait_for()

    assert page.evaluate("navigator.clipboard.readText()") == secret
    assert find_accessibility_problems(page) == []
    save_screenshot_if_enabled(page, f"secret-{label.replace(' ', '-')}")
