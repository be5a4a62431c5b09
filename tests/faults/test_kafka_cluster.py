"""Three Kafka nodes are killed one after the other: the topic and webhooks get each event, in order."""

from __future__ import annotations

import os
import threading
import time
from contextlib import contextmanager

import msgspec
import pytest

from domain.ticket import TicketEvent
from infrastructure.storage.event_store import decode
from infrastructure.storage.topics import events_topic, position_topic
from tests.support.history import History, append
from tests.support.kafka_cluster import running_cluster
from tests.support.kafka_server import KafkaUnavailable
from tests.support.processes import Processes
from tests.support.receivers import running_receiver
from tests.support.stream import Reader, Verdict, end_of_log, judge, published_position, stream_settings
from tests.support.waiting import eventually
from tests.support.webhooks import register
from webhook_dispatcher.payloads import event_names

pytestmark = pytest.mark.faults

IS_FULL = os.environ.get("FAULTS_FULL") == "1"
KILLS = 30 if IS_FULL else 1
STEPS, PAUSE_SECONDS = 5, 0.1  # of the history in each append, and between two appends
LIMIT_SECONDS = 240


@pytest.fixture(scope="module")
def nodes(tmp_path_factory):
    try:
        with running_cluster(tmp_path_factory.mktemp("kafka-cluster")) as running:
            yield running
    except KafkaUnavailable as error:
        pytest.skip(str(error))


@contextmanager
def steady_writer(store):
    """Appends events until the end of the block."""
    history, stopping = History(1), threading.Event()

    def write():
        while not stopping.wait(PAUSE_SECONDS):
            append(store, history.grow(STEPS))

    thread = threading.Thread(target=write)
    thread.start()
    try:
        yield
    finally:
        stopping.set()
        thread.join()


def test_kills_of_one_node_at_a_time_lose_double_and_disorder_nothing(database, store, nodes, tmp_path):
    """Two relays and two dispatchers run, as on two hosts."""
    settings = msgspec.structs.replace(
        stream_settings(database, nodes.bootstrap_servers, "nodes", tmp_path), kafka_replication_factor=3
    )
    variables = {
        "KAFKA_BOOTSTRAP_SERVERS": nodes.bootstrap_servers,
        "KAFKA_PREFIX": settings.kafka_prefix,
        "KAFKA_REPLICATION_FACTOR": "3",
    }
    processes = Processes(database, tmp_path, **variables)
    outages = []
    with running_receiver() as receiver:
        register(store, receiver.url())
        try:
            for name in ("relay", "relay", "webhook-dispatcher", "webhook-dispatcher"):
                processes.keep_running(name)
            eventually(lambda: published_position(database) > 0, LIMIT_SECONDS)
            with Reader(settings) as reader:
                with steady_writer(store):
                    eventually(lambda: receiver.posts, LIMIT_SECONDS)
                    for number in range(KILLS):
                        node = nodes.nodes[number % len(nodes.nodes)]
                        outages.append(kill(node, database))
                        node.start()
                        nodes.wait_until_replicated(topics(settings), LIMIT_SECONDS)
                eventually(lambda: published_position(database) == end_of_log(database), LIMIT_SECONDS)
            eventually(lambda: is_delivered(store), LIMIT_SECONDS)
        finally:
            processes.close()
    found, missing = judge(database, reader.records, settings.base_url), missing_posts(store, receiver.posts)
    print(
        f"{KILLS} kills, {len(reader.records)} events, {len(receiver.posts)} posts; {found};"
        f" longest time without progress of the relay {max(outages):.1f} s"
    )
    assert found == Verdict()
    assert missing == set()
    assert out_of_order(receiver.posts) == []


def kill(node, database):
    """Kill the node; return the seconds until the relay has published events that were stored afterwards."""
    began, target = time.monotonic(), end_of_log(database)
    node.kill()
    eventually(lambda: published_position(database) > target, LIMIT_SECONDS)
    return time.monotonic() - began


def topics(settings):
    return [events_topic(settings), position_topic(settings), "__transaction_state", "__consumer_offsets"]


def rows(store, statement):
    with store.recorder.connection() as conn:
        return conn.execute(statement).fetchall()


def is_delivered(store):
    """Whether the dispatchers have read the whole topic and posted everything."""
    counts = "SELECT count(*) FILTER (WHERE status = 'pending'), count(*) FROM hook.deliveries"
    ((pending, stored),) = rows(store, counts)
    return pending == 0 and stored >= len(wanted(store))


def wanted(store):
    """Ticket, version and name of each message that the webhook must get."""
    events = [decode(bytes(state)) for (state,) in rows(store, "SELECT state FROM es.stored_events")]
    return {
        (event.originator_id, event.originator_version, name)
        for event in events
        if isinstance(event, TicketEvent)
        for name in event_names(event)
    }


def missing_posts(store, posts):
    bodies = [msgspec.json.decode(post.body) for post in posts]
    return wanted(store) - {(body["data"]["id"], body["version"], body["event"]) for body in bodies}


def out_of_order(posts):
    """The first posts about versions of a ticket that came after one about a later version."""
    last, seen, wrong = {}, set(), []
    for post in posts:
        body = msgspec.json.decode(post.body)
        ticket_id, version = body["data"]["id"], body["version"]
        if post.id not in seen and version < last.get(ticket_id, 0):
            wrong.append((ticket_id, version))
        seen.add(post.id)
        last[ticket_id] = max(version, last.get(ticket_id, 0))
    return wrong
