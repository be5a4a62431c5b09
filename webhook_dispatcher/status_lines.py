"""Keeps the status of an answer whose remainder is lost or is not valid HTTP.

aiohttp reports such an answer as an error without its status: a head with too many headers, a body with wrong
chunks, or a connection that is closed in the middle. A webhook is delivered when its status is 2xx, whatever
follows it.
"""

from __future__ import annotations

import asyncio
import re
from contextvars import ContextVar
from functools import partial
from typing import Any

import aiohttp
from aiohttp.client_proto import ResponseHandler

LONGEST_HEAD = 65_536  # bytes of informational answers before the final one

# A head of informational answers (1xx) and the first line of the final answer (RFC 9112, section 4).
_INFORMATIONAL = re.compile(rb"HTTP/1\.[0-9] 1[0-9]{2}[^\n]*\r?\n(?:[^\r\n]+\r?\n)*\r?\n")
_STATUS_LINE = re.compile(rb"HTTP/1\.[0-9] ([2-9][0-9]{2})(?: [^\n]*)?\r?\n")


class Answer:
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


class StatusConnector(aiohttp.TCPConnector):
    """Opens connections that record the status of the answer to the request of the current task."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._factory: partial[ResponseHandler] = partial(_make_handler, asyncio.get_running_loop())

    async def connect(self, *arguments: Any, **options: Any) -> aiohttp.connector.Connection:
        connection = await super().connect(*arguments, **options)
        if isinstance(connection.protocol, _RecordingHandler):
            connection.protocol.answer = _answer.get()
        return connection


def expect_answer() -> Answer:
    """Make the answer that the next request of this task fills."""
    answer = Answer()
    _answer.set(answer)
    return answer


class _RecordingHandler(ResponseHandler):
    answer: Answer | None = None

    def data_received(self, data: bytes) -> None:
        if self.answer is not None:
            self.answer.feed(data)
        super().data_received(data)


def _make_handler(loop: asyncio.AbstractEventLoop) -> ResponseHandler:
    return _RecordingHandler(loop)


_answer: ContextVar[Answer | None] = ContextVar("answer", default=None)
