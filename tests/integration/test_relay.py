"""The relay with a real Kafka: it publishes every event once and in order, or refuses to run."""

from __future__ import annotations

from collections import Counter

import msgspec
import pytest
from cloudevents.core.bindings.kafka import KafkaMessage, from_binary
from cloudevents.core.formats.json import JSONFormat
from kafka import KafkaAdminClient
from kafka.errors import KafkaError

from domain.events import StoredDomainEvent
from event_stream.marks import Marks
from event_stream.position import RelayRefused, read_position
from event_stream.relay import Relay, is_fenced, republish, transactions
from infrastructure.storage.event_store import EventStore, decode
from infrastructure.storage.kafka_topics import create_topics
from infrastructure.storage.postgres import connect, make_pool
from infrastructure.storage.topics import PARTITIONS, events_topic, position_topic
from tests.support import impatient_relay
from tests.support.commands import environment, ticketing
from tests.support.history import History, append
from tests.support.postgres import cloned_database
from tests.support.server import free_port
from tests.support.stream import (
    Ends,
    Reader,
    RelayProcess,
    Verdict,
    delete_topics,
    destination_of,
    end_of_log,
    is_published,
    judge,
    publish_all,
    read_stream,
    relay_variables,
    stream_settings,
)
from tests.support.topic_settings import read_settings
from tests.support.vault import VAULT
from tests.support.waiting import eventually


@pytest.fixture
def settings(database, kafka, kafka_prefix, tmp_path):
    return stream_settings(database, kafka, kafka_prefix, tmp_path)


def verdict(settings, records=None):
    found = read_stream(settings) if records is None else records
    return judge(settings.database_url, found, settings.base_url)


def test_the_log_is_published_once_and_in_order(settings, store):
    history = History(1)
    append(store, history.grow(300))

    publish_all(settings)
    append(store, history.grow(100))
    publish_all(settings)

    records = read_stream(settings)
    assert verdict(settings, records) == Verdict()
    assert len({record.partition for record in records}) > PARTITIONS / 2


def test_every_record_is_a_cloudevent(settings, store):
    """The public SDK reads each record, and the data of the record is the stored event."""
    append(store, History(2).grow(60))
    publish_all(settings)

    for record in read_stream(settings):
        message = KafkaMessage(headers=dict(record.headers), key=record.key, value=record.value)
        event = from_binary(message, JSONFormat())
        stored = decode(record.value)

        assert isinstance(stored, StoredDomainEvent)
        assert event.get_specversion() == "1.0"
        assert event.get_id() == stored.event_id
        assert event.get_type() == stored.tag
        assert event.get_source() == settings.base_url
        assert event.get_subject() == stored.originator_id == record.key.decode()
        assert event.get_time() == stored.occurred_at
        assert event.get_datacontenttype() == "application/json"
        assert event.get_dataschema() == f"{settings.base_url}/v1/event-types/{stored.tag}.v1"
        assert event.get_extension("ticketversion") == str(stored.originator_version)
        assert event.get_data()["event_id"] == stored.event_id


def test_every_record_has_a_traceparent(settings, store):
    append(store, History(3).grow(5))
    publish_all(settings)

    for record in read_stream(settings):
        version, trace, span, flags = dict(record.headers)["traceparent"].decode().split("-")
        assert (version, len(trace), len(span), flags) == ("00", 32, 16, "01")


def test_topics_are_created_with_the_required_settings(settings, store):
    publish_all(settings)
    create_topics(settings)  # topics that exist are not changed

    admin = KafkaAdminClient(bootstrap_servers=settings.kafka_bootstrap_servers)
    names = [events_topic(settings), position_topic(settings)]
    partitions = {topic["name"]: len(topic["partitions"]) for topic in admin.describe_topics(names)}
    options = {name: read_settings(admin, name) for name in names}
    admin.close()
    assert partitions == {names[0]: PARTITIONS, names[1]: 1}
    assert options[names[0]]["cleanup.policy"] == "delete"
    assert options[names[0]]["retention.ms"] == "-1"
    assert options[names[1]]["cleanup.policy"] == "compact"


def test_batches_are_compressed(settings, store):
    append(store, History(4).grow(1_500))
    publish_all(settings)

    records = read_stream(settings)
    plain = sum(len(record.value) + sum(len(value) for _, value in record.headers) for record in records)
    admin = KafkaAdminClient(bootstrap_servers=settings.kafka_bootstrap_servers)
    (broker, *_) = admin.describe_log_dirs([events_topic(settings)])
    admin.close()
    stored = sum(
        partition["partition_size"]
        for folder in broker["log_dirs"]
        for topic in folder["topics"]
        for partition in topic["partitions"]
    )
    assert 0 < stored < plain * 0.6


def test_the_last_position_is_found_after_many_others(settings, store):
    """The relay searches the topic of positions in steps from its end."""
    history = History(5)
    append(store, history.grow(3))
    publish_all(settings)
    with (
        connect(settings.database_url, application="tests") as conn,
        transactions(conn, settings, 30) as producer,
        Marks(settings) as marks,
    ):
        relay = Relay(conn, producer, marks, settings, read_position(settings), destination_of(settings))
        for _ in range(120):
            append(store, history.grow(1))
            relay.publish_batch()

    assert read_position(settings).position == end_of_log(settings.database_url)
    assert is_published(settings)
    publish_all(settings)
    assert verdict(settings) == Verdict()


def test_a_second_relay_stands_by_until_the_first_has_ended(settings, store):
    history = History(6)
    append(store, history.grow(20))
    with RelayProcess(settings) as first, RelayProcess(settings) as second:
        eventually(lambda: "relay_starts" in first.output + second.output, 30)
        leader, other = (first, second) if "relay_starts" in first.output else (second, first)
        leader.wait_for("relay_published")
        assert "relay_leads" not in other.output

        leader.process.terminate()
        assert leader.wait_for_end() == 0, leader.output[-3_000:]
        append(store, history.grow(20))
        other.wait_for("relay_published")
        other.process.terminate()
        assert other.wait_for_end() == 0, other.output[-3_000:]

    assert verdict(settings) == Verdict()


def test_a_relay_that_was_replaced_is_refused_by_kafka(settings, store):
    """Kafka refuses it although its session with PostgreSQL is still open."""
    history = History(7)
    append(store, history.grow(20))
    publish_all(settings)
    with (
        connect(settings.database_url, application="tests") as conn,
        transactions(conn, settings, 30) as old_producer,
        Marks(settings) as marks,
    ):
        old_relay = Relay(
            conn, old_producer, marks, settings, read_position(settings), destination_of(settings)
        )
        append(store, history.grow(20))
        publish_all(settings)

        with pytest.raises(KafkaError) as refused:
            old_relay.publish_batch()
        assert is_fenced(refused.value)

    assert verdict(settings) == Verdict()


def test_a_frozen_relay_is_replaced_and_publishes_nothing_when_it_continues(settings, store):
    history = History(8)
    append(store, history.grow(20))
    publish_all(settings)
    ends = Ends(settings)
    with RelayProcess(settings) as frozen, Reader(settings) as reader:
        frozen.wait_for("relay_starts")
        before = ends.total()
        append(store, [[event for events in history.grow(900) for event in events]])
        eventually(lambda: ends.total() > before, 30)  # it is in the middle of a transaction
        frozen.freeze()
        ends.close()

        with RelayProcess(settings, program=impatient_relay.main) as second:
            second.wait_for("relay_leader_hangs")
            second.wait_for("relay_starts")
            eventually(lambda: is_published(settings), 30)
            frozen.thaw()
            assert frozen.wait_for_end() != 0
            append(store, history.grow(20))
            eventually(lambda: is_published(settings), 30)

    assert verdict(settings, reader.records) == Verdict()


def test_a_lost_topic_is_reported_and_can_be_published_again(settings, store):
    history = History(9)
    append(store, history.grow(50))
    publish_all(settings)
    delete_topics(settings, events_topic(settings))

    with RelayProcess(settings) as relay:
        assert relay.wait_for_end() == 2
    assert f"no topic {events_topic(settings)}" in relay.output
    assert "ticketing relay republish --from" in relay.output

    environ = environment(**relay_variables(settings))
    end = end_of_log(settings.database_url)
    done = ticketing("relay", "republish", "--from", "0", environ=environ)
    append(store, history.grow(10))
    publish_all(settings)

    assert (done.returncode, done.stdout) == (0, "")
    assert f"will publish {end} events again" in done.stderr
    assert verdict(settings) == Verdict()


def test_both_topics_can_be_published_again(settings, store):
    append(store, History(10).grow(20))
    publish_all(settings)
    delete_topics(settings, events_topic(settings), position_topic(settings))

    with pytest.raises(RelayRefused, match=r"no topic .* and no topic "):
        publish_all(settings, until=lambda: False)
    republish(settings, 0)
    publish_all(settings)

    assert verdict(settings) == Verdict()


def test_republishing_from_a_position_repeats_only_later_events(settings, store):
    append(store, History(11).grow(40))
    publish_all(settings)
    middle = end_of_log(settings.database_url) - 15

    assert republish(settings, middle) == 15
    publish_all(settings)

    assert verdict(settings) == Verdict(repeated=15)


def test_republishing_from_an_unpublished_position_is_refused(settings, store):
    history = History(17)
    append(store, history.grow(10))
    publish_all(settings)
    published = end_of_log(settings.database_url)
    append(store, history.grow(10))

    with pytest.raises(RelayRefused, match=f"Only the events up to position {published} were published"):
        republish(settings, published + 5)
    publish_all(settings)

    assert verdict(settings) == Verdict()


def test_republishing_is_refused_while_a_relay_publishes(settings, store, monkeypatch):
    monkeypatch.setattr("event_stream.leadership.TAKEOVER_SECONDS", 0.2)
    with RelayProcess(settings) as relay:
        relay.wait_for("relay_starts")

        with pytest.raises(RelayRefused, match="Stop it"):
            republish(settings, 0)


def test_a_position_that_kafka_lost_is_reported(settings, store):
    append(store, History(12).grow(20))
    publish_all(settings)
    delete_topics(settings, position_topic(settings))
    create_topics(settings)  # as an operator may do when a topic is absent

    with RelayProcess(settings) as relay:
        code = relay.wait_for_end()

    assert code == 2
    assert "Kafka has lost records" in relay.output


def test_a_log_older_than_the_topic_is_refused(settings, store, postgres, template):
    append(store, History(13).grow(20))
    publish_all(settings)

    with cloned_database(postgres, template) as empty, RelayProcess(with_database(settings, empty)) as relay:
        code = relay.wait_for_end()

    assert code == 2
    assert "this database is older than the topic" in relay.output


def test_the_log_of_another_database_is_refused(settings, store, postgres, template):
    append(store, History(14).grow(20))
    publish_all(settings)

    with cloned_database(postgres, template) as other, make_pool(other, application="t", max_size=1) as pool:
        append(EventStore(pool, VAULT), History(15).grow(200))
        with pytest.raises(RelayRefused, match="the topic belongs to another database"):
            publish_all(with_database(settings, other), until=lambda: False)


def test_without_kafka_the_relay_ends_with_an_error_message(database, tmp_path):
    settings = stream_settings(database, f"127.0.0.1:{free_port()}", "nowhere", tmp_path)

    with RelayProcess(settings, program=impatient_relay.main) as relay:
        assert relay.wait_for_end() == 2
    assert "Kafka does not work" in relay.output


@pytest.mark.parametrize(
    ("variables", "arguments", "name"),
    [
        ({}, ("relay",), "KAFKA_BOOTSTRAP_SERVERS"),
        ({"KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:1"}, ("relay",), "DATABASE_URL"),
        ({}, ("relay", "republish"), "--from"),
        ({}, ("relay", "republish", "--from", "-1"), "--from"),
    ],
)
def test_a_missing_setting_or_argument_is_named(variables, arguments, name, tmp_path):
    done = ticketing(*arguments, environ=environment(TICKETING_HOME=str(tmp_path), **variables))

    assert done.returncode == 2
    assert name in done.stderr


def with_database(settings, dsn):
    return msgspec.structs.replace(settings, database_url=dsn)


def test_the_judge_detects_planted_errors(settings, store):
    """Otherwise a verdict without errors would prove nothing."""
    append(store, History(16).grow(60))
    publish_all(settings)
    records = read_stream(settings)
    (key, _), *_ = Counter(record.key for record in records).most_common()
    first, *_, last = [record for record in records if record.key == key]
    altered = last._replace(value=b"{}")
    misplaced = last._replace(partition=last.partition + 1)

    def without(record):
        return [each for each in records if each is not record]

    assert verdict(settings, without(last)) == Verdict(lost=1)
    assert verdict(settings, [*records, last]) == Verdict(repeated=1)
    assert verdict(settings, [*without(first), first]).out_of_order > 0
    assert verdict(settings, [*without(last), altered]) == Verdict(altered=1)
    assert verdict(settings, [*without(last), misplaced]) == Verdict(misplaced=1)
