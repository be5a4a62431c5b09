"""Connections whose requests wait without a thread, until the application is to run them again.

The main thread keeps such a connection in the poller, where it costs nothing. One thread runs the requests
again: when hundreds are woken together, they take turns there, and the threads for other requests stay free.
After each the thread rests as long as it took, so that others get the processors in between.
"""

from __future__ import annotations

import selectors
import time
from collections.abc import Callable
from functools import partial
from typing import Any

from api.http.parking import PARKING, Parking
from server.answer import Answer
from server.connection import RECEIVE_BYTES, Conn
from server.connections import ConnectionWorker
from server.thread_pool import ThreadPool

LONGEST_REST_SECONDS = 0.02  # after a request that was woken
MOST_REST_BYTES = 65_536  # of the next request, received during the wait


class Parked:
    """A request that waits. `until` is a time of the monotonic clock."""

    def __init__(self, request: Any, parking: Parking) -> None:
        assert parking.subscribe is not None
        assert parking.until is not None
        self.request = request
        self.subscribe = parking.subscribe
        self.until = parking.until
        self.end: Callable[[], None] = lambda: None  # ends the subscription


class ParkingWorker(ConnectionWorker):
    """A worker whose requests can wait without a thread."""

    def get_thread_pool(self) -> ThreadPool:
        self._woken_threads = ThreadPool(1, "woken")
        return super().get_thread_pool()

    def run_application(self, req: Any, environ: dict[str, Any], response: Any, conn: Conn) -> Answer | None:
        """The answer of the application; None if the request has to wait."""
        before, conn.parked = conn.parked, None
        parking = environ[PARKING] = Parking(None if before is None else before.until)
        answer = super().run_application(req, environ, response, conn)
        if parking.subscribe is None or answer is None:
            return answer
        answer.close()
        conn.parked = Parked(req, parking)
        return None

    def finish_request(self, conn: Conn) -> None:
        if conn.parked is None or conn.is_lost:
            super().finish_request(conn)
        else:
            self._park(conn, conn.parked)

    def answer_parked(self) -> None:
        """Run all waiting requests again, which must not wait any more: the worker stops."""
        for conn in list(self.waiting):
            if conn.parked is not None:
                self._run_again(conn, conn.parked, is_last=True)

    def drop(self, conn: Conn) -> None:
        if conn.parked is not None:
            conn.parked.end()
            conn.parked = None
        super().drop(conn)

    def _park(self, conn: Conn, parked: Parked) -> None:
        """Keep the connection until the request is woken, or its time is over. Runs in the main thread."""
        conn.is_sending = False
        self._watch(conn, selectors.EVENT_READ, self._on_readable_while_parked, self._on_time_over)
        conn.timeout = parked.until
        if not self.alive:
            self._run_again(conn, parked, is_last=True)
            return
        parked.end = parked.subscribe(partial(self.method_queue.defer, self._wake, conn, parked))

    def _wake(self, conn: Conn, parked: Parked) -> None:
        if conn.parked is parked and conn in self.waiting:
            self._run_again(conn, parked)

    def _on_time_over(self, conn: Conn) -> None:
        self._run_again(conn, conn.parked)

    def _on_readable_while_parked(self, conn: Conn) -> None:
        """Keep what arrives for the next request. A client that has closed gets its answer, if it still
        reads."""
        try:
            data = conn.sock.receive(RECEIVE_BYTES)
        except BlockingIOError:
            return
        except OSError:
            self.drop(conn)
            return
        conn.reception.rest += data
        if not data or len(conn.reception.rest) > MOST_REST_BYTES:
            self._run_again(conn, conn.parked, is_last=True)

    def _run_again(self, conn: Conn, parked: Parked, *, is_last: bool = False) -> None:
        parked.end()
        if is_last:
            parked.until = time.monotonic()
        self._stop_watching(conn)
        conn.parser.repeat(parked.request)
        self._submit(self._woken_threads, self.handle if is_last else self._handle_and_rest, conn)

    def _handle_and_rest(self, conn: Conn) -> bool:
        began = time.monotonic()
        keeps_alive = self.handle(conn)
        time.sleep(min(time.monotonic() - began, LONGEST_REST_SECONDS))
        return keeps_alive
