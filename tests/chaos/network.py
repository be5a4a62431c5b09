"""The networks between the servers: a TCP proxy in a process of its own for each."""

from __future__ import annotations

import multiprocessing
from multiprocessing.connection import Connection
from typing import NamedTuple

from tests.support.proxy import Mode, Proxy

ANSWER_SECONDS = 30
_processes = multiprocessing.get_context("spawn")  # no copy of the rig's threads


class Order(NamedTuple):
    """What a proxy shall do: take on the mode, and lose the reply to the next request with these bytes."""

    mode: Mode = "pass"
    delay_seconds: float = 0.0
    lost: bytes = b""


class Network:
    """The way from clients to one server. `port` is where clients connect."""

    def __init__(self, server: str, *, port: int = 0) -> None:
        """`server` is a connection string: host (or the folder of a unix socket) and port."""
        self._control, inner = _processes.Pipe()
        self._process = _processes.Process(target=_serve, args=(server, port, inner), daemon=True)
        self._process.start()
        self.port, _ = self._send(Order())

    @property
    def losses(self) -> int:
        """The number of replies lost so far."""
        return self._send(None)[1]

    def pass_on(self) -> None:
        """Forward everything, as at the start."""
        self._send(Order())

    def cut(self) -> None:
        """Reset all connections and refuse new ones."""
        self._send(Order("reset"))

    def hold(self) -> None:
        """Let nothing through; what was sent arrives after `pass_on`."""
        self._send(Order("hold"))

    def slow_down(self, delay_seconds: float) -> None:
        """Forward each chunk only after the delay."""
        self._send(Order("delay", delay_seconds))

    def lose_reply_to(self, request: bytes) -> None:
        """Forward the next message that contains `request`, and reset its connection before the reply."""
        self._send(Order(lost=request))

    def close(self) -> None:
        self._process.kill()
        self._process.join()

    def _send(self, order: Order | None) -> tuple[int, int]:
        """Returns the port and the number of losses."""
        self._control.send(order)
        if not self._control.poll(ANSWER_SECONDS):
            raise RuntimeError("a proxy does not answer")
        port, losses = self._control.recv()
        return port, losses


def _serve(server: str, port: int, control: Connection) -> None:
    """In the proxy's process: carry out orders until the rig has ended."""
    proxy = Proxy(server, port=port)
    while True:
        try:
            order: Order | None = control.recv()
        except EOFError:
            proxy.close()
            return
        if order is not None:
            proxy.set_mode(order.mode, delay_seconds=order.delay_seconds)
            if order.lost:
                proxy.lose_reply_to(order.lost)
        control.send((proxy.port, proxy.losses))
