"""An HTTP/1.1 client that needs little CPU time, so that it does not distort measurements of the server."""

from __future__ import annotations

import json
import socket
from collections.abc import Mapping
from urllib.parse import urlsplit

TIMEOUT_SECONDS = 30
_HEAD_END = b"\r\n\r\n"
_LENGTH = b"\r\ncontent-length:"


class UnexpectedAnswer(Exception):
    """The answer has another status than the benchmark expects. `status` is 0 if there is no answer."""

    def __init__(self, message: str, status: int = 0) -> None:
        super().__init__(message)
        self.status = status


class HttpClient:
    """A client with one persistent connection."""

    def __init__(self, base_url: str, key: str = "", headers: Mapping[str, str] | None = None) -> None:
        address = urlsplit(base_url)
        self._socket = socket.create_connection((address.hostname, address.port), timeout=TIMEOUT_SECONDS)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._head = f"Host: {address.netloc}\r\nAccept: application/json\r\n"
        if key:
            self._head += f"Authorization: Bearer {key}\r\n"
        self._head += "".join(f"{name}: {value}\r\n" for name, value in (headers or {}).items())

    def request(self, method: str, path: str, body: object = None, *, expect: int = 200) -> bytes:
        """Send one request and return the body of the answer. Raises UnexpectedAnswer for another status."""
        head, content = self._head, b""
        if body is not None:
            content = json.dumps(body).encode()
            head += f"Content-Type: application/json\r\nContent-Length: {len(content)}\r\n"
        self._socket.sendall(f"{method} {path} HTTP/1.1\r\n{head}\r\n".encode() + content)
        status, answer = self._read()
        if status != expect:
            raise UnexpectedAnswer(f"{method} {path}: {status} {answer[:500]!r}", status)
        return answer

    def _read(self) -> tuple[int, bytes]:
        received = b""
        while (end := received.find(_HEAD_END)) < 0:
            received += self._receive()
        head = received[:end].lower()
        length_at = head.index(_LENGTH) + len(_LENGTH)
        length = int(head[length_at:].split(b"\r\n", 1)[0])
        body = received[end + len(_HEAD_END) :]
        while len(body) < length:
            body += self._receive()
        return int(head[9:12]), body

    def _receive(self) -> bytes:
        if chunk := self._socket.recv(65_536):
            return chunk
        raise UnexpectedAnswer("The server closed the connection.")
