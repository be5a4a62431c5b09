"""Invitations: a manager registers a person, who chooses their first password with a link."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from uuid import uuid4

import pytest

from domain.user import User, UserLinkIssued
from tests.acceptance.panel import browser_of, give_passwords
from tests.acceptance.people import NEW_PASSWORD, signed_in, use
from tests.acceptance.site import PEOPLE
from tests.support.browser import PASSWORD, forms_of, give_password
from tests.support.chromium import (
    DESKTOP,
    PHONE,
    find_accessibility_problems,
    new_page,
    save_screenshot_if_enabled,
)
from tests.support.log import events_after

TENANT = {"name": "Tina Tenant", "role": "guest", "property_ids": "abc123"}


@pytest.fixture(scope="module")
def manager(site):
    give_passwords(site)
    return browser_of(site, "manager")


@pytest.fixture
def invite(manager):
    """Returns a function that sends the form for a new person, or the same form again."""
    (form,) = (one for one in forms_of(manager.open("/admin/users/new").text) if "name" in one.fields)
    email = f"{uuid4()}@example.com"

    def send(**typed):
        return manager.send(
            "/admin/users/new", form.with_typed(**{**TENANT, "email": email, "next": "invite", **typed})
        )

    send.email = email
    return send


def link_on(answer):
    """Return the path and query of the link that the page shows."""
    assert answer.status_code == 200, answer.text
    return re.search(r">http://[^/<]+(/admin/one-time-link\?link=mtl_\w+)<", answer.text)[1]


def make_link(manager, user_id):
    path = f"/admin/users/{user_id}/invitation"
    (form,) = (one for one in forms_of(manager.open(path).text) if "command_id" in one.fields)
    return manager.send(path, form.fields)


def test_an_invited_tenant_chooses_a_password_once_and_lands_on_their_own_pages(site, invite):
    answer = invite()
    link = link_on(answer)
    assert answer.headers["Cache-Control"] == "no-store"
    assert "Welcome, Tina Tenant" in signed_out_page(site, link)

    done, again = use(site, link), use(site, link)

    assert 'href="/admin/sign-in?next=/admin/my"' in done.text
    assert again.status_code == 404
    assert "ask the person who sent you the link for a new one" in again.text
    assert 'href="/admin/sign-in"' in again.text
    assert signed_in(site, invite.email, NEW_PASSWORD).open("/admin").headers["Location"] == "/admin/my"


def signed_out_page(site, link):
    return site.client(None).get(link).text


def test_an_invitation_is_valid_for_seven_days(site, manager, invite):
    link = link_on(invite())
    (issued,) = [
        recorded.event
        for recorded in events_after(site.store, 0, 10_000)
        if isinstance(recorded.event, UserLinkIssued)
        and site.store.load(User, recorded.event.originator_id).email == invite.email
    ]
    assert issued.link_id.startswith("invitation_")
    days = (issued.expires_at - datetime.now(UTC)).total_seconds() / 86_400
    assert 6.99 < days <= 7

    with site.pool.connection() as conn:
        conn.execute(
            "UPDATE access.one_time_links SET expires_at = expires_at - interval '7 days' WHERE user_id = %s",
            [issued.originator_id],
        )

    assert use(site, link).status_code == 404
    assert use(site, link_on(make_link(manager, issued.originator_id))).status_code == 200


def test_the_same_form_sent_twice_registers_one_person_and_shows_one_link(site, manager, invite):
    link, again = link_on(invite()), invite()

    assert again.status_code == 303
    assert "The link was shown before." in manager.open(again.headers["Location"]).text
    assert use(site, link).status_code == 200


def test_a_new_invitation_replaces_the_earlier_one(site, manager):
    user_id = site.person()["id"]
    first, second = link_on(make_link(manager, user_id)), link_on(make_link(manager, user_id))

    assert (use(site, first).status_code, use(site, second).status_code) == (404, 200)


def test_a_person_with_a_password_gets_no_invitation_but_a_one_time_link(site, manager):
    user_id = site.person()["id"]
    page = manager.open(f"/admin/users/{user_id}").text
    assert f"/admin/users/{user_id}/invitation" in page
    give_password(site.store, user_id)

    refused = make_link(manager, user_id)

    assert refused.status_code == 409
    assert "has a password already" in refused.text
    page = manager.open(f"/admin/users/{user_id}").text
    assert f"/admin/users/{user_id}/invitation" not in page
    assert f"/admin/users/{user_id}/one-time-link" in page


@pytest.mark.parametrize(
    ("typed", "status"),
    [({"role": "admin"}, 403), ({"property_ids": "def456"}, 422), ({"property_ids": ""}, 422)],
    ids=["role above", "foreign property", "no property"],
)
def test_a_manager_invites_nobody_beyond_their_own_rights(invite, typed, status):
    answer = invite(**typed)

    assert answer.status_code == status
    assert "one-time-link?link=" not in answer.text


def test_a_manager_makes_no_invitation_for_people_out_of_reach_or_above(site, manager, invite):
    token = forms_of(manager.open("/admin/users/new").text)[-1].fields
    above, foreign = site.person(role="admin")["id"], site.person(property_ids=["def456"])["id"]

    statuses = [manager.send(f"/admin/users/{one}/invitation", token).status_code for one in (above, foreign)]

    assert statuses == [403, 404]


@pytest.mark.parametrize(
    ("size", "has_script"), [(PHONE, True), (DESKTOP, False)], ids=["phone-script", "desktop-plain"]
)
def test_a_manager_invites_a_tenant_who_signs_in(site, manager, size, has_script, chromium):
    email = f"{uuid4()}@example.com"
    options = {"viewport": size, "java_script_enabled": has_script}
    page = new_page(chromium, site.base_url, **options)
    page.goto("/admin/users/new")
    page.get_by_label("E-mail address").fill(PEOPLE["manager"][0])
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in").click()
    page.get_by_label("Name", exact=True).fill("Theo Tenant")
    page.get_by_label("E-mail address").fill(email)
    page.get_by_label("Role").select_option("guest")
    page.get_by_label("Seaside Apartments").check()
    save_screenshot_if_enabled(page, f"person-new-{size['width']}")
    page.get_by_role("button", name="Register and make an invitation link").click()
    link = page.locator("output.secret").inner_text()
    save_screenshot_if_enabled(page, f"invitation-{size['width']}")
    problems = find_accessibility_problems(page) if has_script else []

    guest = new_page(chromium, site.base_url, **options)
    guest.goto(link)
    save_screenshot_if_enabled(guest, f"welcome-{size['width']}")
    guest.get_by_label("New password").fill(NEW_PASSWORD)
    guest.get_by_label("Repeat the password").fill(NEW_PASSWORD)
    guest.get_by_role("button", name="Set password").click()
    guest.get_by_role("link", name="Sign in").click()
    guest.get_by_label("E-mail address").fill(email)
    guest.get_by_label("Password").fill(NEW_PASSWORD)
    guest.get_by_role("button", name="Sign in").click()
    guest.wait_for_url("**/admin/my")
    guest.goto(link)
    save_screenshot_if_enabled(guest, f"link-used-{size['width']}")
    problems += find_accessibility_problems(guest) if has_script else []

    assert problems == []
