"""The relay and its topic: partitions that are added, topics that are lost, records that are refused."""

from __future__ import annotations

import random
from contextlib import closing, contextmanager

import msgspec
import pytest
from kafka import TopicPartition
from structlog.testing import capture_logs

from event_stream.destination import require_destination
from event_stream.position import RelayRefused, starting_position
from event_stream.relay import republish, transactions
from infrastructure.storage.kafka import make_admin
from infrastructure.storage.kafka_topics import LARGEST_RECORD_BYTES, create_topics
from infrastructure.storage.postgres import connect
from infrastructure.storage.topics import PARTITIONS, events_topic
from tests.support.history import History, append
from tests.support.postgres import cloned_database
from tests.support.stream import (
    Verdict,
    delete_topics,
    end_of_log,
    is_published,
    judge,
    publish_all,
    published_position,
    read_stream,
    stream_settings,
)
from tests.support.topic_settings import change_settings
from tests.support.webhooks import open_ticket

MORE = PARTITIONS + 6
FORGET = "UPDATE relay.position SET topic = NULL, topic_id = NULL, partitions = NULL, offsets = NULL"


@pytest.fixture
def settings(database, kafka, kafka_prefix, tmp_path):
    return stream_settings(database, kafka, kafka_prefix, tmp_path)


@contextmanager
def administration(settings):
    with closing(make_admin(settings)) as admin:
        yield admin


def verdict(settings, partitions=PARTITIONS):
    return judge(settings.database_url, read_stream(settings, partitions), settings.base_url)


def add_partitions(settings, total):
    with administration(settings) as admin:
        admin.create_partitions({events_topic(settings): total})
        admin.wait_for_topics([events_topic(settings)])


def configure(settings, **values):
    with administration(settings) as admin:
        change_settings(admin, events_topic(settings), **values)


def destination(settings):
    """The destination of a relay that starts now."""
    with connect(settings.database_url, application="tests") as conn:
        topic = create_topics(settings)[events_topic(settings)]
        return require_destination(conn, settings, topic, starting_position(conn, settings))


def test_partitions_that_are_added_later_do_not_move_a_ticket(settings, store, conn):
    history = History(31)
    append(store, history.grow(60))
    publish_all(settings)
    add_partitions(settings, MORE)
    append(store, history.grow(120))
    publish_all(settings)

    records = read_stream(settings, MORE)
    assert judge(settings.database_url, records, settings.base_url) == Verdict()
    assert max(record.partition for record in records) < PARTITIONS
    assert destination(settings).partitions == PARTITIONS

    conn.execute(FORGET)  # as after an upgrade: earlier versions placed records by the new number
    with pytest.raises(RelayRefused, match=f"has {MORE} partitions, and had {PARTITIONS} when"):
        destination(settings)


def test_a_new_topic_with_more_partitions_gets_every_event(settings, store, kafka_prefix):
    """The documented way to use more partitions: a new prefix, and the whole log again."""
    append(store, History(32).grow(60))
    publish_all(settings)
    new = msgspec.structs.replace(settings, kafka_prefix=f"{kafka_prefix}-new")
    with administration(new) as admin:
        admin.create_topics({events_topic(new): {"num_partitions": MORE, "replication_factor": 1}})
        admin.wait_for_topics([events_topic(new)])
    configure(new, retention_ms=-1)
    with pytest.raises(RelayRefused, match="KAFKA_PREFIX names other topics"):
        destination(new)

    republish(new, 0)
    publish_all(new)

    records = read_stream(new, MORE)
    assert judge(settings.database_url, records, settings.base_url) == Verdict()
    assert len({record.partition for record in records}) > PARTITIONS / 2
    assert destination(new).partitions == MORE


def test_a_topic_that_was_created_again_is_refused_until_it_is_published_again(settings, store, conn):
    append(store, History(33).grow(60))
    publish_all(settings)
    delete_topics(settings, events_topic(settings))
    create_topics(settings)  # as an operator does, or a program with automatic creation of topics

    with pytest.raises(RelayRefused, match="is not the one to which this relay has published"):
        destination(settings)
    conn.execute("UPDATE relay.position SET topic_id = NULL")  # Kafka before 2.8
    with pytest.raises(RelayRefused, match=r"ends at offset 0, but offset \d+ was published"):
        destination(settings)
    conn.execute(FORGET)
    with pytest.raises(RelayRefused, match="does not have the record that was published last"):
        destination(settings)

    published = published_position(settings.database_url)
    assert republish(settings, published - 20) == 20
    publish_all(settings)  # it does not expect earlier events in the topic
    found = verdict(settings)
    assert (found.lost, found.repeated, found.altered) == (published - 20, 0, 0)


def test_the_last_record_is_found_behind_aborted_ones_and_after_a_lost_update_of_the_copy(
    settings, store, conn
):
    append(store, History(34).grow(60))
    publish_all(settings)
    with transactions(conn, settings, 30) as producer:
        producer.begin_transaction()
        for number in range(100):
            producer.send(
                events_topic(settings), key=b"%d" % number, value=b"{}", partition=number % PARTITIONS
            )
        producer.flush()
        producer.abort_transaction()

    known = destination(settings)
    conn.execute("UPDATE relay.position SET position = position - 10, offsets = array_fill(0, ARRAY[24])")
    assert destination(settings).partitions == PARTITIONS
    conn.execute(FORGET)
    assert destination(settings) == known._replace(offsets=[-1] * PARTITIONS)


def test_records_that_were_deleted_as_old_are_not_taken_for_lost_ones(settings, store, conn):
    history = History(35)
    append(store, history.grow(40))
    publish_all(settings)
    with administration(settings) as admin:
        everything = {TopicPartition(events_topic(settings), number): -1 for number in range(PARTITIONS)}
        admin.delete_records(everything)

    with capture_logs() as lines:
        destination(settings)
        conn.execute(FORGET)
        destination(settings)
    published = end_of_log(settings.database_url)
    append(store, history.grow(20))
    publish_all(settings)

    assert [line["event"] for line in lines] == ["relay_last_record_expired"] * 2
    assert len(read_stream(settings)) == end_of_log(settings.database_url) - published


def test_an_empty_topic_keeps_its_partitions_and_one_of_another_installation_is_refused(
    settings, store, postgres, template
):
    with administration(settings) as admin:
        admin.create_topics({events_topic(settings): {"num_partitions": 3, "replication_factor": 1}})
        admin.wait_for_topics([events_topic(settings)])
    configure(settings, retention_ms=-1)
    append(store, History(36).grow(30))
    publish_all(settings)
    assert verdict(settings, 3) == Verdict()
    delete_topics(settings, f"{settings.kafka_prefix}.relay.position")

    with cloned_database(postgres, template) as other:
        theirs = msgspec.structs.replace(settings, database_url=other)
        with pytest.raises(RelayRefused, match="has events, but nothing was published from this database"):
            destination(theirs)


def test_a_refused_record_is_named_and_only_the_events_before_it_are_published(settings, store):
    history = History(37)
    text = "".join(map(chr, random.Random(1).choices(range(0x4E00, 0x9FFF), k=10_000)))  # hardly compressible
    appended = []

    def append_once_it_runs():
        if not appended and is_published(settings):
            configure(settings, max_message_bytes=9_000)  # the relay has checked the topic already
            append(store, history.grow(10))
            appended.append(end_of_log(settings.database_url))
            appended.append(open_ticket(store, description=text))
            append(store, history.grow(10))
        return False

    append(store, history.grow(10))
    with capture_logs() as lines, pytest.raises(RelayRefused) as refused:
        publish_all(settings, until=append_once_it_runs)

    before, ticket = appended
    (line,) = [line for line in lines if line["event"] == "relay_record_refused"]
    named = (line["position"], line["event_type"], line["aggregate_id"])
    assert named == (before + 1, "ticket.opened", ticket.id)
    assert line["setting"] == "max.message.bytes"
    assert line["bytes"] > len(text.encode())
    assert line["advice"].endswith(f"max.message.bytes={LARGEST_RECORD_BYTES}")
    assert f"ticket.opened at position {before + 1}, version 1 of {ticket.id}" in str(refused.value)
    assert published_position(settings.database_url) == before

    configure(settings, max_message_bytes=LARGEST_RECORD_BYTES)
    publish_all(settings)
    assert verdict(settings) == Verdict()
