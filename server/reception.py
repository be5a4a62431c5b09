"""Collects the bytes of a request, so that a thread gets a request that has arrived completely.

A thread never waits for a client. It also gets a request at once whose refusal needs no further bytes: a
malformed one, or one that is too large. gunicorn's parser then reads what has arrived, and refuses it.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import suppress
from errno import ENOTCONN

from gunicorn.asgi.parser import ParseError, PythonProtocol
from gunicorn.http.errors import LimitRequestHeaders

from infrastructure.storage.attachment_store import AttachmentsUnavailable
from server.spool import Spool, SpoolSpace

MAX_LINE_BYTES = 8_190  # of the request line, and of each header
MAX_HEAD_BYTES = 65_536
CHUNKED_OVERHEAD = 8  # the most bytes received for each byte of a chunked body
_CHUNKED_HEAD = b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
_END = b"\r\n\r\n"
_VERSION = re.compile(rb" HTTP/\d\.\d$")

BodyLimit = Callable[[bytes], int]  # the most bytes of a body that are accepted after that request line


class Reception:
    """The bytes of one request. `rest` are the bytes after it, which belong to the next one."""

    def __init__(self, space: SpoolSpace, body_limit: BodyLimit) -> None:
        self.head = b""  # empty until it has arrived completely
        self.rest = b""
        self.is_complete = False
        self.is_ready = False  # for a thread
        self.has_body = False
        self.received = 0  # bytes
        self._body_limit = body_limit
        self._spool = Spool(space)
        self._incoming = bytearray()  # an incomplete head
        self._missing = 0  # bytes of a body with a length
        self._chunks: _Chunks | None = None
        self._failure: Exception | None = TimeoutError(ENOTCONN, "The client is too slow")

    @property
    def has_begun(self) -> bool:
        return self.received > 0

    def feed(self, data: bytes) -> bool:
        """Add bytes that have arrived; return whether the request is ready for a thread."""
        self.received += len(data)
        try:
            if self.head:
                self._add_body(data)
            else:
                self._add_head(data)
            if self.is_ready:
                self._spool.rewind()
        except OSError as error:  # the disk is full, or the space for temporary files
            self._failure = AttachmentsUnavailable(str(error))
            self.is_ready = True
            with suppress(OSError):
                self._spool.rewind()
        return self.is_ready

    def end(self) -> bool:
        """Note that the client sends nothing more, or too slowly; return whether a thread should answer."""
        if self.head:
            self.is_ready = True
            with suppress(OSError):  # then nothing can be read, and the connection is closed
                self._spool.rewind()
        return self.is_ready

    def expects_continue(self) -> bool:
        """Whether the client waits for `100 Continue` before it sends the body (RFC 9110, 10.1.1)."""
        return bool(self.head) and not self.is_ready and b"100-continue" in self.head.lower()

    def note_closed(self) -> None:
        """Note that the client has closed its side, so that reading ends instead of failing."""
        self._failure = None

    def read(self, size: int) -> bytes:
        """Return the next bytes of the request. At the end of an incomplete request, raises the reason."""
        data = self._spool.read(size)
        if not data and not self.is_complete and self._failure is not None:
            raise self._failure
        return data

    def close(self) -> None:
        self._spool.close()

    def _add_head(self, data: bytes) -> None:
        searched = max(0, len(self._incoming) - len(_END))
        self._incoming += data
        end = self._incoming.find(_END, searched)
        if end >= 0:
            self.head = bytes(self._incoming[: end + len(_END)])
            body = bytes(self._incoming[end + len(_END) :])
            self._incoming.clear()
            self._spool.write(self.head)
            self._begin_body(body)
        elif len(self._incoming) > MAX_HEAD_BYTES or _is_malformed(self._incoming):
            self._spool.write(bytes(self._incoming))
            self.is_ready = True
            if len(self._incoming) > MAX_HEAD_BYTES:
                self._failure = LimitRequestHeaders("the head of the request")

    def _begin_body(self, body: bytes) -> None:
        """Determine the length of the body. gunicorn's parser refuses heads in which it is ambiguous."""
        head = self.head.lower()
        lengths, codings = _values(head, b"content-length"), _values(head, b"transfer-encoding")
        if lengths or codings:
            self.has_body = True
            limit = self._body_limit(self.head)
            if len(lengths) == 1 and not codings and lengths[0].isdigit() and len(lengths[0]) < 20:
                self._missing = int(lengths[0])
                self.is_ready = self._missing > limit
            elif not lengths and codings == [b"chunked"]:
                self._chunks = _Chunks(limit)
            else:
                self.is_ready = True
        if self.is_ready:  # it will be refused
            self._spool.write(body)
        else:
            self._add_body(body)

    def _add_body(self, data: bytes) -> None:
        if self._chunks is None:
            taken, self.rest = data[: self._missing], data[self._missing :]
            self._missing -= len(taken)
            self.is_complete = self.is_ready = not self._missing
        else:
            self.is_complete, self.rest = self._chunks.feed(data)
            taken = data[: len(data) - len(self.rest)]
            self.is_ready = self.is_complete or self._chunks.is_refused
        self._spool.write(taken)


class _Chunks:
    """Finds the end of a chunked body with gunicorn's incremental parser."""

    def __init__(self, limit: int) -> None:
        self.is_refused = False  # malformed or larger than the limit
        self._limit = limit
        self._received = self._decoded = 0
        self._parser = PythonProtocol(on_body=self._count)
        self._parser.feed(_CHUNKED_HEAD)

    def feed(self, data: bytes) -> tuple[bool, bytes]:
        """Return whether the body is complete, and the bytes after it."""
        self._received += len(data)
        try:
            self._parser.feed(data)
        except ParseError:
            self.is_refused = True
        if self._decoded > self._limit or self._received > CHUNKED_OVERHEAD * self._limit:
            self.is_refused = True
        return self._parser.is_complete, self._parser.remaining()

    def _count(self, chunk: bytes) -> None:
        self._decoded += len(chunk)


def _values(head: bytes, name: bytes) -> list[bytes]:
    """The values of a header in a head in lower case, one for each line that has it."""
    lines = head.split(b"\r\n" + name + b":")[1:]
    return [line.partition(b"\r\n")[0].strip(b" \t") for line in lines]


def _is_malformed(head: bytearray) -> bool:
    """Whether an incomplete head will be refused whatever follows."""
    line, separator, _ = head.removeprefix(b"\r\n").partition(b"\r\n")
    if not separator:
        return len(line) > MAX_LINE_BYTES + 1 or b"\n" in line
    return not _VERSION.search(line) or head.count(b"\n") != head.count(b"\r\n")
