"""How many tokens an application may ask for in an hour, for itself and for each person."""

from __future__ import annotations

from api.errors import Refused
from api.oauth.clients import sql
from infrastructure.postgres import Pool

TOKENS_AN_HOUR = 1_000


def require_room(pool: Pool, key: str) -> None:
    """Count a request for tokens; Refused with 429 when it is one too many."""
    with pool.connection() as conn:
        row = conn.execute(sql["count_token_request"], {"key": key, "most": TOKENS_AN_HOUR}).fetchone()
    if row and row[0]:
        message = f"This client may ask for {TOKENS_AN_HOUR} tokens an hour."
        raise Refused("rate_limited", message, headers={"Retry-After": str(row[1])})
