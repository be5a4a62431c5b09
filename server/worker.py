"""gunicorn's threaded worker, with time limits for slow clients and the API's envelope for its own errors."""

from __future__ import annotations

import re
import selectors
import signal
import socket
import time
from collections import deque
from concurrent.futures import Future
from errno import EAGAIN, ECONNABORTED, ENOTCONN, EPIPE, EWOULDBLOCK
from functools import partial
from http import HTTPStatus
from types import FrameType
from typing import Any

import structlog
from gunicorn.http import errors as http_errors
from gunicorn.workers.gthread import TConn, ThreadWorker

from api.http.draining import draining
from api.http.errors import INTERNAL_ERROR, STATUS_OF, error_body
from infrastructure.ids import new_id
from infrastructure.process.deadlines import note_queued
from server.health_threads import HealthThreads

READ_SECONDS = 10.0  # for the head and the body of a request
SLOWEST_BYTES_PER_SECOND = 16_384  # each received byte extends the time at this rate
SEND_SECONDS = 30.0  # for each piece of an answer
LINGER_SECONDS = 2.0
LINGER_BYTES = 65_536
ENDING_POLL_SECONDS = 0.2

# A host and port, perhaps empty (RFC 9110 section 7.2, RFC 3986 section 3.2).
_HOST = re.compile(r"(?:\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._~!$&'()*+,;=%-]*)(?::[0-9]*)?")


class NoHost(http_errors.ParseException):  # type: ignore[misc]
    """An HTTP/1.1 request has no Host header, or one that is not a host (RFC 9112 section 3.2)."""


_CODES: tuple[tuple[type[Exception], str, str], ...] = (
    (NoHost, "bad_request", "The request needs a Host header that names a host."),
    (http_errors.LimitRequestLine, "uri_too_long", "The address of the request is too long."),
    (http_errors.LimitRequestHeaders, "headers_too_large", "The headers of the request are too large."),
    (http_errors.UnsupportedTransferCoding, "not_implemented", "That transfer coding is not supported."),
    (http_errors.ParseException, "bad_request", "The request is not valid HTTP."),
)

log = structlog.get_logger()


class DeadlineSocket(socket.socket):
    """The socket of a client, with a deadline for all reads of one request together.

    The deadline is READ_SECONDS after gunicorn calls `setblocking(True)`, which it does when it hands the
    connection to a thread; received bytes extend it. Without the deadline, a client that sends one byte every
    few seconds would occupy a thread for ever.
    """

    _deadline = 0.0

    def setblocking(self, flag: bool) -> None:
        super().setblocking(flag)
        if flag:
            self._deadline = time.monotonic() + READ_SECONDS

    def recv(self, size: int, flags: int = 0) -> bytes:
        """Receive bytes before the deadline. Bytes that have already arrived are returned after it too,
        because this process may have been stopped in between."""
        self.settimeout(max(0.0, self._deadline - time.monotonic()))
        try:
            data = super().recv(size, flags)
        except (TimeoutError, BlockingIOError):
            raise _slow_client_error(ENOTCONN) from None
        self._deadline += len(data) / SLOWEST_BYTES_PER_SECOND
        return data

    def sendall(self, data: Any, flags: int = 0) -> None:
        self.settimeout(SEND_SECONDS)
        try:
            super().sendall(data, flags)
        except TimeoutError:
            raise _slow_client_error(EPIPE) from None


class Worker(ThreadWorker):  # type: ignore[misc]
    """A worker in which a connection occupies a thread only while a request is received and answered.

    `place` is the worker's place in the shared metrics; the master sets it before the fork.
    """

    place: int = 0

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._lingering: deque[tuple[float, DeadlineSocket]] = deque()
        self._health_threads = HealthThreads()

    def accept(self, listener: socket.socket) -> None:
        """Accept a connection and wait for its first bytes in the poller; gunicorn waits in a thread."""
        try:
            accepted, address = listener.accept()
        except OSError as error:
            if error.errno not in (EAGAIN, ECONNABORTED, EWOULDBLOCK):
                raise
            return
        client = DeadlineSocket(fileno=accepted.detach())
        if client.family != socket.AF_UNIX:
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.nr_conns += 1
        conn = TConn(self.cfg, client, address, listener.getsockname())
        conn.timeout = time.monotonic() + READ_SECONDS
        self.pending_conns.append(conn)
        self.poller.register(client, selectors.EVENT_READ, partial(self.on_pending_socket_readable, conn))

    def enqueue_req(self, conn: TConn) -> None:
        """Queue the request as gunicorn does, but a health check for the health threads; store the time."""
        conn.queued_at = time.monotonic()
        pool = self._health_threads.pool_for(conn.sock) or self.tpool
        future = pool.submit(self.handle, conn)
        future.add_done_callback(lambda done: self.method_queue.defer(self.finish_request, conn, done))

    def handle(self, conn: TConn) -> Any:
        """Handle the request in a thread; the time in the queue counts towards its time limit."""
        note_queued(time.monotonic() - conn.queued_at)
        return super().handle(conn)

    def handle_request(self, req: Any, conn: TConn) -> Any:
        """Handle the request in the application. Raises NoHost; gunicorn refuses several Host headers."""
        hosts = [value for name, value in req.headers if name == "HOST"]
        if (not hosts and req.version >= (1, 1)) or not all(map(_HOST.fullmatch, hosts)):
            raise NoHost
        return super().handle_request(req, conn)

    def init_signals(self) -> None:
        """Set the signal handlers as gunicorn does, but ignore SIGHUP: only the master reloads, and a closing
        terminal or `pkill` sends SIGHUP to the workers too."""
        super().init_signals()
        signal.signal(signal.SIGHUP, signal.SIG_IGN)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        if self.alive:  # a second signal may arrive while the first is being handled
            super().handle_exit(sig, frame)
            draining.set()

    def handle_abort(self, sig: int, frame: FrameType | None) -> None:
        """Stop as on SIGTERM. The master sends SIGABRT to a worker without a heartbeat. A worker that handles
        the signal is running again and can finish its requests; others get SIGKILL a second later."""
        self.handle_exit(sig, frame)

    def is_parent_alive(self) -> bool:
        """Whether the master is running. If not, close the port, so that another master can start, and stop
        as on SIGTERM."""
        if super().is_parent_alive():
            return True
        self.handle_exit(signal.SIGTERM, None)
        self.set_accept_enabled(False)
        for listener in self.sockets:
            listener.close()
        return False

    def load_wsgi(self) -> None:
        super().load_wsgi()
        self.wsgi: Any = _honour_connection_close(self.wsgi)

    def finish_request(self, conn: TConn, future: Future[Any]) -> None:
        """Finish as gunicorn does, but use the poller to drain a connection that is to be closed: gunicorn
        would block this loop, and so all clients of the worker, for up to two seconds."""
        if future.cancelled() or future.exception() is not None or not future.result():
            self._linger(conn.sock)
        else:
            super().finish_request(conn, future)

    def _cap_keepalive(self, deadline: float) -> None:
        """Limit the wait for further requests; gunicorn calls it when the worker begins to stop. New
        connections get the same limit for their first request."""
        super()._cap_keepalive(deadline)
        for conn in self.pending_conns:
            conn.timeout = min(conn.timeout, deadline)

    def wait_for_and_dispatch_events(self, timeout: float) -> None:
        """Poll as gunicorn does, but check more often than once a second for expired connections while the
        worker stops, so that it stops soon."""
        super().wait_for_and_dispatch_events(timeout if self.alive else min(timeout, ENDING_POLL_SECONDS))

    def murder_pending(self) -> None:
        super().murder_pending()
        now = time.monotonic()
        while self._lingering and self._lingering[0][0] <= now:
            _, client = self._lingering.popleft()
            if client.fileno() >= 0:
                self._drop(client)

    def handle_error(self, req: Any, client: socket.socket, address: Any, error: Exception) -> None:
        """Answer an error outside of the application, such as malformed HTTP, in the envelope."""
        code, message = "internal_error", INTERNAL_ERROR
        for kind, code_of_kind, message_of_kind in _CODES:
            if isinstance(error, kind):
                code, message = code_of_kind, message_of_kind
                break
        request_id = new_id()
        if code == "internal_error":
            log.error("server_failed", request_id=request_id, exc_info=error)
        else:
            log.info("request_refused", request_id=request_id, error=code, reason=type(error).__name__)
        try:
            client.sendall(_answer(code, message, request_id))
        except OSError:
            log.debug("client_gone", request_id=request_id)

    def _linger(self, client: DeadlineSocket) -> None:
        """Close for sending, and read until the client closes too: an immediate close would reset the
        connection, and the client could lose the last answer (RFC 9112 section 9.6)."""
        try:
            client.shutdown(socket.SHUT_WR)
            client.setblocking(False)
            self.poller.register(client, selectors.EVENT_READ, partial(self._drain, bytearray()))
        except (OSError, ValueError):
            self.nr_conns -= 1
            client.close()
        else:
            self._lingering.append((time.monotonic() + LINGER_SECONDS, client))

    def _drain(self, seen: bytearray, client: DeadlineSocket) -> None:
        try:
            data = socket.socket.recv(client, LINGER_BYTES)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        seen.extend(data)
        if not data or len(seen) > LINGER_BYTES:
            self._drop(client)

    def _drop(self, client: DeadlineSocket) -> None:
        self.nr_conns -= 1
        self.poller.unregister(client)
        client.close()


def _honour_connection_close(application: Any) -> Any:
    """Make gunicorn close the connection if the application answers with `Connection: close`."""

    def wsgi(environ: dict[str, Any], start_response: Any) -> Any:
        def start(status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> Any:
            if ("connection", "close") in headers:
                start_response.__self__.force_close()
            return start_response(status, headers, exc_info)

        return application(environ, start)

    return wsgi


def _answer(code: str, message: str, request_id: str) -> bytes:
    status = HTTPStatus(STATUS_OF[code])
    body = error_body(code, message, None, request_id)
    head = (
        f"HTTP/1.1 {status.value} {status.phrase}\r\n"
        "Connection: close\r\n"
        "Content-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\n"
        "Cache-Control: no-store\r\n"
        "X-Content-Type-Options: nosniff\r\n"
        f"X-Request-Id: {request_id}\r\n\r\n"
    )
    return head.encode() + body


def _slow_client_error(errno: int) -> TimeoutError:
    """An error with an errno that gunicorn handles like a closed connection."""
    return TimeoutError(errno, "The client is too slow")
