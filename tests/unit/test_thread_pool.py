"""How threads that wait for the next request of their client give way to other work."""

import selectors
import socket
import time
from contextlib import ExitStack
from queue import Queue

import pytest

from server.thread_pool import ThreadPool

LONG = 60.0  # seconds; a test ends long before
TIMEOUT = 20.0


@pytest.fixture
def pairs():
    """Three pairs of connected sockets."""
    with ExitStack() as stack:
        yield [tuple(map(stack.enter_context, socket.socketpair())) for _ in range(3)]


def start_waiting(pool, clients):
    """Have a thread wait for each of these sockets; return the queue of (socket, whether it is readable)."""
    begun, ended = Queue(), Queue()

    def wait(client):
        begun.put(client)
        ended.put((client, pool.wait_readable(client.fileno(), time.monotonic() + LONG)))

    for client in clients:
        pool.submit(lambda client=client: wait(client))
        begun.get(timeout=TIMEOUT)
    return ended


def test_one_waiting_thread_gives_way_to_each_work_that_is_queued(pairs):
    pool = ThreadPool(len(pairs), "test")
    ended = start_waiting(pool, [ours for ours, _ in pairs])
    done = Queue()

    pool.submit(lambda: done.put("work"))

    assert done.get(timeout=TIMEOUT) == "work"
    first, is_readable = ended.get(timeout=TIMEOUT)
    assert not is_readable
    for ours, theirs in pairs:
        if ours is not first:
            theirs.sendall(b"x")
    assert [ended.get(timeout=TIMEOUT)[1] for _ in range(len(pairs) - 1)] == [True, True]
    pool.shutdown()


def test_no_thread_waits_while_work_is_queued(pairs):
    pool = ThreadPool(1, "test")
    ours, _ = pairs[0]
    results = Queue()

    def submit_and_wait():
        pool.submit(lambda: results.put("work"))
        results.put(pool.wait_readable(ours.fileno(), time.monotonic() + LONG))

    pool.submit(submit_and_wait)

    assert [results.get(timeout=TIMEOUT) for _ in range(2)] == [False, "work"]
    pool.shutdown()


def test_a_request_that_is_not_queued_yet_needs_a_thread(pairs):
    pool = ThreadPool(1, "test")
    ours, theirs = pairs[0]
    with selectors.DefaultSelector() as poller:
        poller.register(ours, selectors.EVENT_READ)
        before = pool.needs_thread(poller.fileno())
        theirs.sendall(b"x")

        assert (before, pool.needs_thread(poller.fileno())) == (False, True)
    pool.shutdown()


def test_a_thread_waits_only_until_its_time_is_over(pairs):
    pool = ThreadPool(1, "test")
    ours, _ = pairs[0]
    results = Queue()

    pool.submit(lambda: results.put(pool.wait_readable(ours.fileno(), time.monotonic() + 0.001)))

    assert results.get(timeout=TIMEOUT) is False
    pool.shutdown()


def test_queued_work_is_done_in_order_when_all_threads_are_busy():
    pool = ThreadPool(1, "test")
    may_end, results = Queue(), Queue()
    pool.submit(lambda: may_end.get(timeout=TIMEOUT))
    for number in range(10):
        pool.submit(lambda number=number: results.put(number))

    may_end.put(None)

    assert [results.get(timeout=TIMEOUT) for _ in range(10)] == list(range(10))
    pool.shutdown()
