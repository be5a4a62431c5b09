"""Authentication: turns the Authorization header into a Caller."""

from __future__ import annotations

from hmac import compare_digest
from pathlib import Path
from typing import NamedTuple

import msgspec
from psycopg.rows import TupleRow

from api.http import read_only
from api.http.errors import Refused
from api.http.rate_limit import RateWindow
from commands.api_keys import has_key_form
from domain.access import AuthKind, Caller, Role, Scope, effective_rights
from infrastructure.keys.tokens import OAUTH_ACCESS, digest, has_form
from infrastructure.storage.postgres import Pool, PooledConnection, named_queries

_sql = named_queries(Path(__file__).parent / "sql" / "auth.sql")


class _Statements(NamedTuple):
    find_and_count: str
    open_window: str
    find: str


_OF_KEYS = _Statements("authenticate_and_count", "open_window", "authenticate")
_OF_TOKENS = _Statements("authenticate_token_and_count", "open_token_window", "authenticate_token")


class Authenticated(NamedTuple):
    """The caller and its rate window. `pending_position` is the position of a change of this caller that the
    read tables did not show in time (api/http/pending_changes.py); `shown_position` that of the read tables,
    if it was asked for."""

    caller: Caller
    window: RateWindow
    pending_position: int | None
    shown_position: int | None


class _Found(msgspec.Struct, frozen=True):
    """A valid key, or a token of an OAuth client, with its user and rate window.

    The fields are the columns of the statements in auth.sql. Statements that do not count the request lack
    the last two.
    """

    id: str
    sha256: bytes
    name: str
    role: Role
    user_id: str | None
    property_ids: list[str]
    scopes: list[Scope]
    user_name: str | None
    user_role: Role | None
    user_property_ids: list[str] | None
    limit: int
    used: int
    resets_at: float
    checked_at: float
    pending_position: int | None
    synchronous_commit: str = ""
    shown_position: int | None = None


def authenticate(
    pool: Pool, authorization: str | None, *, counts: bool = True, with_position: bool = False
) -> Authenticated:
    """The caller of the key or token, and its rate window, in which this request is counted.

    One statement reads and counts, without a cache. So a revoked key, a lower role and an exhausted limit
    take effect in every worker as soon as they are committed. While the database cannot write, requests are
    authenticated but not counted; nor are they without `counts`. `with_position` asks for the position of the
    read tables, which is only known if the request is counted. Raises Refused with 401.
    """
    key = _bearer(authorization)
    if has_form(key, OAUTH_ACCESS):
        kind: AuthKind = "oauth"
        statements = _OF_TOKENS
    elif has_key_form(key):
        kind, statements = "api_key", _OF_KEYS
    else:
        raise _unauthenticated("The API key or token is malformed. Check that it was copied completely.")
    key_digest = digest(key)
    found = _find(pool, key_digest, statements, counts, with_position)
    if found is None or not compare_digest(found.sha256, key_digest):
        raise _unauthenticated("The API key or token is unknown, expired or revoked.")
    window = RateWindow(found.limit, found.used, found.resets_at, found.checked_at)
    return Authenticated(_caller(found, kind), window, found.pending_position, found.shown_position)


def _find(
    pool: Pool, key_digest: bytes, statements: _Statements, counts: bool, with_position: bool
) -> _Found | None:
    """The row of a valid key or token, or None."""
    parameters: dict[str, bytes | bool] = {"digest": key_digest, "with_position": with_position}
    with pool.connection() as conn:
        if not counts:
            return next((_Found(*row) for row in conn.fetch(_sql[statements.find], parameters)), None)
        rows = read_only.run_with_fallback(
            lambda: _find_and_count(conn, parameters, statements),
            lambda: conn.fetch(_sql[statements.find], parameters),
        )
    return next((_Found(*row) for row in rows), None)


def _find_and_count(
    conn: PooledConnection, parameters: dict[str, bytes | bool], statements: _Statements
) -> list[TupleRow]:
    """The row of a valid key, with this request counted. The first request of a key opens its window."""
    rows = conn.fetch(_sql[statements.find_and_count], parameters)
    if not rows:  # the INSERT waits for another request that is opening the window
        conn.execute(_sql[statements.open_window], parameters)
        rows = conn.fetch(_sql[statements.find_and_count], parameters)
    return rows


def _bearer(authorization: str | None) -> str:
    if not authorization:
        raise _unauthenticated("Send an API key: Authorization: Bearer YOUR_API_KEY.")
    scheme, _, credential = authorization.partition(" ")
    if scheme.lower() != "bearer" or not credential.strip():
        raise _unauthenticated("The Authorization header must be: Bearer YOUR_API_KEY.")
    return credential.strip()


def _unauthenticated(message: str) -> Refused:
    return Refused("unauthenticated", message)


def _caller(found: _Found, kind: AuthKind) -> Caller:
    person = None
    if found.user_id is not None:
        if found.user_role is None:  # the read tables do not have a new user yet
            message = "The user of this key is not in the read tables yet."
            raise Refused("unavailable", message, headers={"Retry-After": "1"})
        person = found.user_role, found.user_property_ids or ()
    rights = effective_rights(person, (found.role, found.property_ids))
    return Caller(
        principal_id=found.user_id or found.id,
        name=found.user_name or found.name,
        role=rights.role,
        auth=kind,
        credential_id=found.id,
        user_id=found.user_id,
        property_ids=rights.property_ids,
        key_property_ids=rights.key_property_ids,
        is_narrowed=rights.is_narrowed,
        scopes=frozenset(found.scopes),
    )
