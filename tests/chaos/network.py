"""The networks between the servers: a TCP proxy in a process of its own for each."""

from __future__ import annotations

import multiprocessing
from multiprocessing.connection import Connection
from typing import Any

from tests.support.proxy import Mode, Proxy

ANSWER_SECONDS = 30
_processes = multiprocessing.get_context("spawn")  # no copy of the rig's threads


class Network:
    """The way from clients to one server. `port` is where clients connect."""

    def __init__(self, server: str, *, port: int = 0) -> None:
        """`server` is a connection string: host (or the folder of a unix socket) and port."""
        self._control, inner = _processes.Pipe()
        self._process = _processes.Process(target=_serve, args=(server, port, inner), daemon=True)
        self._process.start()
        self.port = int(self._ask(None))

    def pass_on(self) -> None:
        """Forward everything, as at the start."""
        self._ask(("pass", 0.0))

    def cut(self) -> None:
        """Reset all connections and refuse new ones."""
        self._ask(("reset", 0.0))

    def hold(self) -> None:
        """Let nothing through; what was sent arrives after `pass_on`."""
        self._ask(("hold", 0.0))

    def slow_down(self, delay_seconds: float) -> None:
        """Forward each chunk only after the delay."""
        self._ask(("delay", delay_seconds))

    def close(self) -> None:
        self._process.kill()
        self._process.join()

    def _ask(self, mode: tuple[Mode, float] | None) -> Any:
        self._control.send(mode)
        if not self._control.poll(ANSWER_SECONDS):
            raise RuntimeError("a proxy does not answer")
        return self._control.recv()


def _serve(server: str, port: int, control: Connection) -> None:
    """In the proxy's process: change the mode on request, until the rig has ended."""
    proxy = Proxy(server, port=port)
    while True:
        try:
            asked = control.recv()
        except EOFError:
            proxy.set_mode("reset")
            proxy.close()
            return
        if asked is not None:
            proxy.set_mode(asked[0], delay_seconds=asked[1])
        control.send(proxy.port)
