"""The socket of a client, which never blocks: gunicorn reads from it what has arrived, and writes to it what
will be sent when the client takes it."""

from __future__ import annotations

import os
import socket
import struct
from collections import deque
from collections.abc import Callable
from errno import EPIPE
from functools import partial
from itertools import islice, takewhile
from typing import Any, NamedTuple, cast

from server.reception import Reception
from server.spool import MEMORY_BYTES, NoSpace, Spool, SpoolSpace

SEND_BYTES = 1_048_576  # at once, so that one client does not delay the others
UNSENT_BYTES = 131_072  # in the kernel for one client
_VIEWS_AT_ONCE = 16


class _File(NamedTuple):
    """A part of a file that is to be sent."""

    descriptor: int
    offset: int
    size: int
    close: Callable[[], None]


class ClientSocket(socket.socket):
    """A non-blocking socket. `reception` is the request that gunicorn reads."""

    reception: Reception
    space: SpoolSpace
    _unsent: deque[memoryview | _File]
    _unsent_bytes: int

    @classmethod
    def of(cls, accepted: socket.socket, space: SpoolSpace) -> ClientSocket:
        """Make the socket from an accepted one, which is detached."""
        client = cls(fileno=accepted.detach())
        socket.socket.setblocking(client, False)
        client.space = space
        client._unsent = deque()
        client._unsent_bytes = 0
        if client.family != socket.AF_UNIX:
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if hasattr(socket, "TCP_NOTSENT_LOWAT"):
                client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, UNSENT_BYTES)
        return client

    def setblocking(self, flag: bool) -> None:
        """Stay non-blocking: gunicorn calls it for a thread, which must not wait for a client."""

    def settimeout(self, value: float | None) -> None:
        """Stay non-blocking."""

    def receive(self, size: int) -> bytes:
        """Return bytes that have arrived; none if the client has closed its side. Raises BlockingIOError if
        nothing has arrived."""
        return super().recv(size)

    def recv(self, size: int, flags: int = 0) -> bytes:
        """Return bytes of the request, for gunicorn's parser."""
        return self.reception.read(size)

    def send(self, data: Any, flags: int = 0) -> int:
        """Send nothing: gunicorn calls it for `100 Continue`, which the worker has sent before the body."""
        return len(data)

    def send_now(self, data: bytes) -> None:
        """Send a few bytes before the answer."""
        super().send(data)

    def sendall(self, data: Any, flags: int = 0) -> None:
        """Take over bytes of the answer; `flush` sends them."""
        self._unsent.append(memoryview(data))
        self._unsent_bytes += len(data)
        if self._unsent_bytes > MEMORY_BYTES:
            self.flush()

    def sendfile(self, file: Any, offset: int = 0, count: int | None = None) -> int:
        """Take over a part of a file, which the caller may close then."""
        assert count is not None
        descriptor = os.dup(file.fileno())
        self._unsent.append(_File(descriptor, offset, count, partial(os.close, descriptor)))
        return count

    def flush(self) -> bool:
        """Send what the client takes, at most SEND_BYTES; return whether nothing is left.

        Many bytes that are left are moved to a temporary file. Raises OSError if the client is gone, or
        without space for the file.
        """
        sent = 0
        try:
            while self._unsent and sent < SEND_BYTES:
                sent += self._send_some(SEND_BYTES - sent)
        except BlockingIOError:
            pass
        if self._unsent_bytes > MEMORY_BYTES:
            self._move_to_file()
        return not self._unsent

    def reset_on_close(self) -> None:
        """Make `close` reset the connection, which tells the client that the answer is incomplete."""
        self.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    @property
    def has_unsent(self) -> bool:
        return bool(self._unsent)

    def close(self) -> None:
        for part in self._unsent:
            if isinstance(part, _File):
                part.close()
        self._unsent.clear()
        super().close()

    def _send_some(self, most: int) -> int:
        part = self._unsent[0]
        if isinstance(part, _File):
            sent = os.sendfile(self.fileno(), part.descriptor, part.offset, min(part.size, most))
            if not sent:
                raise OSError(EPIPE, "The file has become shorter")
            self._unsent.popleft()
            if part.size > sent:
                self._unsent.appendleft(part._replace(offset=part.offset + sent, size=part.size - sent))
            else:
                part.close()
            return sent
        views = self._first_views(_VIEWS_AT_ONCE)
        sent = left = self.sendmsg(views)
        self._unsent_bytes -= sent
        for view in views:
            if left < len(view):
                self._unsent[0] = view[left:]
                break
            self._unsent.popleft()
            left -= len(view)
        return sent

    def _first_views(self, most: int) -> list[memoryview]:
        """The bytes in memory that are sent first, at most so many pieces."""
        parts = takewhile(lambda part: isinstance(part, memoryview), islice(self._unsent, most))
        return cast(list[memoryview], list(parts))

    def _move_to_file(self) -> None:
        """Move the first bytes in memory to a temporary file; they stay in memory if the disk is full."""
        views = self._first_views(len(self._unsent))
        size = sum(map(len, views))
        if size <= MEMORY_BYTES:
            return
        spool = Spool(self.space)
        try:
            for view in views:
                spool.write(view)
            spool.rewind()
        except NoSpace:
            spool.close()
            raise
        except OSError:
            spool.close()
            return
        for _ in views:
            self._unsent.popleft()
        self._unsent.appendleft(_File(spool.fileno(), 0, size, spool.close))
        self._unsent_bytes -= size
