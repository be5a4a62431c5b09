"""Fills the tables `properties` and `units`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from msgspec.structs import asdict

from domain.aggregate import DomainEvent
from domain.property import Address, Property, PropertyEvent, PropertyRenamed, UnitAdded
from infrastructure.storage.postgres import Connection, named_queries
from projections.folding import Cursor, by_aggregate, fold, ids_with_rows, kinds_of, write_rows
from projections.rows import PropertyRow, UnitRow, assignments, columns_of, compose, shared_values

KINDS = kinds_of(PropertyEvent)
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


def select_rows(conn: Connection, events: Sequence[DomainEvent]) -> Cursor | None:
    """Select the rows that these events change; None when every property is new."""
    ids = ids_with_rows(Property, by_aggregate(events))
    return conn.execute(_sql["select_properties"], {"ids": ids}) if ids else None


def project(conn: Connection, events: Sequence[DomainEvent], existing: Cursor | None) -> None:
    """Write the state of the properties after the events, and new names into their tickets."""
    known = {row.id: row for row in (PropertyRow(*values) for values in existing or ())}
    rows = []
    for key, changes in by_aggregate(events).items():
        row = known.get(key)
        place = fold(Property, _read_property(row) if row else None, changes)
        rows.append(_property_values(place, (row.units_count if row else 0) + len(place.units)))
    write_rows(conn, _sql["save_properties"], rows)
    write_rows(conn, _sql["add_units"], [_unit_row(e) for e in events if isinstance(e, UnitAdded)])
    renamed = [event.originator_id for event in events if isinstance(event, PropertyRenamed)]
    if renamed:
        conn.execute(_sql["rename_properties_of_tickets"], {"ids": renamed})


def _read_property(row: PropertyRow) -> Property:
    """The stored property without its units, which `units_count` counts."""
    return Property(address=Address(**shared_values(row, Address)), **shared_values(row, Property))


def _property_values(place: Property, units_count: int) -> dict[str, Any]:
    address = asdict(place.address) if place.address else {}
    return {**shared_values(place, PropertyRow), **address, "units_count": units_count}


def _unit_row(event: UnitAdded) -> UnitRow:
    return UnitRow(
        property_id=event.originator_id, id=event.unit_id, name=event.name, created_at=event.occurred_at
    )
