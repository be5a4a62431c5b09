"""Transactions that ended in Kafka's books but not in all partitions, as a broker leaves them that was killed
meanwhile: what was acknowledged is never lost, and readers get to the end."""

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
from infrastructure.storage.kafka import create_topics, make_producer
from infrastructure.storage.kafka_transactions import end_transactions, transaction_state
from infrastructure.storage.postgres import connect
from infrastructure.storage.recorder import read_log
from infrastructure.storage.topics import PARTITIONS, events_topic, relay_transactional_id
from tests.support.broken_producers import ForgottenAborts, ForgottenMarks
from tests.support.history import History, append
from tests.support.stream import (
    RelayProcess,
    Verdict,
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
    """A Kafka that takes records of a transaction without asking its coordinator, as before Kafka 3.6."""
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
    """Of a stream with topics and a log, but without a record yet."""
    append(store, History(4).grow(EVENTS))
    settings = stream_settings(database, trusting_kafka, kafka_prefix, tmp_path)
    create_topics(settings)
    return settings


def publish(settings, broken):
    """One page, by a producer that is `broken`, on which the relay gives up; return how it did."""
    with (
        connect(settings.database_url, application="tests") as conn,
        transactions(conn, settings, DELIVERY_SECONDS) as producer,
        Marks(settings, wait_seconds=0.5) as marks,
    ):
        relay = Relay(conn, broken(producer, settings), marks, settings, NOTHING)
        with pytest.raises((TimeoutError, KafkaTimeoutError)) as stopped:
            relay.publish_batch()
    return str(stopped.value)


def verdict(settings):
    return judge(settings.database_url, read_stream(settings), settings.base_url)


def state(settings):
    return transaction_state(settings, relay_transactional_id(settings))


def forget_the_answer(settings):
    """As if Kafka's answer to the commit had not arrived."""
    with connect(settings.database_url, application="tests") as conn:
        conn.execute("UPDATE relay.position SET position = 0")


def replace_the_relay(settings):
    """What a relay does to Kafka's books that dies right after."""
    with closing(make_producer(settings, transactional_id=relay_transactional_id(settings))) as producer:
        producer.init_transactions()


def all_is_well(settings):
    """A relay starts, and everything can be read."""
    end = end_of_log(settings.database_url)
    with RelayProcess(settings) as relay:
        relay.wait_for("relay_starts")
        eventually(lambda: published_position(settings.database_url) == end, SOON_SECONDS)
    assert read_position(settings).position == end
    return verdict(settings) == Verdict()


def test_an_abort_takes_along_what_was_committed_and_not_marked(settings):
    """Why the relay waits for the marks: the control of what follows. No one can bring the records back."""
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


def test_the_relay_begins_nothing_before_its_last_page_is_marked_everywhere(settings):
    said = publish(settings, ForgottenMarks)

    assert "wrote no marker to" in said
    assert published_position(settings.database_url) == end_of_log(settings.database_url)
    assert read_position(settings) is None
    assert verdict(settings).lost > 0
    assert all_is_well(settings)


def test_what_kafka_has_committed_is_finished_although_its_answer_was_lost(settings):
    publish(settings, ForgottenMarks)
    forget_the_answer(settings)
    eventually(lambda: state(settings) == TransactionState.COMPLETE_COMMIT, SOON_SECONDS)

    assert all_is_well(settings)


def test_a_relay_that_dies_while_it_finishes_leaves_nothing_that_is_aborted(settings):
    """Some partitions are done, then others, and another relay takes over each time."""
    publish(settings, ForgottenMarks)
    topic, quarter = events_topic(settings), PARTITIONS // 4
    for first in (0, quarter):
        partitions = [TopicPartition(topic, number) for number in range(first, first + quarter)]
        assert end_transactions(settings, partitions, is_commit=True) > 0
        assert end_transactions(settings, partitions, is_commit=True) == 0
        replace_the_relay(settings)
    assert state(settings) == TransactionState.EMPTY

    assert all_is_well(settings)


@pytest.mark.parametrize("is_replaced", [False, True])
def test_what_kafka_has_aborted_is_finished_and_published_again(settings, is_replaced):
    publish(settings, ForgottenAborts)
    assert published_position(settings.database_url) == 0
    eventually(lambda: state(settings) == TransactionState.COMPLETE_ABORT, SOON_SECONDS)
    if is_replaced:
        replace_the_relay(settings)

    assert all_is_well(settings)


def test_a_transaction_nobody_knows_the_end_of_is_refused(settings, monkeypatch):
    """Kafka forgets ids that were not used for some days, and the copy of the position is that of before."""
    with monkeypatch.context() as patch:
        patch.setattr("event_stream.relay.relay_transactional_id", lambda settings: "another")
        publish(settings, ForgottenMarks)
    forget_the_answer(settings)

    with RelayProcess(settings) as relay:
        assert relay.wait_for_end() == 2

    assert "neither committed nor aborted" in relay.output
