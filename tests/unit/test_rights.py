"""No credential creates, changes, erases or issues anything whose role or reach, before or after, exceeds its
own: every command on people, passwords, keys, applications, grants and webhooks, cell by cell.

tests/acceptance/test_rights.py does the same over HTTP and in the panel, with real credentials.
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
Cell = tuple[str, bool, Callable[[], Any]]  # what is tried, whether it may be done, doing it

HOOK = "https://example.com/hook"


class World:
    """A store with three properties, and a caller for each credential, whose person is in the store."""

    def __init__(self) -> None:
        self.store = EventStore()
        self.numbers = count(1)
        self.persons: dict[Person, str] = {}
        for property_id in "ABC":
            register_property(self.store, property_id, context(), name="Seaside")

    def person(self, person: Person) -> str:
        """The id of such a person, just registered."""
        user_id = f"u{next(self.numbers)}"
        register_user(self.store, user_id, context(), role=person.role, property_ids=person.listed)
        return user_id

    def caller(self, credential: Credential) -> Caller:
        number = CREDENTIALS.index(credential)
        if credential.person is not None and credential.person not in self.persons:
            self.persons[credential.person] = self.person(credential.person)
        user_id = self.persons[credential.person] if credential.person else None
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

    def length(self) -> int:
        """The number of events in the log."""
        return self.store.recorder.max_notification_id() or 0


def on_people(world: World, credential: Credential) -> Iterator[Cell]:
    """Registering, changing and erasing people."""
    store, by = world.store, world.caller(credential)
    for target in PEOPLE:
        names_enough = bool(target.listed) or credential.held.reach == EVERYTHING
        may = names_enough and credential.may_act_on(target.held, least="manager")
        new = {"role": target.role, "property_ids": target.listed}
        new_id = f"n{next(world.numbers)}"
        yield f"register {target}", may, lambda new=new, i=new_id: register_user(store, i, context(by), **new)

        seen = credential.sees(target)
        for name, facts, after in changes(target):
            names_enough = facts.get("property_ids") != () or credential.held.reach == EVERYTHING
            may = seen and names_enough and credential.may_act_on(target.held, after, least="manager")
            user_id = world.person(target)
            change = partial(change_user, store, user_id, **facts)
            yield f"{name} of {target}", may, lambda change=change: change(context(by))

        may = seen and credential.may_act_on(target.held, least="admin")
        erase = partial(erase_user, store, world.person(target))
        yield f"erase {target}", may, lambda erase=erase: erase(context(by))


def changes(target: Person) -> Iterator[tuple[str, dict[str, Any], Held]]:
    """Each change of a person that makes a difference: its name, its fields, and the rights after it."""
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


def on_oneself(world: World, credential: Credential) -> Iterator[Cell]:
    """What a credential may do to the person it belongs to."""
    by = world.caller(credential)
    if credential.person is None:
        return
    may = credential.may_act_on(credential.person.held, least="manager")
    phone = f"555-{next(world.numbers):07}"
    yield "own phone", may, lambda: change_user(world.store, by.user_id, context(by), phone=phone)


def on_passwords(world: World, credential: Credential) -> Iterator[Cell]:
    """A refused password shows that the command would have taken a good one, without the time to hash it."""
    store, by = world.store, world.caller(credential)
    targets = [(world.person(target), target.held, "admin") for target in PEOPLE]
    if credential.person is not None:
        targets.append((by.user_id, credential.person.held, "guest"))
    for user_id, held, least in targets:
        may = credential.may_act_on(held, least=least)
        yield f"password of {held}", may, lambda user_id=user_id: refuse_password(store, user_id, context(by))


def refuse_password(store: EventStore, user_id: str, context: Context) -> None:
    with pytest.raises(Invalid, match="at least 8 characters"):
        change_password(store, user_id, "bad", context)


def on_keys(world: World, credential: Credential) -> Iterator[Cell]:
    store, by = world.store, world.caller(credential)
    owners = [None, Person("admin", ("A",)), Person("manager", ("A", "B")), Person("staff", ("A",))]
    for role, listed, owner in product(RANK, LISTS, owners):
        if owner is not None and RANK[role] > RANK[owner.role]:
            continue  # a key never outranks its person, whoever issues it
        user_id = world.person(owner) if owner else None
        held = Credential("key", role, listed, owner).held
        may = credential.may_act_on(held, *([owner.held] if owner else []), least="admin")
        key = IssueKey(name="k", role=role, user_id=user_id, property_ids=listed)
        yield f"issue {role} {listed} {owner}", may, lambda key=key: issue_key(store, key, context(by))
        issued = issue_key(store, key, context()).api_key.id
        yield f"revoke {role} {listed} {owner}", may, lambda id=issued: revoke_key(store, id, context(by))


def on_applications(world: World, credential: Credential) -> Iterator[Cell]:
    """Applications, and letting them act for the person."""
    store, by = world.store, world.caller(credential)
    for role, listed in product(RANK, LISTS):
        held = Credential("application", role, listed, None).held
        may = credential.may_act_on(held, least="admin")
        name = f"application {role} {listed}"
        app = application(role, listed)
        yield f"register {name}", may, lambda app=app: register_client(store, app, context(by))
        known = register_client(store, app, context()).client.id
        yield f"rotate {name}", may, lambda id=known: rotate_client_secret(store, id, context(by))
        yield f"revoke {name}", may, lambda id=known: revoke_client(store, id, context(by))
        if credential.person is not None:
            allowed = register_client(store, app, context()).client.id
            may = credential.may_act_on(held.both(credential.person.held), least="guest")
            yield f"consent to {name}", may, lambda id=allowed: give_grant(store, grant(id), context(by))


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


def on_webhooks(world: World, credential: Credential) -> Iterator[Cell]:
    """Webhooks of every credential's owner: all but those within the rights are out of sight."""
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
        may = is_own or (is_whole and (is_same_person or credential.held == Held("admin", EVERYTHING)))
        assert not may or credential.held.covers(owner.held), (credential, owner)
        webhook_id = register(store, HOOK, by=context(owned_by)).id
        change = partial(change_webhook, store, webhook_id, url="https://example.com/elsewhere")
        rotate = partial(rotate_webhook_secret, store, webhook_id)
        delete = partial(delete_webhook, store, webhook_id)
        yield f"change {owner}", may, lambda change=change: change(context(by))
        yield f"rotate {owner}", may, lambda rotate=rotate: rotate(context(by))
        yield f"delete {owner}", may, lambda delete=delete: delete(context(by))


TABLES = (on_people, on_oneself, on_passwords, on_keys, on_applications, on_webhooks)


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.__name__)
def test_nothing_beyond_the_callers_own_rights_is_touched(table, record_property):
    world, cells, allowed = World(), 0, 0
    for credential in CREDENTIALS:
        for name, may, act in table(world, credential):
            before = world.length()
            try:
                act()
                done = True
            except (Forbidden, NotFound, Invalid):
                done = False
            assert done == may, f"{credential} {name}: {'done' if done else 'refused'}"
            assert done or world.length() == before, f"{credential} {name}: refused, and yet recorded"
            cells, allowed = cells + 1, allowed + done
    record_property("cells", cells)
    print(f"{table.__name__}: {cells} cells, {allowed} allowed")
    assert 0 < allowed < cells
