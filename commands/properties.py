"""Registering and changing properties and their units."""

from __future__ import annotations

import msgspec
from msgspec import UNSET, UnsetType

from commands.deciding import change, create
from commands.values import Values, given_values
from domain.access import Caller, Context
from domain.errors import NotFound
from domain.property import Address, Property
from domain.text import AddressLine, Name
from infrastructure.storage.event_store import EventStore


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


class PropertyChanges(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The body of PATCH. An absent field stays as it is. The address is replaced as a whole."""

    name: Name | UnsetType = UNSET
    address: AddressBody | UnsetType = UNSET


class NewUnit(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    name: Name


def register_property(
    store: EventStore, values: Values[NewProperty], context: Context, *, property_id: str | None = None
) -> Property:
    """Register a property. Its id is `property_id` or, by default, the command id."""
    context.caller.require("admin", "register properties")
    context.caller.require_full_reach("register properties")  # others could not see it
    new = values.read()
    managed = Property.register(
        property_id or context.command_id, context, name=new.name, address=_address(new.address)
    )
    return create(store, managed, context)


def change_property(
    store: EventStore,
    property_id: str,
    values: Values[PropertyChanges],
    context: Context,
    expected_versions: frozenset[int] | None = None,
) -> Property:
    """Rename a property or correct its address."""

    def decide(managed: Property) -> None:
        context.caller.require("manager", "change properties")
        managed.require_version(expected_versions)
        changes = given_values(values.read())
        if "address" in changes:
            changes["address"] = _address(changes["address"])
        managed.change(changes, context)

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
    """Add a unit to a property. The unit's id is `unit_id` or, by default, the command id."""

    def decide(managed: Property) -> None:
        context.caller.require("manager", "add units")
        managed.add_unit(unit_id or context.command_id, values.read().name, context)

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
