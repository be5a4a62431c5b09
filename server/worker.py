"""The life of a worker: it serves until a signal arrives, and then finishes what clients have begun."""

from __future__ import annotations

import selectors
import signal
import time
from types import FrameType
from typing import Any

from api.http.draining import draining
from server.answer import honour_connection_close
from server.connections import OVERDUE_CHECK_SECONDS
from server.parking import ParkingWorker

POLL_SECONDS = 1.0
DRAIN_QUIET_SECONDS = 1.5  # without a request, after which a stopping worker ends
DRAIN_ACCEPT_SECONDS = 5.0  # in which a stopping worker accepts requests


class Worker(ParkingWorker):
    """A worker of the API. `place` is its place in the shared metrics; the master sets it before the fork."""

    place: int = 0
    has_finished = False

    def load_wsgi(self) -> None:
        super().load_wsgi()
        from server.app import PAGES, ROUTES  # here, because they define metrics, which must be shared first
        from server.body_limits import BodyLimits

        self.body_limit = BodyLimits((*ROUTES, *PAGES)).of
        self.wsgi: Any = honour_connection_close(self.wsgi)

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
        self._close_port()
        return False

    def run(self) -> None:
        """Serve until a signal or the end of the master, and then finish the requests."""
        queue = self.method_queue
        self.poller.register(queue.fileno(), selectors.EVENT_READ, queue.run_callbacks)
        while self.alive:
            self.notify()
            self.set_accept_enabled(self.nr_conns < self.worker_connections)
            self.poll(POLL_SECONDS)
            if not self.is_parent_alive():
                break
        self._drain()
        self._close_port()
        for conn in list(self.waiting):
            self.drop(conn)
        self.tpool.shutdown(wait=False)
        self.poller.close()
        queue.close()
        self.has_finished = True

    def _drain(self) -> None:
        """Answer the requests that have begun, and those that arrive meanwhile; each answer closes its
        connection. Ends when no connection is left, or DRAIN_QUIET_SECONDS after the last answer. Clients
        that send more and more requests do not delay the end: after DRAIN_ACCEPT_SECONDS no further ones are
        accepted."""
        began = self.answered_at = time.monotonic()
        self.answer_parked()
        while (now := time.monotonic()) < began + self.cfg.graceful_timeout:
            self.notify()
            is_last = now > began + DRAIN_ACCEPT_SECONDS
            if is_last:
                self._close_port()
            self.poll(OVERDUE_CHECK_SECONDS if self.nr_conns else 0.0)
            is_busy = self.nr_conns > len(self.waiting) or any(conn.is_busy for conn in self.waiting)
            is_quiet = now > self.answered_at + DRAIN_QUIET_SECONDS
            if not is_busy and (is_quiet or is_last or not self.nr_conns):
                return

    def _close_port(self) -> None:
        self.set_accept_enabled(False)
        for listener in self.sockets:
            listener.close()
