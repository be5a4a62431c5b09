"""Authentication while the database cannot write, because its disk is full or it is read-only.

Every request with a key or a session updates a row (the rate limit, the time of last use). If the update
fails, the key or session is looked up without it, so that reads are still answered.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

import psycopg
import structlog

from infrastructure.process.failures import describe_error
from infrastructure.process.metrics import count_uncounted

T = TypeVar("T")

# A failed write adds lines to the log of PostgreSQL, which may be on the same disk.
RETRY_SECONDS = 5.0

_CANNOT_WRITE = (psycopg.errors.DiskFull, psycopg.errors.ReadOnlySqlTransaction)
_retry_at = 0.0

log = structlog.get_logger()


def run_with_fallback(write: Callable[[], T], read: Callable[[], T]) -> T:
    """The result of `write`; or that of `read`, if the database cannot write or could not write within the
    last RETRY_SECONDS."""
    global _retry_at
    if time.monotonic() >= _retry_at:
        try:
            return write()
        except _CANNOT_WRITE as error:
            _retry_at = time.monotonic() + RETRY_SECONDS
            log.error("requests_not_counted", error=describe_error(error), retry_in_seconds=RETRY_SECONDS)
    count_uncounted()
    return read()
