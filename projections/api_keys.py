"""Reads the API keys. The keys themselves are not stored, only their hashes."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import msgspec

from domain.access import Role
from infrastructure.storage.postgres import Pool, named_queries
from projections.rows import split_total
from projections.views import Page

_sql = named_queries(Path(__file__).parent / "sql" / "api_keys.sql")


class KeyRow(msgspec.Struct, frozen=True):
    """`hint` is the end of the key; `rate_limit` is requests per hour, None without a limit. With an empty
    `property_ids` the key reaches what its user reaches, or every property if it has no user."""

    id: str
    hint: str
    name: str
    role: Role
    user_id: str | None
    user_name: str | None
    property_ids: list[str]
    scopes: list[str]
    rate_limit: int | None
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None
    last_used_at: datetime | None

    @property
    def state(self) -> str:
        """The state of the key: active, expired or revoked."""
        if self.revoked_at is not None:
            return "revoked"
        if self.expires_at is not None and self.expires_at <= datetime.now(UTC):
            return "expired"
        return "active"


def list_keys(pool: Pool, limit: int, offset: int) -> Page[KeyRow]:
    """The keys, newest first, revoked ones last. For admins."""
    with pool.connection() as conn:
        rows = conn.execute(_sql["list_keys"], {"limit": limit, "offset": offset}).fetchall()
    keys, total = split_total(KeyRow, rows)
    return Page(items=keys, total=total)


def get_key(pool: Pool, key_id: str) -> KeyRow | None:
    with pool.connection() as conn:
        row = conn.execute(_sql["get_key"], {"id": key_id}).fetchone()
    return None if row is None else KeyRow(*row)
