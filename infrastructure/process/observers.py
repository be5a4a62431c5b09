"""What storage reports to the metrics.

Storage is imported before SharedMetrics is created (shared_metrics.py), so it cannot import metrics.py, which
sets these functions when it is imported. Until then nothing is counted.
"""

from __future__ import annotations

from collections.abc import Callable


class Observers:
    """Functions that count. They never raise, and take microseconds."""

    def __init__(self) -> None:
        self.on_pool_wait: Callable[[float], object] = _ignore
        self.on_pool_timeout: Callable[[], object] = _ignore
        self.on_append: Callable[[float, int], object] = _ignore
        self.on_replica_read: Callable[[str], object] = _ignore
        self.on_spans_exported: Callable[[int], object] = _ignore
        self.on_spans_lost: Callable[[int], object] = _ignore


def _ignore(*_: object) -> None:
    """Count nothing."""


observers = Observers()
