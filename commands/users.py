"""Registering and changing people.

The caller's rights must include the role and properties of the person, before and after the change. So a
manager, or a key that is restricted to properties, works only with people of those properties.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Annotated, Any

import msgspec
from msgspec import UNSET, Meta, UnsetType

from commands.activity import change_activity, require_other_person
from commands.deciding import Change, change, create
from commands.email_addresses import change_address, claim_address, refuse_taken_address
from commands.external_ids import ExternalIds
from commands.link_statements import void_link
from commands.values import Values, given_values
from domain.access import ROLES, Caller, Context, Role, rights_of_person
from domain.errors import Details, Invalid, NotFound
from domain.external_ids import external_id_problems, merged
from domain.property import Property
from domain.text import ChangedExternalIds, Email, GivenExternalIds, Name, Phone
from domain.user import Preferences, User
from infrastructure.storage.event_store import EventStore

NO_PROPERTY = "Name at least one of your properties."
RESERVED_IDS = frozenset(("me", "none", "inactive"))  # words of /v1/users/me and the filter assigned_to
UNKNOWN_PROPERTY = "No property with the id {} is within your reach."

PropertyIds = Annotated[tuple[str, ...], Meta(max_length=1_000)]  # each is looked up


class NotificationsBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How the person wants to be notified. Only stored, for other systems: this system sends no messages."""

    email: bool = True
    sms: bool = False


class PreferencesBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    notifications: NotificationsBody = NotificationsBody()


class NewUser(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The body of POST. A manager must give at least one of their own properties."""

    name: Name
    email: Email
    role: Role
    phone: Phone | None = None
    property_ids: PropertyIds = ()
    preferences: PreferencesBody = PreferencesBody()
    external_ids: GivenExternalIds = {}


class UserChanges(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The body of PATCH. An absent field stays as it is; null clears it. Lists and preferences are replaced
    as a whole, of `external_ids` only the ids of the given sources. `active` false deactivates the person."""

    name: Name | UnsetType = UNSET
    email: Email | UnsetType = UNSET
    phone: Phone | UnsetType | None = UNSET
    role: Role | UnsetType = UNSET
    property_ids: PropertyIds | UnsetType = UNSET
    preferences: PreferencesBody | UnsetType = UNSET
    active: bool | UnsetType = UNSET
    external_ids: ChangedExternalIds | UnsetType = UNSET


def register_user(
    store: EventStore, values: Values[NewUser], context: Context, *, user_id: str | None = None
) -> User:
    """Register a person, whose role and properties lie within the caller's own.

    The id of the person is `user_id` or, by default, the command id. Raises EmailTaken and ExternalIdTaken.
    """
    caller, user_id = context.caller, user_id or context.command_id

    def problems(fields: Mapping[str, Any]) -> Details:
        return property_problems(store, caller, fields.get("property_ids", ()))

    caller.require("manager", "register users")
    if user_id in RESERVED_IDS:
        raise Invalid({"id": [f"The id {user_id} has a meaning in filters and addresses. Choose another."]})
    if done := store.done_before(User, user_id, context):
        return done
    if role := _wanted_role(values):
        caller.require_rights(rights_of_person(role, ()), "register this person")
    user = User.register(user_id, context, **_facts(values.read(problems)))
    with refuse_taken_address(), ExternalIds(store, caller, "user") as external_ids:
        claims = external_ids.claim(user.id, {}, user.external_ids)
        return create(store, user, context, statements=[*claim_address(store, user), *claims])


def change_user(
    store: EventStore,
    user_id: str,
    values: Values[UserChanges],
    context: Context,
    expected_versions: frozenset[int] | None = None,
) -> User:
    """Change the given fields; record no event for a field that already has the given value.

    Raises EmailTaken, ExternalIdTaken, and LastAdmin for the deactivation of the last active admin.
    """
    caller = context.caller

    def decide(user: User) -> Change:
        def problems(fields: Mapping[str, Any]) -> Details:
            details = external_id_problems(user.external_ids, fields)
            if "property_ids" not in fields:
                return details
            return details | property_problems(store, caller, fields["property_ids"], user.property_ids)

        caller.require("manager", "change users")
        caller.require_rights(user.rights, "change this person")
        if role := _wanted_role(values):
            caller.require_rights(rights_of_person(role, user.property_ids), "give this role")
        if values.fields.get("active") is False:
            require_other_person(caller, user)
        user.require_version(expected_versions)
        return _record_changes(store, user, values.read(problems), context, external_ids)

    with refuse_taken_address(), ExternalIds(store, caller, "user") as external_ids:
        return change(store, user_id, context, lambda: visible_user(store, caller, user_id), decide)


def _record_changes(
    store: EventStore, user: User, changes: UserChanges, context: Context, external_ids: ExternalIds
) -> Change:
    """Record the changes. Returns the statements that commit with them."""
    email, rights, was_active, ids = user.email, user.rights, user.is_active, user.external_ids
    user.change(_facts(changes, ids), context)
    statements = change_address(store, user, email)
    statements += external_ids.claim(user.id, ids, user.external_ids)
    if user.rights != rights:
        statements += void_link(user.id)
    if changes.active is not UNSET:
        user.set_active(changes.active, context)
    if user.is_active == was_active:
        return Change(statements)
    activity = change_activity(store, user, context, was_admin=rights.role == "admin")
    return Change([*statements, *activity.statements], activity.unless_changed)


def visible_user(store: EventStore, caller: Caller, user_id: str) -> User:
    """The user. Raises NotFound if the user does not exist or the caller may not see them."""
    user = store.load(User, user_id)
    if not caller.may_see_user(user.id, user.property_ids):
        raise NotFound("user")
    return user


def property_problems(
    store: EventStore, caller: Caller, property_ids: Collection[str], present: Collection[str] = ()
) -> Details:
    """The reasons why the caller cannot give a person these properties; `present` are the current ones."""
    if caller.property_ids is not None and not property_ids:
        return {"property_ids": [NO_PROPERTY]}  # otherwise the caller could not see the person
    unknown = [
        property_id
        for property_id in dict.fromkeys(property_ids)
        if property_id not in present
        and (not caller.reaches(property_id) or store.find(Property, property_id) is None)
    ]
    if not unknown:
        return {}
    return {"property_ids": [UNKNOWN_PROPERTY.format(property_id) for property_id in unknown]}


def _wanted_role(values: Values[Any]) -> Role | None:
    """The role among the given values; None if it is absent or not a role."""
    wanted = values.fields.get("role")
    return next((role for role in ROLES if role == wanted), None)


def _facts(values: NewUser | UserChanges, present_ids: Mapping[str, str] = {}) -> dict[str, Any]:
    """The given values as the fields of a User with the external ids `present_ids`."""
    facts = given_values(values)
    if "external_ids" in facts:
        facts["external_ids"] = merged(present_ids, facts["external_ids"])
    facts.pop("active", None)
    if "preferences" in facts:
        facts["preferences"] = msgspec.convert(facts["preferences"], Preferences, from_attributes=True)
    return facts
