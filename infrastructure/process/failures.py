"""The text of errors in logs, and a log for errors that may occur many times a second."""

from __future__ import annotations

import threading
import time
import traceback
from typing import Any

import psycopg
import structlog

LONGEST_TEXT = 500
SHORTEST_INTERVAL_SECONDS = 1.0
LONGEST_INTERVAL_SECONDS = 60.0
# The text of these errors may contain a value, and so personal data.
_ABOUT_VALUES = (LookupError, ValueError, TypeError, AttributeError, AssertionError)
_DATA_ERRORS = "22"  # the SQLSTATE class whose messages end with the value, after a colon

log = structlog.get_logger()


def describe_error(error: BaseException) -> str:
    """The type and the text of an error, without values that may be personal data.

    Of an error of PostgreSQL, the text is the primary message: DETAIL and CONTEXT contain values of rows.
    """
    name = type(error).__name__
    if isinstance(error, psycopg.Error):
        text = _message_of(error)
    elif isinstance(error, _ABOUT_VALUES):
        text = _place_of(error)
    else:
        text = str(error).strip()
    return (f"{name}: {text}" if text else name)[:LONGEST_TEXT]


class FailureLog:
    """Logs the first failure at once, and further ones at intervals that double, with their number.

    After LONGEST_INTERVAL_SECONDS without a failure, the next one is again a first one.
    """

    def __init__(self, event: str) -> None:
        self._event = event
        self._lock = threading.Lock()
        self._interval = SHORTEST_INTERVAL_SECONDS
        self._next_at = self._last_at = float("-inf")
        self._times = 0

    def add(self, error: BaseException | None = None, **fields: Any) -> None:
        """Log the failure with the text of the error and the fields, or only count it."""
        now = time.monotonic()
        with self._lock:
            if now - self._last_at > LONGEST_INTERVAL_SECONDS:
                self._interval, self._next_at, self._times = SHORTEST_INTERVAL_SECONDS, now, 0
            self._last_at = now
            self._times += 1
            if now < self._next_at:
                return
            times, self._times = self._times, 0
            self._next_at = now + self._interval
            self._interval = min(2 * self._interval, LONGEST_INTERVAL_SECONDS)
        if error is not None:
            fields["error"] = describe_error(error)
        log.warning(self._event, times=times, **fields)


def _message_of(error: psycopg.Error) -> str:
    text = error.diag.message_primary or str(error).strip().partition("\n")[0]
    if (error.sqlstate or "").startswith(_DATA_ERRORS):
        text = text.partition(": ")[0]
    return f"{text} (SQLSTATE {error.sqlstate})" if error.sqlstate else text


def _place_of(error: BaseException) -> str:
    frames = traceback.extract_tb(error.__traceback__)
    return f"at {frames[-1].filename}:{frames[-1].lineno}" if frames else ""
