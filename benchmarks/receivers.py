"""A receiver of webhooks in a separate process, which answers every post and records its arrival."""

from __future__ import annotations

import asyncio
import multiprocessing
import time
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection as Pipe
from typing import Any, NamedTuple

import msgspec

WAIT_SECONDS = 120.0
_HEAD_END = b"\r\n\r\n"
_LENGTH = b"content-length:"
_ANSWER = b"HTTP/1.1 204 No Content\r\n\r\n"


class Arrival(NamedTuple):
    path: str
    ticket_id: str
    at: float  # time.monotonic, the same clock in all processes


class _Data(msgspec.Struct):
    id: str


class _Payload(msgspec.Struct):
    data: _Data


_decode = msgspec.json.Decoder(_Payload).decode


class Receiver:
    """An HTTP server in a separate process that answers 204 and records arrivals. Paths can be slow."""

    def __init__(self, pipe: Any, port: int) -> None:
        self._pipe = pipe
        self.port = port
        self._arrivals: list[Arrival] = []

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.port}{path}"

    def hang(self, path: str) -> None:
        """Never answer requests for this path again."""
        self._ask("hang", path)

    def delay(self, path: str, seconds: float) -> None:
        """Answer later requests for this path after that time."""
        self._ask("delay", f"{seconds} {path}")

    def count(self) -> int:
        """The number of arrivals since the last call of `take`; cheap for the receiver."""
        return int(self._ask("count", ""))

    def take(self) -> list[Arrival]:
        """Return the arrivals since the last call."""
        self._fetch()
        taken, self._arrivals = self._arrivals, []
        return taken

    def wait_for(self, path: str, ids: set[str]) -> dict[str, float]:
        """Wait for each of these tickets at that path, and return the times of their first arrival."""
        deadline = time.monotonic() + WAIT_SECONDS
        while True:
            self._fetch()
            found = {each.ticket_id: each.at for each in reversed(self._arrivals) if each.path == path}
            if ids <= found.keys():
                return found
            if time.monotonic() > deadline:
                raise SystemExit(f"{len(ids - found.keys())} deliveries to {path} did not arrive.")
            time.sleep(0.2)

    def wait_for_count(self, posts: int) -> list[Arrival]:
        """Wait for so many posts since the last call of `take`, and return them."""
        deadline = time.monotonic() + WAIT_SECONDS
        while (arrived := self.count()) < posts:
            if time.monotonic() > deadline:
                raise SystemExit(f"{posts - arrived} deliveries did not arrive.")
            time.sleep(0.1)
        return self.take()

    def _fetch(self) -> None:
        self._arrivals += self._ask("take", "")

    def _ask(self, action: str, parameter: str) -> Any:
        self._pipe.send((action, parameter))
        return self._pipe.recv()


@contextmanager
def running_receiver() -> Iterator[Receiver]:
    context = multiprocessing.get_context("spawn")
    parent_end, child_end = context.Pipe()
    process = context.Process(target=_serve, args=(child_end,), daemon=True)
    process.start()
    try:
        yield Receiver(parent_end, parent_end.recv())
    finally:
        process.kill()
        process.join()


def _serve(pipe: Pipe) -> None:
    asyncio.run(_serve_until_killed(pipe))


class _Posts:
    """What has arrived: path, body and time of each post. Bodies are decoded when they are asked for."""

    def __init__(self) -> None:
        self.raw: list[tuple[bytes, bytes, float]] = []
        self.hanging: set[bytes] = set()
        self.delays: dict[bytes, float] = {}  # seconds by path

    def answer(self, action: str, parameter: str) -> object:
        if action == "hang":
            self.hanging.add(parameter.encode())
            return None
        if action == "delay":
            seconds, path = parameter.split(" ", 1)
            self.delays[path.encode()] = float(seconds)
            return None
        if action == "count":
            return len(self.raw)
        raw, self.raw = self.raw, []
        return [Arrival(path.decode(), _decode(body).data.id, at) for path, body, at in raw]


class _Connection(asyncio.Protocol):
    """Parses the posts of one connection; as little work as possible for each."""

    def __init__(self, posts: _Posts) -> None:
        self._posts = posts
        self._received = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport: Any = transport

    def data_received(self, data: bytes) -> None:
        self._received = data = self._received + data if self._received else data
        head_end = data.find(_HEAD_END)
        if head_end < 0:
            return
        head = data[:head_end].lower()
        length_at = head.index(_LENGTH) + len(_LENGTH)
        end = head_end + len(_HEAD_END) + int(head[length_at:].split(b"\r\n", 1)[0])
        if len(data) < end:
            return
        path = data.split(b" ", 2)[1]
        self._posts.raw.append((path, data[head_end + len(_HEAD_END) : end], time.monotonic()))
        self._received = data[end:]
        if path in self._posts.delays:
            asyncio.get_running_loop().call_later(self._posts.delays[path], self._transport.write, _ANSWER)
        elif path not in self._posts.hanging:
            self._transport.write(_ANSWER)


async def _serve_until_killed(pipe: Pipe) -> None:
    posts = _Posts()
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: _Connection(posts), "127.0.0.1", 0, backlog=1_024)
    loop.add_reader(pipe.fileno(), lambda: pipe.send(posts.answer(*pipe.recv())))
    pipe.send(server.sockets[0].getsockname()[1])
    await server.serve_forever()
