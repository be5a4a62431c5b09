"""Reads the table `users`."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any, LiteralString

import msgspec
from psycopg import sql as composing

from domain.access import Caller
from domain.user import Preferences
from infrastructure.storage.postgres import Pool, named_queries
from projections.views import Page, Reference, UserDetail, UserSummary, whole_seconds

_sql = named_queries(Path(__file__).parent / "sql" / "users.sql")
_references = msgspec.json.Decoder(list[Reference])
_preferences = msgspec.json.Decoder(Preferences)
_FILTERS: dict[str, LiteralString] = {
    "self": "u.id = %(self)s",
    "reach": "(u.property_ids && %(reach)s OR u.id = %(self)s)",
    "role": "u.role = ANY(%(role)s)",
    "property_id": "u.property_ids @> ARRAY[%(property_id)s]",
    "beyond_reach": "false",  # who belongs to a property is for those who reach it
    "q": "(u.name ILIKE %(q)s OR u.email ILIKE %(q)s)",
}


class UserQuery(msgspec.Struct, frozen=True, kw_only=True):
    """One page of users, newest first. `q` is a part of the name or the e-mail address."""

    role: tuple[str, ...] = ()
    property_id: str | None = None
    q: str | None = None
    limit: int = 10
    offset: int = 0


class UserRow(msgspec.Struct, frozen=True, kw_only=True):
    """A user, whoever may see them, with every property, phone and preferences."""

    version: int
    property_ids: tuple[str, ...]
    detail: UserDetail


def list_users(pool: Pool, caller: Caller, query: UserQuery) -> Page[UserSummary]:
    """The people of the properties in the caller's reach, and the caller; a guest sees only themselves."""
    names, parameters = _filters(caller, query)
    with pool.connection() as conn:
        rows = conn.execute(_list_statement(names), parameters).fetchall()
    users = [
        UserSummary(
            id=key,
            name=name,
            email=email,
            role=role,
            created_at=whole_seconds(created_at),
            properties=_visible(caller, references),
        )
        for _, key, name, email, role, created_at, references in rows
        if key is not None
    ]
    return Page(items=users, total=rows[0][0])


def get_user(pool: Pool, user_id: str) -> UserRow | None:
    with pool.connection() as conn:
        row = conn.execute(_sql["get_user"], {"id": user_id}).fetchone()
    if row is None:
        return None
    key, version, name, email, phone, role, property_ids, preferences, created_at, updated_at, places = row
    detail = UserDetail(
        id=key,
        name=name,
        email=email,
        phone=phone,
        role=role,
        created_at=whole_seconds(created_at),
        updated_at=whole_seconds(updated_at),
        properties=_references.decode(places) if places else [],
        preferences=_preferences.decode(preferences),
    )
    return UserRow(version=version, property_ids=tuple(property_ids), detail=detail)


def _filters(caller: Caller, query: UserQuery) -> tuple[tuple[str, ...], dict[str, Any]]:
    """The names of the filters in force, and all parameters."""
    given: dict[str, Any] = {}
    if caller.role == "guest":
        given["self"] = caller.principal_id
    elif caller.property_ids is not None:
        given["reach"] = list(caller.property_ids)
    if query.role:
        given["role"] = list(query.role)
    if query.property_id is not None:
        given["property_id"] = query.property_id
        if not caller.reaches(query.property_id):
            given["beyond_reach"] = True
    if query.q is not None:
        given["q"] = f"%{_literally(query.q)}%"
    parameters = {**given, "self": caller.principal_id, "limit": query.limit, "offset": query.offset}
    return tuple(given), parameters


def _literally(text: str) -> str:
    """The text as LIKE finds it, wildcards and all."""
    return text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")


@lru_cache(maxsize=64)
def _list_statement(names: tuple[str, ...]) -> composing.Composed:
    fragments = [composing.SQL(_FILTERS[name]) for name in names] or [composing.SQL("true")]
    return composing.SQL(_sql["list_users"]).format(filters=composing.SQL(" AND ").join(fragments))


def _visible(caller: Caller, references: str | None) -> list[Reference]:
    """A user's properties, those beyond the caller's reach left out."""
    decoded = _references.decode(references) if references else []
    return [reference for reference in decoded if caller.reaches(reference.id)]
