"""The configured gunicorn over a raw socket: malformed requests and slow clients."""

import json
import re
import socket
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from infrastructure.storage.event_store import EventStore
from infrastructure.storage.postgres import make_pool
from server.connections import LINGER_SECONDS, READ_SECONDS
from tests.support.keys import make_key
from tests.support.postgres import cloned_database
from tests.support.server import running_api
from tests.support.vault import VAULT

THREADS = 2


@pytest.fixture(scope="module")
def dsn(postgres, template):
    with cloned_database(postgres, template) as dsn:
        yield dsn


@pytest.fixture(scope="module")
def address(dsn):
    """(host, port) of a server with one worker of two threads."""
    with running_api(dsn, workers=1, threads=THREADS, projector=False) as base_url:
        yield "127.0.0.1", int(base_url.rpartition(":")[2])


@pytest.fixture(scope="module")
def key(dsn):
    with make_pool(dsn, application="tests", max_size=1) as pool:
        return make_key(EventStore(pool, VAULT)).key


class Answer:
    def __init__(self, raw):
        head, _, self.body = raw.partition(b"\r\n\r\n")
        status, *lines = head.decode("latin-1").split("\r\n")
        self.raw = raw
        self.status = int(status.split()[1]) if status else 0
        self.headers = {n.lower(): v for n, _, v in (line.partition(": ") for line in lines)}

    @property
    def json(self):
        return json.loads(self.body)


def talk(address, *pieces, pause=0.0, timeout=8.0):
    """Sends the pieces on one connection; returns all that is received until the server closes it."""
    received = b""
    with socket.create_connection(address, timeout=timeout) as client:
        try:
            for piece in pieces:
                client.sendall(piece)
                time.sleep(pause)
            while chunk := client.recv(65_536):
                received += chunk
        except (TimeoutError, ConnectionError):
            pass
    return Answer(received)


def send_request(address, path="/health/live", *headers, method="GET", body=b""):
    lines = [f"{method} {path} HTTP/1.1", "Host: x", "Connection: close", *headers]
    return talk(address, "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + body)


def is_envelope(answer, status, code):
    assert answer.status == status, answer.raw
    assert answer.headers["content-type"] == "application/json"
    error = answer.json["error"]
    assert (answer.json["status"], error["code"]) == ("error", code)
    assert error["request_id"] == answer.headers["x-request-id"]
    assert error["details"] == {}
    return True


@pytest.mark.parametrize(
    ("raw", "status", "code"),
    [
        (b"nonsense\r\n\r\n", 400, "bad_request"),
        (b"GET\r\n\r\n", 400, "bad_request"),
        (b"GET / HTTP/9.9\r\n\r\n", 400, "bad_request"),
        (b"G\xffT / HTTP/1.1\r\n\r\n", 400, "bad_request"),
        (b"GET / HTTP/1.1\r\nBad Header: x\r\n\r\n", 400, "bad_request"),
        (b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400, "bad_request"),
        (b"GET /health/live HTTP/1.1\r\n\r\n", 400, "bad_request"),
        (b"GET http://a/health/live HTTP/1.1\r\n\r\n", 400, "bad_request"),
        (b"GET /health/live HTTP/1.1\r\nHost: a, b\r\n\r\n", 400, "bad_request"),
        (b"GET /health/live HTTP/1.1\r\nHost: a/b\r\n\r\n", 400, "bad_request"),
        (b"GET /health/live HTTP/1.0\r\nHost: a@b\r\n\r\n", 400, "bad_request"),
        (b"GET / HTTP/1.1\r\nX: a\x00b\r\n\r\n", 400, "bad_request"),
        (b"POST / HTTP/1.1\r\nContent-Length: -1\r\n\r\n", 400, "bad_request"),
        (b"POST / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", 400, "bad_request"),
        (
            b"POST / HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
            400,
            "bad_request",
        ),
        (b"POST / HTTP/1.1\r\nTransfer-Encoding: zstd\r\n\r\n", 501, "not_implemented"),
        (b"GET /" + b"x" * 9_000 + b" HTTP/1.1\r\n\r\n", 414, "uri_too_long"),
        (b"GET / HTTP/1.1\r\nX: " + b"x" * 9_000 + b"\r\n\r\n", 431, "headers_too_large"),
        (b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * 70 + b"\r\n", 431, "headers_too_large"),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", 400, "bad_request"),
    ],
    ids=lambda value: repr(value)[:40],
)
def test_errors_of_gunicorn_have_the_error_envelope(address, raw, status, code):
    answer = talk(address, raw)

    assert is_envelope(answer, status, code)
    assert answer.headers["connection"] == "close"


@pytest.mark.parametrize(
    "header",
    [
        "X-Forwarded-Proto: https",
        "X-Forwarded-Host: evil.example",
        "X-Forwarded-For: 203.0.113.9",
        "X-Forwarded-Prefix: /evil",
        "Forwarded: for=203.0.113.9;proto=https;host=evil.example",
        "Script-Name: /evil",
        "Path-Info: /v1/nothing",
        "X-Script-Name: /evil",
        "X-HTTP-Method-Override: DELETE",
        "X-Original-URL: /v1/nothing",
    ],
)
def test_forged_headers_change_nothing(address, header):
    answer = send_request(address, "/health/live", header)

    assert (answer.status, answer.json["data"]) == (200, {"status": "live"})


@pytest.mark.parametrize("name", ["SCRIPT_NAME", "PATH_INFO", "REMOTE_ADDR", "X_Forwarded_For"])
def test_headers_with_underscores_do_not_reach_the_application(address, name):
    assert send_request(address, "/health/live", f"{name}: /health").status in (200, 400)


@pytest.mark.parametrize(
    "path",
    [
        "//health/live",
        "/health//live",
        "/health/live/",
        "/health/./live",
        "/health/../health/live",
        "/health/%2e%2e/health/live",
        "/health/live%00",
        "/health/live%ff",
        "/health/live%20",
        "/health\\live",
        "/%2fhealth/live",
    ],
)
def test_other_spellings_of_a_path_are_404(address, path):
    assert is_envelope(send_request(address, path), 404, "not_found")


def test_an_absolute_request_target_is_reduced_to_its_path(address):
    assert send_request(address, "http://evil.example/health/live").status == 200


def test_head_is_get_without_the_body(address):
    get, head = send_request(address), send_request(address, method="HEAD")

    assert (head.status, head.body) == (200, b"")
    assert head.headers["content-length"] == get.headers["content-length"]
    assert head.headers["content-type"] == get.headers["content-type"]


def test_options_needs_no_key(address):
    answer = send_request(address, "/metrics", method="OPTIONS")

    assert (answer.status, answer.body) == (204, b"")
    assert answer.headers["allow"] == "GET, HEAD, OPTIONS"
    assert "access-control-allow-origin" not in answer.headers


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "TRACE", "CONNECT", "PURGE"])
def test_other_methods_are_405(address, method):
    answer = send_request(address, "/health/live", method=method)

    assert is_envelope(answer, 405, "method_not_allowed")
    assert answer.headers["allow"] == "GET, HEAD, OPTIONS"


def test_a_connection_serves_many_requests(address):
    request = b"GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n"
    last = b"GET /health/live HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"

    assert talk(address, request + request + last).raw.count(b"HTTP/1.1 200 OK") == 3


def test_an_unread_body_does_not_become_the_next_request(address):
    smuggled = b"GET /v1/smuggled HTTP/1.1\r\nHost: x\r\n\r\n"
    first = b"GET /health/live HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(smuggled)
    last = b"GET /health/live HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"

    answer = talk(address, first + smuggled + last)

    assert re.findall(rb"HTTP/1\.1 (\d+)", answer.raw) == [b"200", b"200"]


@pytest.mark.parametrize(
    ("size", "length"),
    [
        (200_000, b"Content-Length: 200000"),
        (200_000, b"Transfer-Encoding: chunked"),
        (0, b"Content-Length: 2000000000"),
        (200_000, b"Content-Length: 200000\r\nConnection: close"),
    ],
)
def test_a_connection_ends_after_an_unread_body_only_if_the_answer_says_so(address, size, length):
    """Clients with a pool of connections send the next request on one that they may keep."""
    body = b"x" * size
    if b"chunked" in length:
        body = b"%x\r\n%b\r\n0\r\n\r\n" % (size, body)
    head = b"POST /v1/nothing HTTP/1.1\r\nHost: x\r\n" + length + b"\r\n\r\n"
    last = b"GET /health/live HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"

    answer = talk(address, head + body, last)

    assert answer.status == 404
    is_kept = answer.headers["connection"] == "keep-alive"
    assert is_kept == (size > 0 and b"close" not in length)
    assert answer.raw.count(b"HTTP/1.1 200 OK") == is_kept


def test_silent_clients_occupy_no_thread(address):
    silent = [socket.create_connection(address) for _ in range(THREADS * 4)]
    try:
        began = time.monotonic()
        assert send_request(address).status == 200
        assert time.monotonic() - began < READ_SECONDS / 2
    finally:
        for client in silent:
            client.close()


def test_clients_that_do_not_close_do_not_delay_others(address):
    """The worker of gunicorn waits for the close in its main loop; this worker serves other clients then."""
    lingering = [socket.create_connection(address) for _ in range(3)]
    try:
        for client in lingering:
            client.sendall(b"nonsense\r\n\r\n")
            client.recv(65_536)
        began = time.monotonic()
        assert send_request(address).status == 200
        assert time.monotonic() - began < len(lingering) * LINGER_SECONDS / 2
    finally:
        for client in lingering:
            client.close()


def send_slowly(address, first, seconds):
    """Sends `first`, then one byte a second; returns the seconds until the server closed, and its answer."""
    began, received = time.monotonic(), b""
    with socket.create_connection(address, timeout=1) as client:
        client.sendall(first)
        while time.monotonic() - began < seconds:
            try:
                client.sendall(b"x")
                chunk = client.recv(65_536)
                if not chunk:
                    break
                received += chunk
            except TimeoutError:
                continue
            except ConnectionError:
                break
    return time.monotonic() - began, Answer(received)


def test_a_slow_head_is_closed_and_a_slow_body_is_answered_when_the_time_is_over(address, key):
    head = b"POST /v1/properties HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
    credential = f"Authorization: Bearer {key}\r\n".encode()
    with ThreadPoolExecutor(3) as threads:
        slow_head, slow_body, slow_chunks = (
            threads.submit(send_slowly, address, first, READ_SECONDS + 8)
            for first in (
                head + b"X-Slow: ",
                head + credential + b"Content-Length: 1000\r\n\r\n",
                head + credential + b"Transfer-Encoding: chunked\r\n\r\n3e8\r\n",
            )
        )
        assert slow_head.result()[1].raw == b""
        for slow in (slow_body, slow_chunks):
            assert is_envelope(slow.result()[1], 400, "bad_request")
            assert slow.result()[1].headers["connection"] == "close"
        assert all(slow.result()[0] < READ_SECONDS + 5 for slow in (slow_head, slow_body, slow_chunks))
