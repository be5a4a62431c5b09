"""Waits for other processes and threads."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

POLL_SECONDS = 0.01
WAIT_SECONDS = 60.0


def eventually(
    condition: Callable[[], T], within: float = WAIT_SECONDS, *, message: str | Callable[[], str] = ""
) -> T:
    """Wait until the condition is true and return its value.

    Raises AssertionError after `within` seconds, with `message`, or the text that `message` returns.
    """
    deadline = time.monotonic() + within
    while not (value := condition()):
        if time.monotonic() >= deadline:
            text = message() if callable(message) else message
            raise AssertionError(text or f"the condition was not met within {within} s")
        time.sleep(POLL_SECONDS)
    return value
