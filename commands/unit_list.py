"""Adding the units of a list to a property, in one commit."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import msgspec

from commands.deciding import change
from commands.properties import visible_property
from commands.values import Values
from domain.access import Context
from domain.errors import Invalid
from domain.property import TOO_MANY_UNITS, UNITS_PER_PROPERTY, Property
from domain.text import Name, fold_case
from infrastructure.ids import derive_id
from infrastructure.storage.event_store import EventStore

MOST_LINES = UNITS_PER_PROPERTY


class ListedUnit(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A line of the list."""

    name: Name


class Line(NamedTuple):
    """A line of the list as it was sent, and its values."""

    text: str
    values: Values[ListedUnit]


class RefusedLine(NamedTuple):
    text: str
    reason: str


class UnitsOfList(NamedTuple):
    """The outcome: the property, how many units were added, how many it had before, how many lines name a
    unit of an earlier line again, and the refused lines."""

    managed: Property
    added: int
    present: int
    repeated: int
    refused: list[RefusedLine]


def add_units(store: EventStore, property_id: str, lines: Sequence[Line], context: Context) -> UnitsOfList:
    """Add the units of the list that the property does not have yet. Names are compared without regard to
    case and white space. A refused line does not affect the others. Raises Invalid for an empty or too long
    list."""

    def decide(managed: Property) -> None:
        context.caller.require("manager", "add units")
        if not lines:
            raise Invalid({"lines": ["Type at least one name."]})
        if len(lines) > MOST_LINES:
            raise Invalid({"lines": [f"A list holds at most {MOST_LINES:,} lines."]})
        managed.add_units(_read(lines, context).units.values(), context)

    managed = change(
        store, property_id, context, lambda: visible_property(store, context.caller, property_id), decide
    )
    return _outcome(managed, _read(lines, context))


class _ReadLines(NamedTuple):
    """The id and name of each new unit by folded name, the number of repeated lines, and the lines without
    a valid name."""

    units: dict[str, tuple[str, str]]
    repeated: int
    refused: list[RefusedLine]


def _read(lines: Sequence[Line], context: Context) -> _ReadLines:
    """The ids are derived from the names, so that a command that is sent again finds its units."""
    units: dict[str, tuple[str, str]] = {}
    repeated, refused = 0, []
    for line in lines:
        try:
            name = line.values.read().name
        except Invalid as problem:
            refused.append(RefusedLine(line.text, str(problem)))
            continue
        folded = fold_case(name)
        if folded in units:
            repeated += 1
        else:
            units[folded] = derive_id(context.command_id, folded), name
    return _ReadLines(units, repeated, refused)


def _outcome(managed: Property, read: _ReadLines) -> UnitsOfList:
    """What has become of the lines. A unit that the property has under another id was there before."""
    names = {fold_case(name) for name in managed.units.values()}
    added = sum(unit_id in managed.units for unit_id, _ in read.units.values())
    beyond = [
        RefusedLine(name, TOO_MANY_UNITS) for folded, (_, name) in read.units.items() if folded not in names
    ]
    present = len(read.units) - added - len(beyond)
    return UnitsOfList(managed, added, present, read.repeated, [*read.refused, *beyond])
