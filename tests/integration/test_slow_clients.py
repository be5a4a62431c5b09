"""Clients that send or read slowly, more of them than the server has threads, do not delay other clients."""

import hashlib
import re
import selectors
import socket
from contextlib import ExitStack

import pytest

from tests.acceptance.site import Site
from tests.support.history import History, append
from tests.support.postgres import cloned_database

THREADS = 2
SLOW = 4 * THREADS
ANSWER_SECONDS = 5.0  # for a busy machine; a thread waited 10 s for a slow request and 30 s for a slow reader
FILE = bytes(range(256)) * 40_000
RECEIVE_BUFFER_BYTES = 32_768


@pytest.fixture(scope="module")
def site(postgres, template):
    with cloned_database(postgres, template) as dsn, Site.running(dsn, workers=1, threads=THREADS) as site:
        append(site.store, History(3).grow(2_500))  # exported in three pieces
        yield site


@pytest.fixture(scope="module")
def ticket_id(site):
    return site.ticket()["id"]


@pytest.fixture(scope="module")
def file_path(site, ticket_id):
    files = {"file": ("large.bin", FILE)}
    answer = site.client().post(f"/v1/tickets/{ticket_id}/attachments", files=files)
    return answer.json()["data"]["url"].removeprefix(site.base_url)


def connect(site, **options):
    address = ("127.0.0.1", int(site.base_url.rpartition(":")[2]))
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER_BYTES)
    client.settimeout(60)
    client.connect(address)
    return client


def head_of(site, method, path, *headers):
    fields = (f"{method} {path} HTTP/1.1", "Host: x", f"Authorization: Bearer {site.keys['admin']}", *headers)
    return ("\r\n".join(fields) + "\r\n\r\n").encode()


def is_answered(site, ticket_id):
    """Whether reads and writes are answered, on new and on kept connections."""
    with site.client() as client:
        answers = [
            client.get(f"/v1/tickets/{ticket_id}", timeout=ANSWER_SECONDS),
            client.post(f"/v1/tickets/{ticket_id}/comments", json={"text": "Hello"}, timeout=ANSWER_SECONDS),
        ]
    return [answer.status_code for answer in answers] == [200, 201]


@pytest.mark.parametrize(
    ("path", "headers", "body"),
    [
        ("/v1/tickets", None, b""),
        ("/v1/tickets/{id}/comments", ["Content-Length: 1000"], b'{"te'),
        ("/v1/tickets/{id}/comments", ["Transfer-Encoding: chunked"], b'3e8\r\n{"te'),
        ("/v1/tickets/{id}/attachments", ["Content-Length: 20000000"], b"--b\r\n" + bytes(500_000)),
        ("/health/live", ["Content-Length: 1000"], b"x"),
    ],
    ids=["head", "body", "chunked body", "upload", "health check"],
)
def test_clients_that_send_slowly_do_not_delay_others(site, ticket_id, path, headers, body):
    head = head_of(site, "POST", path.format(id=ticket_id), *(headers or ()))
    sent = head + body if headers else head[:-2]
    with ExitStack() as stack:
        slow = [stack.enter_context(connect(site)) for _ in range(SLOW)]
        for client in slow:
            client.sendall(sent)

        assert is_answered(site, ticket_id)

        for client in slow:
            client.sendall(b"x")
        assert is_answered(site, ticket_id)


@pytest.mark.parametrize("kind", ["file", "document", "export"])
def test_clients_that_read_slowly_do_not_delay_others_and_get_everything(site, ticket_id, file_path, kind):
    path = {"file": file_path, "document": "/v1/openapi.json", "export": "/v1/audit/export?to=2500"}[kind]
    expected = FILE if kind == "file" else site.client().get(path).content
    with ExitStack() as stack:
        slow = [stack.enter_context(connect(site)) for _ in range(SLOW)]
        for client in slow:
            client.sendall(head_of(site, "GET", path, "Connection: close"))
            assert client.recv(12) == b"HTTP/1.1 200"

        assert is_answered(site, ticket_id)
        assert len(expected) > 4 * RECEIVE_BUFFER_BYTES

        slow[0].sendall(b"GET")  # what a client sends meanwhile does not disturb its answer
        assert hashlib.sha256(body_of(slow[0])).digest() == hashlib.sha256(expected).digest()


def body_of(client):
    """The rest of an answer, of which the first bytes have been read."""
    with client.makefile("rb") as received:
        headers = {}
        received.readline()
        while (line := received.readline()) != b"\r\n":
            name, _, value = line.partition(b": ")
            headers[name.lower()] = value.strip()
        if b"content-length" in headers:
            return received.read(int(headers[b"content-length"]))
        pieces = []
        while size := int(received.readline(), 16):
            pieces.append(received.read(size))
            received.readline()
        return b"".join(pieces)


def test_a_client_that_expects_it_gets_100_continue_once_before_it_sends_the_body(site, ticket_id):
    body = b'{"text": "Hello"}'
    length = f"Content-Length: {len(body)}"
    head = head_of(
        site,
        "POST",
        f"/v1/tickets/{ticket_id}/comments",
        "Expect: 100-continue",
        "Content-Type: application/json",
        "Connection: close",
        length,
    )
    with connect(site) as client:
        client.sendall(head)
        interim = client.recv(1_000)
        client.sendall(body)
        answer = b"".join(iter(lambda: client.recv(65_536), b""))

    assert interim == b"HTTP/1.1 100 Continue\r\n\r\n"
    assert answer.startswith(b"HTTP/1.1 201 Created\r\n")


def test_an_upload_that_arrives_in_pieces_is_stored_unchanged(site, ticket_id):
    def pieces():
        yield b'--b\r\nContent-Disposition: form-data; name="file"; filename="a.bin"\r\n\r\n'
        for start in range(0, len(FILE), 1_000_000):
            yield FILE[start : start + 1_000_000]
        yield b"\r\n--b--\r\n"

    headers = {"Content-Type": "multipart/form-data; boundary=b"}
    path = f"/v1/tickets/{ticket_id}/attachments"
    stored = site.client().post(path, data=pieces(), headers=headers)  # chunked

    assert stored.status_code == 201, stored.text
    downloaded = site.client(None).get(stored.json()["data"]["url"].removeprefix(site.base_url))
    assert downloaded.content == FILE


def test_busy_connections_share_the_threads_with_all_others(site, ticket_id):
    """A thread stays on a connection whose next request follows at once only while no other needs it."""
    request = head_of(site, "GET", f"/v1/tickets/{ticket_id}")
    counts = dict.fromkeys(range(10 * THREADS), 0)
    with ExitStack() as stack, selectors.DefaultSelector() as selector:
        for number in counts:
            client = stack.enter_context(connect(site))
            client.sendall(request)
            selector.register(client, selectors.EVENT_READ, number)
        while sum(counts.values()) < 20 * len(counts):
            for key, _ in selector.select(60):
                assert key.fileobj.recv(65_536).startswith(b"HTTP/1.1 200")  # a short answer is sent at once
                counts[key.data] += 1
                key.fileobj.sendall(request)

        assert min(counts.values()) >= 10


def test_requests_that_arrive_together_are_answered_in_order_on_one_connection(site, ticket_id):
    ticket = head_of(site, "GET", f"/v1/tickets/{ticket_id}")
    absent = head_of(site, "GET", "/v1/tickets/absent")
    live = head_of(site, "GET", "/health/live")
    last = head_of(site, "GET", "/v1/tickets", "Connection: close")
    body = b'{"text": "Hello"}'
    fields = ("Content-Type: application/json", f"Content-Length: {len(body)}")
    comment = head_of(site, "POST", f"/v1/tickets/{ticket_id}/comments", *fields) + body

    with connect(site) as client:
        client.sendall((ticket + comment + absent + live) * 5 + last[:30])
        client.sendall(last[30:])
        received = b"".join(iter(lambda: client.recv(65_536), b""))

    assert re.findall(rb"HTTP/1.1 (\d+)", received) == [b"200", b"201", b"404", b"200"] * 5 + [b"200"]
