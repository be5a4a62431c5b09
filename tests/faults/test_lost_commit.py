"""The connection breaks around a commit: stored events cause no conflict and are not stored twice."""

from __future__ import annotations

import os
import socket
import time
from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest

from commands.api_keys import IssueKey, issue_key
from commands.deciding import create
from domain.errors import Conflict
from domain.property import Property
from domain.ticket import Ticket
from infrastructure.storage.event_store import EventStore, VersionConflict
from infrastructure.storage.postgres import connect, make_pool
from infrastructure.storage.recorder import OutOfDate
from tests.support.arrange import register_property
from tests.support.proxy import Proxy
from tests.support.vault import VAULT
from tests.support.waiting import eventually
from tests.unit.builders import caller, context

POOL_SIZE = 4
DEADLINE_SECONDS = 3.0
RENAME_WHEN_A_TICKET_IS_OPENED = """
    CREATE FUNCTION rename() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        INSERT INTO es.stored_events (originator_id, originator_version, topic, state)
        SELECT originator_id, 2, 'property.renamed', 'another'
          FROM es.stored_events WHERE originator_id = 'p1';
        RETURN NULL;
    END $$;
    CREATE TRIGGER rename AFTER INSERT ON es.stored_events
       FOR EACH ROW WHEN (NEW.topic = 'ticket.opened') EXECUTE FUNCTION rename()
"""
WAITING_INSERTS = """
    SELECT count(*) FROM pg_stat_activity
     WHERE datname = current_database() AND wait_event_type = 'Lock' AND query LIKE 'INSERT%'
"""


@pytest.fixture
def proxy(database):
    with Proxy(database) as opened:
        yield opened


@pytest.fixture
def proxied_pool(proxy):
    """A pool whose connections go through the proxy."""
    with make_pool(proxy.dsn, application="tests", max_size=POOL_SIZE) as opened:
        yield opened


@pytest.fixture(params=["watermark", "table"])
def proxied_store(proxied_pool, request):
    return EventStore(proxied_pool, VAULT, lock=request.param)


def new_ticket(ticket_id="t1", title="A leaking tap", by=None):
    return Ticket.open(
        ticket_id,
        by or context(),
        title=title,
        description="",
        priority="medium",
        category="general",
        property_id="p1",
        unit_id=None,
        requester_id="u1",
    )


def change(ticket, title):
    """Records four events."""
    ticket.change({"title": title}, context())
    ticket.change({"priority": "high"}, context())
    ticket.change({"status": "in_progress"}, context())
    ticket.change({"assignee_id": "u2"}, context())


def log(conn):
    """Position, aggregate and version of every stored event."""
    return conn.execute(
        "SELECT notification_id, originator_id, originator_version FROM es.stored_events"
        " ORDER BY notification_id"
    ).fetchall()


def test_one_event_whose_commit_is_not_answered_is_stored_once(proxy, proxied_store, conn):
    ticket = new_ticket()
    proxy.lose_reply_to(commit_of(proxied_store, b"A leaking tap"))

    proxied_store.save(ticket)

    assert proxy.losses == 1
    assert log(conn) == [(ticket.position, "t1", 1)]


def test_several_events_whose_commit_is_not_answered_are_stored_once(proxy, proxied_store, conn):
    ticket = new_ticket()
    proxied_store.save(ticket)
    change(ticket, "Water everywhere")
    proxy.lose_reply_to(commit_of(proxied_store, b"Water everywhere"))

    proxied_store.save(ticket)

    assert proxy.losses == 1
    assert [row[1:] for row in log(conn)] == [("t1", version) for version in range(1, 6)]
    assert ticket.position == log(conn)[-1][0]
    assert proxied_store.load(Ticket, "t1").title == "Water everywhere"


def test_two_aggregates_whose_commit_is_not_answered_are_stored_once_with_a_position_each(
    proxy, proxied_store, conn
):
    first, second = new_ticket("t1"), new_ticket("t2", title="A leaking roof")
    proxy.lose_reply_to(commit_of(proxied_store, b"A leaking roof"))

    proxied_store.save(first, second)

    assert proxy.losses == 1
    assert log(conn) == [(first.position, "t1", 1), (second.position, "t2", 1)]


def commit_of(store, event):
    """Bytes of the message that commits: COMMIT with the table lock, otherwise a single INSERT."""
    return b"COMMIT" if store.recorder._locks_table else event


def test_rows_that_are_committed_with_the_events_are_stored_once_too(proxy, proxied_store, conn):
    proxy.lose_reply_to(b"COMMIT")

    issued = issue_key(proxied_store, IssueKey(name="Door", role="staff"), context(caller("admin")))

    assert proxy.losses == 1
    assert log(conn) == [(issued.api_key.position, issued.api_key.id, 1)]
    assert conn.execute("SELECT id FROM access.api_keys").fetchall() == [(issued.api_key.id,)]


def test_a_new_aggregate_whose_commit_is_not_answered_does_not_conflict_with_itself(
    proxy, proxied_store, conn
):
    proxy.lose_reply_to(commit_of(proxied_store, b"A leaking tap"))

    ticket = create(proxied_store, new_ticket(), context())

    assert proxy.losses == 1
    assert log(conn) == [(ticket.position, "t1", 1)]


def test_a_retry_during_the_append_of_the_first_try_returns_its_result(store, pool, conn):
    """The client has given up the first try, but the server carries it out at the same time as the retry."""
    tried = context(command_id="c1")
    (stored,) = [store.mapper.to_stored_event(event) for event in new_ticket(by=tried).collect_events()]
    again = context(command_id="c1", is_retry=True)
    with ThreadPoolExecutor(1) as executor:
        with conn.transaction():
            conn.execute(
                "INSERT INTO es.stored_events (originator_id, originator_version, topic, state)"
                " VALUES (%s, %s, %s, %s)",
                (stored.originator_id, stored.originator_version, stored.topic, stored.state),
            )
            second = executor.submit(create, store, new_ticket(by=again), again)
            eventually(lambda: pool.fetch(WAITING_INSERTS) == [(1,)])
        ticket = second.result()

    assert log(conn) == [(ticket.position, "t1", 1)]


def test_an_unanswered_commit_succeeds_although_the_recalled_aggregate_has_changed_since(
    proxy, proxied_pool, conn
):
    store = EventStore(proxied_pool, VAULT)
    register_property(store, "p1", context(), name="Seaside")
    store.load(Property, "p1")
    place, ticket = store.recall(Property, "p1"), new_ticket()
    conn.execute(RENAME_WHEN_A_TICKET_IS_OPENED)
    proxy.lose_reply_to(b"A leaking tap")

    store.save(ticket, unless_changed=[place])

    assert proxy.losses == 1
    assert [row[1:] for row in log(conn)] == [("p1", 1), ("t1", 1), ("p1", 2)]
    assert ticket.position == log(conn)[1][0]
    with pytest.raises(OutOfDate):
        store.save(new_ticket("t2"), unless_changed=[place])


def test_a_request_that_never_arrived_is_sent_again(proxy, proxied_store, conn):
    ticket = new_ticket()
    proxy.lose_request(b"A leaking tap")

    proxied_store.save(ticket)

    assert proxy.losses == 1
    assert log(conn) == [(ticket.position, "t1", 1)]


def test_a_real_conflict_is_still_reported(proxy, proxied_store, conn):
    proxied_store.save(new_ticket())
    faster, slower = proxied_store.load(Ticket, "t1"), proxied_store.load(Ticket, "t1")
    change(faster, "Faster")
    change(slower, "Slower")
    proxied_store.save(faster)

    with pytest.raises(VersionConflict):
        proxied_store.save(slower)

    assert len(log(conn)) == 5


@pytest.mark.parametrize("lose", [Proxy.lose_reply_to, Proxy.lose_request])
def test_a_real_conflict_is_still_reported_when_the_request_or_the_reply_is_lost(
    proxy, proxied_store, conn, lose
):
    proxied_store.save(new_ticket())
    faster, slower = proxied_store.load(Ticket, "t1"), proxied_store.load(Ticket, "t1")
    faster.change({"title": "Faster"}, context())
    change(slower, "Slower")
    proxied_store.save(faster)
    lose(proxy, b"Slower")

    with pytest.raises(VersionConflict):
        proxied_store.save(slower)

    assert proxy.losses == 1
    assert len(log(conn)) == 2


def test_an_id_that_is_taken_is_still_refused(proxy, proxied_store):
    create(proxied_store, new_ticket(), context())
    proxy.lose_reply_to(b"Another tap")

    with pytest.raises(Conflict):
        create(proxied_store, new_ticket(title="Another tap"), context())


def test_a_connection_that_breaks_under_the_lock_of_the_aggregate_does_not_fail_the_save(
    proxy, proxied_store, conn
):
    proxied_store.save(new_ticket())
    proxied_store.note_collision("t1")
    with proxied_store.serialize_after_collision("t1"):
        ticket = proxied_store.load(Ticket, "t1")
        change(ticket, "Water everywhere")
        proxy.lose_reply_to(commit_of(proxied_store, b"Water everywhere"))

        proxied_store.save(ticket)

    assert proxy.losses == 1
    assert len(log(conn)) == 5
    with proxied_store.serialize_after_collision("t1"):
        assert proxied_store.load(Ticket, "t1").version == 5


def test_no_connection_waits_for_ever_for_an_unreachable_host(proxy, proxied_pool):
    with connect(proxy.dsn, application="tests") as direct, proxied_pool.connection() as pooled:
        for one in (direct, pooled):
            with socket.socket(fileno=os.dup(one.fileno())) as end:
                unanswered = end.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) / 1_000
                idle, interval, count = (
                    end.getsockopt(socket.IPPROTO_TCP, option)
                    for option in (socket.TCP_KEEPIDLE, socket.TCP_KEEPINTVL, socket.TCP_KEEPCNT)
                )

            assert 0 < unanswered <= 30
            assert idle + interval * count <= 30


def test_a_save_succeeds_with_a_pool_full_of_broken_connections(proxied_pool, proxied_store, conn):
    proxied_pool.resize(POOL_SIZE)
    proxied_pool.wait()
    conn.execute(
        "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity"
        " WHERE datname = current_database() AND pid <> pg_backend_pid()"
    )
    ticket = new_ticket()

    proxied_store.save(ticket)

    assert log(conn) == [(ticket.position, "t1", 1)]


def test_without_the_database_a_request_fails_within_its_deadline(proxy, proxied_store, conn):
    proxied_store.save(new_ticket("t0"))
    ticket = new_ticket()
    proxy.set_mode("reset")

    for work in (lambda: proxied_store.load(Ticket, "t0"), lambda: proxied_store.save(ticket)):
        started = time.monotonic()
        with pytest.raises(psycopg.OperationalError):
            work()
        assert time.monotonic() - started < DEADLINE_SECONDS

    assert len(log(conn)) == 1


def test_a_slow_network_only_delays_a_save(proxy, proxied_store, conn):
    proxy.set_mode("delay", delay_seconds=0.05)
    ticket = new_ticket()

    proxied_store.save(ticket)

    assert proxied_store.load(Ticket, "t1").version == 1
    assert log(conn) == [(ticket.position, "t1", 1)]


def test_a_store_opens_without_the_database_and_saves_when_it_is_back(proxy, conn):
    proxy.set_mode("reset")
    with make_pool(proxy.dsn, application="tests", max_size=POOL_SIZE) as pool:
        store = EventStore(pool, VAULT)
        with pytest.raises(psycopg.OperationalError):
            store.load(Ticket, "t1")

        proxy.set_mode("pass")
        eventually(lambda: try_save(store, new_ticket()), 60)

    assert len(log(conn)) == 1


def try_save(store, ticket):
    """Saves the ticket; returns False while the pool cannot connect."""
    try:
        store.save(ticket)
    except psycopg.OperationalError:
        return False
    return True
