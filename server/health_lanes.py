"""Threads for health checks only, so that health checks do not queue behind other requests."""

from __future__ import annotations

import socket
from concurrent.futures import ThreadPoolExecutor

HEAD_BYTES = 2_048  # a request with a longer head gets no lane
READY_THREADS = 4  # a check takes up to a second; concurrent requests share its result
_METHODS = (b"GET", b"HEAD")
_HAS_BODY = (b"\ncontent-length:", b"\ntransfer-encoding:")


class HealthLanes:
    """One thread pool (lane) for /health/live, which never waits, and one for /health/ready, which may wait
    for a second."""

    def __init__(self) -> None:
        live = ThreadPoolExecutor(1, thread_name_prefix="live")
        ready = ThreadPoolExecutor(READY_THREADS, thread_name_prefix="ready")
        lanes = {b"/health/live": live, b"/health/ready": ready}
        self._lanes = {
            b"%b %b " % (method, path): lane for method in _METHODS for path, lane in lanes.items()
        }
        self._prefixes = tuple(self._lanes)

    def lane_of(self, client: socket.socket) -> ThreadPoolExecutor | None:
        """The lane for the next request on this connection; None for other requests than health checks.

        Also returns None if the request has not arrived completely: a slow client would block the lane.
        """
        if client.gettimeout() != 0:  # recv would wait
            return None
        try:
            head = socket.socket.recv(client, HEAD_BYTES, socket.MSG_PEEK)
        except OSError:
            return None
        if not head.startswith(self._prefixes) or b"\r\n\r\n" not in head:
            return None
        if any(field in head.lower() for field in _HAS_BODY):
            return None
        return self._lanes[head[: head.index(b" ", 5) + 1]]
