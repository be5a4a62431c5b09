"""Which requests the threads for health checks answer."""

import socket

import pytest

from server.health_threads import HealthThreads


@pytest.fixture
def connection():
    """The client's and the server's socket. The latter does not block, as in the worker."""
    client, server = socket.socketpair()
    with client, server:
        server.setblocking(False)
        yield client, server


def pool_for(connection, sent):
    client, server = connection
    client.sendall(sent)
    return HealthThreads().pool_for(server)


@pytest.mark.parametrize("method", [b"GET", b"HEAD"])
def test_each_health_check_has_its_own_thread_pool(method, connection):
    threads = HealthThreads()
    client, server = connection
    found = []
    for path in (b"/health/live", b"/health/ready"):
        client.sendall(b"%b %b HTTP/1.1\r\nHost: here\r\n\r\n" % (method, path))
        found.append(threads.pool_for(server))
        server.recv(1_000)

    assert None not in found
    assert found[0] is not found[1]


@pytest.mark.parametrize(
    "sent",
    [
        b"GET /v1/tickets HTTP/1.1\r\n\r\n",
        b"POST /health/live HTTP/1.1\r\n\r\n",
        b"GET /health/lively HTTP/1.1\r\n\r\n",
        b"GET /health/live HTTP/1.1\r\nHost: slow",
        b"GET /health/live HTTP/1.1\r\nContent-Length: 9\r\n\r\n",
        b"GET /health/live HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n",
        b"GET /health/live HTTP/1.1\r\nX: " + b"x" * 4_096 + b"\r\n\r\n",
        b"G",
    ],
)
def test_other_and_incomplete_requests_do_not_use_the_threads_for_health_checks(sent, connection):
    assert pool_for(connection, sent) is None


def test_choosing_a_pool_consumes_no_bytes_of_the_request(connection):
    request = b"GET /health/live HTTP/1.1\r\n\r\n"
    pool_for(connection, request)

    assert connection[1].recv(1_000) == request


def test_choosing_a_pool_does_not_wait_for_a_blocking_or_silent_connection(connection):
    _, server = connection
    assert HealthThreads().pool_for(server) is None
    server.setblocking(True)
    assert HealthThreads().pool_for(server) is None
