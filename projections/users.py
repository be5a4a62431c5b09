"""Reads the table `users`."""

from __future__ import annotations

from collections.abc import Collection
from functools import lru_cache
from pathlib import Path
from typing import Any, LiteralString

import msgspec
from psycopg import sql as composing

from domain.access import Caller
from infrastructure.storage.postgres import Pool, named_queries
from projections.filters import external_id_filter
from projections.name_words import search_patterns
from projections.paging import LastKey, Slice, by_shape
from projections.rows import UserRow, columns_of, compose, split_total
from projections.views import Page, Reference, UserDetail, UserSummary, shown_values

_sql = named_queries(Path(__file__).parent / "sql" / "users.sql")
_GET_USER = compose(_sql["get_user"], columns=columns_of(UserRow, "u"))
_references = msgspec.json.Decoder(list[Reference])
_FILTERS: dict[str, LiteralString] = {
    "self": "u.id = %(self)s",
    "reach": "(u.property_ids && %(reach)s OR u.id = %(self)s)",
    "role": "u.role = ANY(%(role)s)",
    "property_id": "u.property_ids && %(property_id)s",
    "active": "u.is_active = %(active)s",
    "external_id": external_id_filter("u.id", "user"),
    "q": "u.search LIKE ALL (%(q)s)",
}


class UserQuery(Slice, frozen=True, kw_only=True):
    """One page of users, newest first. Each word of `q` is the beginning of a word of the name or the e-mail
    address."""

    role: tuple[str, ...] = ()
    property_id: tuple[str, ...] = ()
    active: bool | None = None
    external_id: tuple[str, ...] = ()
    q: str | None = None


class FoundUser(msgspec.Struct, frozen=True, kw_only=True):
    """A user with all properties, phone and preferences, before the check of what the caller may see."""

    version: int
    property_ids: tuple[str, ...]
    detail: UserDetail


class _UserWithProperties(UserRow, frozen=True):
    properties: str | None  # references as JSON


def list_users(pool: Pool, caller: Caller, query: UserQuery) -> Page[UserSummary]:
    """The people of the properties in the caller's reach, and the caller; a guest sees only themselves."""
    names, parameters = _filters(caller, query)
    found = pool.fetch(_list_statements(names)[query.shape], parameters)
    rows, total = split_total(_UserWithProperties, found)

    def view(row: _UserWithProperties) -> UserSummary:
        shown = {"properties": _visible(caller, row.properties), "active": row.is_active}
        shown |= {"external_ids": row.external_ids or {}}
        return UserSummary(**shown_values(row, UserSummary) | shown)

    return query.page(rows, total, key=_key, view=view)


def get_user(pool: Pool, user_id: str) -> FoundUser | None:
    rows = pool.fetch(_GET_USER, {"id": user_id})
    if not rows:
        return None
    row = _UserWithProperties(*rows[0])
    properties = _references.decode(row.properties) if row.properties else []
    others = {"properties": properties, "preferences": row.read_preferences(), "active": row.is_active}
    others["external_ids"] = row.external_ids or {}
    detail = UserDetail(**shown_values(row, UserDetail) | others)
    return FoundUser(version=row.version, property_ids=tuple(row.property_ids), detail=detail)


def visible_users(pool: Pool, caller: Caller, user_ids: Collection[str]) -> frozenset[str]:
    """The ids of those people that exist and that the caller, staff or above, may see."""
    reach = None if caller.property_ids is None else list(caller.property_ids)
    parameters = {"ids": list(user_ids), "reach": reach, "self": caller.user_id}
    return frozenset(user_id for (user_id,) in pool.fetch(_sql["visible_users"], parameters))


def _filters(caller: Caller, query: UserQuery) -> tuple[tuple[str, ...], dict[str, Any]]:
    """The names of the filters in force, and all parameters."""
    given: dict[str, Any] = {}
    if caller.role == "guest":
        given["self"] = caller.principal_id
    elif caller.property_ids is not None:
        given["reach"] = list(caller.property_ids)
    if query.role:
        given["role"] = list(query.role)
    if query.property_id:  # only within reach: a caller may not see the people of other properties
        given["property_id"] = [each for each in query.property_id if caller.reaches(each)]
    if query.active is not None:
        given["active"] = query.active
    if query.external_id:
        given["external_id"] = list(query.external_id)
    if query.q is not None:
        given["q"] = search_patterns(query.q)
    return tuple(given), {**given, "self": caller.principal_id, **query.parameters}


@lru_cache(maxsize=64)
def _list_statements(names: tuple[str, ...]) -> dict[tuple[bool, bool], LiteralString]:
    fragments = [composing.SQL(_FILTERS[name]) for name in names] or [composing.SQL("true")]
    return by_shape(
        _sql["list_users"],
        after="(u.created_at, u.id) < (%(after_value)s::timestamptz, %(after_id)s)",
        total=_sql["count_users"],
        columns=columns_of(UserRow, "u"),
        filters=composing.SQL(" AND ").join(fragments),
    )


def _key(row: UserRow) -> LastKey:
    return row.created_at.isoformat(), row.id


def _visible(caller: Caller, references: str | None) -> list[Reference]:
    """A user's properties within the caller's reach, decoded from JSON."""
    decoded = _references.decode(references) if references else []
    return [reference for reference in decoded if caller.reaches(reference.id)]
