"""OAuth 2.0 against a running server: the grants, and what the tokens allow."""

from datetime import UTC, datetime

import pytest

from commands.oauth_clients import revoke_client, rotate_client_secret
from domain.oauth_grant import OAuthGrant, OAuthGrantEnded, OAuthGrantGiven
from tests.acceptance.site import LEAK
from tests.support.browser import PASSWORD, Browser, forms_of, give_password
from tests.support.keys import operator
from tests.support.log import events_after
from tests.support.oauth import (
    CALLBACK,
    answer_of,
    ask,
    authorization_path,
    call,
    consent,
    get_code,
    make_app,
    make_pkce,
    redeem,
    refresh,
    tokens_for,
)


@pytest.fixture(scope="module")
def signed_in(site):
    """A browser for each role, signed in by the form."""
    browsers = {}
    for role, user_id in (
        ("admin", "user001"),
        ("manager", "user050"),
        ("staff", "user101"),
        ("guest", "user789"),
    ):
        give_password(site.store, user_id)
        browsers[role] = Browser(site.base_url)
        assert browsers[role].sign_in(user_id).status_code == 303
    return browsers


@pytest.fixture
def browser(signed_in):
    return signed_in["staff"]


def events(site, kind, after=0):
    return [r.event for r in events_after(site.store, after, 10_000) if isinstance(r.event, kind)]


def introspect(site, app, token):
    return ask(site.base_url, "/oauth/introspect", app, {"token": token}).json()


def test_a_public_client_redeems_a_code_with_pkce_and_refreshes(site, browser):
    app = make_app(site.store, public=True)
    pkce = make_pkce()

    answer = answer_of(consent(browser, authorization_path(app, **pkce.parameters, scope="tickets:read")))
    tokens = redeem(site.base_url, app, answer["code"], code_verifier=pkce.verifier)

    assert (answer["state"], answer["iss"]) == ("s-1", site.base_url)
    assert set(answer) == {"code", "state", "iss"}
    assert tokens.status_code == 200, tokens.text
    got = tokens.json()
    assert (got["token_type"], got["expires_in"], got["scope"]) == ("Bearer", 3_600, "tickets:read")
    assert got["access_token"].startswith("mto_")
    assert call(site.base_url, got["access_token"]).status_code == 200
    again = refresh(site.base_url, app, got["refresh_token"]).json()
    assert again["refresh_token"] != got["refresh_token"]
    assert call(site.base_url, again["access_token"]).status_code == 200


def test_a_person_signs_in_and_is_asked_for_consent(site):
    app = make_app(site.store, name="Board <b>of</b> tickets")
    browser = Browser(site.base_url)
    path = authorization_path(app, **make_pkce().parameters)

    sent = browser.open(path)
    assert sent.status_code == 303
    form = forms_of(browser.open(sent.headers["Location"]).text)[0]
    back = browser.send(form.action, {**form.fields, "account": "user101@example.com", "password": PASSWORD})
    page = browser.open(back.headers["Location"])

    assert page.status_code == 200
    assert "Board &lt;b&gt;of&lt;/b&gt; tickets" in page.text
    assert "Read tickets, with their comments and files" in page.text
    assert "Open, change and close tickets" in page.text
    assert "names, roles" not in page.text
    assert "Jane Smith" in page.text
    assert "app.example.com" in page.text
    assert "90 days" in page.text
    assert "form-action 'self' https://app.example.com;" in page.headers["Content-Security-Policy"] + ";"
    assert answer_of(consent(browser, path))["code"]


def test_a_denied_consent_redirects_with_access_denied(site, browser):
    app = make_app(site.store)

    answer = answer_of(consent(browser, authorization_path(app), decision="deny"))

    assert answer["error"] == "access_denied"
    assert (answer["state"], answer["iss"]) == ("s-1", site.base_url)
    assert "code" not in answer


def test_a_confidential_client_may_omit_pkce(site, browser):
    app = make_app(site.store)

    assert redeem(site.base_url, app, get_code(browser, app)).status_code == 200


def test_a_client_with_one_redirect_uri_may_omit_it_in_both_requests(site, browser):
    app = make_app(site.store)
    code = get_code(browser, app, redirect_uri=None)

    answer = ask(site.base_url, "/oauth/token", app, {"grant_type": "authorization_code", "code": code})

    assert answer.status_code == 200


def test_a_client_that_acts_as_itself_has_its_own_role_and_properties(site):
    app = make_app(site.store, name="Nightly report", role="staff", property_ids=("abc123",))
    got = ask(site.base_url, "/oauth/token", app, {"grant_type": "client_credentials"}).json()

    assert "refresh_token" not in got
    assert got["scope"] == "tickets:read tickets:write"
    ticket = call(site.base_url, got["access_token"], method="POST", json=LEAK)
    assert ticket.status_code == 201
    assert ticket.json()["data"]["requester"] == {"id": app.client_id, "name": "Nightly report"}
    read = call(site.base_url, got["access_token"], f"/v1/tickets/{ticket.json()['data']['id']}")
    assert read.json()["data"]["requester"]["name"] == "Nightly report"
    past = call(site.base_url, got["access_token"], f"/v1/tickets?as_of={datetime.now(UTC):%FT%T.%fZ}")
    assert past.json()["data"][0]["requester"]["name"] == "Nightly report"
    foreign = site.ticket("admin", property_id="def456", unit_id=None)["id"]
    assert call(site.base_url, got["access_token"], f"/v1/tickets/{foreign}").status_code == 404
    deleted = call(
        site.base_url, got["access_token"], f"/v1/tickets/{ticket.json()['data']['id']}", method="DELETE"
    )
    assert deleted.status_code == 403


def test_the_secret_may_be_sent_in_the_body(site):
    app = make_app(site.store)
    given = {"grant_type": "client_credentials", "client_id": app.client_id, "client_secret": app.secret}

    assert ask(site.base_url, "/oauth/token", None, given).status_code == 200


@pytest.mark.parametrize(
    ("role", "client_role", "path", "method", "status"),
    [
        ("staff", "admin", "/v1/tickets", "GET", 200),
        ("guest", "admin", "/v1/tickets", "GET", 200),
        ("admin", "admin", "/v1/users", "GET", 200),
        ("guest", "admin", "/v1/users", "GET", 403),
        ("admin", "guest", "/v1/users", "GET", 403),
        ("admin", "admin", "/v1/properties", "GET", "insufficient_scope"),
    ],
)
def test_a_token_needs_the_scope_and_the_roles_of_client_and_person(
    site, signed_in, role, client_role, path, method, status
):
    app = make_app(site.store, role=client_role, scopes=("tickets:read", "users:read"))
    token = tokens_for(signed_in[role], app)["access_token"]

    answer = call(site.base_url, token, path, method=method)

    if status == "insufficient_scope":
        assert (answer.status_code, answer.json()["error"]["code"]) == (403, status)
    else:
        assert answer.status_code == status


def test_a_token_reaches_no_property_beyond_the_person_or_the_client(site, signed_in):
    foreign = site.ticket("admin", property_id="def456", unit_id=None)["id"]
    own = site.ticket("admin")["id"]
    app = make_app(site.store)
    token = tokens_for(signed_in["staff"], app)["access_token"]
    restricted = make_app(site.store, property_ids=("def456",))
    admins = tokens_for(signed_in["admin"], restricted)["access_token"]

    assert call(site.base_url, token, f"/v1/tickets/{own}").status_code == 200
    assert call(site.base_url, token, f"/v1/tickets/{foreign}").status_code == 404
    assert call(site.base_url, admins, f"/v1/tickets/{own}").status_code == 404
    assert call(site.base_url, admins, f"/v1/tickets/{foreign}").status_code == 200


def test_tokens_of_a_demoted_person_lose_the_role_at_once(site):
    person = site.person(role="manager")
    give_password(site.store, person["id"])
    browser = Browser(site.base_url)
    browser.sign_in(person["id"])
    token = tokens_for(browser, make_app(site.store))["access_token"]
    ticket = site.ticket()["id"]
    assert call(site.base_url, token, f"/v1/tickets/{ticket}").status_code == 200

    site.client().patch(f"/v1/users/{person['id']}", json={"role": "guest"})

    assert call(site.base_url, token, f"/v1/tickets/{ticket}").status_code == 404


def test_erasing_a_person_ends_their_tokens_and_sessions(site):
    person = site.person()
    give_password(site.store, person["id"])
    browser = Browser(site.base_url)
    browser.sign_in(person["id"])
    app = make_app(site.store)
    tokens = tokens_for(browser, app)

    assert site.client().post(f"/v1/users/{person['id']}/erase").status_code == 200

    assert call(site.base_url, tokens["access_token"]).status_code == 401
    assert refresh(site.base_url, app, tokens["refresh_token"]).status_code == 400
    assert browser.open("/oauth/applications").status_code == 303


def test_revoking_a_client_invalidates_its_tokens_and_codes_at_once(site, browser):
    app = make_app(site.store)
    tokens = tokens_for(browser, app)
    code = get_code(browser, app)

    revoke_client(site.store, app.client_id, operator())

    assert call(site.base_url, tokens["access_token"]).status_code == 401
    for answer in (
        refresh(site.base_url, app, tokens["refresh_token"]),
        redeem(site.base_url, app, code),
        ask(site.base_url, "/oauth/token", app, {"grant_type": "client_credentials"}),
    ):
        assert (answer.status_code, answer.json()["error"]) == (401, "invalid_client")
    assert browser.open(authorization_path(app)).status_code == 400


def test_a_rotation_replaces_the_secret_and_keeps_the_access_tokens(site, browser):
    app = make_app(site.store)
    tokens = tokens_for(browser, app)

    renewed = app._replace(secret=rotate_client_secret(site.store, app.client_id, operator()).secret)

    assert refresh(site.base_url, app, tokens["refresh_token"]).status_code == 401
    assert call(site.base_url, tokens["access_token"]).status_code == 200
    assert refresh(site.base_url, renewed, tokens["refresh_token"]).status_code == 200


def test_a_person_lists_and_revokes_their_own_consents(site, signed_in):
    browser = signed_in["manager"]
    app = make_app(site.store, name="Take me back")
    tokens = tokens_for(browser, app)
    page = browser.open("/oauth/applications")
    assert "Take me back" in page.text
    assert "Take me back" not in signed_in["staff"].open("/oauth/applications").text
    forms = [form for form in forms_of(page.text) if form.action == "/oauth/applications"]
    mine = next(f for f in forms if site.store.load(OAuthGrant, f.fields["grant"]).client_id == app.client_id)
    others = forms_of(signed_in["staff"].open("/oauth/applications").text)[0].fields["csrf_token"]

    stolen = signed_in["staff"].send("/oauth/applications", {**mine.fields, "csrf_token": others})
    assert stolen.status_code == 404
    assert call(site.base_url, tokens["access_token"]).status_code == 200
    assert browser.send("/oauth/applications", mine.fields).status_code == 303

    assert call(site.base_url, tokens["access_token"]).status_code == 401
    assert refresh(site.base_url, app, tokens["refresh_token"]).json()["error"] == "invalid_grant"
    assert "Take me back" not in browser.open("/oauth/applications").text
    assert events(site, OAuthGrantEnded)[-1].reason == "withdrawn_by_user"


def test_revoking_an_access_token_ends_it_and_a_refresh_token_ends_the_consent(site, browser):
    app, other = make_app(site.store), make_app(site.store)
    tokens = tokens_for(browser, app)

    def revoke(by, token, **hint):
        return ask(site.base_url, "/oauth/revoke", by, {"token": token, **hint})

    assert revoke(other, tokens["access_token"]).status_code == 200
    assert call(site.base_url, tokens["access_token"]).status_code == 200, "another client's token"
    assert revoke(app, tokens["access_token"], token_type_hint="refresh_token").status_code == 200
    assert call(site.base_url, tokens["access_token"]).status_code == 401
    tokens = refresh(site.base_url, app, tokens["refresh_token"]).json()
    assert revoke(app, tokens["refresh_token"]).status_code == 200
    assert call(site.base_url, tokens["access_token"]).status_code == 401
    assert refresh(site.base_url, app, tokens["refresh_token"]).json()["error"] == "invalid_grant"
    assert revoke(app, "mto_" + "0" * 49).status_code == 200
    assert revoke(app, "nonsense").status_code == 200
    assert revoke(None, tokens["access_token"]).status_code == 401


def test_introspection_describes_the_clients_own_tokens_only(site, browser):
    app, other = make_app(site.store), make_app(site.store)
    tokens = tokens_for(browser, app, scope="tickets:read")

    answer = introspect(site, app, tokens["access_token"])

    assert answer["active"] is True
    assert (answer["scope"], answer["sub"], answer["client_id"]) == ("tickets:read", "user101", app.client_id)
    assert answer["exp"] - answer["iat"] == 3_600
    assert introspect(site, app, tokens["refresh_token"])["active"] is True
    assert introspect(site, other, tokens["access_token"]) == {"active": False}
    assert introspect(site, app, "mto_" + "0" * 49) == {"active": False}
    assert introspect(site, app, "x") == {"active": False}
    refresh(site.base_url, app, tokens["refresh_token"])
    assert introspect(site, app, tokens["refresh_token"]) == {"active": False}


def test_the_rate_limit_of_a_client_counts_each_person_separately(site, signed_in):
    app = make_app(site.store, rate_limit=3)
    staff = [tokens_for(signed_in["staff"], app)["access_token"] for _ in range(2)]
    guest = tokens_for(signed_in["guest"], app)["access_token"]

    answers = [call(site.base_url, staff[n % 2]) for n in range(4)]

    assert [answer.status_code for answer in answers] == [200, 200, 200, 429]
    assert [answer.headers["X-RateLimit-Remaining"] for answer in answers] == ["2", "1", "0", "0"]
    assert int(answers[-1].headers["Retry-After"]) >= 1
    assert call(site.base_url, guest).headers["X-RateLimit-Remaining"] == "2"


def test_people_who_share_a_client_do_not_share_idempotency_keys(site, signed_in):
    app = make_app(site.store)
    given = {"method": "POST", "json": LEAK, "headers": {"Idempotency-Key": "same"}}
    staff = tokens_for(signed_in["staff"], app)
    first = call(site.base_url, staff["access_token"], **given).json()["data"]

    again = refresh(site.base_url, app, staff["refresh_token"]).json()["access_token"]
    replayed = call(site.base_url, again, **given)
    guests = call(site.base_url, tokens_for(signed_in["guest"], app)["access_token"], **given)

    assert replayed.headers["Idempotent-Replayed"] == "true"
    assert replayed.json()["data"]["id"] == first["id"]
    assert guests.json()["data"]["id"] != first["id"]
    assert guests.json()["data"]["requester"]["id"] == "user789"


def test_events_store_the_person_and_the_client(site, browser):
    app = make_app(site.store)
    token = tokens_for(browser, app)["access_token"]
    ticket = call(site.base_url, token, method="POST", json=LEAK).json()["data"]["id"]

    event = next(r.event for r in events_after(site.store, 0, 10_000) if r.event.originator_id == ticket)
    assert (event.actor.user_id, event.actor.auth, event.actor.credential_id) == (
        "user101",
        "oauth",
        app.client_id,
    )
    given = events(site, OAuthGrantGiven)[-1]
    assert (given.user_id, given.client_id, given.actor.auth) == ("user101", app.client_id, "session")


def test_the_metadata_has_the_address_of_every_endpoint(site):
    answer = site.client(None).get("/.well-known/oauth-authorization-server")

    document = answer.json()
    assert answer.headers["Content-Type"] == "application/json"
    assert document["issuer"] == site.base_url
    for name in ("token_endpoint", "revocation_endpoint", "introspection_endpoint"):
        path = document[name].removeprefix(site.base_url)
        assert site.client(None).post(path).status_code in (400, 401, 415)
    assert (
        site.client(None).get(document["authorization_endpoint"].removeprefix(site.base_url)).status_code
        == 400
    )


def test_a_redirect_uri_keeps_its_own_parameters(site, browser):
    app = make_app(site.store, redirect_uris=(f"{CALLBACK}?tenant=7&x=%20y",))

    sent = consent(browser, authorization_path(app)).headers["Location"]

    assert sent.startswith(f"{CALLBACK}?tenant=7&x=")
    assert "&code=mtc_" in sent


@pytest.mark.parametrize(
    "uri",
    ["http://127.0.0.1:53123/done", "http://[::1]:4000/cb", "com.example.app:/done", "https://a.example"],
)
def test_loopback_and_custom_scheme_redirect_uris_are_accepted(site, browser, uri):
    app = make_app(site.store, public=True, redirect_uris=(uri,))
    pkce = make_pkce()
    page = browser.open(authorization_path(app, **pkce.parameters))
    assert page.status_code == 200, page.text

    sent = consent(browser, authorization_path(app, **pkce.parameters)).headers["Location"]

    assert sent.startswith(uri)
    code = answer_of(consent(browser, authorization_path(app, **pkce.parameters)))["code"]
    assert redeem(site.base_url, app, code, code_verifier=pkce.verifier).status_code == 200
