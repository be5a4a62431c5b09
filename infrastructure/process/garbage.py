"""When Python looks for objects that only refer to each other."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager

OBJECTS = 200_000  # new ones after which it looks again; Python's own default is 700


@contextmanager
def collecting_rarely() -> Iterator[None]:
    """Look for such objects rarely, in this process, while pages of the log are read one after the other.

    A page is tens of thousands of rows and events, none of which refers to itself: they go when nothing
    refers to them any more, and looking at each of them again and again, for cycles that are not there,
    takes a fifth of the time. https://docs.python.org/3/library/gc.html#gc.set_threshold
    """
    before = gc.get_threshold()
    gc.set_threshold(OBJECTS, *before[1:])
    try:
        yield
    finally:
        gc.set_threshold(*before)
