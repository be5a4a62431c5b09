"""Opens connections to receivers through the address guard, and keeps them open for the next post."""

from __future__ import annotations

import asyncio
import re
import ssl
from collections import defaultdict
from typing import NamedTuple
from urllib.parse import urlsplit

import aiohappyeyeballs

from webhook_dispatcher.address_guard import AddressGuard, GuardedResolver
from webhook_dispatcher.http_connection import HttpConnection

KEEPALIVE_SECONDS = 4.0  # shorter than the time after which common servers close idle connections
NEXT_ADDRESS_SECONDS = 0.25  # after which the next address is tried too (RFC 8305)
PORTS = {"http": 80, "https": 443}
_VISIBLE = re.compile("[!-~]+")  # ASCII without spaces and control characters


class Origin(NamedTuple):
    """Where a connection leads to."""

    scheme: str
    host: str
    port: int


class Target(NamedTuple):
    """A URL as a connection and a request need it; `host` is the header of that name."""

    origin: Origin
    host: str
    path: str

    @classmethod
    def of(cls, url: str) -> Target:
        """Raises ValueError for a URL that cannot be sent."""
        parts = urlsplit(url)
        scheme, host, port = parts.scheme, parts.hostname or "", parts.port
        path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        if scheme not in PORTS or not host or not _VISIBLE.fullmatch(f"{host}{path}"):
            raise ValueError(f"{url[:200]} is not a web address")
        name = f"[{host}]" if ":" in host else host
        if port not in (None, PORTS[scheme]):
            name = f"{name}:{port}"
        return cls(Origin(scheme, host, PORTS[scheme] if port is None else port), name, path)


class Connections:
    """The open connections. Each one is used by one post at a time, and closed after KEEPALIVE_SECONDS."""

    def __init__(self, guard: AddressGuard) -> None:
        self._loop = asyncio.get_running_loop()
        self._guard = guard
        self._resolver = GuardedResolver(guard)
        self._tls = ssl.create_default_context()
        self._idle: defaultdict[Origin, list[HttpConnection]] = defaultdict(list)
        self._sweep: asyncio.TimerHandle | None = None

    def take_idle(self, origin: Origin) -> HttpConnection | None:
        """An open connection that is not in use, or None."""
        idle = self._idle.get(origin)
        while idle:
            connection = idle.pop()
            if connection.is_reusable and self._loop.time() - connection.idle_since < KEEPALIVE_SECONDS:
                return connection
            connection.close()
        return None

    async def open(self, origin: Origin) -> HttpConnection:
        """A new connection. Raises OSError, also AddressRefused and errors of TLS."""
        addresses = await self._resolver.resolve(origin.host, origin.port)
        opened = await aiohappyeyeballs.start_connection(
            addresses,
            happy_eyeballs_delay=NEXT_ADDRESS_SECONDS,
            interleave=1,
            socket_factory=self._guard.make_socket,
        )
        is_https = origin.scheme == "https"
        try:
            _, connection = await self._loop.create_connection(
                lambda: HttpConnection(self._loop),
                sock=opened,
                ssl=self._tls if is_https else None,
                server_hostname=origin.host.rstrip(".") if is_https else None,
            )
        except BaseException:
            opened.close()
            raise
        return connection

    def give_back(self, origin: Origin, connection: HttpConnection) -> None:
        """Keep the connection for another post, or close it if its answer is not complete."""
        if not connection.is_reusable:
            connection.close()
            return
        connection.idle_since = self._loop.time()
        self._idle[origin].append(connection)
        if self._sweep is None:
            self._sweep = self._loop.call_later(KEEPALIVE_SECONDS, self._close_old)

    async def close(self) -> None:
        if self._sweep is not None:
            self._sweep.cancel()
        for idle in self._idle.values():
            for connection in idle:
                connection.close()
        self._idle.clear()
        await self._resolver.close()

    def _close_old(self) -> None:
        self._sweep = None
        oldest = self._loop.time() - KEEPALIVE_SECONDS
        for origin, idle in list(self._idle.items()):
            for connection in idle:
                if connection.idle_since <= oldest:
                    connection.close()
            kept = [connection for connection in idle if connection.is_reusable]
            if kept:
                self._idle[origin] = kept
            else:
                del self._idle[origin]
        if self._idle:
            self._sweep = self._loop.call_later(KEEPALIVE_SECONDS, self._close_old)
