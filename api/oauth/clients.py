"""Reads registered OAuth clients, for the authorization server and for the lists of administrators."""

from __future__ import annotations

from datetime import datetime
from hmac import compare_digest
from pathlib import Path

import msgspec

from domain.access import Role
from infrastructure.keys.tokens import OAUTH_CLIENT_SECRET, digest, has_form
from infrastructure.storage.postgres import Pool, named_queries

sql = named_queries(Path(__file__).parent / "sql" / "oauth.sql")


class Client(msgspec.Struct, frozen=True):
    """A client that is not revoked. oauthlib reads the attribute `client_id`."""

    client_id: str
    secret_sha256: bytes | None
    name: str
    redirect_uris: list[str]
    scopes: list[str]
    grant_types: list[str]
    requires_pkce: bool
    role: Role

    @property
    def is_public(self) -> bool:
        return self.secret_sha256 is None

    def has_secret(self, secret: str) -> bool:
        return (
            self.secret_sha256 is not None
            and has_form(secret, OAUTH_CLIENT_SECRET)
            and compare_digest(self.secret_sha256, digest(secret))
        )


class ListedClient(msgspec.Struct, frozen=True):
    """A client in the list of administrators; `grants` is the number of its active grants."""

    client_id: str
    name: str
    is_public: bool
    hint: str | None
    redirect_uris: list[str]
    scopes: list[str]
    grant_types: list[str]
    requires_pkce: bool
    role: Role
    property_ids: list[str]
    rate_limit: int | None
    origins: list[str]
    created_at: datetime
    revoked_at: datetime | None
    last_used_at: datetime | None
    grants: int


def find_client(pool: Pool, client_id: str | None) -> Client | None:
    """The client with this id; None if there is none or it is revoked."""
    if not client_id or len(client_id) > 64 or "\0" in client_id:
        return None
    with pool.connection() as conn:
        row = conn.execute(sql["find_client"], {"client_id": client_id}).fetchone()
    return Client(*row) if row else None


def list_clients(pool: Pool) -> list[ListedClient]:
    """All clients, including revoked ones, oldest first."""
    with pool.connection() as conn:
        return [ListedClient(*row) for row in conn.execute(sql["list_clients"])]
