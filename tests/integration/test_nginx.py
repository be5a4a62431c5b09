"""nginx with deploy/nginx.conf answers for an API that does not answer: 503 with Retry-After, within 5 s. It
passes a request to another API only if that cannot do it twice."""

from __future__ import annotations

import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
import requests

from tests.chaos.servers import nginx
from tests.support.server import lasting_ports
from tests.support.waiting import eventually

ANSWER_SECONDS = 5.0
METHODS = ("GET", "POST", "PATCH", "PUT", "DELETE")
BODY = b"x" * 8_000_000  # more than the buffers between nginx and a frozen API take


@pytest.fixture
def site(tmp_path):
    """The address of nginx, and the port at which it expects the API."""
    port, api_port = lasting_ports(2)
    with running_nginx(tmp_path, port, api_port) as url:
        yield url, api_port


@contextmanager
def running_nginx(folder, port, *api_ports):
    """The address of nginx in front of APIs at these ports."""
    first, *others = api_ports
    program = nginx(folder / "nginx", port=port, api_port=first, other_api_ports=others)
    program.start()
    try:
        eventually(lambda: accepts(port))
        yield f"http://127.0.0.1:{port}"
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


@contextmanager
def running_api(*, answers):
    """Yields the port of a server, and the methods of the requests that it has received. Unless it `answers`,
    it closes the connection."""
    received = []

    class Handler(BaseHTTPRequestHandler):
        def handle_one_request(self):
            self.raw_requestline = self.rfile.readline()
            if not self.raw_requestline or not self.parse_request():
                self.close_connection = True
                return
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            received.append(self.command)
            self.close_connection = True
            if answers:
                self.send_response(200)
                self.send_header("Content-Length", "0")
                self.end_headers()

        def log_message(self, *_):
            """Prints nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield server.server_address[1], received
        finally:
            server.shutdown()
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


def test_requests_go_to_the_other_api_while_one_is_not_running(tmp_path):
    nginx_port, missing_port = lasting_ports(2)
    with (
        running_api(answers=True) as (api_port, received),
        running_nginx(tmp_path, nginx_port, missing_port, api_port) as url,
    ):
        statuses = [
            ask(method, f"{url}/v1/tickets")[0].status_code for method in ("GET", "POST", "PATCH") * 4
        ]

    assert statuses == [200] * 12
    assert len(received) == 12


@pytest.mark.parametrize("method", METHODS)
def test_a_request_that_an_api_has_received_is_repeated_only_if_it_changes_nothing(tmp_path, method):
    with (
        running_api(answers=False) as (failing_port, seen),
        running_api(answers=True) as (api_port, received),
        running_nginx(tmp_path, lasting_ports(1)[0], failing_port, api_port) as url,
    ):
        answers = []
        eventually(lambda: answers.append(ask(method, f"{url}/v1/tickets")[0]) or method in seen)

    refused = [answer for answer in answers if answer.status_code == 503]
    assert len(received) + len(refused) == len(answers)
    assert len(refused) == (0 if method == "GET" else len(seen))


def test_without_any_api_every_method_is_refused_with_retry_after(tmp_path):
    nginx_port, *api_ports = lasting_ports(3)
    with running_nginx(tmp_path, nginx_port, *api_ports) as url:
        for method in METHODS:
            assert_is_unavailable(*ask(method, f"{url}/v1/tickets"))
