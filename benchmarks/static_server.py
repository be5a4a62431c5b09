"""A server that answers every request with the same bytes: the limit of the load generator.

`python -m benchmarks.static_server PORT` answers on loopback until it is terminated.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from benchmarks.bench import terminated
from benchmarks.clients import Clients, Operations
from benchmarks.http_client import HttpClient
from tests.support.server import free_port

BODY = b'{"data":"' + b"x" * 1_000 + b'"}'
_ANSWER = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b" % (
    len(BODY),
    BODY,
)
_START_SECONDS = 30


class _Answering(asyncio.Protocol):
    """Answers each head at once, and so supports only requests without a body."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        self._received = b""

    def data_received(self, data: bytes) -> None:
        heads = (self._received + data).split(b"\r\n\r\n")
        self._received = heads.pop()
        self._transport.write(_ANSWER * len(heads))  # type: ignore[attr-defined]


def measure_ceiling(clients: int, seconds: float) -> float:
    """The requests per second of that many clients against a server that does nothing."""
    with _running() as base_url, Clients(clients, _prepare, base_url) as running:
        return running.measure_rate("GET", seconds)


def _prepare(number: int, base_url: str) -> Operations:
    client = HttpClient(base_url, "key")
    return {"GET": lambda: client.request("GET", "/")}


@contextmanager
def _running() -> Iterator[str]:
    port = free_port()
    with terminated(subprocess.Popen([sys.executable, "-m", "benchmarks.static_server", str(port)])):
        deadline = time.monotonic() + _START_SECONDS
        while True:
            try:
                HttpClient(f"http://127.0.0.1:{port}").request("GET", "/")
                break
            except OSError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.05)
        yield f"http://127.0.0.1:{port}"


async def _serve(port: int) -> None:
    server = await asyncio.get_running_loop().create_server(_Answering, "127.0.0.1", port)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(_serve(int(sys.argv[1])))
