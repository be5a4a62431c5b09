"""A list of units: which of them are added."""

import pytest

from commands.unit_list import Line, ListedUnit, add_units
from commands.values import ValidValues
from domain.errors import Forbidden
from domain.property import UNITS_PER_PROPERTY, Property
from infrastructure.storage.event_store import EventStore
from tests.unit.builders import OCEAN_DRIVE, caller, context


def make_property():
    return Property.register("p1", context(), name="Seaside", address=OCEAN_DRIVE, external_ids={})


def test_units_are_added_in_order_without_names_that_the_property_has():
    place = make_property()
    place.add_unit("a", "Unit 101", context())

    place.add_units([("b", "unit  101"), ("c", "Unit 102"), ("d", "UNIT 102"), ("e", "Unit 103")], context())

    assert place.units == {"a": "Unit 101", "c": "Unit 102", "e": "Unit 103"}


def test_units_beyond_the_limit_are_not_added():
    place = make_property()
    place.add_units([(str(number), f"Unit {number}") for number in range(UNITS_PER_PROPERTY + 2)], context())
    assert len(place.units) == UNITS_PER_PROPERTY


def test_staff_may_not_add_units():
    store = EventStore()
    store.save(make_property())
    lines = [Line("Unit 1", ValidValues(ListedUnit(name="Unit 1")))]

    with pytest.raises(Forbidden):
        add_units(store, "p1", lines, context(caller("staff", reach=["p1"])))
