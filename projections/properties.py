"""Reads the tables `properties` and `units`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import msgspec

from domain.access import Caller
from domain.property import Address
from infrastructure.storage.postgres import Pool, named_queries
from projections.rows import PropertyRow, UnitRow, columns_of, compose, shared_values, split_total
from projections.views import Page, PropertyDetail, PropertySummary, Reference, UnitView

UNITS_IN_DETAIL = 1_000

_sql = named_queries(Path(__file__).parent / "sql" / "properties.sql")
_LIST_PROPERTIES = compose(_sql["list_properties"], columns=columns_of(PropertyRow, "p"))
_GET_PROPERTY = compose(_sql["get_property"], columns=columns_of(PropertyRow, "p"))
_LIST_UNITS = compose(_sql["list_units"], columns=columns_of(UnitRow, "u"))
_units = msgspec.json.Decoder(list[UnitView])


class FoundProperty(msgspec.Struct, frozen=True, kw_only=True):
    """A property, before the check whether the caller may see it."""

    version: int
    detail: PropertyDetail


class _PropertyWithUnits(PropertyRow, frozen=True):
    units: str | None  # as JSON


def list_properties(pool: Pool, caller: Caller, limit: int, offset: int) -> Page[PropertySummary]:
    """The properties in the caller's reach, newest first."""
    reach = None if caller.property_ids is None else list(caller.property_ids)
    parameters = {"limit": limit, "offset": offset, "reach": reach}
    with pool.connection() as conn:
        rows, total = split_total(PropertyRow, conn.execute(_LIST_PROPERTIES, parameters).fetchall())
    properties = [
        PropertySummary(**shared_values(row, PropertySummary), address=_address(row)) for row in rows
    ]
    return Page(items=properties, total=total)


def get_property(pool: Pool, property_id: str) -> FoundProperty | None:
    """The property with its first UNITS_IN_DETAIL units by name."""
    with pool.connection() as conn:
        found = conn.execute(_GET_PROPERTY, {"id": property_id, "units": UNITS_IN_DETAIL}).fetchone()
    if found is None:
        return None
    row = _PropertyWithUnits(*found)
    detail = PropertyDetail(
        **shared_values(row, PropertySummary),
        address=_address(row),
        units=_units.decode(row.units) if row.units else [],
    )
    return FoundProperty(version=row.version, detail=detail)


def property_names(pool: Pool, property_ids: Sequence[str]) -> list[Reference]:
    """The properties with their current names, sorted by id. The id of an unknown property is used as its
    name."""
    with pool.connection() as conn:
        rows = conn.execute(_sql["property_names"], {"ids": list(property_ids)}).fetchall()
    names: dict[str, str] = dict(rows)
    return [Reference(key, names.get(key, key)) for key in sorted(property_ids)]


def list_units(pool: Pool, property_id: str, limit: int, offset: int) -> Page[UnitView]:
    """The units of a property by name. Does not check whether the user may see the property."""
    parameters = {"property_id": property_id, "limit": limit, "offset": offset}
    with pool.connection() as conn:
        rows, total = split_total(UnitRow, conn.execute(_LIST_UNITS, parameters).fetchall())
    return Page(items=[UnitView(id=row.id, name=row.name) for row in rows], total=total)


def _address(row: PropertyRow) -> Address:
    return Address(**shared_values(row, Address))
