"""Answers of receivers that are hard to read: the status decides, whatever follows it."""

import asyncio
import socket
import threading
from contextlib import contextmanager, suppress

import pytest

from tests.support.receivers import answer, running_receiver, self_signed
from webhook_dispatcher.address_guard import AddressGuard
from webhook_dispatcher.http_connection import Answer, HttpConnection
from webhook_dispatcher.poster import Poster

OK = b"HTTP/1.1 200 OK\r\n"
MANY_HEADERS = b"".join(b"X-Header-%d: value\r\n" % number for number in range(3_000))
REMAINDERS = {
    "a header of 10 kB": b"X-Long: " + b"a" * 10_000 + b"\r\nContent-Length: 2\r\n\r\nok",
    "a header of 1 MB": b"X-Long: " + b"a" * 1_000_000 + b"\r\nContent-Length: 2\r\n\r\nok",
    "300 headers": MANY_HEADERS[:6_000].rpartition(b"\r\n")[0] + b"\r\nContent-Length: 2\r\n\r\nok",
    "3,000 headers": MANY_HEADERS + b"Content-Length: 2\r\n\r\nok",
    "a header without a colon": b"nonsense\r\nContent-Length: 2\r\n\r\nok",
    "a header of bytes": b"X-\x00\xff: \x01\r\n\r\n",
    "two lengths": b"Content-Length: 2\r\nContent-Length: 3\r\n\r\nok",
    "a length that is not a number": b"Content-Length: many\r\n\r\nok",
    "wrong chunks": b"Transfer-Encoding: chunked\r\n\r\nnot a chunk",
    "a body that is too short": b"Content-Length: 100\r\n\r\nok",
    "a body that is too long": b"Content-Length: 2\r\n\r\nok and more",
    "an unknown encoding": b"Content-Encoding: gzip\r\nContent-Length: 2\r\n\r\nok",
    "the end of the connection": b"",
}


@contextmanager
def raw_receiver(content):
    """A server that reads a request, sends these bytes and closes the connection. Yields its port and the
    requests."""
    listening = socket.create_server(("127.0.0.1", 0))
    requests = []

    def serve():
        while True:
            try:
                connection, _ = listening.accept()
            except OSError:
                return
            with connection, suppress(OSError):
                requests.append(connection.recv(65_536))
                connection.sendall(content)
                connection.shutdown(socket.SHUT_WR)
                connection.recv(65_536)

    threading.Thread(target=serve, daemon=True).start()
    try:
        yield listening.getsockname()[1], requests
    finally:
        listening.shutdown(socket.SHUT_RDWR)
        listening.close()


def post(url, timeout_seconds=5.0, look_up=socket.getaddrinfo):
    async def post_once():
        guard = AddressGuard(allow_private=True, look_up=look_up)
        async with Poster(guard, timeout_seconds=timeout_seconds) as poster:
            return await poster.post(url, b"{}", {})

    return asyncio.run(post_once())


@pytest.mark.parametrize("remainder", REMAINDERS.values(), ids=REMAINDERS.keys())
def test_a_status_2xx_is_a_success_whatever_follows_it(remainder):
    with raw_receiver(OK + remainder) as (port, requests):
        outcome = post(f"http://127.0.0.1:{port}/")

    assert (outcome.status, outcome.is_success) == (200, True)
    assert len(requests) == 1


def test_headers_that_never_end_do_not_hide_the_status():
    with running_receiver() as receiver:
        receiver.answers["/hook"] = endless_header

        outcome = post(receiver.url(), timeout_seconds=0.5)

    assert outcome.is_success
    assert outcome.error == "only the status could be read: no answer within 0.5 s"


def endless_header(handler):
    handler.wfile.write(OK + b"X-Slow: ")
    handler.server.receiver.stopping.wait()


@pytest.mark.parametrize(("status", "is_gone"), [(410, True), (500, False)])
def test_a_failure_keeps_its_status_too(status, is_gone):
    with raw_receiver(b"HTTP/1.1 %d Any\r\nnonsense\r\n\r\n" % status) as (port, _):
        outcome = post(f"http://127.0.0.1:{port}/")

    assert (outcome.status, outcome.is_success, outcome.is_gone) == (status, False, is_gone)
    assert outcome.error.startswith("only the status could be read: ")


@pytest.mark.parametrize(
    "content",
    [b"", b"HTTP/1.1 20", b"HTTP/1.1 2000 OK\r\n\r\n", b"HTTP/1.1 100 Continue\r\n\r\n", b"220 smtp\r\n"],
)
def test_without_a_complete_final_status_line_there_is_no_status(content):
    with raw_receiver(content) as (port, _):
        outcome = post(f"http://127.0.0.1:{port}/")

    assert outcome.status is None
    assert outcome.error


def test_the_status_after_informational_answers_decides():
    hints = b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" * 3
    with raw_receiver(hints + b"HTTP/1.1 204 No Content\r\nnonsense\r\n\r\n") as (port, _):
        assert post(f"http://127.0.0.1:{port}/").status == 204


def test_the_status_is_kept_over_tls_too(tmp_path, monkeypatch):
    context, certificate = self_signed(tmp_path, "localhost")
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    with running_receiver(context) as receiver:
        receiver.answers["/hook"] = answer(200, **{f"X_{number}": "a" for number in range(1_500)})

        outcome = post(f"https://localhost:{receiver.port}/hook")

    assert outcome.is_success


@contextmanager
def closing_receiver():
    """A server that answers one request on each connection, as if the connection stayed open, and closes it
    when the next one arrives. Yields its port and the requests that it answered."""
    listening = socket.create_server(("127.0.0.1", 0))
    answered = []

    def serve(connection):
        with connection, suppress(OSError):
            answered.append(connection.recv(65_536))
            connection.sendall(b"HTTP/1.1 204 No Content\r\n\r\n")
            connection.recv(1)

    def accept():
        with suppress(OSError):
            while True:
                threading.Thread(target=serve, args=(listening.accept()[0],), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    try:
        yield listening.getsockname()[1], answered
    finally:
        listening.shutdown(socket.SHUT_RDWR)
        listening.close()


def post_twice(url):
    async def post_both():
        async with Poster(AddressGuard(allow_private=True), timeout_seconds=5.0) as poster:
            return [await poster.post(url, b"{}", {}) for _ in range(2)]

    return asyncio.run(post_both())


def test_a_post_that_finds_its_idle_connection_closed_is_sent_on_a_new_one():
    with closing_receiver() as (port, answered):
        outcomes = post_twice(f"http://127.0.0.1:{port}/")

    assert [outcome.status for outcome in outcomes] == [204, 204]
    assert len(answered) == 2


def test_a_second_post_uses_the_connection_of_the_first():
    with running_receiver() as receiver:
        outcomes = post_twice(receiver.url())

    assert [outcome.response_body for outcome in outcomes] == [b"ok", b"ok"]
    assert receiver.connections == 1


def test_informational_answers_before_the_final_one_and_chunks_are_read():
    content = b"HTTP/1.1 103 Early Hints\r\nRetry-After: 9\r\n\r\n" + OK
    content += b"Retry-After: 7\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n"
    with raw_receiver(content) as (port, _):
        outcome = post(f"http://127.0.0.1:{port}/")

    assert (outcome.status, outcome.response_body, outcome.retry_after_seconds) == (200, b"ok", 7.0)
    assert outcome.error is None


def test_the_answer_101_is_final():
    with raw_receiver(b"HTTP/1.1 101 Any\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n" + OK + b"\r\n") as (
        port,
        _,
    ):
        outcome = post(f"http://127.0.0.1:{port}/")

    assert (outcome.status, outcome.is_success) == (101, False)


@pytest.mark.parametrize(
    "content",
    [
        b"Retry-After: 7\r\nRetry-After: 99\r\nContent-Length: 0\r\n\r\n",
        b"Retry-After: 7\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nRetry-After: 99\r\n\r\n",
    ],
    ids=["a second header", "a trailer"],
)
def test_the_first_header_retry_after_counts(content):
    with raw_receiver(b"HTTP/1.1 503 Busy\r\n" + content) as (port, _):
        assert post(f"http://127.0.0.1:{port}/").retry_after_seconds == 7.0


def test_an_answer_before_the_request_is_read():
    async def exchange():
        loop = asyncio.get_running_loop()
        connection = HttpConnection(loop)
        connection.data_received(b"HTTP/1.1 503 Busy\r\nRetry-After: 7\r\n\r\nbusy")
        connection.connection_lost(None)
        return await connection.exchange(b"", loop.time() + 5.0)

    assert asyncio.run(exchange()) == Answer(503, b"busy", "7")


def test_a_chunk_is_not_read_after_an_extension_over_the_limit():
    chunks = b"2;a=" + b"a" * 16_000_000 + b"\r\nok\r\n0\r\n\r\n"
    with raw_receiver(OK + b"Transfer-Encoding: chunked\r\n\r\n" + chunks) as (port, _):
        outcome = post(f"http://127.0.0.1:{port}/")

    assert (outcome.status, outcome.response_body) == (200, b"")


def test_a_slow_body_does_not_hide_the_answer_after_a_slow_look_up():
    is_over = threading.Event()

    def look_up(*arguments):
        is_over.wait(0.3)
        return socket.getaddrinfo(*arguments)

    with running_receiver() as receiver:
        receiver.answers["/hook"] = endless_body
        outcome = post(receiver.url(), timeout_seconds=0.5, look_up=look_up)

    assert (outcome.status, outcome.response_body, outcome.error) == (200, b"ok", None)


def endless_body(handler):
    handler.wfile.write(OK + b"Content-Length: 100\r\n\r\nok")
    handler.server.receiver.stopping.wait()


@pytest.mark.parametrize("path", ["/a\0b", "/a\x7fb", "/a b", "/é"])
def test_nothing_is_sent_to_a_path_with_characters_that_a_request_line_cannot_have(path):
    with raw_receiver(OK + b"\r\n") as (port, requests):
        outcome = post(f"http://127.0.0.1:{port}{path}")

    assert outcome.error.endswith("is not a web address")
    assert not requests
