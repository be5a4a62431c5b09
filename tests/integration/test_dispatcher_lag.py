"""The lag of the dispatchers behind Kafka, as the panel and the gauges show it."""

import pytest
from kafka import KafkaProducer

from infrastructure.storage.kafka import make_consumer
from infrastructure.storage.kafka_topics import create_topics
from infrastructure.storage.topics import PARTITIONS, events_topic
from projections.overview import system_state
from tests.support.stream import stream_settings
from tests.support.waiting import eventually
from webhook_dispatcher.membership import count_behind, group_of, store_lag
from webhook_dispatcher.progress import LARGEST_POSITION, store_reached_ends, store_read

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


def progress(conn):
    return dict(conn.execute("SELECT partition, position FROM hook.partitions").fetchall())


def test_a_partition_counts_as_read_up_to_the_relay_only_at_its_end(consumer, conn):
    conn.execute("UPDATE relay.position SET position = 900")
    poll_one(consumer)
    store_reached_ends(conn, consumer)
    in_between = progress(conn)
    for _ in range(RECORDS - 1):
        poll_one(consumer)
    conn.execute("UPDATE relay.position SET position = 901")
    store_reached_ends(conn, consumer)

    assert in_between == {number: 900 for number in range(PARTITIONS) if number != 3}
    assert progress(conn) == dict.fromkeys(range(PARTITIONS), 901)


def test_the_stored_progress_only_grows_and_never_passes_the_relay(conn):
    conn.execute("UPDATE relay.position SET position = 900")
    store_read(conn, [(0, 7), (0, 9), (1, 5), (2, LARGEST_POSITION), (3, LARGEST_POSITION + 1), (4, None)])
    store_read(conn, [(0, 8), (1, 6)])

    assert progress(conn) == {0: 9, 1: 6, 2: 900}
