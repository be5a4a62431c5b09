"""A connection of a client, which the main thread and the threads for requests hand to one another."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from gunicorn.workers.gthread import TConn

from server.answer import Answer
from server.client_socket import ClientSocket
from server.messages import RequestParser
from server.reception import Reception

RECEIVE_BYTES = 65_536
# A request that changes one object, such as `PATCH /v1/tickets/123`, `POST /v1/tickets/123/comments` or
# `PUT /v1/tickets/by-external-id/sap/4711`.
_CHANGE = re.compile(rb"(?!GET|HEAD)[A-Z]+ (/[^/? ]+/[^/? ]+/(?:by-external-id/[^/? ]+/)?[^/? ]+)")
_CREDENTIAL = re.compile(rb"\n(?:authorization|cookie):([^\r\n]*)", re.IGNORECASE)


def group_of(head: bytes) -> bytes | None:
    """The group of a request whose requests take turns with those of other groups while all threads are busy
    (server/fair_queue.py): the object that it changes, or else its credential; None without either."""
    found = _CHANGE.match(head) or _CREDENTIAL.search(head)
    return found[1] if found else None


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
