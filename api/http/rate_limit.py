"""What a key may still ask for in its window of an hour. The counting itself is in sql/auth.sql."""

from __future__ import annotations

import math
from pathlib import Path

import falcon
import msgspec

from api.http.errors import Refused
from infrastructure.storage.postgres import Pool, named_queries

_sql = named_queries(Path(__file__).parent / "sql" / "auth.sql")


class RateWindow(msgspec.Struct, frozen=True):
    """A key's window after this request was counted; counting stops at `limit` + 1.

    Times are those of the database's clock, in seconds since 1970, the same for every worker and host.
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


def show(window: RateWindow, resp: falcon.Response) -> None:
    """Put the window into the headers: on every answer to a recognised key, errors included."""
    resp.set_header("X-RateLimit-Limit", str(window.limit))
    resp.set_header("X-RateLimit-Remaining", str(window.remaining))
    resp.set_header("X-RateLimit-Reset", str(math.ceil(window.resets_at)))


def require_room(window: RateWindow, what: str = "This key may ask {} times an hour.") -> None:
    """Refused with 429 when this request is one too many; `what` says how many there may be."""
    if window.is_exceeded:
        seconds = max(1, math.ceil(window.resets_at - window.checked_at))
        message = f"{what.format(window.limit)} Try again in {seconds} seconds."
        raise Refused("rate_limited", message, headers={"Retry-After": str(seconds)})


def count_action(pool: Pool, key: str, limit: int, what: str) -> None:
    """Count something that leaves an event or a row behind, in an hour's window of its own.

    Raises Refused with 429 past the limit: the log must not be filled by one person or application.
    """
    with pool.connection() as conn:
        row = conn.execute(_sql["count_action"], {"key": key, "limit": limit}).fetchone()
    if row is not None:
        require_room(RateWindow(*row), what)
