"""Sends posts to webhooks and returns their outcomes."""

from __future__ import annotations

import asyncio
import ssl
import time
from datetime import UTC, datetime
from http import HTTPStatus
from typing import NamedTuple

import aiohttp
from yarl import URL

from webhook_dispatcher.address_guard import AddressGuard, GuardedResolver
from webhook_dispatcher.schedule import retry_after_seconds
from webhook_dispatcher.status_lines import Answer, StatusConnector, expect_answer

READ_BYTES = 65_536  # of an answer; the rest is not read
STORED_BYTES = 2_048  # of an answer
LONGEST_HEADER = 65_536  # bytes; an answer with a longer one, or with more headers, still has its status
MOST_HEADERS = 1_000
BODY_SECONDS = 3.0  # the longest wait for the body once the status is known
KEEPALIVE_SECONDS = 4.0  # shorter than the time after which common servers close idle connections
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

    def __init__(self, guard: AddressGuard, *, timeout_seconds: float, limit: int) -> None:
        self._guard = guard
        self._timeout_seconds = timeout_seconds
        self._limit = limit

    async def __aenter__(self) -> Poster:
        self._resolver = GuardedResolver(self._guard)
        self._tls = ssl.create_default_context()
        self._reusing = self._session(keep=True)
        self._fresh = self._session(keep=False)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._reusing.close()
        await self._fresh.close()
        await self._resolver.close()

    async def post(self, url: str, body: bytes, headers: dict[str, str]) -> Outcome:
        """Post once. Raises nothing except CancelledError."""
        at = datetime.now(UTC)
        started = time.monotonic()
        expected = expect_answer()
        try:
            async with asyncio.timeout(self._timeout_seconds) as limit:
                status, answer, retry_after = await self._exchange(url, body, headers, limit, expected)
        except TimeoutError:
            too_late = f"no answer within {self._timeout_seconds:g} s"
            return _failed(at, started, expected.status, too_late)
        except (aiohttp.ClientError, OSError, ValueError) as error:
            return _failed(at, started, expected.status, _describe(error))
        seconds = retry_after_seconds(retry_after, datetime.now(UTC))
        redirect = 300 <= status < 400
        error_text = "redirects are not followed" if redirect else None
        return Outcome(at, status, answer[:STORED_BYTES], error_text, _milliseconds_since(started), seconds)

    async def _exchange(
        self, url: str, body: bytes, headers: dict[str, str], limit: asyncio.Timeout, expected: Answer
    ) -> tuple[int, bytes, str | None]:
        """Post on an open connection. If it is closed without an answer, post again on a new one."""
        try:
            return await self._send(self._reusing, url, body, headers, limit)
        except (aiohttp.ServerDisconnectedError, ConnectionResetError, aiohttp.ClientOSError) as error:
            if isinstance(error, aiohttp.ClientConnectorError) or expected.status is not None:
                raise
            return await self._send(self._fresh, url, body, headers, limit)

    async def _send(
        self,
        session: aiohttp.ClientSession,
        url: str,
        body: bytes,
        headers: dict[str, str],
        limit: asyncio.Timeout,
    ) -> tuple[int, bytes, str | None]:
        async with session.post(
            URL(url, encoded=True), data=body, headers=headers, allow_redirects=False
        ) as response:
            self._verify_peer(response)
            answer = await _read_beginning(response, limit.when() or 0.0)
            return response.status, answer, response.headers.get("Retry-After")

    def _verify_peer(self, response: aiohttp.ClientResponse) -> None:
        """Check the address of the peer once more, on the open connection."""
        connection = response.connection
        if connection is not None and connection.transport is not None:
            peer = connection.transport.get_extra_info("peername")
            if peer is not None:
                self._guard.require_public(peer[0])

    def _session(self, *, keep: bool) -> aiohttp.ClientSession:
        connector = StatusConnector(
            resolver=self._resolver,
            use_dns_cache=False,
            ssl=self._tls,
            limit=self._limit,
            force_close=not keep,
            keepalive_timeout=KEEPALIVE_SECONDS if keep else None,
            socket_factory=self._guard.make_socket,
        )
        return aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            trust_env=False,
            timeout=aiohttp.ClientTimeout(total=None),
            max_line_size=LONGEST_HEADER,
            max_field_size=LONGEST_HEADER,
            max_headers=MOST_HEADERS,
            skip_auto_headers=("Accept", "User-Agent"),
            headers={"Accept-Encoding": "identity", "User-Agent": USER_AGENT},
        )


async def _read_beginning(response: aiohttp.ClientResponse, deadline: float) -> bytes:
    """The first READ_BYTES of the answer. Closes the connection when the answer is longer.

    Stops before the deadline of the attempt, so that a slow body does not turn a known status into a timeout.
    """
    received = bytearray()
    now = asyncio.get_running_loop().time()
    try:
        async with asyncio.timeout(min(BODY_SECONDS, (deadline - now) * 0.8)):
            while len(received) < READ_BYTES:
                chunk = await response.content.read(READ_BYTES - len(received))
                if not chunk:
                    return bytes(received)
                received += chunk
    except (TimeoutError, aiohttp.ClientError, OSError):
        pass  # the status is known, and the body is optional
    response.close()
    return bytes(received)


def _failed(at: datetime, started: float, status: int | None, error: str) -> Outcome:
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
