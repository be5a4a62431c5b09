"""Webhook receivers: HTTP servers on loopback that answer correctly or misbehave."""

from __future__ import annotations

import gzip
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, NamedTuple

from tests.support.webhook_bodies import problems_of

Answer = Callable[[BaseHTTPRequestHandler], None]


class Post(NamedTuple):
    """One received request."""

    path: str
    headers: dict[str, str]
    body: bytes
    at: float

    @property
    def id(self) -> str:
        return self.headers["webhook-id"]


class Receiver:
    """A server that records every post and answers 200, or as `answers` defines for the path."""

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        self.posts: list[Post] = []
        self.bodies: set[bytes] = set()  # also of posts that a test has removed from `posts`
        self.answers: dict[str, Answer] = {}
        self.connections = 0
        self.stopping = threading.Event()
        self._server = _Server(("127.0.0.1", 0), _handler_of(self))
        self._server.receiver = self
        if tls is not None:
            self._server.socket = tls.wrap_socket(self._server.socket, server_side=True)
        self.scheme = "http" if tls is None else "https"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()

    @property
    def port(self) -> int:
        return int(self._server.server_address[1])

    def url(self, path: str = "/hook") -> str:
        return f"{self.scheme}://127.0.0.1:{self.port}{path}"

    def at(self, path: str) -> list[Post]:
        return [post for post in self.posts if post.path == path]

    def stop(self) -> None:
        self.stopping.set()
        self._server.shutdown()
        self._server.server_close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 256
    receiver: Receiver

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Ignore errors: the dispatcher closes connections to bad receivers."""

    def process_request(self, request: Any, client_address: Any) -> None:
        self.receiver.connections += 1
        super().process_request(request, client_address)


def _handler_of(receiver: Receiver) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            headers = {name.lower(): value for name, value in self.headers.items()}
            if "webhook-id" in headers:  # the tests of the poster alone send none
                receiver.bodies.add(body)
            receiver.posts.append(Post(self.path, headers, body, time.monotonic()))
            receiver.answers.get(self.path, answer(200))(self)

        def log_message(self, *_: Any) -> None:
            """Log nothing."""

    return Handler


def answer(status: int, body: bytes = b"ok", **headers: str) -> Answer:
    """Return a handler that sends this answer. In header names, write `_` for `-`."""

    def respond(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(status)
        for name, value in headers.items():
            handler.send_header(name.replace("_", "-"), value)
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body)

    return respond


def hang(handler: BaseHTTPRequestHandler) -> None:
    """Never answer."""
    _receiver(handler).stopping.wait()


def drip(handler: BaseHTTPRequestHandler) -> None:
    """Send an endless header line, one byte at a time."""
    handler.wfile.write(b"HTTP/1.1 200 OK\r\nX-Slow: ")
    while not _receiver(handler).stopping.wait(0.05):
        handler.wfile.write(b"a")


def drip_body(handler: BaseHTTPRequestHandler) -> None:
    """Send the status at once, then an endless body, one byte at a time."""
    handler.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n")
    while not _receiver(handler).stopping.wait(0.05):
        handler.wfile.write(b"a")


def reset(handler: BaseHTTPRequestHandler) -> None:
    """Reset the connection instead of answering."""
    handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    handler.close_connection = True
    handler.connection.close()


def gigabyte(handler: BaseHTTPRequestHandler) -> None:
    """Send up to 1 GB, as much as the client reads."""
    handler.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1073741824\r\n\r\n")
    chunk = b"x" * 1_048_576
    with suppress(OSError):
        for _ in range(1_024):
            handler.wfile.write(chunk)
    handler.close_connection = True


def gzip_bomb(handler: BaseHTTPRequestHandler) -> None:
    """Send 100 kB that decompress to 100 MB."""
    megabyte = gzip.compress(b"\0" * 1_000_000)  # gzip allows several members in one file
    answer(200, megabyte * 100, Content_Encoding="gzip")(handler)


def garbage(handler: BaseHTTPRequestHandler) -> None:
    """Send bytes that are not HTTP."""
    handler.wfile.write(b"\x00\xff not http at all\r\n\r\n")
    handler.close_connection = True


def _receiver(handler: BaseHTTPRequestHandler) -> Receiver:
    server: Any = handler.server
    receiver: Receiver = server.receiver
    return receiver


@contextmanager
def running_receiver(tls: ssl.SSLContext | None = None) -> Iterator[Receiver]:
    """A receiver that fails its test if a body that it received does not fit the published schema."""
    receiver = Receiver(tls)
    try:
        yield receiver
    finally:
        receiver.stop()
    assert [problem for body in receiver.bodies for problem in problems_of(body)] == []


def self_signed(folder: Path, name: str) -> tuple[ssl.SSLContext, Path]:
    """A TLS server context with a self-signed certificate for that host name, and the certificate file."""
    from datetime import UTC, datetime, timedelta

    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    path = folder / f"{name}.pem"
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path.write_bytes(private + certificate.public_bytes(serialization.Encoding.PEM))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(path)
    return context, path
