"""Dispatchers that follow Kafka start and end: how Kafka assigns the partitions to them."""

from __future__ import annotations

import time

import pytest
from kafka.coordinator.assignors.cooperative_sticky import CooperativeStickyAssignor
from kafka.protocol.consumer.metadata import ConsumerProtocolAssignment

from infrastructure.storage.kafka import make_consumer
from infrastructure.storage.topics import PARTITIONS, events_topic
from tests.support.processes import Processes, end, kill
from tests.support.receivers import running_receiver
from tests.support.stream import published_position, stream_settings
from tests.support.waiting import eventually
from tests.support.webhooks import open_ticket, register
from webhook_dispatcher.membership import group_of, instance_id

pytestmark = pytest.mark.faults

LIMIT_SECONDS = 90


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


def assignments(processes):
    """All assignments in order: member id, number of partitions, generation."""
    return [
        (line["member_id"], line["partitions"], line["generation"])
        for line in processes.logged("webhook_consumer_assigned")
    ]


def wait_for_assignments(processes, times):
    """Waits until there are this many assignments in all; returns the last one."""
    eventually(lambda: len(assignments(processes)) >= times, LIMIT_SECONDS)
    return assignments(processes)[-1]


def has_received(receiver, ticket):
    return any(ticket.id.encode() in post.body for post in receiver.posts)


def test_a_single_dispatcher_that_is_killed_and_restarted_goes_on_without_a_rebalance(
    store, receiver, processes
):
    register(store, receiver.url())
    first = processes.start("webhook-dispatcher")
    before = wait_for_assignments(processes, 1)
    ticket = open_ticket(store)
    eventually(lambda: has_received(receiver, ticket), LIMIT_SECONDS)

    kill(first)
    killed_at = time.monotonic()
    missed = open_ticket(store)
    processes.start("webhook-dispatcher")
    eventually(lambda: has_received(receiver, missed), LIMIT_SECONDS)
    print(f"{time.monotonic() - killed_at:.1f} s from the kill until the next delivery")

    assert before[:2] == (1, PARTITIONS)
    assert assignments(processes) == [before, before]  # the same generation


def test_two_dispatchers_have_different_member_ids_and_hand_over_their_partitions_at_the_end(
    store, receiver, processes
):
    register(store, receiver.url())
    first = processes.start("webhook-dispatcher")
    wait_for_assignments(processes, 1)
    second = processes.start("webhook-dispatcher")
    eventually(lambda: shares(processes) == {1: PARTITIONS // 2, 2: PARTITIONS // 2}, LIMIT_SECONDS)
    generation = assignments(processes)[-1][2]

    kill(second)
    second = processes.start("webhook-dispatcher")
    eventually(lambda: assignments(processes)[-1] == (2, PARTITIONS // 2, generation), LIMIT_SECONDS)
    tickets = [open_ticket(store) for _ in range(20)]
    eventually(lambda: all(has_received(receiver, ticket) for ticket in tickets), LIMIT_SECONDS)

    end(second)
    ended_at = time.monotonic()
    eventually(lambda: shares(processes)[1] == PARTITIONS, LIMIT_SECONDS)
    print(f"{time.monotonic() - ended_at:.1f} s from the end of one until the other has its partitions")
    late = open_ticket(store)
    eventually(lambda: has_received(receiver, late), LIMIT_SECONDS)

    assert first.poll() is None
    assert processes.logged("webhook_consumer_failed") == []
    assert processes.logged("webhook_consumer_not_left") == []


class GivesNothing(CooperativeStickyAssignor):
    """Distributes no partition, as one does whose client does not know the topic yet."""

    def assign(self, cluster, members):
        return {member.member_id: ConsumerProtocolAssignment(self.version, [], b"") for member in members}


def test_a_dispatcher_that_the_group_has_given_no_partition_joins_it_again(
    store, receiver, processes, database, kafka, kafka_prefix, tmp_path
):
    settings = stream_settings(database, kafka, kafka_prefix, tmp_path)
    register(store, receiver.url())
    ticket = open_ticket(store)
    eventually(lambda: published_position(database) > 0, LIMIT_SECONDS)
    group = group_of(settings)
    misled = make_consumer(
        settings, client_id=group, group_id=group, group_instance_id=instance_id(settings, 1)
    )
    misled._coordinator._assignors[GivesNothing.name] = GivesNothing()
    misled.subscribe([events_topic(settings)])
    eventually(lambda: misled.poll(200) or misled.group_metadata().generation_id > 0, LIMIT_SECONDS)
    assert misled.assignment() == set()
    misled.close(autocommit=False)

    processes.start("webhook-dispatcher")

    eventually(lambda: has_received(receiver, ticket), LIMIT_SECONDS)


def shares(processes):
    """The number of partitions in the last assignment of each member."""
    return {member_id: partitions for member_id, partitions, _ in assignments(processes)}
