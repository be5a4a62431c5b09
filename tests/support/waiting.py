"""Waiting for other processes."""

from __future__ import annotations

import time
from collections.abc import Callable

LOOK_SECONDS = 0.02


def eventually(condition: Callable[[], object], within: float, *, otherwise: str = "") -> None:
    """Return when the condition holds; fail when it does not `within` seconds."""
    deadline = time.monotonic() + within
    while not condition():
        assert time.monotonic() < deadline, otherwise or f"not so within {within} s"
        time.sleep(LOOK_SECONDS)
