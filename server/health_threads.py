"""Threads for health checks only, so that health checks do not wait in the queue behind other requests."""

from __future__ import annotations

from server.thread_pool import ThreadPool

READY_THREADS = 4  # a check takes up to a second; concurrent requests share its result
_METHODS = (b"GET", b"HEAD")
_HAS_BODY = (b"\ncontent-length:", b"\ntransfer-encoding:")


class HealthThreads:
    """One thread pool for /health/live, which never waits, and one for /health/ready, which may wait for a
    second. Create it after the fork."""

    def __init__(self) -> None:
        pools = {b"/health/live": ThreadPool(1, "live"), b"/health/ready": ThreadPool(READY_THREADS, "ready")}
        self._pools = {
            b"%b %b " % (method, path): pool for method in _METHODS for path, pool in pools.items()
        }
        self._prefixes = tuple(self._pools)

    def pool_for(self, head: bytes) -> ThreadPool | None:
        """The thread pool for the request with that head; None unless it is a health check without a body."""
        if not head.startswith(self._prefixes) or any(field in head.lower() for field in _HAS_BODY):
            return None
        return self._pools[head[: head.index(b" ", 5) + 1]]
