"""The dispatcher is killed repeatedly while it follows the log or Kafka: every delivery arrives unchanged."""

from __future__ import annotations

import os
import random
from collections import defaultdict

import pytest
from kafka import KafkaProducer

from infrastructure.storage.kafka_topics import create_topics
from infrastructure.storage.topics import events_topic
from tests.support.processes import Processes
from tests.support.receivers import running_receiver
from tests.support.stream import stream_settings
from tests.support.waiting import eventually
from tests.support.webhooks import is_settled, open_ticket, register, statuses, system

pytestmark = pytest.mark.faults

IS_FULL = os.environ.get("FAULTS_FULL") == "1"
KILLS, EVENTS = (50, 10_000) if IS_FULL else (3, 150)
# A webhook pauses for 30 s after ten failures in a row. Posts time out after one second here, so a machine
# that stalls can cause several pauses.
FINISH_SECONDS = 600 if IS_FULL else 240


@pytest.fixture
def receiver():
    with running_receiver() as running:
        yield running


@pytest.mark.parametrize("source", ["log", "kafka"])
def test_kills_of_the_dispatcher_lose_no_delivery_and_change_none(
    source, database, store, pool, receiver, tmp_path, request
):
    variables = {}
    if source == "kafka":
        variables = {
            "KAFKA_BOOTSTRAP_SERVERS": request.getfixturevalue("kafka"),
            "KAFKA_PREFIX": request.getfixturevalue("kafka_prefix"),
        }
    kills = KILLS if source == "log" or IS_FULL else 2
    processes = Processes(database, tmp_path, **variables)
    chance = random.Random(1)
    events = EVENTS - EVENTS % (5 * kills)
    for path in ("/one", "/two"):
        register(store, receiver.url(path))
    try:
        if source == "kafka":
            processes.keep_running("relay")
        for _ in range(kills):
            dispatcher = processes.start("webhook-dispatcher")
            received = len(receiver.posts)
            write_events(store, events // kills)
            moment = chance.randrange(1, max(2, 2 * events // kills))
            eventually(lambda: len(receiver.posts) >= received + moment, FINISH_SECONDS)  # noqa: B023
            dispatcher.kill()
            dispatcher.wait()
        processes.start("webhook-dispatcher")
        eventually(lambda: is_settled(pool, 2 * events), FINISH_SECONDS)
    finally:
        processes.close()
        print(processes.end_of_log())

    assert statuses(pool) == {"delivered": 2 * events}
    for path in ("/one", "/two"):
        require_all_in_order(receiver.at(path), messages(pool))


def require_all_in_order(posts, expected):
    """Asserts that all messages came, with one body per id, and that first posts of a ticket are in order."""
    bodies = defaultdict(set)
    for post in posts:
        bodies[post.id].add(post.body)
    assert bodies == {message_id: {body} for message_id, (_, _, body) in expected.items()}
    versions_by_ticket = defaultdict(list)
    for message_id in dict.fromkeys(post.id for post in posts):
        ticket_id, version, _ = expected[message_id]
        versions_by_ticket[ticket_id].append(version)
    assert [versions for versions in versions_by_ticket.values() if versions != sorted(versions)] == []


def write_events(store, count):
    """Stores tickets of five events each."""
    for _ in range(count // 5):
        ticket = open_ticket(store)
        for number in range(4):
            ticket.change({"title": f"Leak {number}"}, system())
        store.save(ticket)


def messages(pool):
    with pool.connection() as conn:
        rows = conn.execute("SELECT id, aggregate_id, version, body FROM hook.messages").fetchall()
    return {
        message_id: (aggregate_id, version, bytes(body)) for message_id, aggregate_id, version, body in rows
    }


def test_an_undecodable_record_becomes_a_dead_letter_and_the_others_are_delivered(
    database, store, pool, receiver, kafka, kafka_prefix, tmp_path
):
    settings = stream_settings(database, kafka, kafka_prefix, tmp_path)
    create_topics(settings)
    producer = KafkaProducer(bootstrap_servers=kafka)
    producer.send(events_topic(settings), key=b"x", value=b"\xff not json", headers=[("ce_sequence", b"7")])
    producer.send(events_topic(settings), key=b"x", value=None)
    producer.flush(30)
    producer.close()
    processes = Processes(database, tmp_path, KAFKA_BOOTSTRAP_SERVERS=kafka, KAFKA_PREFIX=kafka_prefix)
    register(store, receiver.url())
    open_ticket(store)
    try:
        processes.keep_running("relay")
        processes.start("webhook-dispatcher")
        eventually(lambda: len(dead_letters(pool)) == 2 and receiver.posts)
    finally:
        processes.close()

    assert {value for value, _ in dead_letters(pool)} == {b"\xff not json", None}
    assert all(error for _, error in dead_letters(pool))


def dead_letters(pool):
    with pool.connection() as conn:
        return conn.execute("SELECT value, error FROM hook.dead_letters").fetchall()
