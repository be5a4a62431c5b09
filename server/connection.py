"""A connection of a client, which the main thread and the threads for requests hand to one another."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from gunicorn.workers.gthread import TConn

from server.answer import Answer
from server.client_socket import ClientSocket
from server.messages import RequestParser
from server.reception import Reception

RECEIVE_BYTES = 65_536


class Conn(TConn):  # type: ignore[misc]
    """A connection. While the poller watches it, `overdue` is called when `timeout` has passed."""

    sock: ClientSocket
    reception: Reception
    overdue: Callable[[], None]
    is_sending = False
    queued_at = 0.0
    answer: Answer | None = None  # that is not complete yet
    keeps_alive = False
    is_closing = False
    is_lost = False  # it can only be dropped

    parser: Any

    def init(self) -> None:
        """Create the parser of the connection; gunicorn calls it before each request."""
        if self.parser is None:
            self.parser = RequestParser(self.cfg, self.sock, self.client)

    @property
    def is_busy(self) -> bool:
        """Whether a request is being received or answered. A head that is incomplete does not count."""
        return self.is_sending or (bool(self.reception.head) and not self.is_closing)

    def receive(self) -> bool:
        """Receive what has arrived; return whether a thread can handle the request now. Sets `is_lost` when
        no request can follow."""
        try:
            data = self.sock.receive(RECEIVE_BYTES)
        except BlockingIOError:
            return False
        except OSError:
            self.is_lost = True
            return False
        if data:
            return self.reception.feed(data)
        self.reception.note_closed()
        self.is_lost = not self.reception.end()
        return not self.is_lost
