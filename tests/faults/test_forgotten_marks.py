"""Kafka transactions that have ended, but whose markers are missing in some partitions.

A broker that is killed during a commit or an abort leaves such transactions. The relay finishes them: no
acknowledged record is lost, and readers of committed records reach the end of the topic.
"""

from __future__ import annotations

from contextlib import closing

import pytest
from kafka import KafkaAdminClient, TopicPartition
from kafka.admin import ConfigResource, ConfigResourceType, TransactionState
from kafka.errors import KafkaTimeoutError

from event_stream.envelope import to_record
from event_stream.marks import Marks
from event_stream.position import NOTHING, read_position
from event_stream.relay import Relay, transactions
from infrastructure.storage.kafka import make_producer
from infrastructure.storage.kafka_topics import create_topics
from infrastructure.storage.kafka_transactions import end_transactions, transaction_state
from infrastructure.storage.postgres import connect
from infrastructure.storage.recorder import read_log
from infrastructure.storage.topics import PARTITIONS, events_topic, relay_transactional_id
from tests.support.broken_producers import ForgottenAborts, ForgottenMarks
from tests.support.history import History, append
from tests.support.stream import (
    RelayProcess,
    Verdict,
    destination_of,
    end_of_log,
    judge,
    published_position,
    read_stream,
    stream_settings,
)
from tests.support.waiting import eventually

pytestmark = pytest.mark.faults

SOON_SECONDS = 60
DELIVERY_SECONDS = 30
EVENTS = 42


@pytest.fixture(scope="module")
def trusting_kafka(kafka):
    """A Kafka that accepts records of a transaction without verifying it, as before Kafka 3.6."""
    with closing(KafkaAdminClient(bootstrap_servers=kafka)) as admin:
        brokers = [str(broker["broker_id"]) for broker in admin.describe_cluster()["brokers"]]
        for value in ("false", "true"):
            option = {"transaction.partition.verification.enable": value}
            admin.alter_configs(
                [ConfigResource(ConfigResourceType.BROKER, broker, configs=option) for broker in brokers]
            )
            if value == "false":
                yield kafka


@pytest.fixture
def settings(database, store, trusting_kafka, kafka_prefix, tmp_path):
    """The settings of a stream with topics and a log, but without records."""
    append(store, History(4).grow(EVENTS))
    settings = stream_settings(database, trusting_kafka, kafka_prefix, tmp_path)
    create_topics(settings)
    return settings


def publish(settings, broken):
    """Publishes a batch with a `broken` producer until the relay gives up; returns the error message."""
    with (
        connect(settings.database_url, application="tests") as conn,
        transactions(conn, settings, DELIVERY_SECONDS) as producer,
        Marks(settings, wait_seconds=0.5) as marks,
    ):
        relay = Relay(conn, broken(producer, settings), marks, settings, NOTHING, destination_of(settings))
        with pytest.raises((TimeoutError, KafkaTimeoutError)) as stopped:
            relay.publish_batch()
    return str(stopped.value)


def verdict(settings):
    return judge(settings.database_url, read_stream(settings), settings.base_url)


def state(settings):
    return transaction_state(settings, relay_transactional_id(settings))


def lose_the_answer(settings):
    """Resets the position in PostgreSQL, as if Kafka's answer to the commit had been lost."""
    with connect(settings.database_url, application="tests") as conn:
        conn.execute("UPDATE relay.position SET position = 0")


def replace_the_relay(settings):
    """Initializes the transactional id, as a relay does when it starts."""
    with closing(make_producer(settings, transactional_id=relay_transactional_id(settings))) as producer:
        producer.init_transactions()


def new_relay_recovers(settings):
    """Starts a relay; returns whether it publishes the whole log and every event can be read once."""
    end = end_of_log(settings.database_url)
    with RelayProcess(settings) as relay:
        relay.wait_for("relay_starts")
        eventually(lambda: published_position(settings.database_url) == end, SOON_SECONDS)
    assert read_position(settings).position == end
    return verdict(settings) == Verdict()


def test_an_abort_discards_committed_records_without_markers(settings):
    """The control for the tests below: it shows why the relay waits for the markers. The records are lost."""
    with connect(settings.database_url, application="tests") as conn:
        records = [to_record(row, source=settings.base_url) for row in read_log(conn, 0, 100)]
        with transactions(conn, settings, DELIVERY_SECONDS) as producer:
            for each in (ForgottenMarks(producer, settings), producer):
                each.begin_transaction()
                for record in records:
                    each.send(
                        events_topic(settings), key=record.key, value=record.value, headers=record.headers
                    )
                each.flush(timeout=DELIVERY_SECONDS)
                if each is producer:
                    each.abort_transaction()
                else:
                    each.commit_transaction()

    assert 0 < verdict(settings).lost < EVENTS


def test_the_relay_begins_no_transaction_before_all_markers_of_the_last_one_are_written(settings):
    message = publish(settings, ForgottenMarks)

    assert "wrote no marker to" in message
    assert published_position(settings.database_url) == end_of_log(settings.database_url)
    assert read_position(settings) is None
    assert verdict(settings).lost > 0
    assert new_relay_recovers(settings)


def test_a_committed_transaction_is_finished_although_the_answer_was_lost(settings):
    publish(settings, ForgottenMarks)
    lose_the_answer(settings)
    eventually(lambda: state(settings) == TransactionState.COMPLETE_COMMIT, SOON_SECONDS)

    assert new_relay_recovers(settings)


def test_a_relay_that_ends_while_it_writes_markers_causes_no_abort(settings):
    """Writes the markers of a quarter of the partitions and replaces the relay, twice."""
    publish(settings, ForgottenMarks)
    topic, quarter = events_topic(settings), PARTITIONS // 4
    for first in (0, quarter):
        partitions = [TopicPartition(topic, number) for number in range(first, first + quarter)]
        assert end_transactions(settings, partitions, is_commit=True) > 0
        assert end_transactions(settings, partitions, is_commit=True) == 0
        replace_the_relay(settings)
    assert state(settings) == TransactionState.EMPTY

    assert new_relay_recovers(settings)


@pytest.mark.parametrize("is_replaced", [False, True])
def test_an_aborted_transaction_is_finished_and_published_again(settings, is_replaced):
    publish(settings, ForgottenAborts)
    assert published_position(settings.database_url) == 0
    eventually(lambda: state(settings) == TransactionState.COMPLETE_ABORT, SOON_SECONDS)
    if is_replaced:
        replace_the_relay(settings)

    assert new_relay_recovers(settings)


def test_a_transaction_with_an_unknown_outcome_is_refused(settings, monkeypatch):
    """Kafka deletes transactional ids that were unused for days; the position in PostgreSQL is outdated."""
    with monkeypatch.context() as patch:
        patch.setattr("event_stream.relay.relay_transactional_id", lambda settings: "another")
        publish(settings, ForgottenMarks)
    lose_the_answer(settings)

    with RelayProcess(settings) as relay:
        assert relay.wait_for_end() == 2

    assert "neither committed nor aborted" in relay.output
