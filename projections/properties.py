"""Reads the tables `properties` and `units`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
from psycopg import sql

from domain.access import Caller
from domain.property import Address
from infrastructure.storage.postgres import Pool, named_queries
from projections.filters import external_id_filter
from projections.paging import LastKey, Slice, by_shape
from projections.project_counts import PAIRS
from projections.rows import PropertyRow, UnitRow, columns_of, compose, shared_values, split_total
from projections.views import Page, PropertyDetail, PropertySummary, Reference, UnitView

UNITS_IN_DETAIL = 1_000

_sql = named_queries(Path(__file__).parent / "sql" / "properties.sql")
_ACTIVE = sql.SQL(", ").join([sql.Literal(pair) for (status, _), pair in PAIRS.items() if status != "closed"])
_COUNT_ACTIVE = sql.SQL(_sql["count_active_tickets"]).format(pairs=_ACTIVE)
_COUNTED_COLUMNS = {"columns": columns_of(PropertyRow, "p"), "active": _COUNT_ACTIVE}
_LIST_PROPERTIES = by_shape(
    _sql["list_properties"],
    after="(p.created_at, p.id) < (%(after_value)s::timestamptz, %(after_id)s)",
    total=_sql["count_properties"],
    has_external_id=sql.SQL(external_id_filter("p.id", "property")),
    **_COUNTED_COLUMNS,
)
_GET_PROPERTY = compose(_sql["get_property"], **_COUNTED_COLUMNS)
_LIST_UNITS = by_shape(
    _sql["list_units"],
    after="(u.name, u.id) > (%(after_value)s, %(after_id)s)",
    total=_sql["count_units"],
    has_external_id=sql.SQL(external_id_filter("u.property_id || '/' || u.id", "unit")),
    columns=columns_of(UnitRow, "u"),
)
_GET_UNIT = compose(_sql["get_unit"], columns=columns_of(UnitRow, "u"))
_units = msgspec.json.Decoder(list[UnitView])


class FoundProperty(msgspec.Struct, frozen=True, kw_only=True):
    """A property, before the check whether the caller may see it."""

    version: int
    detail: PropertyDetail


class _CountedProperty(PropertyRow, frozen=True):
    """A property and the number of its tickets that are not closed."""

    active_tickets_count: int


class _PropertyWithUnits(_CountedProperty, frozen=True):
    units: str | None  # as JSON


def list_properties(
    pool: Pool, caller: Caller, part: Slice, external_id: Sequence[str] = ()
) -> Page[PropertySummary]:
    """The properties in the caller's reach, newest first; with `external_id` those that have one of these
    ids, such as "sap:4711"."""
    reach = None if caller.property_ids is None else list(caller.property_ids)
    parameters = {"reach": reach, "external_id": list(external_id) or None, **part.parameters}
    rows, total = split_total(_CountedProperty, pool.fetch(_LIST_PROPERTIES[part.shape], parameters))
    return part.page(rows, total, key=_key, view=lambda row: PropertySummary(**_summary_values(row)))


def get_property(pool: Pool, property_id: str) -> FoundProperty | None:
    """The property with its first UNITS_IN_DETAIL units by name."""
    rows = pool.fetch(_GET_PROPERTY, {"id": property_id, "units": UNITS_IN_DETAIL})
    if not rows:
        return None
    row = _PropertyWithUnits(*rows[0])
    detail = PropertyDetail(
        **_summary_values(row),
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


def list_units(pool: Pool, property_id: str, part: Slice, external_id: Sequence[str] = ()) -> Page[UnitView]:
    """The units of a property by name; with `external_id` those that have one of these ids. Does not check
    whether the user may see the property."""
    parameters = {"property_id": property_id, "external_id": list(external_id) or None, **part.parameters}
    rows, total = split_total(UnitRow, pool.fetch(_LIST_UNITS[part.shape], parameters))
    return part.page(
        rows,
        total,
        key=lambda row: (row.name, row.id),
        view=_unit_view,
    )


def get_unit(pool: Pool, property_id: str, unit_id: str) -> UnitView | None:
    """Does not check whether the user may see the property."""
    rows = pool.fetch(_GET_UNIT, {"property_id": property_id, "id": unit_id})
    return next((_unit_view(UnitRow(*row)) for row in rows), None)


def count_active_tickets(pool: Pool, property_id: str, unit_ids: Sequence[str]) -> dict[str, int]:
    """How many tickets of each of these units are not closed; units without such tickets are left out."""
    parameters = {"property_id": property_id, "ids": list(unit_ids)}
    return dict(pool.fetch(_sql["count_active_of_units"], parameters))


def _unit_view(row: UnitRow) -> UnitView:
    return UnitView(id=row.id, name=row.name, external_ids=row.external_ids or {})


def _key(row: PropertyRow) -> LastKey:
    return row.created_at.isoformat(), row.id


def _summary_values(row: _CountedProperty) -> dict[str, Any]:
    """The fields of PropertySummary."""
    others = {"address": _address(row), "external_ids": row.external_ids or {}}
    return shared_values(row, PropertySummary) | others


def _address(row: PropertyRow) -> Address:
    return Address(**shared_values(row, Address))
