"""Restricts posts to public addresses, with a check at the moment when a socket connects.

Each name is resolved once; if one of its addresses is refused, none is tried. Every socket checks the address
that it connects to, so a second look-up or an address written as a number cannot avoid the check.
domain/public_ips.py has the list of networks.
"""

from __future__ import annotations

import asyncio
import errno
import ipaddress
import socket
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import psutil

from domain.public_ips import is_public

LOOK_UP_THREADS = 64  # names that are not answered, before one more delays others

AddressInfo = tuple[Any, Any, int, str, tuple[Any, ...]]
LookUp = Callable[..., list[Any]]


class AddressRefused(OSError):
    """A post would go to an address that is not on the public internet."""


def refusal(address: str, own: frozenset[str] = frozenset()) -> str | None:
    """The reason why posts to this IP address are refused, or None. `own` are this machine's addresses."""
    try:
        ip = ipaddress.ip_address(address)
    except ValueError:
        return f"{address} is not an IP address"
    if is_public(ip) and str(ip) not in own:
        return None
    return f"{address} is not on the public internet"


class AddressGuard:
    """Resolves names and makes sockets for the HTTP client. `allow_private` disables the check, for tests."""

    def __init__(self, *, allow_private: bool, look_up: LookUp = socket.getaddrinfo) -> None:
        self.allow_private = allow_private
        self.look_up = look_up
        self._own = _own_addresses()

    def require_public(self, address: str) -> None:
        """Raise AddressRefused unless posts may go there."""
        if not self.allow_private and (reason := refusal(address, self._own)):
            raise AddressRefused(errno.EACCES, f"refused: {reason}")

    def make_socket(self, info: AddressInfo) -> socket.socket:
        """Make a socket that checks the address again when it connects. Raises AddressRefused."""
        family, kind, protocol, _, address = info
        self.require_public(address[0])
        made = _GuardedSocket(family, kind, protocol)
        made.guard = self
        made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return made


class _GuardedSocket(socket.socket):
    """Checks each address immediately before the kernel connects to it."""

    guard: AddressGuard

    def connect(self, address: Any) -> None:
        self.guard.require_public(address[0])
        super().connect(address)

    def connect_ex(self, address: Any) -> int:
        self.guard.require_public(address[0])
        return super().connect_ex(address)


class GuardedResolver:
    """Looks names up in separate threads: an unreachable name server must not delay other work.

    Connections to the same name that are opened at the same time share one look-up, so a name that is not
    answered takes one thread, whatever number of posts wait for it.
    """

    def __init__(self, guard: AddressGuard) -> None:
        self._guard = guard
        self._threads = ThreadPoolExecutor(LOOK_UP_THREADS, thread_name_prefix="look-up")
        self._running: dict[tuple[str, int], asyncio.Future[list[AddressInfo]]] = {}

    async def resolve(self, host: str, port: int) -> list[AddressInfo]:
        """The addresses of a host. Raises AddressRefused if posts may not go to one of them, and OSError."""
        found = _as_number(host, port) or await self._look_up(host, port)
        for *_, address in found:
            self._guard.require_public(address[0])
        return found

    async def _look_up(self, host: str, port: int) -> list[AddressInfo]:
        key = (host, port)
        running = self._running.get(key)
        if running is None:
            running = asyncio.get_running_loop().run_in_executor(
                self._threads,
                lambda: self._guard.look_up(host, port, socket.AF_UNSPEC, socket.SOCK_STREAM),
            )
            self._running[key] = running
            running.add_done_callback(partial(self._forget, key))
        return await asyncio.shield(running)  # a post that is given up must not end it for others

    def _forget(self, key: tuple[str, int], done: asyncio.Future[list[AddressInfo]]) -> None:
        self._running.pop(key, None)
        if not done.cancelled():
            done.exception()  # otherwise asyncio reports an error that no post has waited for

    async def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)


def _as_number(host: str, port: int) -> list[AddressInfo]:
    """The address if the host is one, in any notation, and not a name: it needs no name server."""
    try:
        return socket.getaddrinfo(
            host, port, socket.AF_UNSPEC, socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST
        )
    except (OSError, UnicodeError):
        return []


def _own_addresses() -> frozenset[str]:
    """The addresses of this machine. Its services may trust connections from the machine itself."""
    return frozenset(
        address.address.partition("%")[0]
        for addresses in psutil.net_if_addrs().values()
        for address in addresses
        if address.family in (socket.AF_INET, socket.AF_INET6)
    )
