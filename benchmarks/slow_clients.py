"""How much slow clients delay other requests: `python -m benchmarks.slow_clients`.

Each kind of slow client, and then many idle and many busy ones, are connected while one client sends
requests, half of them on new connections. Prints the durations of these requests, and the memory of the
workers.
"""

from __future__ import annotations

import argparse
import math
import multiprocessing
import resource
import selectors
import socket
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import cast

import psutil
import requests

from infrastructure.storage.embedded import start_embedded
from infrastructure.storage.migrating import migrate
from infrastructure.storage.postgres import connect
from projections.schema import create_read_schema
from tests.acceptance.site import Site

HEADS, TRICKLES, READERS, IDLE, BUSY = 64, 200, 60, 10_000, 200
BATCH = 100  # of idle connections that are opened together
FILE_BYTES = 24_000_000
READ_BYTES = 65_536  # of each slow reader, in each second
Address = tuple[str, int]


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.slow_clients", description=__doc__)
    parser.add_argument("--seconds", type=float, default=15.0)
    parser.add_argument("--workers", type=int, default=4)
    parser.add_argument("--threads", type=int, default=8)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="slow-clients-") as folder, ExitStack() as stack:
        server = start_embedded(Path(folder) / "postgres")
        stack.callback(server.stop)
        dsn = server.dsn()
        migrate(dsn)
        with connect(dsn, application="benchmarks") as conn:
            create_read_schema(conn)
        with Site.running(dsn, workers=options.workers, threads=options.threads) as site:
            ticket_id = site.ticket()["id"]
            address = ("127.0.0.1", int(site.base_url.rpartition(":")[2]))
            print("kind               requests  errors   p50 ms   p99 ms   max ms   worker MB")
            measure("none", site, ticket_id, options.seconds, lambda: None)
            with half_sent_heads(address):
                measure(f"{HEADS} heads", site, ticket_id, options.seconds, lambda: None)
            with trickling(address, site.keys["admin"], ticket_id) as send_byte:
                measure(f"{TRICKLES} trickling", site, ticket_id, options.seconds, send_byte)
            with slow_readers(address, site, ticket_id) as read_some:
                measure(f"{READERS} slow readers", site, ticket_id, options.seconds, read_some)
            with idle(address) as count:
                measure(f"{count} idle", site, ticket_id, options.seconds, lambda: None)
            with busy(address, site.keys["admin"], ticket_id):
                measure(f"{BUSY} busy", site, ticket_id, options.seconds, lambda: None)


def measure(kind: str, site: Site, ticket_id: str, seconds: float, each_second: Callable[[], None]) -> None:
    """Send requests for some seconds, while `each_second` makes the slow clients send or receive a little."""
    stopping = threading.Event()

    def work_slowly() -> None:
        while not stopping.wait(1.0):
            each_second()

    slow = threading.Thread(target=work_slowly)
    slow.start()
    durations, errors = [], 0
    kept = site.client()
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        is_new = len(durations) % 2 == 0
        with site.client() if is_new else ExitStack() as client:
            began = time.monotonic()
            try:
                sender = client if is_new else kept
                answer = sender.request("GET", f"/v1/tickets/{ticket_id}", timeout=30)
                errors += answer.status_code != 200
            except requests.RequestException:
                errors += 1
            durations.append((time.monotonic() - began) * 1_000)
        time.sleep(0.005)
    stopping.set()
    slow.join()
    durations.sort()
    p99 = durations[math.ceil(len(durations) * 0.99) - 1]
    megabytes = max(one.memory_info().rss for one in _workers(site)) // 1_000_000
    print(
        f"{kind:18} {len(durations):8} {errors:7} {durations[len(durations) // 2]:8.1f} {p99:8.1f}"
        f" {durations[-1]:8.1f} {megabytes:11}"
    )


def _workers(site: Site) -> list[psutil.Process]:
    port = int(site.base_url.rpartition(":")[2])
    return [
        psutil.Process(one.pid)
        for one in psutil.net_connections("tcp")
        if one.status == psutil.CONN_LISTEN and one.laddr.port == port and one.pid
    ]


@contextmanager
def half_sent_heads(address: Address) -> Iterator[None]:
    with ExitStack() as stack:
        for _ in range(HEADS):
            client = stack.enter_context(socket.create_connection(address, timeout=5))
            client.sendall(b"GET /v1/tickets HTTP/1.1\r\nHost: x\r\nX-Half: ")
        yield


@contextmanager
def trickling(address: Address, key: str, ticket_id: str) -> Iterator[Callable[[], None]]:
    """Sockets that send one byte a second: half of them of a head, a quarter each of a body with a length and
    of a chunked body. A socket that the server closes is replaced."""
    head = f"Host: x\r\nAuthorization: Bearer {key}\r\nContent-Type: application/json\r\n"
    post = f"POST /v1/tickets/{ticket_id}/comments HTTP/1.1\r\n{head}"
    starts = (
        "GET /v1/tickets HTTP/1.1\r\nHost: x\r\nX-Slow: ",
        f"{post}Content-Length: 1000\r\n\r\n",
        "GET /v1/tickets HTTP/1.1\r\nHost: x\r\nX-Slow: ",
        f"{post}Transfer-Encoding: chunked\r\n\r\n3e8\r\n",
    )
    clients: list[socket.socket] = []

    def connect(number: int) -> socket.socket:
        client = socket.create_connection(address, timeout=5)
        client.sendall(starts[number % len(starts)].encode())
        return client

    def send_byte() -> None:
        for number, client in enumerate(clients):
            try:
                client.send(b"x")
            except OSError:
                client.close()
                clients[number] = connect(number)

    clients += [connect(number) for number in range(TRICKLES)]
    try:
        yield send_byte
    finally:
        for client in clients:
            client.close()


@contextmanager
def slow_readers(address: Address, site: Site, ticket_id: str) -> Iterator[Callable[[], None]]:
    """Sockets that request a file of FILE_BYTES and read READ_BYTES of it in each second."""
    path = f"/v1/tickets/{ticket_id}/attachments"
    with site.client() as client:
        file = client.post(path, files={"file": ("large.bin", bytes(FILE_BYTES))}).json()["data"]
    target = file["url"].removeprefix(site.base_url)
    with ExitStack() as stack:
        clients = []
        for _ in range(READERS):
            reader = stack.enter_context(socket.socket())
            reader.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, READ_BYTES)
            reader.connect(address)
            reader.sendall(f"GET {target} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
            reader.settimeout(1.0)
            clients.append(reader)

        def read_some() -> None:
            for reader in clients:
                try:
                    reader.recv(READ_BYTES)
                except OSError:
                    continue

        yield read_some


@contextmanager
def idle(address: Address) -> Iterator[int]:
    """IDLE connections that have sent one request each and are kept open, or as many as this process may
    open."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    count = min(IDLE, hard - 1_000) if hard != resource.RLIM_INFINITY else IDLE
    with ExitStack() as stack:
        for _ in range(0, count, BATCH):
            clients = [stack.enter_context(socket.create_connection(address, 60)) for _ in range(BATCH)]
            for client in clients:
                client.sendall(b"GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n")
            for client in clients:
                client.recv(READ_BYTES)
        yield count
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@contextmanager
def busy(address: Address, key: str, ticket_id: str) -> Iterator[None]:
    """BUSY connections that send a request as soon as the last one is answered, from another process."""
    request = f"GET /v1/tickets/{ticket_id} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {key}\r\n\r\n"
    process = multiprocessing.get_context("spawn").Process(
        target=_send_requests, args=(address, request.encode()), daemon=True
    )
    process.start()
    try:
        yield
    finally:
        process.kill()
        process.join()


def _send_requests(address: Address, request: bytes) -> None:
    with selectors.DefaultSelector() as selector:
        for _ in range(BUSY):
            client = socket.create_connection(address, 60)
            client.sendall(request)
            selector.register(client, selectors.EVENT_READ)
        while True:
            for key, _ in selector.select():
                client = cast(socket.socket, key.fileobj)
                client.recv(READ_BYTES)  # a short answer arrives at once
                client.sendall(request)


if __name__ == "__main__":
    main()
