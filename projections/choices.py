"""The choices that forms offer, and look-ups of ids by a typed text."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from domain.access import Caller
from infrastructure.storage.postgres import Pool, named_queries
from projections.views import Reference

MOST_CHOICES = 200

_sql = named_queries(Path(__file__).parent / "sql" / "choices.sql")


class Person(msgspec.Struct, frozen=True):
    email: str
    name: str
    role: str


class Choices(msgspec.Struct):
    """The first MOST_CHOICES by name. `is_cut`: there are more, so the form has a text field instead."""

    items: list[Reference]
    is_cut: bool


def property_choices(pool: Pool, caller: Caller) -> Choices:
    """The properties within the caller's reach."""
    return _choices(pool, "properties", {"reach": _reach(caller)})


def find_properties(pool: Pool, caller: Caller, texts: Sequence[str]) -> dict[str, str]:
    """The property ids by text, for each text that is the id or name of exactly one property within reach."""
    rows = _fetch(pool, "find_properties", {"texts": list(texts), "reach": _reach(caller)})
    return dict(rows)


def unit_choices(pool: Pool, property_id: str) -> Choices:
    return _choices(pool, "units", {"property_id": property_id})


def find_unit(pool: Pool, property_id: str, text: str) -> str | None:
    """The id of the one unit of the property with that id or name, or None."""
    rows = _fetch(pool, "find_unit", {"property_id": property_id, "text": text})
    return _first_id(rows)


def assignee_choices(pool: Pool, caller: Caller, property_id: str) -> Choices:
    """The people to whom the caller may assign a ticket of that property."""
    parameters = {
        "property_id": property_id,
        "self": caller.principal_id,
        "sees_all": caller.property_ids is None,
    }
    return _choices(pool, "assignees", parameters)


def requester_choices(pool: Pool, property_id: str) -> Choices:
    """The people of that property, for whom a manager may open a ticket."""
    return _choices(pool, "requesters", {"property_id": property_id})


def worker_choices(pool: Pool, caller: Caller) -> Choices:
    """The people to whom tickets within the caller's reach may be assigned."""
    return _choices(pool, "workers", {"reach": _reach(caller), "self": caller.principal_id})


def people_choices(pool: Pool) -> list[Person]:
    """The active people by name, at most MOST_CHOICES. For admins."""
    return [Person(*row) for row in _fetch(pool, "people", {"limit": MOST_CHOICES})]


def find_person(pool: Pool, text: str, address_hmac: bytes) -> str | None:
    """The id of the one person with that id or e-mail address, or None. `address_hmac` is the hash of the
    text for `privacy.email_addresses`."""
    rows = _fetch(pool, "find_person", {"text": text, "address_hmac": address_hmac})
    return _first_id(rows)


def find_ticket_number(pool: Pool, ticket_id: str) -> int | None:
    """The number of the ticket with that id, or None."""
    return next((number for (number,) in _fetch(pool, "find_ticket_number", {"id": ticket_id})), None)


def _choices(pool: Pool, statement: str, parameters: dict[str, Any]) -> Choices:
    rows = _fetch(pool, statement, {**parameters, "limit": MOST_CHOICES + 1})
    return Choices([Reference(*row) for row in rows[:MOST_CHOICES]], is_cut=len(rows) > MOST_CHOICES)


def _reach(caller: Caller) -> list[str] | None:
    return None if caller.property_ids is None else list(caller.property_ids)


def _first_id(rows: Sequence[tuple[str]]) -> str | None:
    return next((found for (found,) in rows), None)


def _fetch(pool: Pool, statement: str, parameters: dict[str, Any]) -> list[Any]:
    return pool.fetch(_sql[statement], parameters)
