"""A TCP proxy in front of PostgreSQL that simulates network faults."""

from __future__ import annotations

import select
import socket
import struct
import threading
import time
from typing import Literal

from psycopg.conninfo import conninfo_to_dict, make_conninfo

Mode = Literal["pass", "blackhole", "reset", "delay", "hold"]
_READY_FOR_QUERY = (b"Z\x00\x00\x00\x05I", b"Z\x00\x00\x00\x05T", b"Z\x00\x00\x00\x05E")
_RESET_ON_CLOSE = struct.pack("ii", 1, 0)
_TICK_SECONDS = 0.01
_REPLY_SECONDS = 10.0


class Proxy:
    """Listens on loopback and forwards to the server of `dsn`; clients connect to `Proxy.dsn`.

    Modes: `pass` forwards; `blackhole` accepts connections, discards all data and never answers; `reset`
    resets open connections and refuses new ones; `delay` forwards each chunk after `delay_seconds`; `hold`
    forwards nothing, but what was sent arrives later, as when a network fails for some seconds.
    """

    def __init__(self, dsn: str, *, port: int = 0) -> None:
        self._server = conninfo_to_dict(dsn)
        self._listener = socket.create_server(("127.0.0.1", port))
        port = self.port = self._listener.getsockname()[1]
        self.dsn = make_conninfo(
            dsn, host="127.0.0.1", port=port, sslmode="disable", gssencmode="disable", user="postgres"
        )
        self.losses = 0  # the number of replies and requests lost so far
        self.delay_seconds = 0.0
        self._mode: Mode = "pass"
        self._is_closed = False
        self._lost_request: bytes | None = None
        self._lost_reply: bytes | None = None
        self._links: set[threading.Thread] = set()
        self._acceptor = threading.Thread(target=self._accept)
        self._acceptor.start()

    def __enter__(self) -> Proxy:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self.set_mode("reset")
        self._is_closed = True
        self._acceptor.join()
        self._listener.close()

    def set_mode(self, mode: Mode, *, delay_seconds: float = 0.0) -> None:
        """Change the mode, also for open connections. After `reset`, they are closed when this returns."""
        self.delay_seconds = delay_seconds
        self._mode = mode
        while mode == "reset" and self._links:
            time.sleep(_TICK_SECONDS)

    def lose_reply_to(self, request: bytes) -> None:
        """Once: forward the next message that contains `request`, discard the server's whole reply, then
        reset the client's connection."""
        self._lost_reply = request

    def lose_request(self, request: bytes) -> None:
        """Once: discard the next message that contains `request`, and reset its connection."""
        self._lost_request = request

    def _accept(self) -> None:
        self._listener.settimeout(_TICK_SECONDS)
        while not self._is_closed:
            try:
                client, _ = self._listener.accept()
            except TimeoutError:
                continue
            if self._mode == "reset":
                _reset(client)
                continue
            link = threading.Thread(target=self._serve, args=(client,))
            self._links.add(link)
            link.start()

    def _serve(self, client: socket.socket) -> None:
        server: socket.socket | None = None
        try:
            server = self._connect()
            self._relay(client, server)
        except OSError:  # also of a server that does not listen
            pass
        finally:
            _reset(client)
            if server is not None:
                server.close()
            self._links.discard(threading.current_thread())

    def _connect(self) -> socket.socket:
        host, port = str(self._server.get("host") or "127.0.0.1"), self._server.get("port") or 5432
        if not host.startswith("/"):
            return socket.create_connection((host, int(port)), timeout=5)
        server = socket.socket(socket.AF_UNIX)
        server.connect(f"{host}/.s.PGSQL.{port}")
        return server

    def _relay(self, client: socket.socket, server: socket.socket) -> None:
        """Forward until either side closes, the mode becomes `reset`, or a message is lost on request."""
        while self._mode != "reset":
            if self._mode == "hold":
                time.sleep(_TICK_SECONDS)
                continue
            readable, _, _ = select.select([client, server], [], [], _TICK_SECONDS)
            for source in readable:
                chunk = source.recv(65_536)
                if not chunk:
                    return
                if self._mode == "blackhole":
                    continue
                time.sleep(self.delay_seconds)
                if source is server:
                    client.sendall(chunk)
                elif self._lose_if_requested(chunk, client, server):
                    return
                else:
                    server.sendall(chunk)

    def _lose_if_requested(self, chunk: bytes, client: socket.socket, server: socket.socket) -> bool:
        if self._lost_request is not None and self._lost_request in chunk:
            self._lost_request = None
        elif self._lost_reply is not None and self._lost_reply in chunk:
            self._lost_reply = None
            server.sendall(chunk)
            self._discard_reply(client, server)
        else:
            return False
        self.losses += 1
        return True

    def _discard_reply(self, client: socket.socket, server: socket.socket) -> None:
        """Discard the server's reply, including that to data the client still adds, until the server is ready
        for the next query, either side closes, or the mode becomes `reset`."""
        reply = b""
        deadline = time.monotonic() + _REPLY_SECONDS
        while not reply.endswith(_READY_FOR_QUERY) and self._mode != "reset" and time.monotonic() < deadline:
            readable, _, _ = select.select([client, server], [], [], _TICK_SECONDS)
            for source in readable:
                chunk = source.recv(65_536)
                if not chunk:
                    return
                if source is client:
                    server.sendall(chunk)
                else:
                    reply += chunk


def _reset(connection: socket.socket) -> None:
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
    connection.close()
