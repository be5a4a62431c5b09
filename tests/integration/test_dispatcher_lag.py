"""How far behind Kafka the dispatchers are, as the panel shows it."""

import pytest
from kafka import KafkaProducer

from infrastructure.storage.kafka import create_topics, make_consumer
from infrastructure.storage.topics import events_topic
from projections.overview import system_state
from tests.support.stream import stream_settings
from tests.support.waiting import eventually
from webhook_dispatcher.membership import count_behind, group_of, store_lag

RECORDS = 20


@pytest.fixture
def consumer(database, kafka, kafka_prefix, tmp_path):
    """One that takes a record at a time, of a topic with RECORDS in one partition."""
    settings = stream_settings(database, kafka, kafka_prefix, tmp_path)
    create_topics(settings)
    producer = KafkaProducer(bootstrap_servers=kafka)
    for _ in range(RECORDS):
        producer.send(events_topic(settings), value=b"{}", partition=3)
    producer.flush()
    producer.close()
    group = group_of(settings)
    consumer = make_consumer(settings, client_id=group, group_id=group, max_poll_records=1)
    consumer.subscribe([events_topic(settings)])
    yield consumer
    consumer.close(autocommit=False)


def take_one(consumer):
    return eventually(lambda: consumer.poll(timeout_ms=500))


def test_it_is_what_has_not_been_taken(consumer, conn, pool):
    taken = []
    for _ in range(5):
        take_one(consumer)
        taken.append(count_behind(consumer))
    store_lag(conn, 1, consumer)
    shown = system_state(pool)
    for _ in range(RECORDS - 5):
        take_one(consumer)

    assert taken == [RECORDS - number for number in range(1, 6)]
    assert shown.dispatcher_lag(has_kafka=True) == RECORDS - 5
    assert count_behind(consumer) == 0


def test_those_of_several_dispatchers_are_added_and_those_long_gone_forgotten(consumer, conn, pool):
    assert system_state(pool).dispatcher_lag(has_kafka=True) is None
    take_one(consumer)
    for member_id in (1, 2, 3):
        store_lag(conn, member_id, consumer)
        store_lag(conn, member_id, consumer)
    conn.execute("UPDATE hook.consumers SET seen_at = now() - interval '1 minute' WHERE seat = 2")

    assert system_state(pool).dispatcher_lag(has_kafka=True) == 2 * (RECORDS - 1)
