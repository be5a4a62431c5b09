"""One HTTP/1.1 connection: sends a request, and reads the status and the beginning of the answer.

A webhook is delivered when the status is 2xx, whatever follows it. So the status is read separately from the
rest: an answer whose head or body is not valid HTTP, or is cut off, still has its status.
"""

from __future__ import annotations

import asyncio
import re
from typing import NamedTuple, cast

from httptools import HttpParserError, HttpParserUpgrade, HttpResponseParser

READ_BYTES = 65_536  # of a body; the rest is not read
MOST_BYTES = 1_048_576  # of an answer, with the frames of chunks and with trailers
LONGEST_HEAD = 262_144  # bytes, with informational answers
BODY_SECONDS = 3.0  # the longest wait for the body once the status is known
BODY_SHARE = 0.8  # of the time left to the attempt, so that a slow body does not turn a status into a timeout

SWITCHING_PROTOCOLS = 101

# A head of informational answers (1xx) and the first line of the final answer (RFC 9112, section 4). 101 is
# final: no HTTP follows it.
_INFORMATIONAL = re.compile(rb"HTTP/1\.[0-9] 1(?!01)[0-9]{2}[^\n]*\r?\n(?:[^\r\n]+\r?\n)*\r?\n")
_STATUS_LINE = re.compile(rb"HTTP/1\.[0-9] (101|[2-9][0-9]{2})(?: [^\n]*)?\r?\n")


class Disconnected(OSError):
    """The receiver closed the connection before the end of the head of its answer."""


class Unreadable(ValueError):
    """The answer is not HTTP, or its head is too long."""


class Answer(NamedTuple):
    """The status, the beginning of the body, and the header Retry-After."""

    status: int
    body: bytes
    retry_after: str | None


class StatusLine:
    """The beginning of an answer, and its status once the first line is complete."""

    def __init__(self) -> None:
        self.status: int | None = None
        self._head = b""

    def feed(self, data: bytes) -> None:
        """Add bytes of the answer."""
        if self.status is not None or len(self._head) > LONGEST_HEAD:
            return
        self._head += data
        while informational := _INFORMATIONAL.match(self._head):
            self._head = self._head[informational.end() :]
        if line := _STATUS_LINE.match(self._head):
            self.status = int(line[1])
            self._head = b""


class HttpConnection(asyncio.Protocol):
    """Sends one request at a time. The methods `on_...` are called by the parser."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._transport: asyncio.Transport | None = None
        self._done: asyncio.Future[Answer] | None = None
        self._body_timer: asyncio.TimerHandle | None = None
        self._is_reusable = False
        self.idle_since = 0.0
        self._early = b""  # received before the first request: some receivers refuse a connection with 503
        self.line = StatusLine()

    @property
    def is_reusable(self) -> bool:
        """Whether another request may be sent: the last answer is complete, and the connection is open."""
        return self._is_reusable and self._transport is not None and not self._transport.is_closing()

    def exchange(self, request: bytes, deadline: float) -> asyncio.Future[Answer]:
        """Send a request. The result is the answer; or Disconnected, Unreadable or another OSError.

        `deadline` is the time of the event loop at which the caller gives up and calls `close`.
        """
        self.line = StatusLine()
        self._deadline = deadline
        self._is_reusable = self._has_head = False
        self._bytes = 0
        self._retry_after: str | None = None
        self._body = b""
        self._parser = HttpResponseParser(self)
        self._parser.set_dangerous_leniencies(
            lenient_headers=True, lenient_optional_cr_before_lf=True, lenient_spaces_after_chunk_size=True
        )
        self._done = self._loop.create_future()
        early, self._early = self._early, b""
        if early:
            self.data_received(early)
        if self._done.done():  # without the request, which must not be taken for the next one
            self.close()
        elif self._transport is None or self._transport.is_closing():
            self._end_at_error(Disconnected("the receiver closed the connection"))
        else:
            self._transport.write(request)
        return self._done

    def close(self) -> None:
        self._is_reusable = False
        if self._transport is not None:
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        if self._done is None and len(self._early) + len(data) <= READ_BYTES:
            self._early += data
            return
        if self._done is None or self._done.done():  # too much, or after the end of an answer
            self.close()
            return
        self._bytes += len(data)
        self.line.feed(data)
        try:
            self._parser.feed_data(data)
        except (HttpParserError, HttpParserUpgrade) as error:
            self._end_at_error(Unreadable(str(error) or "the answer is not HTTP"))
            self.close()
            return
        if self._done.done():
            return
        if self._has_head:
            self._limit_body()
        elif self._bytes > LONGEST_HEAD:
            self._end_at_error(Unreadable(f"the head is longer than {LONGEST_HEAD:,} bytes"))
            self.close()

    def connection_lost(self, error: Exception | None) -> None:
        self._is_reusable = False
        if self._done is not None and not self._done.done():
            self._end_at_error(error or Disconnected("the receiver disconnected without an answer"))

    def on_header(self, name: bytes, value: bytes) -> None:
        is_first = self._retry_after is None and not self._has_head  # and not in trailers
        if is_first and name.lower() == b"retry-after":
            self._retry_after = value.decode("latin-1")

    def on_headers_complete(self) -> None:
        status = self._parser.get_status_code()
        self._has_head = status >= 200 or status == SWITCHING_PROTOCOLS
        if not self._has_head:
            self._retry_after = None

    def on_body(self, body: bytes) -> None:
        self._body += body[: READ_BYTES - len(self._body)]

    def on_message_complete(self) -> None:
        if self._has_head and self._done is not None and not self._done.done():
            self._is_reusable = self._parser.should_keep_alive()
            self._complete()

    def on_message_begin(self) -> None:
        """Close the connection if the receiver sends a second answer."""
        if self._done is not None and self._done.done():
            self.close()

    def _limit_body(self) -> None:
        """End the answer when enough of the body has been read, or enough time has passed."""
        if len(self._body) >= READ_BYTES or self._bytes > MOST_BYTES:
            self._end_early()
        elif self._body_timer is None:
            seconds = min(BODY_SECONDS, (self._deadline - self._loop.time()) * BODY_SHARE)
            self._body_timer = self._loop.call_later(seconds, self._end_early)

    def _end_early(self) -> None:
        self._complete()
        self.close()

    def _end_at_error(self, error: Exception) -> None:
        """A head that was read is an answer, although its body is not valid or cut off."""
        if self._done is None or self._done.done():
            return
        if self._has_head:
            self._complete()
        else:
            self._fail(error)

    def _complete(self) -> None:
        self._stop_timer()
        if self._done is not None and not self._done.done():
            self._done.set_result(Answer(self._parser.get_status_code(), self._body, self._retry_after))

    def _fail(self, error: Exception) -> None:
        self._stop_timer()
        if self._done is not None and not self._done.done():
            self._done.set_exception(error)

    def _stop_timer(self) -> None:
        if self._body_timer is not None:
            self._body_timer.cancel()
            self._body_timer = None
