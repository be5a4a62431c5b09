"""Fragments of SQL for filters by one or several ids, or by external ids."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, LiteralString


def id_filter(column: LiteralString, name: LiteralString) -> dict[str, LiteralString]:
    """The fragments of a filter by ids: under `name` for one id, under `name_any` for several.

    Only with one id can an index on the column and the sort key return the rows in order.
    """
    return {name: f"{column} = %({name})s", f"{name}_any": f"{column} = ANY(%({name}_any)s)"}


def id_parameters(name: str, ids: Sequence[str | int]) -> dict[str, Any]:
    """The parameter of the fragment that fits the number of ids; empty without ids."""
    if len(ids) == 1:
        return {name: ids[0]}
    return {f"{name}_any": list(ids)} if ids else {}


def external_id_filter(column: LiteralString, kind: LiteralString) -> LiteralString:
    """The fragment of the filter `external_id` by items such as "sap:4711".

    The column has the ids under which commands/external_ids.py claims external ids for objects of this kind.
    """
    return (
        f"{column} = ANY(ARRAY(SELECT x.object_id FROM unnest(%(external_id)s::text[]) AS e (name)"
        f" CROSS JOIN LATERAL (SELECT object_id FROM access.external_ids WHERE kind = '{kind}'"
        " AND source = split_part(e.name, ':', 1)"
        " AND external_id = substr(e.name, strpos(e.name, ':') + 1) LIMIT 1) x))"
    )
