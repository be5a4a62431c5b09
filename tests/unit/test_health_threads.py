"""Which requests the threads for health checks answer."""

import pytest

from server.health_threads import HealthThreads


@pytest.mark.parametrize("method", [b"GET", b"HEAD"])
def test_each_health_check_has_its_own_thread_pool(method):
    threads = HealthThreads()
    heads = [
        b"%b %b HTTP/1.1\r\nHost: here\r\n\r\n" % (method, path)
        for path in (b"/health/live", b"/health/ready")
    ]
    found = [threads.pool_for(head) for head in heads]

    assert None not in found
    assert found[0] is not found[1]


@pytest.mark.parametrize(
    "head",
    [
        b"GET /v1/tickets HTTP/1.1\r\n\r\n",
        b"POST /health/live HTTP/1.1\r\n\r\n",
        b"GET /health/lively HTTP/1.1\r\n\r\n",
        b"GET /health/live HTTP/1.1\r\nContent-Length: 9\r\n\r\n",
        b"GET /health/live HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n",
        b"",
    ],
)
def test_other_requests_do_not_use_the_threads_for_health_checks(head):
    assert HealthThreads().pool_for(head) is None
