"""Decides when a failed delivery is tried again."""

from __future__ import annotations

import random
from collections.abc import Sequence
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

JITTER = 0.1  # up to a tenth later, so that deliveries that failed together are not retried together
LONGEST_RETRY_AFTER_SECONDS = 86_400.0


def delay_seconds(schedule: Sequence[float], failures: int) -> float | None:
    """The seconds to wait after failure number `failures`; None when that was the last attempt."""
    if failures > len(schedule):
        return None
    return schedule[failures - 1] * (1 + JITTER * random.random())  # noqa: S311 - not a secret


def retry_after_seconds(header: str | None, now: datetime) -> float | None:
    """The seconds of a valid Retry-After header (RFC 9110 section 10.2.3), at most a day; else None."""
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
