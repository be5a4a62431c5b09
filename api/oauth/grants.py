"""Reads the grants to which codes and tokens belong.

What is found may have changed by the time the tokens are saved: that transaction decides whether a code or
refresh token is valid (commands/oauth_grants.py).
"""

from __future__ import annotations

from datetime import datetime
from typing import NamedTuple

import msgspec

from api.oauth.clients import sql
from domain.access import Role
from infrastructure.keys.tokens import OAUTH_ACCESS, OAUTH_CODE, OAUTH_REFRESH, digest, has_form
from infrastructure.storage.postgres import Pool


class FoundGrant(msgspec.Struct, frozen=True):
    """The grant to which the code or refresh token of the request belongs."""

    grant_id: str
    client_id: str
    user_id: str
    scopes: list[str]
    expires_at: datetime
    role: Role


class FoundCode(FoundGrant, frozen=True):
    """The columns of find_code."""

    is_fresh: bool
    redirect_uri: str
    redirect_uri_was_given: bool
    code_challenge: str | None


class FoundRefreshToken(FoundGrant, frozen=True):
    """The columns of find_refresh_token."""

    generation: int


class FoundToken(NamedTuple):
    """The columns of find_token_of_client. `is_valid` is False for a refresh token that was used."""

    is_refresh: bool
    grant_id: str
    user_id: str
    scopes: list[str]
    issued_at: datetime
    expires_at: datetime
    is_valid: bool


def find_code(pool: Pool, code: str) -> FoundCode | None:
    """The code with its grant, even if it has expired or was used."""
    if not has_form(code, OAUTH_CODE):
        return None
    with pool.connection() as conn:
        row = conn.execute(sql["find_code"], {"digest": digest(code)}).fetchone()
    return FoundCode(*row) if row else None


def find_refresh_token(pool: Pool, token: str) -> FoundRefreshToken | None:
    """The refresh token with its grant, even if it was used."""
    if not has_form(token, OAUTH_REFRESH):
        return None
    with pool.connection() as conn:
        row = conn.execute(sql["find_refresh_token"], {"digest": digest(token)}).fetchone()
    return FoundRefreshToken(*row) if row else None


def find_token(pool: Pool, token: str, client_id: str) -> FoundToken | None:
    """The access or refresh token of this client; None for tokens of others."""
    if not (has_form(token, OAUTH_ACCESS) or has_form(token, OAUTH_REFRESH)):
        return None
    parameters = {"digest": digest(token), "client_id": client_id}
    with pool.connection() as conn:
        row = conn.execute(sql["find_token_of_client"], parameters).fetchone()
    return FoundToken(*row) if row else None
