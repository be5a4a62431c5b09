"""Dispatchers come and go on Kafka: whose partitions wait for whom."""

from __future__ import annotations

import time

import pytest

from infrastructure.storage.topics import PARTITIONS
from tests.support.processes import Processes, end, kill
from tests.support.receivers import running_receiver
from tests.support.waiting import eventually
from tests.support.webhooks import open_ticket, register

pytestmark = pytest.mark.faults

LIMIT_SECONDS = 90
SESSION_SECONDS = 10  # what Kafka waits for a member that says nothing


@pytest.fixture
def receiver():
    with running_receiver() as running:
        yield running


@pytest.fixture
def processes(database, kafka, kafka_prefix, tmp_path):
    started = Processes(
        database, tmp_path, KAFKA_BOOTSTRAP_SERVERS=kafka, KAFKA_PREFIX=kafka_prefix, LOG_LEVEL="INFO"
    )
    started.keep_running("relay")
    yield started
    started.close()


def assigned(processes):
    """What the dispatchers were assigned: member id, partitions and generation of each time."""
    return [
        (line["member_id"], line["partitions"], line["generation"])
        for line in processes.logged("webhook_consumer_assigned")
    ]


def after(processes, times):
    """Wait until something was assigned so many times in all; return the last."""
    eventually(lambda: len(assigned(processes)) >= times, LIMIT_SECONDS)
    return assigned(processes)[-1]


def hears_of(receiver, ticket):
    return any(ticket.id.encode() in post.body for post in receiver.posts)


def test_the_only_dispatcher_killed_and_started_again_goes_on_without_a_rebalance(store, receiver, processes):
    register(store, receiver.url())
    first = processes.start("webhook-dispatcher")
    before = after(processes, 1)
    ticket = open_ticket(store)
    eventually(lambda: hears_of(receiver, ticket), LIMIT_SECONDS)

    kill(first)
    killed_at = time.monotonic()
    missed = open_ticket(store)
    processes.start("webhook-dispatcher")
    eventually(lambda: hears_of(receiver, missed), LIMIT_SECONDS)
    print(f"{time.monotonic() - killed_at:.1f} s from the kill until the next delivery")

    assert before[:2] == (1, PARTITIONS)
    assert assigned(processes) == [before, before]  # the same generation


def test_two_dispatchers_have_member_ids_of_their_own_and_hand_over_when_they_end(store, receiver, processes):
    register(store, receiver.url())
    first = processes.start("webhook-dispatcher")
    after(processes, 1)
    second = processes.start("webhook-dispatcher")
    eventually(lambda: shares(processes) == {1: PARTITIONS // 2, 2: PARTITIONS // 2}, LIMIT_SECONDS)
    generation = assigned(processes)[-1][2]

    kill(second)
    second = processes.start("webhook-dispatcher")
    eventually(lambda: assigned(processes)[-1] == (2, PARTITIONS // 2, generation), LIMIT_SECONDS)
    tickets = [open_ticket(store) for _ in range(20)]
    eventually(lambda: all(hears_of(receiver, ticket) for ticket in tickets), LIMIT_SECONDS)

    end(second)
    ended_at = time.monotonic()
    eventually(lambda: shares(processes)[1] == PARTITIONS, LIMIT_SECONDS)
    print(f"{time.monotonic() - ended_at:.1f} s from the end of one until the other has its partitions")
    late = open_ticket(store)
    eventually(lambda: hears_of(receiver, late), LIMIT_SECONDS)

    assert first.poll() is None
    assert processes.logged("webhook_consumer_failed") == []
    assert processes.logged("webhook_consumer_not_left") == []


def shares(processes):
    """How many partitions each member was given last."""
    return {member_id: partitions for member_id, partitions, _ in assigned(processes)}
