"""Which requests are answered by the threads reserved for health checks."""

import socket

import pytest

from server.health_lanes import HealthLanes


@pytest.fixture
def connection():
    """The client's end and the server's end, which the worker has set to non-blocking."""
    client, server = socket.socketpair()
    with client, server:
        server.setblocking(False)
        yield client, server


def lane_of(connection, sent):
    client, server = connection
    client.sendall(sent)
    return HealthLanes().lane_of(server)


@pytest.mark.parametrize("method", [b"GET", b"HEAD"])
def test_each_health_check_has_its_own_threads(method, connection):
    lanes = HealthLanes()
    client, server = connection
    found = []
    for path in (b"/health/live", b"/health/ready"):
        client.sendall(b"%b %b HTTP/1.1\r\nHost: here\r\n\r\n" % (method, path))
        found.append(lanes.lane_of(server))
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
def test_other_requests_and_those_that_could_block_a_thread_get_no_reserved_thread(sent, connection):
    assert lane_of(connection, sent) is None


def test_inspecting_a_request_does_not_consume_it(connection):
    request = b"GET /health/live HTTP/1.1\r\n\r\n"
    lane_of(connection, request)

    assert connection[1].recv(1_000) == request


def test_a_silent_or_blocking_connection_is_not_waited_for(connection):
    _, server = connection
    assert HealthLanes().lane_of(server) is None
    server.setblocking(True)
    assert HealthLanes().lane_of(server) is None
