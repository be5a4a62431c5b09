"""What a key may still ask for in its window of an hour. The counting itself is in sql/auth.sql."""

from __future__ import annotations

import math

import falcon
import msgspec

from api.errors import Refused


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


def require_room(window: RateWindow) -> None:
    """Refused with 429 when this request is one too many."""
    if window.is_exceeded:
        seconds = max(1, math.ceil(window.resets_at - window.checked_at))
        raise Refused(
            "rate_limited",
            f"This key may ask {window.limit} times an hour. Try again in {seconds} seconds.",
            headers={"Retry-After": str(seconds)},
        )
