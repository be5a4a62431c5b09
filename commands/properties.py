"""What may be asked of properties and their units, and how it is carried out."""

from __future__ import annotations

import msgspec
from msgspec import UNSET, UnsetType

from domain.access import Caller, Context
from domain.errors import NotFound
from domain.property import Address, Property
from infrastructure.storage.event_store import EventStore, create, decide


class RegisterProperty(msgspec.Struct, frozen=True, kw_only=True):
    property_id: str
    name: str
    address: Address


class ChangeProperty(msgspec.Struct, frozen=True, kw_only=True):
    """`address` replaces the address as a whole."""

    property_id: str
    expected_versions: frozenset[int] | None = None
    name: str | UnsetType = UNSET
    address: Address | UnsetType = UNSET


class AddUnit(msgspec.Struct, frozen=True, kw_only=True):
    property_id: str
    unit_id: str
    name: str


def register_property(store: EventStore, command: RegisterProperty, context: Context) -> Property:
    """Take a property under management."""
    require_may_register(context.caller)
    property = Property.register(command.property_id, context, name=command.name, address=command.address)
    return create(store, property, context)


def require_may_register(caller: Caller) -> None:
    """A key for some properties would make one that it cannot see."""
    caller.require("admin", "register properties")
    caller.require_full_reach("register properties")


def change_property(store: EventStore, command: ChangeProperty, context: Context) -> Property:
    """Rename a property or correct its address."""

    def attempt() -> Property:
        property = visible_property(store, context.caller, command.property_id)
        if done := store.done_before(Property, property.id, context):
            return done
        context.caller.require("manager", "change properties")
        property.require_version(command.expected_versions)
        values = {"name": command.name, "address": command.address}
        property.change({name: value for name, value in values.items() if value is not UNSET}, context)
        store.save(property)
        return property

    return decide(store, command.property_id, attempt)


def add_unit(store: EventStore, command: AddUnit, context: Context) -> Property:
    """Add a unit to a property."""

    def attempt() -> Property:
        property = visible_property(store, context.caller, command.property_id)
        if done := store.done_before(Property, property.id, context):
            return done
        context.caller.require("manager", "add units")
        property.add_unit(command.unit_id, command.name, context)
        store.save(property)
        return property

    return decide(store, command.property_id, attempt)


def visible_property(store: EventStore, caller: Caller, property_id: str) -> Property:
    """The property, or NotFound when it is absent or outside the caller's reach."""
    if not caller.reaches(property_id):
        raise NotFound("property")
    return store.load(Property, property_id)
