"""The phases of a connection: a request is received, answered and sent, and then the next one is received.

The main thread receives and sends. A thread works on a request while the application computes its answer
(docs/decisions/0017-slow-clients.md). If the client takes the answer at once, the thread waits up to
STAY_SECONDS for the next request of the connection, unless another connection needs a thread: that saves the
way through the main thread. gunicorn parses the requests and builds the answers.
"""

from __future__ import annotations

import selectors
import socket
import time
from collections.abc import Callable
from contextlib import suppress
from errno import EAGAIN, ECONNABORTED, EWOULDBLOCK
from functools import partial
from typing import Any

import structlog
from gunicorn.workers.gthread import ThreadWorker

from infrastructure.process.deadlines import lift_request_limit, note_queued
from server.answer import Answer
from server.client_socket import ClientSocket
from server.connection import Conn, group_of
from server.health_threads import HealthThreads
from server.messages import Options, create
from server.reception import BodyLimit, Reception
from server.refusals import answer_error, require_host
from server.spool import SpoolSpace
from server.thread_pool import ThreadPool

READ_SECONDS = 10.0  # for the head of a request, and for its body
SLOWEST_BYTES_PER_SECOND = 16_384  # each received byte of a body extends the time at this rate
LONGEST_READ_SECONDS = 30.0  # that a client can still have, however much it has sent
SEND_SECONDS = 30.0  # without any progress of an answer
LINGER_SECONDS = 2.0
LINGER_BYTES = 65_536
OVERDUE_CHECK_SECONDS = 0.2
STAY_SECONDS = 0.005  # that a thread waits for the next request of its connection

log = structlog.get_logger()


class ConnectionWorker(ThreadWorker):  # type: ignore[misc]
    """gunicorn's threaded worker with other phases of its connections. A subclass sets `body_limit`."""

    body_limit: BodyLimit

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.waiting: set[Conn] = set()  # that the poller watches
        self.answered_at = 0.0
        self._space = SpoolSpace()
        self._overdue_checked_at = 0.0

    def poll(self, seconds: float) -> None:
        self.wait_for_and_dispatch_events(min(seconds, OVERDUE_CHECK_SECONDS) if self.waiting else seconds)
        now = time.monotonic()
        if now > self._overdue_checked_at + OVERDUE_CHECK_SECONDS:
            self._overdue_checked_at = now
            for conn in [conn for conn in self.waiting if conn.timeout < now]:
                conn.overdue()

    def accept(self, listener: socket.socket) -> None:
        """Accept a connection; the poller waits for its first bytes, while gunicorn would use a thread."""
        try:
            accepted, address = listener.accept()
        except OSError as error:
            if error.errno not in (EAGAIN, ECONNABORTED, EWOULDBLOCK):
                raise
            return
        self.nr_conns += 1
        conn = Conn(self._options, ClientSocket.of(accepted, self._space), address, listener.getsockname())
        conn.data_ready = True
        self._begin_next(conn, b"")
        self._await_request(conn, READ_SECONDS)

    def _begin_next(self, conn: Conn, data: bytes) -> None:
        """Begin to receive the next request, of which `data` has arrived already."""
        conn.reception = conn.sock.reception = Reception(self._space, self.body_limit)
        conn.is_sending = False
        if data:
            conn.reception.feed(data)

    def _await_request(self, conn: Conn, idle_seconds: float) -> None:
        """Receive the rest of the request, or queue it if it has arrived completely."""
        reception = conn.reception
        if reception.is_ready:
            self.enqueue_req(conn)
            return
        self._watch(conn, selectors.EVENT_READ, self._on_readable, self._on_unreceived)
        conn.timeout = time.monotonic() + (READ_SECONDS if reception.has_begun else idle_seconds)
        if reception.expects_continue():
            self._send_continue(conn)

    def _on_readable(self, conn: Conn) -> None:
        """Receive what has arrived. A request that has arrived completely goes to a thread."""
        reception = conn.reception
        has_begun, before = reception.has_begun, reception.received
        had_head = bool(reception.head)
        if conn.receive():
            self._stop_watching(conn)
            self.enqueue_req(conn)
        elif conn.is_lost:
            self.drop(conn)
        elif had_head:
            extended = conn.timeout + (reception.received - before) / SLOWEST_BYTES_PER_SECOND
            conn.timeout = min(extended, time.monotonic() + LONGEST_READ_SECONDS)
        elif reception.head or (reception.has_begun and not has_begun):
            conn.timeout = time.monotonic() + READ_SECONDS
            if reception.expects_continue():
                self._send_continue(conn)

    def _send_continue(self, conn: Conn) -> None:
        with suppress(OSError):  # the next read notices that the client is gone
            conn.sock.send_now(b"HTTP/1.1 100 Continue\r\n\r\n")

    def _on_unreceived(self, conn: Conn) -> None:
        """Answer an incomplete body, or drop the connection. First receives bytes that arrived while this
        process was stopped."""
        timeout = conn.timeout
        self._on_readable(conn)
        if conn not in self.waiting or conn.timeout > timeout:
            return
        if conn.reception.end():
            self._stop_watching(conn)
            self.enqueue_req(conn)
        else:
            self.drop(conn)

    def enqueue_req(self, conn: Conn) -> None:
        """Queue the request for a thread, a health check for the health threads; store the time."""
        pool = self._health_threads.pool_for(conn.reception.head) or self.tpool
        self._submit(pool, self.handle, conn)

    def _submit(self, pool: ThreadPool, work: Callable[[Conn], bool], conn: Conn) -> None:
        conn.queued_at = time.monotonic()
        pool.submit(partial(self._work, pool, work, conn), group_of(conn.reception.head))

    def _work(self, pool: ThreadPool, work: Callable[[Conn], bool], conn: Conn) -> None:
        """Work on the connection in a thread, and then on its next requests as long as they follow at once.
        Returns the connection to the main thread in any case."""
        try:
            conn.keeps_alive, conn.is_sending = work(conn), True
            while pool is self.tpool and self._takes_next(conn):
                conn.keeps_alive, conn.is_sending = self.handle(conn), True
        except OSError:  # the client is gone
            conn.is_lost = True
        except BaseException:
            conn.is_lost = True
            log.exception("connection_failed")
        self.method_queue.defer(self.finish_request, conn)

    def _takes_next(self, conn: Conn) -> bool:
        """Wait for the next request up to STAY_SECONDS. Returns whether this thread handles it: the answer is
        sent, the request has arrived completely, and no other connection needs the thread."""
        if not self._can_reuse(conn) or conn.sock.has_unsent or conn.answer or conn.parked or not self.alive:
            return False
        self._end_answer(conn)
        self._begin_next(conn, conn.reception.rest)
        until = time.monotonic() + STAY_SECONDS
        while not (conn.reception.is_ready or conn.is_lost or conn.reception.expects_continue()):
            if not self.tpool.wait_readable(conn.sock.fileno(), until):
                return False
            conn.receive()
        conn.queued_at = time.monotonic()
        if not conn.reception.is_ready or self.tpool.needs_thread(self.poller.fileno()):
            return False
        return self._health_threads.pool_for(conn.reception.head) is None

    def get_thread_pool(self) -> ThreadPool:
        """The threads for requests; gunicorn calls this after the fork."""
        self._health_threads = HealthThreads()
        self._options = Options(self.cfg)
        return ThreadPool(self.cfg.threads, "request")

    def handle(self, conn: Conn) -> bool:
        """Handle the request in a thread; the time in the queue counts towards its time limit. Returns
        whether the connection can be used again."""
        note_queued(time.monotonic() - conn.queued_at)
        keeps_alive = bool(super().handle(conn))
        conn.sock.flush()
        return keeps_alive

    def _keepalive_after(self, conn: Conn, keepalive: bool) -> bool:
        """Whether the connection can be used again. Reads the part of the body that the application did not
        read. It has arrived completely, so that gunicorn's limits for this are not needed."""
        if not (keepalive and conn.reception.is_complete):
            return False
        return not conn.reception.has_body or bool(conn.parser.finish_body())

    def handle_request(self, req: Any, conn: Conn) -> bool:
        """Compute the answer and write it, or its first pieces. Returns whether the connection can be used
        again after it."""
        require_host(req)
        response, environ = create(req, conn)
        is_last = not self.alive or len(self.waiting) >= self.max_keepalived
        if is_last or not conn.reception.is_complete:
            response.force_close()
        answer = self.run_application(req, environ, response, conn)
        if answer is None:
            return True
        self._write(conn, answer)
        return not response.should_close()

    def run_application(self, req: Any, environ: dict[str, Any], response: Any, conn: Conn) -> Answer | None:
        """The answer of the application. A subclass may return None: the request is not answered yet."""
        return Answer(response, self.wsgi(environ, response.start_response))

    def _write(self, conn: Conn, answer: Answer) -> None:
        """Write as much of the answer as the client takes, and keep the rest of it."""
        is_complete = True
        try:
            is_complete = answer.write(conn.sock)
        except OSError:
            raise
        except Exception:
            if not answer.response.headers_sent:
                raise
            log.exception("answer_failed")  # the client notices that it is incomplete
            if answer.ends_with_connection:
                conn.sock.reset_on_close()
                conn.is_lost = True
            raise StopIteration from None
        finally:
            conn.answer = None if is_complete else answer
            if is_complete:
                answer.close()

    def _continue(self, conn: Conn) -> bool:
        """Write more of an answer in a thread."""
        lift_request_limit()  # of the request that the thread handled before
        assert conn.answer is not None
        try:
            self._write(conn, conn.answer)
        except StopIteration:
            return False
        conn.sock.flush()
        return conn.keeps_alive

    def finish_request(self, conn: Conn) -> None:
        """Continue with a connection that a thread returns: with its answer, or with the next request. Runs
        in the main thread."""
        if conn.is_lost:
            self.drop(conn)
        elif not conn.is_sending:
            self._await_request(conn, self.cfg.keepalive)
        elif conn.sock.has_unsent:
            self._watch(conn, selectors.EVENT_WRITE, self._on_writable, self._on_unsent)
            conn.timeout = time.monotonic() + SEND_SECONDS
        else:
            self._after_sending(conn)

    def _on_writable(self, conn: Conn) -> None:
        try:
            is_sent = conn.sock.flush()
        except OSError:
            self.drop(conn)
            return
        conn.timeout = time.monotonic() + SEND_SECONDS
        if is_sent:
            self._stop_watching(conn)
            self._after_sending(conn)

    def _on_unsent(self, conn: Conn) -> None:
        log.info("answer_not_taken", seconds=SEND_SECONDS)
        self.drop(conn)

    def _after_sending(self, conn: Conn) -> None:
        """Compute the next pieces of an incomplete answer; otherwise receive the next request or close."""
        if conn.answer is not None:
            self._submit(self.tpool, self._continue, conn)
            return
        self._end_answer(conn)
        if self._can_reuse(conn):
            self._begin_next(conn, conn.reception.rest)
            self._await_request(conn, self.cfg.keepalive)
        else:
            self._linger(conn)

    def _end_answer(self, conn: Conn) -> None:
        self.answered_at = time.monotonic()
        conn.reception.close()

    def _can_reuse(self, conn: Conn) -> bool:
        """Whether another request may follow on the connection."""
        return conn.keeps_alive and conn.reception.is_complete

    def handle_error(self, req: Any, client: socket.socket, address: Any, error: Exception) -> None:
        answer_error(client, error)

    def _linger(self, conn: Conn) -> None:
        """Close for sending, and read until the client closes too: an immediate close would reset the
        connection, and the client could lose the last answer (RFC 9112 section 9.6)."""
        conn.is_sending, conn.is_closing = False, True
        try:
            conn.sock.shutdown(socket.SHUT_WR)
        except OSError:
            self.drop(conn)
            return
        self._watch(conn, selectors.EVENT_READ, partial(self._discard, bytearray()), self.drop)
        conn.timeout = time.monotonic() + LINGER_SECONDS

    def _discard(self, seen: bytearray, conn: Conn) -> None:
        try:
            data = conn.sock.receive(LINGER_BYTES)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        seen.extend(data)
        if not data or len(seen) > LINGER_BYTES:
            self.drop(conn)

    def _watch(
        self, conn: Conn, events: int, ready: Callable[[Conn], None], overdue: Callable[[Conn], None]
    ) -> None:
        self.poller.register(conn.sock, events, lambda client: ready(conn))
        conn.overdue = partial(overdue, conn)
        self.waiting.add(conn)

    def _stop_watching(self, conn: Conn) -> None:
        self.poller.unregister(conn.sock)
        self.waiting.remove(conn)

    def drop(self, conn: Conn) -> None:
        """Close the connection at once."""
        if conn in self.waiting:
            self._stop_watching(conn)
        if conn.answer is not None:
            conn.answer.close()
        conn.reception.close()
        conn.sock.close()
        self.nr_conns -= 1
