"""One-time links and passwords: a person sets a password by a link, or changes it."""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from uuid import uuid4

from domain.user import User, UserPasswordChanged
from tests.acceptance.people import LINK, NEW_PASSWORD, link_of, send, signed_in, use
from tests.acceptance.site import PEOPLE
from tests.support.browser import PASSWORD, Browser, give_password
from tests.support.log import events_after
from tests.support.waiting import eventually

LINK_OF = "/v1/users/{}/one-time-link"


def test_a_one_time_link_sets_a_password_once(site):
    person = site.person(role="guest")
    path = f"/v1/users/{person['id']}/one-time-link"
    retry = {"Idempotency-Key": str(uuid4())}
    first = link_of(site.client("manager").post(path))
    answer = site.client("manager").post(path, headers=retry)
    link = link_of(answer)
    assert answer.headers["Cache-Control"] == "no-store"
    assert link_of(site.client("manager").post(path, headers=retry)) == link, "a retry gets the same answer"
    expires_at = datetime.fromisoformat(answer.json()["data"]["expires_at"])
    assert 23.9 < (expires_at - datetime.now(UTC)).total_seconds() / 3_600 <= 24

    assert use(site, first).status_code == 404, "a new link replaces the earlier one"
    weak = use(site, link, "short")
    assert weak.status_code == 422
    assert 'id="password-error"' in weak.text
    with ThreadPoolExecutor(4) as threads:
        statuses = sorted(one.status_code for one in threads.map(lambda _: use(site, link), range(4)))

    assert statuses == [200, 404, 404, 404]
    browser = signed_in(site, person["email"], NEW_PASSWORD)
    assert browser.open("/admin/password").status_code == 200, "for guests too"
    changed = [
        recorded.event
        for recorded in events_after(site.store, 0, 10_000)
        if isinstance(recorded.event, UserPasswordChanged) and recorded.event.originator_id == person["id"]
    ]
    assert [event.actor.user_id for event in changed] == [person["id"]]
    secret = link.partition("=")[2].encode()
    assert not any(secret in bytes(row.state) for row in site.store.recorder.select_notifications(1, 10_000))


def test_a_link_is_void_after_a_day_and_after_changes_of_its_person(site):
    changes = {"role": "manager", "property_ids": [], "active": False}
    reasons = ("late", "password", "erased", *changes)
    people = {reason: site.person()["id"] for reason in reasons}
    admin = site.client()
    links = {each: link_of(admin.post(f"/v1/users/{one}/one-time-link")) for each, one in people.items()}

    with site.pool.connection() as conn:
        conn.execute(
            "UPDATE access.one_time_links SET expires_at = expires_at - interval '1 day' WHERE user_id = %s",
            [people["late"]],
        )
    give_password(site.store, people["password"])
    admin.post(f"/v1/users/{people['erased']}/erase")
    for field, value in changes.items():
        assert admin.patch(f"/v1/users/{people[field]}", json={field: value}).status_code == 200

    assert {each: use(site, link).status_code for each, link in links.items()} == dict.fromkeys(reasons, 404)
    assert use(site, f"{LINK}?link=x").status_code == use(site, LINK).status_code == 404


def test_a_link_is_void_after_its_issuer_is_deactivated(site):
    issuer, person = (site.person(role=role)["id"] for role in ("manager", "staff"))
    link = link_of(site.client(key=site.key(role="manager", user_id=issuer)).post(LINK_OF.format(person)))
    assert site.client().patch(f"/v1/users/{issuer}", json={"active": False}).status_code == 200

    assert use(site, link).status_code == 404


def test_a_link_needs_the_rights_of_its_person_every_scope_and_another_person(site):
    link = LINK_OF.format
    narrow = site.client(key=site.key(role="admin", scopes=("users:write",)))

    assert site.client("manager").post(link("user001")).status_code == 404
    assert site.client("manager").post(link("user050")).status_code == 403, "oneself"
    assert narrow.post(link("user101")).status_code == 403
    admin_of_place = site.person(role="admin")["id"]
    assert site.client("manager").post(link(admin_of_place)).status_code == 403


def test_a_person_changes_their_own_password_and_stays_signed_in_here(site):
    user_id = site.person()["id"]
    give_password(site.store, user_id)
    here, elsewhere = signed_in(site, user_id), signed_in(site, user_id)
    new = {"password": NEW_PASSWORD, "again": NEW_PASSWORD}

    wrong = send(here, "/admin/password", {**new, "current": "wrong"})
    differs = send(here, "/admin/password", {"current": PASSWORD, "password": NEW_PASSWORD, "again": "x"})
    weak = send(here, "/admin/password", {"current": PASSWORD, "password": "short", "again": "short"})
    done = send(here, "/admin/password", {**new, "current": PASSWORD})

    assert (wrong.status_code, differs.status_code, weak.status_code, done.status_code) == (
        422,
        422,
        422,
        303,
    )
    assert 'id="current-error">This is not your current password.' in wrong.text
    assert "Your password is changed." in here.open("/admin/password").text
    assert elsewhere.open("/admin").headers["Location"].startswith("/admin/sign-in")
    assert Browser(site.base_url).sign_in(user_id).status_code == 403
    signed_in(site, user_id, NEW_PASSWORD)
    assert site.store.load(User, user_id).version == 3


def test_guesses_of_the_current_password_are_delayed(site):
    user_id = site.person()["id"]
    give_password(site.store, user_id)
    browser = signed_in(site, user_id)
    form = {"password": NEW_PASSWORD, "again": NEW_PASSWORD}

    statuses = [send(browser, "/admin/password", {**form, "current": "x"}).status_code for _ in range(8)]

    assert set(statuses[:5]) == {422}
    assert 429 in statuses[5:]


def test_the_panel_deactivates_and_reactivates_and_shows_a_link_once(site):
    give_password(site.store, PEOPLE["manager"][0])
    browser, person = signed_in(site, PEOPLE["manager"][0]), site.person(name="Pat Panel")
    path = f"/admin/users/{person['id']}"

    shown = send(browser, f"{path}/one-time-link", {})
    link = re.search(r">http://[^/<]+(/admin/one-time-link\?link=mtl_\w+)<", shown.text)[1]
    gone = send(browser, f"{path}/deactivate", {})
    listed_gone = browser.open("/admin/users?active=false").text
    page = browser.open(path).text
    back = send(browser, f"{path}/reactivate", {})

    assert (shown.status_code, gone.status_code, back.status_code) == (200, 303, 303)
    assert "Pat Panel" in listed_gone
    assert f"{path}/reactivate" in page
    assert f"{path}/one-time-link" not in page
    assert f"{path}/deactivate" in browser.open(path).text
    assert use(site, link).status_code == 404, "void since the deactivation"
    own = browser.open(f"/admin/users/{PEOPLE['manager'][0]}").text
    assert "/deactivate" not in own
    assert eventually(lambda: "Pat Panel" not in browser.open("/admin/users?active=false").text)
