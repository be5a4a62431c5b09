"""No credential exceeds its own rights: over HTTP and in the panel, with real keys, tokens and sessions.

This is a sample for each kind of credential. tests/unit/test_rights.py tests the commands with every
credential, person and change.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from typing import Any, NamedTuple
from uuid import uuid4

import pytest
from requests import Response

from domain.user import User
from tests.acceptance.panel import hidden
from tests.acceptance.site import Client, Site, with_own_address
from tests.support.browser import Browser, give_password
from tests.support.oauth import ask, make_app, tokens_for
from tests.support.rights import EVERYTHING, Credential, Held, Person

IDS = {"A": "abc123", "B": "def456"}
BOSS, BOTH = Person("admin", ("A",)), Person("manager", ("A", "B"))
CREDENTIALS = (
    Credential("service key", "staff", (), None),
    Credential("service key", "manager", (), None),
    Credential("service key", "manager", ("A",), None),
    Credential("service key", "admin", (), None),
    Credential("service key", "admin", ("A",), None),
    Credential("key of a person", "admin", (), BOSS),
    Credential("key of a person", "admin", ("A",), BOSS),
    Credential("key of a person", "manager", ("A",), BOTH),
    Credential("key of a person", "manager", (), BOTH),
    Credential("application", "admin", ("A",), None),
    Credential("application for a person", "admin", ("A",), BOSS),
    Credential("application for a person", "admin", (), BOTH),
)
LOCAL = Person("manager", ("A",))
SESSIONS = tuple(Credential("session", None, None, person) for person in (BOSS, BOTH, LOCAL))
TARGETS = (
    Person("staff", ("A",)),
    Person("staff", ("B",)),
    Person("manager", ("A", "B")),
    Person("admin", ("A",)),
)
SCOPES = ("tickets:read", "users:write", "webhooks:read", "webhooks:write")


class Cell(NamedTuple):
    """A request about a person, the person's rights after it, and the least role that may send it."""

    method: str
    path: str
    body: dict[str, Any] | None
    after: Held
    least: str = "manager"


class Callers:
    """The people who own the credentials, and a client or browser for each credential."""

    def __init__(self, site: Site) -> None:
        self.site = site
        self.user_ids = {person: self.register(person) for person in (BOSS, BOTH, LOCAL)}
        self.browsers = {person: self._browser(user_id) for person, user_id in self.user_ids.items()}
        self.clients = {credential: self._client(credential) for credential in CREDENTIALS}

    def register(self, person: Person) -> str:
        """Register a person with that role and list of properties; return the id."""
        listed = [IDS[letter] for letter in person.listed]
        return str(self.site.person(name="Jo", role=person.role, property_ids=listed)["id"])

    def _browser(self, user_id: str) -> Browser:
        give_password(self.site.store, user_id)
        browser = Browser(self.site.base_url)
        assert browser.sign_in(user_id).status_code == 303
        return browser

    def _client(self, credential: Credential) -> Client:
        kind, role, listed, person = credential
        facts = {"role": role, "property_ids": tuple(IDS[letter] for letter in listed or ())}
        if "key" in kind:
            return self.site.client(key=self.site.key(user_id=person and self.user_ids[person], **facts))
        app = make_app(self.site.store, scopes=SCOPES, rate_limit=None, **facts)
        if person is not None:
            tokens = tokens_for(self.browsers[person], app)
        else:
            tokens = ask(self.site.base_url, "/oauth/token", app, {"grant_type": "client_credentials"}).json()
        return self.site.client(key=tokens["access_token"])


@pytest.fixture(scope="module")
def callers(site) -> Callers:
    return Callers(site)


def requests_about(target: Person) -> Iterator[Cell]:
    """Yield the requests that register, change and erase that person."""
    listed = [IDS[letter] for letter in target.listed]
    new = {"name": "New", "email": "new@example.com", "role": target.role, "property_ids": listed}
    yield Cell("POST", "/v1/users", new, target.held)
    yield Cell("PATCH", "/v1/users/{id}", {"name": "Kim"}, target.held)
    if target.role != "admin":
        yield Cell("PATCH", "/v1/users/{id}", {"role": "admin"}, Person("admin", target.listed).held)
    if target.listed != ("A", "B"):
        body = {"property_ids": [IDS[letter] for letter in "AB"]}
        yield Cell("PATCH", "/v1/users/{id}", body, Person(target.role, ("A", "B")).held)
    yield Cell("PATCH", "/v1/users/{id}", {"active": False}, target.held)
    yield Cell("POST", "/v1/users/{id}/one-time-link", None, target.held)
    yield Cell("POST", "/v1/users/{id}/erase", None, target.held, least="admin")


@pytest.mark.parametrize("credential", CREDENTIALS, ids=lambda each: f"{each.kind} {each.held.role}")
def test_people_over_http(site, callers, credential):
    client = callers.clients[credential]
    for target in TARGETS:
        user_id = callers.register(target)
        for method, path, body, after, least in requests_about(target):
            may = credential.may_act_on(target.held, after, least=least)
            may = may and ("{id}" not in path or credential.sees(target))
            if path.endswith("/one-time-link"):
                may = may and "application" not in credential.kind  # it needs every scope
            version = site.store.load(User, user_id).version

            sent = with_own_address(body)
            answer = client.request(method, path.replace("{id}", user_id), json=sent)

            cell = f"{method} {path} {body} on {target}: {answer.status_code} {answer.text}"
            assert answer.status_code in ((200, 201) if may else (403, 404, 422)), cell
            if not may:
                assert site.store.load(User, user_id).version == version, cell
            elif "{id}" in path:
                user_id = callers.register(target)


def test_webhooks_over_http(callers):
    able = [CREDENTIALS[number] for number in (1, 3, 5, 6, 10)]
    body = {"url": "https://example.com/hook", "events": ["ticket.*"], "secret": "your_webhook_secret"}
    for owner, other in product(able, able):
        made = callers.clients[owner].post("/v1/webhooks", json=body)
        path = f"/v1/webhooks/{made.json()['data']['id']}"
        is_same_person = owner.person is not None and owner.person == other.person
        is_admin_of_all = other.held == Held("admin", EVERYTHING)
        may = owner == other or (not other.is_narrowed and (is_same_person or is_admin_of_all))
        assert not may or other.held.covers(owner.held)

        moved = callers.clients[other].patch(path, json={"url": "https://example.com/elsewhere"})
        deleted = callers.clients[other].delete(path)

        assert (moved.status_code, deleted.status_code) == ((200, 200) if may else (404, 404)), (owner, other)


@pytest.mark.parametrize("session", SESSIONS, ids=lambda each: f"{each.held.role} of {len(each.held.reach)}")
def test_people_in_the_panel(site, callers, session):
    browser = callers.browsers[session.person]
    for target in TARGETS:
        user_id = callers.register(target)
        seen = session.sees(target)
        forms = (
            ("/admin/users/new", {"email": f"{uuid4()}@example.com"}, "manager"),
            (f"/admin/users/{user_id}", {"name": "Kim"}, "manager"),
            (f"/admin/users/{user_id}/password", {"password": "bad", "again": "bad"}, "admin"),
            (f"/admin/users/{user_id}/deactivate", {}, "manager"),
            (f"/admin/users/{user_id}/reactivate", {}, "manager"),
            (f"/admin/users/{user_id}/erase", {}, "admin"),
        )
        may = seen and session.may_act_on(target.held, least="manager")
        assert ("<button>Save</button>" in browser.open(f"/admin/users/{user_id}").text) == may, target
        for path, typed, least in forms:
            may = (seen or path.endswith("/new")) and session.may_act_on(target.held, least=least)
            version = site.store.load(User, user_id).version

            answer = fill_in(browser, path, target, typed)

            if "password" in typed:  # only a permitted caller gets as far as the check of the password
                done = "at least 8 characters" in answer.text
            else:
                done = answer.status_code == 303
            assert done == may, f"{path} {typed} on {target}: {answer.status_code} {answer.text}"
            assert done or site.store.load(User, user_id).version == version


def fill_in(browser: Browser, path: str, person: Person, typed: dict[str, str]) -> Response:
    """Send the form of that page with the person's values and `typed`; return the answer."""
    page = browser.open(path)
    fields = {
        "email": f"{uuid4()}@example.com",
        "name": "Jo",
        "role": person.role,
        "notify_email": "yes",
        **typed,
    }
    listed = [("property_ids", IDS[letter]) for letter in person.listed]
    return browser.send(path, [*(hidden(page.text) | fields).items(), *listed])
