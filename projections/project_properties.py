"""Fills the tables `properties` and `units`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from msgspec.structs import asdict

from domain.property import (
    Address,
    Property,
    PropertyEvent,
    PropertyRegistered,
    PropertyRenamed,
    UnitAdded,
    UnitExternalIdsChanged,
)
from infrastructure.storage.postgres import Connection, named_queries
from projections.folding import (
    Cursor,
    PositionedEvent,
    by_aggregate,
    fold,
    ids_with_rows,
    kinds_of,
    name_positions,
    write_rows,
)
from projections.name_words import search_text
from projections.rows import PropertyRow, UnitRow, assignments, columns_of, compose, shared_values

KINDS = kinds_of(PropertyEvent)
_NAMING = kinds_of(PropertyRegistered | PropertyRenamed)
_CHANGES = tuple(name for name in PropertyRow.__struct_fields__ if name not in {"id", "created_at"})
_sql = {
    name: compose(
        statement,
        columns=columns_of(PropertyRow),
        changes=assignments(_CHANGES, "excluded"),
        units=columns_of(UnitRow),
    )
    for name, statement in named_queries(Path(__file__).parent / "sql" / "project_properties.sql").items()
}


def select_rows(conn: Connection, events: Sequence[PositionedEvent]) -> Cursor | None:
    """Select the rows that these events change; None when every property is new."""
    ids = ids_with_rows(Property, by_aggregate(event for _, event in events))
    return conn.execute(_sql["select_properties"], {"ids": ids}) if ids else None


def project(conn: Connection, events: Sequence[PositionedEvent], existing: Cursor | None) -> None:
    """Write the state of the properties after the events."""
    known = {row.id: row for row in (PropertyRow(*values) for values in existing or ())}
    named_at = name_positions(events, _NAMING)
    last_positions = {event.originator_id: position for position, event in events}
    rows = []
    for key, changes in by_aggregate(event for _, event in events).items():
        row = known.get(key)
        place = fold(Property, _read_property(row) if row else None, changes)
        place.position = last_positions[key]
        units_count = (row.units_count if row else 0) + len(place.units)
        name_position = named_at.get(key) or (row.name_position if row else 0)
        rows.append(_property_values(place, units_count, name_position))
    write_rows(conn, _sql["save_properties"], rows)
    units = [_unit_row(position, event) for position, event in events if isinstance(event, UnitAdded)]
    write_rows(conn, _sql["add_units"], units)
    changed = {
        (event.originator_id, event.unit_id): _unit_change(event)
        for _, event in events
        if isinstance(event, UnitExternalIdsChanged)
    }
    write_rows(conn, _sql["change_units"], list(changed.values()))


def _read_property(row: PropertyRow) -> Property:
    """The stored property without its units, which `units_count` counts."""
    values = shared_values(row, Property) | {"external_ids": row.external_ids or {}}
    return Property(address=Address(**shared_values(row, Address)), **values)


def _property_values(place: Property, units_count: int, name_position: int) -> dict[str, Any]:
    address = asdict(place.address) if place.address else {}
    others = {"units_count": units_count, "name_position": name_position}
    words = search_text(place.name, place.address.street if place.address else "")
    return {
        **shared_values(place, PropertyRow),
        **address,
        "search": words,
        **others,
        "external_ids": place.external_ids or None,
    }


def _unit_change(event: UnitExternalIdsChanged) -> dict[str, Any]:
    return {
        "property_id": event.originator_id,
        "id": event.unit_id,
        "external_ids": event.external_ids or None,
    }


def _unit_row(position: int, event: UnitAdded) -> UnitRow:
    return UnitRow(
        property_id=event.originator_id,
        id=event.unit_id,
        name=event.name,
        external_ids=event.external_ids or None,
        search=search_text(event.name),
        name_position=position,
        created_at=event.occurred_at,
    )
