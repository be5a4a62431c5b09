"""When a request is sent again, and after which wait."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Mapping

import msgspec

from ticketing_client.errors import ApiError

SHORTEST_SECONDS = 0.1
LONGEST_SECONDS = 5.0
_AGAIN = frozenset((429, 502, 503, 504))


class Retries(msgspec.Struct, frozen=True, kw_only=True):
    """At most `attempts` in all, within `seconds` after the first. A wait doubles from SHORTEST_SECONDS to
    LONGEST_SECONDS, with jitter, and is at least as long as `Retry-After`."""

    attempts: int = 10
    seconds: float = 60.0


class Attempts:
    """The attempts of one request."""

    def __init__(self, limits: Retries, now: Callable[[], float] = time.monotonic) -> None:
        self._limits = limits
        self._now = now
        self._ends_at = now() + limits.seconds
        self._made = 0

    def wait_seconds(self, headers: Mapping[str, str] | None = None) -> float | None:
        """The wait before the next attempt, after one that failed; None if there is none.

        `headers` are those of the answer, if one arrived.
        """
        self._made += 1
        if self._made >= self._limits.attempts:
            return None
        longest = min(SHORTEST_SECONDS * 2**self._made, LONGEST_SECONDS)
        seconds = max(random.uniform(longest / 2, longest), _retry_after(headers))  # noqa: S311 - jitter
        return seconds if self._now() + seconds < self._ends_at else None


def is_worth_repeating(error: ApiError) -> bool:
    """Whether the same request may succeed later, without a change of the request."""
    return error.status in _AGAIN or error.code == "idempotency_in_progress"


def _retry_after(headers: Mapping[str, str] | None) -> float:
    try:
        return float((headers or {}).get("retry-after", 0))
    except ValueError:  # a date: RFC 9110 allows it, but this API sends seconds
        return 0.0
