"""Registering and changing people.

Nobody registers or changes a person whose role or reach, before or after, exceeds their own: a manager, or
a key that is restricted to properties, works with people who belong to no other property.
"""

from __future__ import annotations

from collections.abc import Collection

import msgspec
from msgspec import UNSET, UnsetType

from domain.access import Caller, Context, Role, rights_of_person
from domain.errors import Details, Invalid, NotFound
from domain.property import Property
from domain.user import Preferences, User
from infrastructure.storage.event_store import EventStore, create, decide

NAME_ONE = "Name at least one of your properties."
UNKNOWN_PROPERTY = "No property with the id {} is within your reach."


class RegisterUser(msgspec.Struct, frozen=True, kw_only=True):
    user_id: str
    name: str
    email: str
    role: Role
    phone: str | None = None
    property_ids: tuple[str, ...] = ()
    preferences: Preferences = Preferences()


class ChangeUser(msgspec.Struct, frozen=True, kw_only=True):
    """Fields left UNSET stay as they are; `property_ids` replaces all of them."""

    user_id: str
    expected_versions: frozenset[int] | None = None
    name: str | UnsetType = UNSET
    email: str | UnsetType = UNSET
    phone: str | UnsetType | None = UNSET
    role: Role | UnsetType = UNSET
    property_ids: tuple[str, ...] | UnsetType = UNSET
    preferences: Preferences | UnsetType = UNSET


def register_user(store: EventStore, command: RegisterUser, context: Context) -> User:
    """Register a person, whose role and properties lie within the caller's own."""
    caller = context.caller
    caller.require("manager", "register users")
    if done := store.done_before(User, command.user_id, context):
        return done
    caller.require_rights(rights_of_person(command.role, ()), "register this person")
    if details := property_problems(store, caller, command.property_ids):
        raise Invalid(details)
    user = User.register(
        command.user_id,
        context,
        name=command.name,
        email=command.email,
        phone=command.phone,
        role=command.role,
        property_ids=command.property_ids,
        preferences=command.preferences,
    )
    return create(store, user, context)


def change_user(store: EventStore, command: ChangeUser, context: Context) -> User:
    """Change the given fields; fields that already hold the value record nothing."""

    def attempt() -> User:
        user = visible_user(store, context.caller, command.user_id)
        if done := store.done_before(User, user.id, context):
            return done
        require_may_change(context.caller, user, command.role)
        user.require_version(command.expected_versions)
        _apply_change(store, user, command, context)
        store.save(user)
        return user

    return decide(store, command.user_id, attempt)


def visible_user(store: EventStore, caller: Caller, user_id: str) -> User:
    """The user, or NotFound when absent or outside the caller's sight."""
    user = store.load(User, user_id)
    if not caller.may_see_user(user.id, user.property_ids):
        raise NotFound("user")
    return user


def require_may_change(caller: Caller, user: User, role: Role | UnsetType = UNSET) -> None:
    """Refuse unless the person, as they are and with the role `role`, lies within the caller's rights."""
    caller.require("manager", "change users")
    caller.require_rights(user.rights, "change this person")
    if role is not UNSET:
        caller.require_rights(rights_of_person(role, user.property_ids), "give this role")


def property_problems(
    store: EventStore, caller: Caller, property_ids: tuple[str, ...], present: Collection[str] = ()
) -> Details:
    """Why the caller cannot give a person these properties, where those `present` are theirs already."""
    if caller.property_ids is not None and not property_ids:
        return {"property_ids": [NAME_ONE]}  # the caller could not see the person afterwards
    unknown = [
        property_id
        for property_id in dict.fromkeys(property_ids)
        if property_id not in present
        and (not caller.reaches(property_id) or store.find(Property, property_id) is None)
    ]
    return {"property_ids": [UNKNOWN_PROPERTY.format(id) for id in unknown]} if unknown else {}


def _apply_change(store: EventStore, user: User, command: ChangeUser, context: Context) -> None:
    if command.property_ids is not UNSET and (
        details := property_problems(store, context.caller, command.property_ids, user.property_ids)
    ):
        raise Invalid(details)
    names = ("name", "email", "phone", "role", "property_ids", "preferences")
    values = {name: getattr(command, name) for name in names}
    user.change({name: value for name, value in values.items() if value is not UNSET}, context)
