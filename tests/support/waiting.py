"""Waits for other processes and threads."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

LOOK_SECONDS = 0.01
WAIT_SECONDS = 60.0


def eventually(
    condition: Callable[[], T], within: float = WAIT_SECONDS, *, otherwise: str | Callable[[], str] = ""
) -> T:
    """Wait until the condition is true and return its value.

    Raises AssertionError after `within` seconds, with the message `otherwise` (or what it returns).
    """
    deadline = time.monotonic() + within
    while not (value := condition()):
        if time.monotonic() >= deadline:
            message = otherwise() if callable(otherwise) else otherwise
            raise AssertionError(message or f"the condition was not met within {within} s")
        time.sleep(LOOK_SECONDS)
    return value
