"""The lag of the dispatchers behind Kafka, as the panel shows it."""

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
    """A consumer that polls one record at a time, of a topic with RECORDS records in one partition."""
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


def poll_one(consumer):
    return eventually(lambda: consumer.poll(timeout_ms=500))


def test_the_lag_is_the_number_of_records_not_polled_yet(consumer, conn, pool):
    lags = []
    for _ in range(5):
        poll_one(consumer)
        lags.append(count_behind(consumer))
    store_lag(conn, 1, consumer)
    shown = system_state(pool)
    for _ in range(RECORDS - 5):
        poll_one(consumer)

    assert lags == [RECORDS - number for number in range(1, 6)]
    assert shown.dispatcher_lag(has_kafka=True) == RECORDS - 5
    assert count_behind(consumer) == 0


def test_the_lags_of_running_dispatchers_are_added(consumer, conn, pool):
    assert system_state(pool).dispatcher_lag(has_kafka=True) is None
    poll_one(consumer)
    for member_id in (1, 2, 3):
        store_lag(conn, member_id, consumer)
        store_lag(conn, member_id, consumer)
    conn.execute("UPDATE hook.consumers SET seen_at = now() - interval '1 minute' WHERE seat = 2")

    assert system_state(pool).dispatcher_lag(has_kafka=True) == 2 * (RECORDS - 1)
