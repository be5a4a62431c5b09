"""Reading while the database can write nothing: its disk is full, or it is a standby.

Every request with a key or a session is noted in a table. That this cannot be done must not keep anyone from
reading: for a while the request is looked up without being noted.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

import psycopg
import structlog

from infrastructure.metrics import count_uncounted

T = TypeVar("T")

RETRY_SECONDS = 5.0  # PostgreSQL writes each failure into its own log, on the same disk

_CANNOT_WRITE = (psycopg.errors.DiskFull, psycopg.errors.ReadOnlySqlTransaction)
_retry_at = 0.0

log = structlog.get_logger()


def instead_of(writing: Callable[[], T], reading: Callable[[], T]) -> T:
    """The result of `writing`, or that of `reading` for RETRY_SECONDS after the database could not write."""
    global _retry_at
    if time.monotonic() >= _retry_at:
        try:
            return writing()
        except _CANNOT_WRITE as error:
            _retry_at = time.monotonic() + RETRY_SECONDS
            log.error("requests_not_counted", error=type(error).__name__, retry_in_seconds=RETRY_SECONDS)
    count_uncounted()
    return reading()
