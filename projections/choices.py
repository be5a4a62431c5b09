"""What forms offer to choose from."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec

from domain.access import Caller
from infrastructure.postgres import Pool, named_queries
from projections.views import Reference

MOST_CHOICES = 500

_sql = named_queries(Path(__file__).parent / "sql" / "choices.sql")


class Person(msgspec.Struct, frozen=True):
    email: str
    name: str
    role: str


def property_choices(pool: Pool, caller: Caller) -> list[Reference]:
    """The properties within the caller's reach by name, at most MOST_CHOICES."""
    mine = None if caller.property_ids is None else list(caller.property_ids)
    rows = _fetch(pool, "properties", {"mine": mine, "limit": MOST_CHOICES})
    return [Reference(*row) for row in rows]


def assignee_choices(pool: Pool, caller: Caller, property_id: str) -> list[Reference]:
    """Whom the caller may give a ticket of that property, by name, at most MOST_CHOICES."""
    parameters = {
        "property_id": property_id,
        "self": caller.principal_id,
        "sees_all": caller.property_ids is None,
        "limit": MOST_CHOICES,
    }
    return [Reference(*row) for row in _fetch(pool, "assignees", parameters)]


def people_choices(pool: Pool) -> list[Person]:
    """Everyone by name, at most MOST_CHOICES. For admins."""
    return [Person(*row) for row in _fetch(pool, "people", {"limit": MOST_CHOICES})]


def find_person(pool: Pool, text: str) -> str | None:
    """The id of the one person with that id or e-mail address, or None."""
    rows = _fetch(pool, "find_person", {"text": text})
    return rows[0][0] if rows else None


def _fetch(pool: Pool, statement: str, parameters: dict[str, Any]) -> list[Any]:
    with pool.connection() as conn:
        return conn.execute(_sql[statement], parameters).fetchall()
