"""Registering and changing properties and their units."""

from __future__ import annotations

import msgspec
from msgspec import UNSET, UnsetType

from commands.deciding import change, create
from commands.external_ids import ExternalIds, unit_key
from commands.values import Values, given_values
from domain.access import Caller, Context
from domain.errors import NotFound
from domain.external_ids import external_id_problems, merged
from domain.property import Address, Property
from domain.text import AddressLine, ChangedExternalIds, GivenExternalIds, Name
from infrastructure.storage.event_store import EventStore
from infrastructure.storage.postgres import Statement


class AddressBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    street: AddressLine
    city: AddressLine
    state: AddressLine
    zip: AddressLine
    country: AddressLine


class NewProperty(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The body of POST."""

    name: Name
    address: AddressBody
    external_ids: GivenExternalIds = {}


class PropertyChanges(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The body of PATCH. An absent field stays as it is. The address is replaced as a whole, and of
    `external_ids` only the ids of the given sources."""

    name: Name | UnsetType = UNSET
    address: AddressBody | UnsetType = UNSET
    external_ids: ChangedExternalIds | UnsetType = UNSET


class NewUnit(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    name: Name
    external_ids: GivenExternalIds = {}


class UnitChanges(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The body of PATCH. Only the ids of the given sources change."""

    external_ids: ChangedExternalIds | UnsetType = UNSET


def register_property(
    store: EventStore, values: Values[NewProperty], context: Context, *, property_id: str | None = None
) -> Property:
    """Register a property. Its id is `property_id` or, by default, the command id. Raises ExternalIdTaken."""
    context.caller.require("admin", "register properties")
    context.caller.require_full_reach("register properties")  # others could not see it
    new = values.read()
    facts = {"name": new.name, "address": _address(new.address), "external_ids": merged({}, new.external_ids)}
    managed = Property.register(property_id or context.command_id, context, **facts)
    with ExternalIds(store, context.caller, "property") as external_ids:
        claims = external_ids.claim(managed.id, {}, managed.external_ids)
        return create(store, managed, context, statements=claims)


def change_property(
    store: EventStore,
    property_id: str,
    values: Values[PropertyChanges],
    context: Context,
    expected_versions: frozenset[int] | None = None,
) -> Property:
    """Rename a property, or correct its address or its external ids. Raises ExternalIdTaken."""

    def decide(managed: Property) -> list[Statement]:
        context.caller.require("manager", "change properties")
        managed.require_version(expected_versions)
        before = managed.external_ids
        changes = given_values(values.read(lambda given: external_id_problems(before, given)))
        if "address" in changes:
            changes["address"] = _address(changes["address"])
        if "external_ids" in changes:
            changes["external_ids"] = merged(before, changes["external_ids"])
        managed.change(changes, context)
        return external_ids.claim(managed.id, before, managed.external_ids)

    with ExternalIds(store, context.caller, "property") as external_ids:
        return change(
            store, property_id, context, lambda: visible_property(store, context.caller, property_id), decide
        )


def add_unit(
    store: EventStore,
    property_id: str,
    values: Values[NewUnit],
    context: Context,
    *,
    unit_id: str | None = None,
) -> Property:
    """Add a unit to a property. The unit's id is `unit_id` or, by default, the command id. Raises
    ExternalIdTaken."""
    new_id = unit_id or context.command_id

    def decide(managed: Property) -> list[Statement]:
        context.caller.require("manager", "add units")
        new = values.read()
        managed.add_unit(new_id, new.name, context, merged({}, new.external_ids))
        return external_ids.claim(unit_key(property_id, new_id), {}, new.external_ids)

    with ExternalIds(store, context.caller, "unit") as external_ids:
        return change(
            store, property_id, context, lambda: visible_property(store, context.caller, property_id), decide
        )


def change_unit(
    store: EventStore, property_id: str, unit_id: str, values: Values[UnitChanges], context: Context
) -> Property:
    """Change the external ids of a unit. Raises ExternalIdTaken, and NotFound for an unknown unit."""

    def decide(managed: Property) -> list[Statement]:
        context.caller.require("manager", "change units")
        before = managed.external_ids_of_unit(unit_id)
        changes = given_values(values.read(lambda given: external_id_problems(before, given)))
        after = merged(before, changes.get("external_ids", {}))
        managed.change_unit(unit_id, after, context)
        return external_ids.claim(unit_key(property_id, unit_id), before, after)

    with ExternalIds(store, context.caller, "unit") as external_ids:
        return change(
            store, property_id, context, lambda: visible_property(store, context.caller, property_id), decide
        )


def visible_property(store: EventStore, caller: Caller, property_id: str) -> Property:
    """The property. Raises NotFound if it does not exist or is outside the caller's reach."""
    if not caller.reaches(property_id):
        raise NotFound("property")
    return store.load(Property, property_id)


def _address(body: AddressBody) -> Address:
    return msgspec.convert(body, Address, from_attributes=True)
