"""Fills the tables `properties` and `units`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from domain.aggregate import DomainEvent
from domain.property import Address, Property, PropertyEvent, PropertyRenamed, UnitAdded
from infrastructure.storage.postgres import Connection, named_queries
from projections.folding import Cursor, already_there, by_aggregate, fold, kinds_of, write_rows

KINDS = kinds_of(PropertyEvent)
_sql = named_queries(Path(__file__).parent / "sql" / "project_properties.sql")


def select_rows(conn: Connection, events: Sequence[DomainEvent]) -> Cursor | None:
    """Ask for the rows these events change; None when they are all new."""
    ids = already_there(Property, by_aggregate(events))
    return conn.execute(_sql["select_properties"], {"ids": ids}) if ids else None


def project(conn: Connection, events: Sequence[DomainEvent], existing: Cursor | None) -> None:
    """Write what the events made of the properties, and the new names into their tickets."""
    known, counts = _read(existing)
    rows = []
    for key, changes in by_aggregate(events).items():
        property = fold(Property, known.get(key), changes)
        rows.append(_row(property, counts.get(key, 0) + len(property.units)))
    write_rows(conn, _sql["save_properties"], rows)
    write_rows(conn, _sql["add_units"], [_unit_row(e) for e in events if isinstance(e, UnitAdded)])
    renamed = [event.originator_id for event in events if isinstance(event, PropertyRenamed)]
    if renamed:
        conn.execute(_sql["rename_properties_of_tickets"], {"ids": renamed})


def _read(existing: Cursor | None) -> tuple[dict[str, Property], dict[str, int]]:
    """The stored properties, without their units, and how many units each has."""
    properties: dict[str, Property] = {}
    counts: dict[str, int] = {}
    for key, version, name, street, city, state, zip, country, count, created_at, updated_at in (
        existing or ()
    ):
        properties[key] = Property(
            id=key,
            version=version,
            name=name,
            address=Address(street=street, city=city, state=state, zip=zip, country=country),
            created_at=created_at,
            updated_at=updated_at,
        )
        counts[key] = count
    return properties, counts


def _row(property: Property, units_count: int) -> dict[str, Any]:
    address = property.address
    return {
        "id": property.id,
        "version": property.version,
        "name": property.name,
        "street": address and address.street,
        "city": address and address.city,
        "state": address and address.state,
        "zip": address and address.zip,
        "country": address and address.country,
        "units_count": units_count,
        "created_at": property.created_at,
        "updated_at": property.updated_at,
    }


def _unit_row(event: UnitAdded) -> dict[str, Any]:
    return {
        "property_id": event.originator_id,
        "id": event.unit_id,
        "name": event.name,
        "created_at": event.occurred_at,
    }
