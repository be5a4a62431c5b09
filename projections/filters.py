"""Fragments of SQL for filters by one or several ids."""

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
