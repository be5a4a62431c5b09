"""Browser sessions: the cookie, how a session starts and ends, and the rights of its person."""

from datetime import timedelta

import pytest
from falcon.testing import TestClient

from domain.session import SessionEnded, SessionStarted
from server.app import create_app
from tests.support.api import services_on
from tests.support.arrange import change_user
from tests.support.browser import PASSWORD, forms_of
from tests.support.keys import operator
from tests.support.log import events_after
from tests.support.pages import Desk, Page
from tests.support.postgres import cloned_database


@pytest.fixture
def database(postgres, database_with_people):
    """A database in which Max and Ada can sign in."""
    with cloned_database(postgres, database_with_people) as dsn:
        yield dsn


def age(pool, column, by):
    with pool.connection() as conn:
        conn.execute(f"UPDATE access.sessions SET {column} = {column} - %s", [by])


def recorded_events(store, kind):
    return [r.event for r in events_after(store, 0, 1_000) if isinstance(r.event, kind)]


def test_without_a_session_a_page_redirects_to_sign_in_and_back(page):
    answer = page.open("/admin/desk?a=b%20c&d=e")

    assert answer.status_code == 303
    sign_in_page = answer.headers["location"]
    assert sign_in_page == "/admin/sign-in?next=%2Fadmin%2Fdesk%3Fa%3Db%2520c%26d%3De"
    form = forms_of(page.open(sign_in_page).text)[0]
    answer = page.send(form.action, {**form.fields, "account": "max@example.com", "password": PASSWORD})
    assert (answer.status_code, answer.headers["location"]) == (303, "/admin/desk?a=b%20c&d=e")
    assert page.open("/admin/desk").status_code == 200


def test_a_session_has_the_current_role_and_properties_of_its_person(page, store, catch_up):
    page.sign_in()
    assert page.open("/admin/desk").json["role"] == "manager"

    change_user(store, "max", operator(), role="guest")
    catch_up()

    seen = page.open("/admin/desk").json
    assert (seen["user_id"], seen["role"], seen["auth"], seen["property_ids"]) == (
        "max",
        "guest",
        "session",
        [],
    )
    (started,) = recorded_events(store, SessionStarted)
    assert seen["credential_id"] == started.originator_id


def test_an_admin_reaches_every_property(page):
    page.sign_in("ada")

    assert page.open("/admin/desk").json["property_ids"] is None


def test_the_cookie_on_loopback_is_http_only_and_same_site_but_not_secure(page):
    cookie = page.sign_in().cookies["ticketing"]

    assert cookie.http_only
    assert cookie.same_site == "Lax"
    assert (cookie.path, cookie.domain, cookie.secure) == ("/", None, False)
    assert cookie.max_age is None
    assert cookie.value.startswith("mtw_")
    assert len(cookie.value) == 53


def test_over_https_the_cookie_is_a_host_cookie(database, tmp_path):
    with services_on(database, tmp_path, base_url="https://tickets.example.com") as services:
        page = Page(TestClient(create_app(services, (("/admin/desk", Desk),))))

        cookie = page.sign_in().cookies["__Host-ticketing"]

        assert cookie.secure
        assert cookie.http_only
        assert (cookie.path, cookie.domain, cookie.same_site) == ("/", None, "Lax")
        answer = page.open("/admin/desk")
        assert answer.status_code == 200
        assert answer.headers["strict-transport-security"] == "max-age=31536000"


def test_signing_in_again_gives_a_new_secret_and_ends_the_previous_session(page, store, pool):
    page.sign_in()
    first, form = dict(page.cookies), page.open("/admin/desk").json
    page.cookies["ticketing-form"] = ""
    second = Page(page.client)
    second.cookies = dict(first)
    second.open("/admin/sign-in")
    second.cookies.pop("ticketing")
    fields = forms_of(second.open("/admin/sign-in").text)[0].fields
    second.cookies["ticketing"] = first["ticketing"]

    second.send("/admin/sign-in", {**fields, "account": "max", "password": PASSWORD})

    assert second.cookies["ticketing"] != first["ticketing"]
    assert second.open("/admin/desk").json["csrf_token"] != form["csrf_token"]
    page.cookies = first
    assert page.open("/admin/desk").status_code == 303
    assert [event.reason for event in recorded_events(store, SessionEnded)] == ["signed_in_again"]


def test_signing_in_replaces_a_session_cookie_that_another_party_has_set(page):
    page.cookies["ticketing"] = "mtw_" + "0" * 49

    page.sign_in()

    assert page.cookies["ticketing"] != "mtw_" + "0" * 49


def test_signing_out_ends_the_session_for_every_copy_of_its_cookie(page, store):
    page.sign_in()
    copied_cookies = dict(page.cookies)

    answer = page.send("/admin/sign-out", {"csrf_token": page.token()})

    assert (answer.status_code, answer.headers["location"]) == (303, "/admin/sign-in")
    assert "ticketing" not in page.cookies
    page.cookies = copied_cookies
    assert page.open("/admin/desk").status_code == 303
    assert [event.reason for event in recorded_events(store, SessionEnded)] == ["signed_out"]


@pytest.mark.parametrize(
    ("column", "shorter", "longer"),
    [
        ("last_seen_at", timedelta(minutes=29), timedelta(minutes=31)),
        ("started_at", timedelta(hours=11, minutes=59), timedelta(hours=12, minutes=1)),
    ],
)
def test_a_session_ends_after_30_minutes_without_use_and_after_12_hours(page, pool, column, shorter, longer):
    page.sign_in()

    age(pool, column, shorter)
    assert page.open("/admin/desk").status_code == 200
    age(pool, column, longer)
    assert page.open("/admin/desk").status_code == 303


def test_each_use_extends_a_session(page, pool):
    page.sign_in()

    for _ in range(3):
        age(pool, "last_seen_at", timedelta(minutes=20))
        assert page.open("/admin/desk").status_code == 200


@pytest.mark.parametrize("value", ["", "x", "mtw_", "mtw_" + "0" * 49, "mts_" + "a" * 49, "é", "a" * 4_000])
def test_an_invalid_cookie_is_no_session(page, value):
    page.cookies["ticketing"] = value

    assert page.open("/admin/desk").status_code == 303


def test_the_same_cookie_twice_is_no_session(page):
    page.sign_in()
    secret = page.cookies["ticketing"]

    answer = page.client.simulate_get("/admin/desk", headers={"Cookie": f"ticketing={secret}; ticketing=x"})

    assert answer.status_code == 303


def test_pages_do_not_accept_api_keys_and_the_api_does_not_accept_sessions(page, store):
    from tests.support.keys import bearer, make_key

    assert page.open("/admin/desk", **bearer(make_key(store).key)).status_code == 303
    page.sign_in()
    assert page.client.simulate_get("/v1/nothing").status_code == 404


def test_a_form_is_carried_out_as_the_person_of_the_session(page):
    page.sign_in()

    answer = page.send("/admin/desk", {"csrf_token": page.token(), "text": "grüße & co"})

    assert answer.json == {"text": "grüße & co", "actor": "max"}
