"""The rate limit: requests in a window of one hour. They are counted by the statements of sql/auth.sql."""

from __future__ import annotations

import math
from pathlib import Path

import falcon
import msgspec

from api.http.errors import Refused
from infrastructure.storage.postgres import Pool, named_queries

_sql = named_queries(Path(__file__).parent / "sql" / "auth.sql")


class RateWindow(msgspec.Struct, frozen=True):
    """The window of a key, including this request; `used` is at most `limit` + 1.

    Times are in seconds since 1970, by the clock of the database, which all workers and hosts share.
    """

    limit: int
    used: int
    resets_at: float
    checked_at: float

    @property
    def remaining(self) -> int:
        return max(0, self.limit - self.used)

    @property
    def is_exceeded(self) -> bool:
        return self.used > self.limit


def set_headers(resp: falcon.Response, window: RateWindow) -> None:
    """Set the X-RateLimit headers, which every answer to a valid key has, including errors."""
    resp.set_header("X-RateLimit-Limit", str(window.limit))
    resp.set_header("X-RateLimit-Remaining", str(window.remaining))
    resp.set_header("X-RateLimit-Reset", str(math.ceil(window.resets_at)))


def require_below_limit(
    window: RateWindow, limit_text: str = "This key may send {} requests an hour."
) -> None:
    """Raise Refused with 429 if the limit is exceeded; `limit_text` states the limit in the message."""
    if window.is_exceeded:
        seconds = max(1, math.ceil(window.resets_at - window.checked_at))
        message = f"{limit_text.format(window.limit)} Try again in {seconds} seconds."
        raise Refused("rate_limited", message, headers={"Retry-After": str(seconds)})


def count_action(pool: Pool, key: str, limit: int, limit_text: str) -> None:
    """Count an action that appends an event or inserts a row, in the window `key` of one hour.

    Raises Refused with 429 above the limit, so that no person or application can fill the database.
    """
    with pool.connection() as conn:
        row = conn.execute(_sql["count_action"], {"key": key, "limit": limit}).fetchone()
    if row is not None:
        require_below_limit(RateWindow(*row), limit_text)
