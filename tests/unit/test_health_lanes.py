"""Which requests are answered by the threads that are kept for health checks."""

import socket

import pytest

from server.health_lanes import HealthLanes


@pytest.fixture
def connection():
    """A client's end and the server's, as the worker has it while it waits for a request."""
    client, server = socket.socketpair()
    with client, server:
        server.setblocking(False)
        yield client, server


def lane_of(connection, sent):
    client, server = connection
    client.sendall(sent)
    return HealthLanes().lane_of(server)


@pytest.mark.parametrize("method", [b"GET", b"HEAD"])
def test_health_checks_have_lanes_of_their_own(method, connection):
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
def test_other_requests_and_those_that_could_hold_a_thread_go_with_the_rest(sent, connection):
    assert lane_of(connection, sent) is None


def test_looking_at_a_request_takes_nothing_of_it(connection):
    request = b"GET /health/live HTTP/1.1\r\n\r\n"
    lane_of(connection, request)

    assert connection[1].recv(1_000) == request


def test_a_connection_that_is_blocking_or_silent_is_not_waited_for(connection):
    _, server = connection
    assert HealthLanes().lane_of(server) is None
    server.setblocking(True)
    assert HealthLanes().lane_of(server) is None
