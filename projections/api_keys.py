"""Reads what is known of API keys. The keys themselves are not kept anywhere."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import msgspec

from domain.access import Role
from infrastructure.storage.postgres import Pool, named_queries
from projections.views import Page

_sql = named_queries(Path(__file__).parent / "sql" / "api_keys.sql")


class KeyRow(msgspec.Struct, frozen=True):
    """`hint` is how the key ends; `rate_limit` is requests an hour, None without limit. `property_ids`
    empty: no further than its user reaches, or everywhere."""

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
        """Whether it is of use: active, expired or revoked."""
        if self.revoked_at is not None:
            return "revoked"
        if self.expires_at is not None and self.expires_at <= datetime.now(UTC):
            return "expired"
        return "active"


def list_keys(pool: Pool, limit: int, offset: int) -> Page[KeyRow]:
    """The keys, newest first, those that are revoked last. For admins."""
    with pool.connection() as conn:
        rows = conn.execute(_sql["list_keys"], {"limit": limit, "offset": offset}).fetchall()
    return Page(items=[KeyRow(*row[:-1]) for row in rows], total=rows[0][-1] if rows else 0)


def get_key(pool: Pool, key_id: str) -> KeyRow | None:
    with pool.connection() as conn:
        row = conn.execute(_sql["get_key"], {"id": key_id}).fetchone()
    return None if row is None else KeyRow(*row)
