"""Authenticating reads while the database cannot write: its disk is full, or it is a standby.

Every request with a key or a session updates a row (the rate limit, the last use). When that fails, the key
or session is looked up without the update, so that reads are still answered.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

import psycopg
import structlog

from infrastructure.process.metrics import count_uncounted

T = TypeVar("T")

RETRY_SECONDS = 5.0  # each failed attempt adds lines to PostgreSQL's own log, on the same disk

_CANNOT_WRITE = (psycopg.errors.DiskFull, psycopg.errors.ReadOnlySqlTransaction)
_retry_at = 0.0

log = structlog.get_logger()


def instead_of(writing: Callable[[], T], reading: Callable[[], T]) -> T:
    """Return the result of `writing`; for RETRY_SECONDS after the database could not write, that of
    `reading`."""
    global _retry_at
    if time.monotonic() >= _retry_at:
        try:
            return writing()
        except _CANNOT_WRITE as error:
            _retry_at = time.monotonic() + RETRY_SECONDS
            log.error("requests_not_counted", error=type(error).__name__, retry_in_seconds=RETRY_SECONDS)
    count_uncounted()
    return reading()
