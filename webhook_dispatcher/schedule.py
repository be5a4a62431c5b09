"""When a failed delivery is tried again."""

from __future__ import annotations

import random
from collections.abc import Sequence
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

JITTER = 0.1  # up to a tenth later, so that what failed together does not come back together
LONGEST_RETRY_AFTER_SECONDS = 86_400.0


def delay_seconds(schedule: Sequence[float], failures: int) -> float | None:
    """How long to wait after the `failures`-th failure; None when that was the last attempt."""
    if failures > len(schedule):
        return None
    return schedule[failures - 1] * (1 + JITTER * random.random())  # noqa: S311 - not a secret


def retry_after_seconds(header: str | None, now: datetime) -> float | None:
    """What a Retry-After header asks for (RFC 9110 section 10.2.3), at most a day; None for none."""
    if not header:
        return None
    text = header.strip()
    if text.isascii() and text.isdecimal():
        seconds = float(text[:9])
    else:
        try:
            moment = parsedate_to_datetime(text)
            seconds = (moment.replace(tzinfo=moment.tzinfo or UTC) - now).total_seconds()
        except (ValueError, TypeError, OverflowError):
            return None
    return min(max(seconds, 0.0), LONGEST_RETRY_AFTER_SECONDS)
