"""Serves /health and /metrics of a follower on METRICS_PORT."""

from __future__ import annotations

import socket
import socketserver
import threading
from functools import partial
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import msgspec
import structlog

from infrastructure.process.loops import STUCK_AFTER_SECONDS, Loops
from infrastructure.process.threads import start_watched

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
MOST_CONNECTIONS = 16
CLIENT_SECONDS = 5.0  # a wait for the client

log = structlog.get_logger()


class LoopServer(ThreadingHTTPServer):
    """Answers in threads, at most MOST_CONNECTIONS at a time; closes further connections at once.

    `/health` is 200 while every loop has turned in the last `stuck_after_seconds`, and otherwise 503: it does
    not depend on PostgreSQL or Kafka, so that a supervisor does not restart the process because of them.
    """

    daemon_threads = True

    def __init__(self, host: str, port: int, loops: Loops, *, stuck_after_seconds: float) -> None:
        self.address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self.loops = loops
        self.stuck_after_seconds = stuck_after_seconds
        self._free = threading.BoundedSemaphore(MOST_CONNECTIONS)
        super().__init__((host, port), _Handler)

    def server_bind(self) -> None:
        """Bind without looking up the name of this machine, which may take seconds."""
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = str(self.server_address[0]), self.server_address[1]

    def process_request(self, request: Any, client_address: Any) -> None:
        if self._free.acquire(blocking=False):
            super().process_request(request, client_address)
        else:
            self.shutdown_request(request)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._free.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Log the error of one answer, such as a client that has gone."""
        log.debug("metrics_not_answered", exc_info=True)


def serve_loops(
    host: str, port: int, loops: Loops, *, stuck_after_seconds: float = STUCK_AFTER_SECONDS
) -> LoopServer:
    """Serve from a thread of this process until the server is shut down. Raises OSError if the port cannot be
    used."""
    server = LoopServer(host, port, loops, stuck_after_seconds=stuck_after_seconds)
    start_watched(partial(server.serve_forever, poll_interval=0.1), name="metrics")
    return server


class _Handler(BaseHTTPRequestHandler):
    server: LoopServer
    timeout = CLIENT_SECONDS
    server_version = "ticketing"
    sys_version = ""

    def do_GET(self) -> None:
        if self.path == "/metrics":
            self._answer(HTTPStatus.OK, CONTENT_TYPE, self.server.loops.render())
        elif self.path == "/health":
            self._answer(*self._health())
        else:
            self._answer(HTTPStatus.NOT_FOUND, CONTENT_TYPE, b"There are /health and /metrics.\n")

    def _health(self) -> tuple[HTTPStatus, str, bytes]:
        ages = self.server.loops.ages()
        limit = self.server.stuck_after_seconds
        stuck = [name for name, seconds in ages.items() if seconds > limit]
        body = {
            "status": "stuck" if stuck else "live",
            "stuck": stuck,
            "seconds_since_turn": {name: round(seconds, 3) for name, seconds in ages.items()},
        }
        status = HTTPStatus.SERVICE_UNAVAILABLE if stuck else HTTPStatus.OK
        return status, "application/json", msgspec.json.encode(body)

    def _answer(self, status: HTTPStatus, content_type: str, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Log no requests."""
