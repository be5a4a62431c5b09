"""Reads the tables `properties` and `units`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import msgspec

from domain.access import Caller
from domain.property import Address
from infrastructure.storage.postgres import Pool, named_queries
from projections.views import Page, PropertyDetail, PropertySummary, Reference, UnitView

UNITS_IN_DETAIL = 1_000

_sql = named_queries(Path(__file__).parent / "sql" / "properties.sql")
_units = msgspec.json.Decoder(list[UnitView])


class PropertyRow(msgspec.Struct, frozen=True, kw_only=True):
    """A property, whoever may see it."""

    version: int
    detail: PropertyDetail


def list_properties(pool: Pool, caller: Caller, limit: int, offset: int) -> Page[PropertySummary]:
    """The properties in the caller's reach, newest first."""
    parameters = {"limit": limit, "offset": offset, "reach": list(caller.property_ids or ())}
    statement = _sql["list_properties" if caller.property_ids is None else "list_properties_within"]
    with pool.connection() as conn:
        rows = conn.execute(statement, parameters).fetchall()
    properties = [
        PropertySummary(
            id=key,
            name=name,
            address=Address(street=street, city=city, state=state, zip=zip, country=country),
            units_count=units_count,
            active_tickets_count=active_tickets_count,
        )
        for _, key, name, street, city, state, zip, country, units_count, active_tickets_count, _ in rows
        if key is not None
    ]
    return Page(items=properties, total=rows[0][0])


def get_property(pool: Pool, property_id: str) -> PropertyRow | None:
    """The property with its first UNITS_IN_DETAIL units by name."""
    parameters = {"id": property_id, "units": UNITS_IN_DETAIL}
    with pool.connection() as conn:
        row = conn.execute(_sql["get_property"], parameters).fetchone()
    if row is None:
        return None
    version, key, name, street, city, state, zip, country, units_count, active_tickets_count, units = row
    detail = PropertyDetail(
        id=key,
        name=name,
        address=Address(street=street, city=city, state=state, zip=zip, country=country),
        units_count=units_count,
        active_tickets_count=active_tickets_count,
        units=_units.decode(units) if units else [],
    )
    return PropertyRow(version=version, detail=detail)


def property_names(pool: Pool, property_ids: Sequence[str]) -> list[Reference]:
    """What the properties are called now, sorted by id; an id without a name stands for itself."""
    with pool.connection() as conn:
        rows = conn.execute(_sql["property_names"], {"ids": list(property_ids)}).fetchall()
    names: dict[str, str] = dict(rows)
    return [Reference(key, names.get(key, key)) for key in sorted(property_ids)]


def list_units(pool: Pool, property_id: str, limit: int, offset: int) -> Page[UnitView]:
    """The units of a property by name. Whether the caller may see it was asked before."""
    parameters = {"property_id": property_id, "limit": limit, "offset": offset}
    with pool.connection() as conn:
        rows = conn.execute(_sql["list_units"], parameters).fetchall()
    units = [UnitView(id=key, name=name) for _, key, name in rows if key is not None]
    return Page(items=units, total=rows[0][0])
