"""A queue in which groups take turns, so that a group with much work delays the others little.

Requests that change the same ticket wait for each other. Without turns, 1,000 of them in one queue would
delay each request behind them by the time that all of them take. The order is that of fair queueing with
packets of equal size: J. Nagle, "On packet switches with infinite storage", RFC 970.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Hashable
from queue import SimpleQueue
from typing import Generic, TypeVar

T = TypeVar("T")


class FairQueue(Generic[T]):
    """A queue for several threads. Within a group the order is first in, first out."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._groups: dict[Hashable, deque[T]] = {}  # in the order of their turns; none is empty
        self._tokens: SimpleQueue[None] = SimpleQueue()  # one for each item, and for each end

    def put(self, item: T, group: Hashable = None) -> None:
        with self._lock:
            self._groups.setdefault(group, deque()).append(item)
        self._tokens.put(None)

    def put_end(self) -> None:
        """Let one `get` return None, after all items."""
        self._tokens.put(None)

    def get(self) -> T | None:
        """Wait for an item, and remove it: the oldest of the group whose turn it is."""
        self._tokens.get()
        with self._lock:
            if not self._groups:
                return None
            group = next(iter(self._groups))
            items = self._groups.pop(group)
            item = items.popleft()
            if items:
                self._groups[group] = items  # its next turn is after those of the others
            return item
