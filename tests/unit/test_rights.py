"""No credential can act on anything whose role or reach exceeds its own, before or after the change.

Every kind of credential runs every command on users, passwords, API keys, OAuth clients, grants and webhooks.
Each result is compared with the model in tests/support/rights.py. tests/acceptance/test_rights.py tests
the same commands over HTTP and in the panel.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from itertools import count, product
from typing import Any

import pytest

from commands.api_keys import IssueKey, issue_key, revoke_key
from commands.erasure import erase_user
from commands.oauth_clients import RegisterClient, register_client, revoke_client, rotate_client_secret
from commands.oauth_grants import GiveGrant, give_grant
from commands.passwords import change_password
from commands.webhooks import delete_webhook
from domain.access import Caller, Context
from domain.errors import Forbidden, Invalid, NotFound
from infrastructure.storage.event_store import EventStore
from tests.support.arrange import (
    change_user,
    change_webhook,
    register_property,
    register_user,
    rotate_webhook_secret,
)
from tests.support.rights import EVERYTHING, LISTS, RANK, Credential, Held, Person, credentials, people
from tests.support.webhooks import register
from tests.unit.builders import context

AUTH = {
    "service key": "api_key",
    "key of a person": "api_key",
    "application": "oauth",
    "application for a person": "oauth",
    "session": "session",
}
CREDENTIALS = list(credentials())
PEOPLE = people()
Case = tuple[str, bool, Callable[[], Any]]  # name, whether the model allows the command, the command

HOOK = "https://example.com/hook"


class World:
    """A store with three properties and the persons of the credentials, and a caller for each credential."""

    def __init__(self) -> None:
        self.store = EventStore()
        self.numbers = count(1)
        self.user_ids: dict[Person, str] = {}
        for property_id in "ABC":
            register_property(self.store, property_id, context(), name="Seaside")

    def register_person(self, person: Person) -> str:
        """Register a user with the person's role and properties, and return the new id."""
        user_id = f"u{next(self.numbers)}"
        register_user(self.store, user_id, context(), role=person.role, property_ids=person.listed)
        return user_id

    def caller(self, credential: Credential) -> Caller:
        number = CREDENTIALS.index(credential)
        if credential.person is not None and credential.person not in self.user_ids:
            self.user_ids[credential.person] = self.register_person(credential.person)
        user_id = self.user_ids[credential.person] if credential.person else None
        held = credential.held
        return Caller(
            principal_id=user_id or f"key_{number}",
            name="Casey",
            role=held.role,
            auth=AUTH[credential.kind],
            credential_id=f"key_{number}",
            user_id=user_id,
            property_ids=None if held.reach == EVERYTHING else held.reach,
            key_property_ids=frozenset(credential.listed or ()) or None,
            is_narrowed=credential.is_narrowed,
        )

    def count_events(self) -> int:
        """The number of events in the log."""
        return self.store.recorder.max_notification_id() or 0


def commands_on_people(world: World, credential: Credential) -> Iterator[Case]:
    """Registering, changing and erasing people."""
    store, by = world.store, world.caller(credential)
    for target in PEOPLE:
        has_property = bool(target.listed) or credential.held.reach == EVERYTHING
        is_allowed = has_property and credential.may_act_on(target.held, least="manager")
        new = {"role": target.role, "property_ids": target.listed}
        new_id = f"n{next(world.numbers)}"
        yield (
            f"register {target}",
            is_allowed,
            lambda new=new, i=new_id: register_user(store, i, context(by), **new),
        )

        is_seen = credential.sees(target)
        for name, facts, after in changes(target):
            has_property = facts.get("property_ids") != () or credential.held.reach == EVERYTHING
            is_allowed = (
                is_seen and has_property and credential.may_act_on(target.held, after, least="manager")
            )
            user_id = world.register_person(target)
            change = partial(change_user, store, user_id, **facts)
            yield f"{name} of {target}", is_allowed, lambda change=change: change(context(by))

        is_allowed = is_seen and credential.may_act_on(target.held, least="admin")
        erase = partial(erase_user, store, world.register_person(target))
        yield f"erase {target}", is_allowed, lambda erase=erase: erase(context(by))


def changes(target: Person) -> Iterator[tuple[str, dict[str, Any], Held]]:
    """Every kind of change of a person: its name, its fields, and the rights that it affects."""
    yield "name", {"name": "Kim"}, target.held
    yield "e-mail", {"email": "kim@example.com"}, target.held
    yield "phone", {"phone": "555-123-4567"}, target.held
    for role in RANK:
        if role != target.role:
            yield f"role {role}", {"role": role}, Person(role, target.listed).held
    for listed in LISTS:
        if listed != target.listed:
            after = Held(target.role, frozenset(listed) | target.held.reach)
            yield f"properties {listed}", {"property_ids": listed}, after
    for role, listed in product(RANK, LISTS):
        if role != target.role and listed != target.listed:
            yield f"{role} {listed}", {"role": role, "property_ids": listed}, Person(role, listed).held


def commands_on_own_person(world: World, credential: Credential) -> Iterator[Case]:
    """Changing the person that the credential belongs to."""
    by = world.caller(credential)
    if credential.person is None:
        return
    is_allowed = credential.may_act_on(credential.person.held, least="manager")
    phone = f"555-{next(world.numbers):07}"
    yield "own phone", is_allowed, lambda: change_user(world.store, by.user_id, context(by), phone=phone)


def commands_on_passwords(world: World, credential: Credential) -> Iterator[Case]:
    """Changing passwords. Only a caller with the rights gets as far as the refusal of the bad password."""
    store, by = world.store, world.caller(credential)
    targets = [(world.register_person(target), target.held, "admin") for target in PEOPLE]
    if credential.person is not None:
        targets.append((by.user_id, credential.person.held, "guest"))
    for user_id, held, least in targets:
        is_allowed = credential.may_act_on(held, least=least)
        yield (
            f"password of {held}",
            is_allowed,
            lambda user_id=user_id: refuse_password(store, user_id, context(by)),
        )


def refuse_password(store: EventStore, user_id: str, context: Context) -> None:
    with pytest.raises(Invalid, match="at least 8 characters"):
        change_password(store, user_id, "bad", context)


def commands_on_keys(world: World, credential: Credential) -> Iterator[Case]:
    store, by = world.store, world.caller(credential)
    owners = [None, Person("admin", ("A",)), Person("manager", ("A", "B")), Person("staff", ("A",))]
    for role, listed, owner in product(RANK, LISTS, owners):
        if owner is not None and RANK[role] > RANK[owner.role]:
            continue  # such a key is always refused
        user_id = world.register_person(owner) if owner else None
        held = Credential("key", role, listed, owner).held
        is_allowed = credential.may_act_on(held, *([owner.held] if owner else []), least="admin")
        key = IssueKey(name="k", role=role, user_id=user_id, property_ids=listed)
        yield f"issue {role} {listed} {owner}", is_allowed, lambda key=key: issue_key(store, key, context(by))
        issued = issue_key(store, key, context()).api_key.id
        yield (
            f"revoke {role} {listed} {owner}",
            is_allowed,
            lambda key_id=issued: revoke_key(store, key_id, context(by)),
        )


def commands_on_applications(world: World, credential: Credential) -> Iterator[Case]:
    """Managing OAuth clients, and consenting that they act for the caller's person."""
    store, by = world.store, world.caller(credential)
    for role, listed in product(RANK, LISTS):
        held = Credential("application", role, listed, None).held
        is_allowed = credential.may_act_on(held, least="admin")
        name = f"application {role} {listed}"
        app = application(role, listed)
        yield f"register {name}", is_allowed, lambda app=app: register_client(store, app, context(by))
        client_id = register_client(store, app, context()).client.id
        rotate = partial(rotate_client_secret, store, client_id)
        yield f"rotate {name}", is_allowed, lambda rotate=rotate: rotate(context(by))
        revoke = partial(revoke_client, store, client_id)
        yield f"revoke {name}", is_allowed, lambda revoke=revoke: revoke(context(by))
        if credential.person is not None:
            consent = grant(register_client(store, app, context()).client.id)
            is_allowed = credential.may_act_on(held.intersect(credential.person.held), least="guest")
            yield (
                f"consent to {name}",
                is_allowed,
                lambda consent=consent: give_grant(store, consent, context(by)),
            )


def application(role: str, listed: tuple[str, ...]) -> RegisterClient:
    return RegisterClient(
        name="Board",
        client_kind="confidential",
        scopes=("tickets:read",),
        role=role,
        redirect_uris=("https://app.example.com/callback",),
        property_ids=listed,
    )


def grant(client_id: str) -> GiveGrant:
    return GiveGrant(
        client_id=client_id,
        scopes=("tickets:read",),
        redirect_uri="https://app.example.com/callback",
        redirect_uri_was_given=True,
        code_challenge=None,
    )


def commands_on_webhooks(world: World, credential: Credential) -> Iterator[Case]:
    """Changing the webhooks of every credential. Webhooks beyond the caller's rights are not found."""
    store, by = world.store, world.caller(credential)
    if RANK[credential.held.role] < RANK["manager"]:
        yield "register a webhook", False, lambda: register(store, HOOK, by=context(by))
        return
    for owner in CREDENTIALS:
        if RANK[owner.held.role] < RANK["manager"]:
            continue
        owned_by = world.caller(owner)
        is_own = by.credential_id == owned_by.credential_id
        is_whole = not credential.is_narrowed
        is_same_person = by.user_id is not None and by.user_id == owned_by.user_id
        is_allowed = is_own or (is_whole and (is_same_person or credential.held == Held("admin", EVERYTHING)))
        assert not is_allowed or credential.held.covers(owner.held), (credential, owner)
        webhook_id = register(store, HOOK, by=context(owned_by)).id
        change = partial(change_webhook, store, webhook_id, url="https://example.com/elsewhere")
        rotate = partial(rotate_webhook_secret, store, webhook_id)
        delete = partial(delete_webhook, store, webhook_id)
        yield f"change {owner}", is_allowed, lambda change=change: change(context(by))
        yield f"rotate {owner}", is_allowed, lambda rotate=rotate: rotate(context(by))
        yield f"delete {owner}", is_allowed, lambda delete=delete: delete(context(by))


CASES = (
    commands_on_people,
    commands_on_own_person,
    commands_on_passwords,
    commands_on_keys,
    commands_on_applications,
    commands_on_webhooks,
)


@pytest.mark.parametrize("make_cases", CASES, ids=lambda make_cases: make_cases.__name__)
def test_a_command_succeeds_exactly_when_the_model_allows_it(make_cases, record_property):
    world, cases, allowed = World(), 0, 0
    for credential in CREDENTIALS:
        for name, is_allowed, act in make_cases(world, credential):
            before = world.count_events()
            try:
                act()
                done = True
            except (Forbidden, NotFound, Invalid):
                done = False
            assert done == is_allowed, f"{credential} {name}: {'done' if done else 'refused'}"
            assert done or world.count_events() == before, (
                f"{credential} {name}: refused, but recorded an event"
            )
            cases, allowed = cases + 1, allowed + done
    record_property("cases", cases)
    print(f"{make_cases.__name__}: {cases} cases, {allowed} allowed")
    assert 0 < allowed < cases
