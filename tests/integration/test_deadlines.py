"""No wait for PostgreSQL exceeds its limit, and a connection that exceeded it is not used again."""

import asyncio
import socket
import threading
import time
from contextlib import ExitStack, contextmanager

import msgspec
import psycopg
import pytest
from psycopg_pool import PoolTimeout

from commands.deciding import create
from domain.property import Property
from infrastructure.process import deadlines
from infrastructure.process.deadlines import DeadlineExceeded, lift_request_limit, limit_request
from infrastructure.storage.event_store import EventStore
from infrastructure.storage.outcomes import outcome_is_unknown
from infrastructure.storage.postgres import connect, connect_async, make_pool
from tests.support.api import SEASIDE
from tests.support.keys import operator
from tests.support.proxy import Proxy
from tests.support.server import free_port
from tests.support.vault import VAULT
from tests.support.waiting import eventually

SECONDS = 0.3
AT_ONCE = 5.0  # the limit of a step that takes no time, on a busy machine


@pytest.fixture
def proxy(database):
    with Proxy(database) as opened:
        yield opened


@pytest.fixture
def proxied_pool(proxy):
    with make_pool(proxy.dsn, application="tests", max_size=3) as opened:
        yield opened


@contextmanager
def request_limit(seconds=SECONDS):
    """Limits all waits of this thread in the block together, as for a request with this time limit."""
    limit_request(seconds)
    try:
        yield
    finally:
        lift_request_limit()


@pytest.fixture(autouse=True)
def without_least_time(monkeypatch):
    monkeypatch.setattr(deadlines, "LEAST_REQUEST_SECONDS", 0.0)


@contextmanager
def in_time(seconds=AT_ONCE):
    began = time.monotonic()
    yield
    assert time.monotonic() - began < seconds


def test_a_connection_is_closed_when_the_server_does_not_answer(proxy):
    with in_time(), connect(proxy.dsn, application="tests", limit_seconds=SECONDS) as conn:
        conn.execute("SELECT 1")
        proxy.set_mode("blackhole")
        with pytest.raises(DeadlineExceeded):
            conn.execute("SELECT 1")

        assert conn.closed


def test_a_transaction_ends_with_the_connection(proxy):
    with (
        in_time(),
        connect(proxy.dsn, application="tests", limit_seconds=SECONDS) as conn,
        pytest.raises(DeadlineExceeded),
        conn.transaction(),
    ):
        conn.execute("SELECT 1")
        proxy.set_mode("blackhole")
        conn.execute("SELECT 1")


def test_copy_has_the_same_limit(proxy):
    with (
        in_time(),
        connect(proxy.dsn, application="tests", limit_seconds=SECONDS) as conn,
        conn.cursor() as cursor,
        pytest.raises(DeadlineExceeded),
        cursor.copy("COPY (SELECT repeat('x', 10000) FROM generate_series(1, 20000)) TO STDOUT") as copy,
    ):
        proxy.set_mode("blackhole")
        list(copy)


def test_a_wait_for_notifications_has_its_own_limit(conn):
    conn.limit_seconds = 0.0
    with in_time():
        assert list(conn.notifies(timeout=SECONDS)) == []

    assert not conn.closed


def test_an_async_connection_has_a_limit(proxy, monkeypatch):
    monkeypatch.setattr("infrastructure.storage.postgres.STATEMENT_SECONDS", SECONDS)

    async def exceed_limit():
        async with await connect_async(proxy.dsn, application="tests") as conn:
            await conn.execute("SELECT 1")
            proxy.set_mode("blackhole")
            with pytest.raises(DeadlineExceeded):
                await conn.execute("SELECT 1")
            return conn.closed

    with in_time():
        assert asyncio.run(exceed_limit())


def test_all_waits_of_a_request_share_one_limit(pool):
    with request_limit(0.5), pool.connection() as conn:
        conn.execute("SELECT pg_sleep(0.3)")
        with pytest.raises(DeadlineExceeded):
            conn.execute("SELECT pg_sleep(0.3)")

    with pool.connection() as conn:
        conn.execute("SELECT pg_sleep(0.3)")
        conn.execute("SELECT pg_sleep(0.3)")


def test_the_time_in_the_queue_counts_towards_the_limit_of_the_request(pool):
    deadlines.note_queued(10.0)
    with request_limit(10.1), pool.connection() as conn, pytest.raises(DeadlineExceeded):
        conn.execute("SELECT pg_sleep(2)")
    with request_limit(10.1), pool.connection() as conn:  # the next request did not wait in the queue
        conn.execute("SELECT pg_sleep(0.2)")


def test_a_connection_that_exceeded_its_limit_is_not_used_again(proxy, proxied_pool):
    with request_limit(), proxied_pool.connection() as conn:
        lost = conn.fetch("SELECT pg_backend_pid()")
        proxy.set_mode("blackhole")
        with pytest.raises(DeadlineExceeded):
            conn.fetch("SELECT 'a late answer'")
    proxy.set_mode("pass")

    assert eventually(lambda: try_fetch(proxied_pool, "SELECT pg_backend_pid()")) != lost


def test_while_the_server_does_not_answer_the_next_request_is_refused_at_once(proxy, proxied_pool):
    proxied_pool.fetch("SELECT 1")
    proxy.set_mode("blackhole")
    with request_limit(), pytest.raises(DeadlineExceeded):
        proxied_pool.fetch("SELECT 1")
    eventually(lambda: proxied_pool._breaker.is_open)

    with in_time():
        for _ in range(100):
            with request_limit(60.0), pytest.raises(PoolTimeout):
                proxied_pool.fetch("SELECT 1")
    proxy.set_mode("pass")

    assert eventually(lambda: try_fetch(proxied_pool, "SELECT 7")) == [(7,)]


def test_one_slow_statement_does_not_refuse_other_requests(pool):
    with request_limit(), pool.connection() as slow, pytest.raises(DeadlineExceeded):
        slow.execute("SELECT pg_sleep(3)")

    assert pool.fetch("SELECT 7") == [(7,)]


def test_without_a_server_the_next_request_is_refused_at_once():
    with make_pool(f"postgresql://nobody@127.0.0.1:{free_port()}/x", application="tests", max_size=3) as pool:
        with request_limit(60.0), pytest.raises(PoolTimeout):
            pool.fetch("SELECT 1")

        with in_time():
            for _ in range(100):
                with request_limit(60.0), pytest.raises(PoolTimeout):
                    pool.fetch("SELECT 1")


def test_a_request_connects_in_the_time_it_has_left():
    """libpq waits at least two seconds for each host of the connection string."""
    with ExitStack() as stack:
        silent = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(2)]
        ports = ",".join(str(server.getsockname()[1]) for server in silent)
        dsn = f"host=127.0.0.1,127.0.0.1 port={ports} user=nobody dbname=x"
        with request_limit(4.0):
            with in_time(5.0), pytest.raises(psycopg.OperationalError):
                connect(dsn, application="tests")
            with in_time(1.0), pytest.raises(DeadlineExceeded):
                connect(dsn, application="tests")


def test_an_append_without_an_answer_may_be_stored_and_a_retry_stores_nothing_more(proxy, proxied_pool, conn):
    store, first_try = EventStore(proxied_pool, VAULT), operator()
    proxied_pool.fetch("SELECT 1")
    proxy.set_mode("delay", delay_seconds=1.0)  # the server receives it after the client has given up
    with request_limit(), pytest.raises(DeadlineExceeded) as caught:
        store.save(new_property(first_try))
    assert outcome_is_unknown(caught.value)
    stored = "SELECT count(*) FROM es.stored_events"
    eventually(lambda: conn.execute(stored).fetchone() == (1,))
    proxy.set_mode("pass")

    eventually(lambda: try_fetch(proxied_pool, "SELECT 1"))
    create(store, new_property(first_try), msgspec.structs.replace(first_try, is_retry=True))

    assert conn.execute(stored).fetchone() == (1,)


def test_a_pool_closes_while_the_server_does_not_answer(proxy):
    pool = make_pool(proxy.dsn, application="tests", max_size=3)
    pool.fetch("SELECT 1")
    proxy.set_mode("blackhole")
    with request_limit(), pytest.raises(DeadlineExceeded):
        pool.fetch("SELECT 1")

    with in_time(10.0):
        pool.close()

    eventually(lambda: "postgres-probe" not in {thread.name for thread in threading.enumerate()})


def new_property(context):
    return Property.register("p1", context, name="P", address=SEASIDE)


def try_fetch(pool, statement):
    try:
        return pool.fetch(statement)
    except PoolTimeout:
        return None


def test_connections_that_ended_while_idle_are_not_handed_out(pool, conn):
    """A restart of PostgreSQL ends all idle connections; without the check each would fail one request."""
    held = [pool.getconn() for _ in range(4)]
    pids = [one.info.backend_pid for one in held]
    for one in held:
        pool.putconn(one)
    ended = conn.execute("SELECT count(pg_terminate_backend(pid, 5000)) FROM unnest(%s::int[]) pid", [pids])
    assert ended.fetchone() == (4,)

    answers = [pool.fetch("SELECT pg_backend_pid()")[0][0] for _ in range(8)]

    assert not set(answers) & set(pids)
