"""Sends posts to webhooks and returns their outcomes."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from http import HTTPStatus
from typing import NamedTuple

from webhook_dispatcher.address_guard import AddressGuard
from webhook_dispatcher.connections import Connections, Target
from webhook_dispatcher.http_connection import Answer, Disconnected, HttpConnection
from webhook_dispatcher.schedule import retry_after_seconds

STORED_BYTES = 2_048  # of an answer
USER_AGENT = "modern-management-ticketing"


class Outcome(NamedTuple):
    """The outcome of a post. Without an answer `status` is None, and `error` states the reason.

    An answer whose remainder after the status could not be read has an `error` too.
    """

    at: datetime
    status: int | None
    response_body: bytes
    error: str | None
    milliseconds: int
    retry_after_seconds: float | None = None

    @property
    def is_success(self) -> bool:
        return self.status is not None and 200 <= self.status < 300

    @property
    def is_gone(self) -> bool:
        return self.status == HTTPStatus.GONE


class Poster:
    """Posts, many at a time. `timeout_seconds` limits look-up, connection, TLS and answer together.

    Connections are reused for the next post to the same host. No redirects, no proxies, no cookies, no
    compression. Use it as an asynchronous context manager.
    """

    def __init__(self, guard: AddressGuard, *, timeout_seconds: float) -> None:
        self._guard = guard
        self._timeout_seconds = timeout_seconds
        self._target_of = lru_cache(maxsize=4_096)(Target.of)

    async def __aenter__(self) -> Poster:
        self._loop = asyncio.get_running_loop()
        self._connections = Connections(self._guard)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._connections.close()

    async def post(self, url: str, body: bytes, headers: Mapping[str, str]) -> Outcome:
        """Post once. Raises nothing except CancelledError."""
        at = datetime.now(UTC)
        started = time.monotonic()
        used: list[HttpConnection] = []
        try:
            async with asyncio.timeout(self._timeout_seconds) as limit:
                answer = await self._exchange(self._target_of(url), body, headers, used, limit)
        except TimeoutError:
            return _failed(at, started, used, f"no answer within {self._timeout_seconds:g} s")
        except (OSError, ValueError) as error:
            return _failed(at, started, used, _describe(error))
        seconds = retry_after_seconds(answer.retry_after, datetime.now(UTC)) if answer.retry_after else None
        error_text = "redirects are not followed" if 300 <= answer.status < 400 else None
        milliseconds = _milliseconds_since(started)
        return Outcome(at, answer.status, answer.body[:STORED_BYTES], error_text, milliseconds, seconds)

    async def _exchange(
        self,
        target: Target,
        body: bytes,
        headers: Mapping[str, str],
        used: list[HttpConnection],
        limit: asyncio.Timeout,
    ) -> Answer:
        """Post on an open connection. If it was closed while idle, post again on a new one. Adds the
        connections to `used`."""
        request = _request(target, body, headers)
        idle = self._connections.take_idle(target.origin)
        if idle is not None:
            try:
                return await self._send(idle, target, request, used, limit)
            except (Disconnected, ConnectionError):
                if idle.line.status is not None:
                    raise
        connection = await self._connections.open(target.origin)
        return await self._send(connection, target, request, used, limit)

    async def _send(
        self,
        connection: HttpConnection,
        target: Target,
        request: bytes,
        used: list[HttpConnection],
        limit: asyncio.Timeout,
    ) -> Answer:
        used.append(connection)
        try:
            return await connection.exchange(request, limit.when() or 0.0)
        except BaseException:
            connection.close()
            raise
        finally:
            self._connections.give_back(target.origin, connection)


def _request(target: Target, body: bytes, headers: Mapping[str, str]) -> bytes:
    lines = "".join([f"{name}: {value}\r\n" for name, value in headers.items()])
    head = (
        f"POST {target.path} HTTP/1.1\r\nHost: {target.host}\r\nAccept-Encoding: identity\r\n"
        f"User-Agent: {USER_AGENT}\r\n{lines}Content-Length: {len(body)}\r\n\r\n"
    )
    return head.encode("ascii") + body


def _failed(at: datetime, started: float, used: Sequence[HttpConnection], error: str) -> Outcome:
    status = used[-1].line.status if used else None
    if status is not None:
        error = f"only the status could be read: {error}"
    return Outcome(at, status, b"", error, _milliseconds_since(started))


def _milliseconds_since(started: float) -> int:
    return round((time.monotonic() - started) * 1_000)


def _describe(error: Exception) -> str:
    """The error in one line, for the owner of the webhook."""
    return (
        (str(error) or type(error).__name__)
        .replace("\n", " ")
        .replace("\0", "")[:500]
        .encode(errors="replace")
        .decode()
    )
