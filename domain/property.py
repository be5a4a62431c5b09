"""A property under management and its units."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, ClassVar

import msgspec

from domain.access import Context
from domain.aggregate import Aggregate, DomainEvent
from domain.errors import Conflict, Invalid, NotFound
from domain.text import fold_case

UNITS_PER_PROPERTY = 10_000
TOO_MANY_UNITS = f"A property holds at most {UNITS_PER_PROPERTY} units."
NAME_TAKEN = "The property has a unit with this name already."


class Address(msgspec.Struct, frozen=True, kw_only=True):
    street: str
    city: str
    state: str
    zip: str
    country: str


class PropertyRegistered(DomainEvent, frozen=True, tag="property.registered"):
    name: str
    address: Address
    external_ids: dict[str, str] = {}


class PropertyRenamed(DomainEvent, frozen=True, tag="property.renamed"):
    name: str


class PropertyAddressChanged(DomainEvent, frozen=True, tag="property.address_changed"):
    address: Address


class PropertyExternalIdsChanged(DomainEvent, frozen=True, tag="property.external_ids_changed"):
    """The property has these ids in other systems, by source, and no others."""

    external_ids: dict[str, str]


class UnitAdded(DomainEvent, frozen=True, tag="property.unit_added"):
    unit_id: str
    name: str
    external_ids: dict[str, str] = {}


class UnitExternalIdsChanged(DomainEvent, frozen=True, tag="property.unit_external_ids_changed"):
    """The unit has these ids in other systems, by source, and no others."""

    unit_id: str
    external_ids: dict[str, str]


PropertyEvent = (
    PropertyRegistered
    | PropertyRenamed
    | PropertyAddressChanged
    | PropertyExternalIdsChanged
    | UnitAdded
    | UnitExternalIdsChanged
)


class Property(Aggregate):
    """`units` maps each unit's id to its name. Ids are unique within their property, and so are new names,
    without regard to case; old logs may contain a name twice. `unit_external_ids` has the external ids of the
    units that have some, by unit."""

    kind: ClassVar[str] = "property"
    first_event: ClassVar[type[DomainEvent]] = PropertyRegistered
    field_changes: ClassVar[tuple[type[DomainEvent], ...]] = (
        PropertyRenamed,
        PropertyAddressChanged,
        PropertyExternalIdsChanged,
    )
    name: str = ""
    address: Address | None = None
    units: dict[str, str] = {}
    external_ids: dict[str, str] = {}
    unit_external_ids: dict[str, tuple[tuple[str, str], ...]] = {}

    @classmethod
    def register(cls, property_id: str, context: Context, **facts: Any) -> Property:
        """A new property; `facts` are the own fields of PropertyRegistered."""
        return cls.begin(property_id, context, **facts)

    def add_unit(
        self, unit_id: str, name: str, context: Context, external_ids: Mapping[str, str] = {}
    ) -> None:
        """Add a unit. Raises Conflict for an id that is in use, Invalid for a name that is."""
        if unit_id in self.units:
            raise Conflict(f"The property has a unit {unit_id} already.")
        if len(self.units) >= UNITS_PER_PROPERTY:
            raise Conflict(TOO_MANY_UNITS)
        wanted = fold_case(name)
        if any(fold_case(present) == wanted for present in self.units.values()):
            raise Invalid({"name": [NAME_TAKEN]})
        self.record(UnitAdded, context, unit_id=unit_id, name=name, external_ids=dict(external_ids))

    def add_units(self, units: Iterable[tuple[str, str]], context: Context) -> None:
        """Add units, pairs of id and name, in this order, except those whose name the property has already,
        and those beyond UNITS_PER_PROPERTY."""
        taken = {fold_case(name) for name in self.units.values()}
        for unit_id, name in units:
            folded = fold_case(name)
            if folded not in taken and len(self.units) < UNITS_PER_PROPERTY:
                taken.add(folded)
                self.record(UnitAdded, context, unit_id=unit_id, name=name)

    def change_unit(self, unit_id: str, external_ids: Mapping[str, str], context: Context) -> None:
        """Replace the external ids of a unit. Raises NotFound for an unknown one."""
        if unit_id not in self.units:
            raise NotFound("unit")
        if external_ids != self.external_ids_of_unit(unit_id):
            self.record(UnitExternalIdsChanged, context, unit_id=unit_id, external_ids=dict(external_ids))

    def external_ids_of_unit(self, unit_id: str) -> dict[str, str]:
        return dict(self.unit_external_ids.get(unit_id, ()))

    def apply(self, event: PropertyEvent) -> None:
        if isinstance(event, UnitAdded):
            self.units[event.unit_id] = event.name
            self._set_unit_external_ids(event)
        elif isinstance(event, UnitExternalIdsChanged):
            self._set_unit_external_ids(event)
        else:
            self.copy_fields(event)

    def _set_unit_external_ids(self, event: UnitAdded | UnitExternalIdsChanged) -> None:
        if event.external_ids:
            self.unit_external_ids[event.unit_id] = tuple(event.external_ids.items())
        else:
            self.unit_external_ids.pop(event.unit_id, None)
