"""nginx with deploy/nginx.conf answers for an API that does not answer: 503 with Retry-After, within 5 s."""

from __future__ import annotations

import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest
import requests

from tests.chaos.servers import nginx
from tests.support.server import lasting_ports
from tests.support.waiting import eventually

ANSWER_SECONDS = 5.0
BODY = b"x" * 8_000_000  # more than the buffers between nginx and a frozen API take


@pytest.fixture
def site(tmp_path):
    """The address of nginx, and the port at which it expects the API."""
    port, api_port = lasting_ports(2)
    program = nginx(tmp_path / "nginx", port=port, api_port=api_port)
    program.start()
    try:
        eventually(lambda: accepts(port))
        yield f"http://127.0.0.1:{port}", api_port
    finally:
        program.stop()


def accepts(port):
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@contextmanager
def silent_api(port, answer_after=None):
    """Accepts connections; never answers, or after that many seconds."""
    with socket.create_server(("127.0.0.1", port)) as server:
        ended = threading.Event()

        def serve():
            connections = []
            while not ended.is_set():
                connection, _ = server.accept()
                connections.append(connection)
                if answer_after is not None and not ended.wait(answer_after):
                    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            socket.create_connection(("127.0.0.1", port)).close()
            thread.join()


def ask(method, url, **options):
    began = time.monotonic()
    answer = requests.request(method, url, timeout=30, **options)
    return answer, time.monotonic() - began


def assert_is_unavailable(answer, seconds):
    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "unavailable")
    assert int(answer.headers["Retry-After"]) >= 1
    assert seconds <= ANSWER_SECONDS


def test_an_api_that_does_not_run_is_unavailable(site):
    assert_is_unavailable(*ask("GET", f"{site[0]}/v1/tickets"))


def test_a_frozen_api_is_unavailable_in_time_but_feeds_may_wait(site):
    url, api_port = site
    with silent_api(api_port), ThreadPoolExecutor(3) as threads:
        read = threads.submit(ask, "GET", f"{url}/v1/tickets")
        upload = threads.submit(ask, "POST", f"{url}/v1/tickets/t/attachments", data=BODY)
        feed = threads.submit(requests.get, f"{url}/v1/changes?wait=25", timeout=ANSWER_SECONDS + 0.5)
        assert_is_unavailable(*read.result())
        assert_is_unavailable(*upload.result())
        with pytest.raises(requests.Timeout):
            feed.result()


def test_an_answer_after_four_seconds_arrives(site):
    """The API itself answers 503 after 4 s; its answer is not replaced."""
    url, api_port = site
    with silent_api(api_port, answer_after=4.0):
        answer, _ = ask("GET", f"{url}/v1/tickets")

    assert (answer.status_code, answer.text) == (200, "ok")
