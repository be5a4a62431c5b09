"""The relay killed, Kafka killed, Kafka frozen: what readers of committed records are given in the end."""

from __future__ import annotations

import os
import random
import sys
import threading
import time

import pytest
import requests
from kafka import KafkaAdminClient, TopicPartition
from kafka.admin import ConfigResource, ConfigResourceType
from kafka.errors import KafkaTimeoutError

from cli.supervisor import Child, Supervisor, ourselves
from event_stream.envelope import StoredRow, to_record
from event_stream.position import NOTHING, read_position
from event_stream.relay import Relay, transactions
from infrastructure.kafka import create_topics
from infrastructure.postgres import connect
from infrastructure.recorder import read_log
from infrastructure.topics import PARTITIONS, events_topic, position_topic
from tests.acceptance.site import LEAK, Site
from tests.support import impatient_relay
from tests.support.commands import environment
from tests.support.history import History, append
from tests.support.postgres import cloned_database
from tests.support.stream import (
    Ends,
    Reader,
    RelayProcess,
    Verdict,
    judge,
    published_position,
    read_stream,
    relay_variables,
    stream_settings,
)
from tests.support.waiting import eventually

pytestmark = pytest.mark.faults

IS_FULL = os.environ.get("FAULTS_FULL") == "1"
KILLS, EVENTS = (50, 10_000) if IS_FULL else (5, 600)
OUTAGE_REQUESTS = 100 if IS_FULL else 15
SOON_SECONDS = 60


def end_of_log(dsn):
    with connect(dsn, application="tests") as conn:
        return conn.execute("SELECT coalesce(max(notification_id), 0) FROM es.stored_events").fetchone()[0]


def test_kills_of_the_relay_lose_and_repeat_nothing(database, store, kafka, kafka_prefix, tmp_path):
    """Each relay finds events to publish and is killed at some moment, every second one as soon as its
    records arrive in Kafka, so before they are committed."""
    settings = stream_settings(database, kafka, kafka_prefix, tmp_path)
    history, chance = History(1), random.Random(1)
    create_topics(settings)
    ends = Ends(settings)
    with Reader(settings) as reader:
        for number in range(KILLS):
            with RelayProcess(settings) as relay:
                relay.wait_for("relay_starts", SOON_SECONDS)
                before = ends.total()
                append(store, [[event for events in history.grow(EVENTS // KILLS) for event in events]])
                if number % 2:
                    eventually(lambda before=before: ends.total() > before, SOON_SECONDS)
                else:
                    time.sleep(chance.uniform(0, 0.2))  # the moment is what is tested
        with RelayProcess(settings):
            eventually(lambda: published_position(database) == end_of_log(database), SOON_SECONDS * 4)
        sent = ends.count_records()
    ends.close()

    committed = len(reader.records)
    found = judge(database, reader.records, settings.base_url)
    print(f"{KILLS} kills, {committed} events, {sent - committed} records of cut transactions; {found}")
    assert found == Verdict()
    assert committed >= EVENTS
    assert sent > committed, "no kill hit a transaction: this run proves little"


def test_kafka_killed_and_restarted(postgres, template, kafka_server, kafka_prefix, tmp_path):
    """The API takes writes as before; what was written meanwhile is published when Kafka is back."""
    with cloned_database(postgres, template) as dsn:
        settings = stream_settings(dsn, kafka_server.bootstrap_servers, kafka_prefix, tmp_path)
        variables = {"KAFKA_BOOTSTRAP_SERVERS": kafka_server.bootstrap_servers, "KAFKA_PREFIX": kafka_prefix}
        environ = environment(**relay_variables(settings))
        command = ourselves("relay") if IS_FULL else [sys.executable, "-m", impatient_relay.__name__]
        relay = Supervisor([Child("relay", command, environ, tmp_path / "relay.log")])
        with Site.running(dsn, workers=1, **variables) as site, Keeping(relay):
            eventually(lambda: published_position(dsn) == end_of_log(dsn), SOON_SECONDS)

            kafka_server.kill()
            slowest = max(seconds_of_a_post(site) for _ in range(OUTAGE_REQUESTS))
            ready = requests.get(f"{site.base_url}/health/ready", timeout=5)
            kafka_server.start()

            eventually(lambda: published_position(dsn) == end_of_log(dsn), SOON_SECONDS * 3)
        records = read_stream(settings)
        found = judge(dsn, records, settings.base_url)

    print(f"{OUTAGE_REQUESTS} posts without Kafka, the slowest took {slowest * 1000:.0f} ms; {found}")
    assert slowest < 2
    assert ready.status_code == 200
    assert ready.json()["data"]["kafka"] == "unreachable"
    assert ready.json()["data"]["relay_lag"] >= OUTAGE_REQUESTS
    assert found == Verdict()


def seconds_of_a_post(site):
    began = time.monotonic()
    answer = site.client().post("/v1/tickets", json=LEAK)
    assert answer.status_code == 201
    return time.monotonic() - began


class Keeping:
    """Starts what a supervisor has, looks after it in a thread, and stops it."""

    def __init__(self, supervisor):
        self._supervisor = supervisor
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self):
        self._supervisor.start()
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._stopping.set()
        self._thread.join()
        self._supervisor.stop()

    def _run(self):
        while not self._stopping.wait(0.05):
            self._supervisor.keep_running()


def test_a_relay_whose_kafka_hangs_gives_up_and_the_next_goes_on(
    database, store, kafka_server, kafka_prefix, tmp_path
):
    settings = stream_settings(database, kafka_server.bootstrap_servers, kafka_prefix, tmp_path)
    history = History(2)
    append(store, history.grow(20))
    with RelayProcess(settings, program=impatient_relay.main) as relay:
        relay.wait_for("relay_published")
        kafka_server.freeze()
        append(store, history.grow(20))
        code = relay.wait_for_end(SOON_SECONDS * 2)
        kafka_server.thaw()

    assert code != 0
    with RelayProcess(settings):
        eventually(lambda: published_position(database) == end_of_log(database), SOON_SECONDS)
    assert judge(database, read_stream(settings), settings.base_url) == Verdict()


class ForgottenMarks:
    """A producer whose commits reach only half of the partitions: what a broker leaves behind that is killed
    while it commits. It does not tell Kafka that the others belong to the transaction."""

    def __init__(self, producer, settings):
        self._producer = producer
        self._forgotten = {TopicPartition(events_topic(settings), n) for n in range(PARTITIONS // 2)}
        self._forgotten.add(TopicPartition(position_topic(settings), 0))

    def __getattr__(self, name):
        return getattr(self._producer, name)

    def begin_transaction(self):
        self._producer.begin_transaction()
        self._producer._transaction_manager._partitions_in_transaction |= self._forgotten


@pytest.fixture
def trusting_kafka(kafka_server):
    """A Kafka that takes records of a transaction without asking its coordinator, as before Kafka 3.6."""
    admin = KafkaAdminClient(bootstrap_servers=kafka_server.bootstrap_servers)
    option = {"transaction.partition.verification.enable": "false"}
    admin.alter_configs([ConfigResource(ConfigResourceType.BROKER, "1", configs=option)])
    admin.close()
    return kafka_server.bootstrap_servers


@pytest.fixture
def half_committed(database, store, trusting_kafka, kafka_prefix, tmp_path):
    """Settings of a stream whose last page Kafka has not committed everywhere, although it said so."""
    settings = stream_settings(database, trusting_kafka, kafka_prefix, tmp_path)
    append(store, History(4).grow(40))
    create_topics(settings)
    with connect(database, application="tests") as conn, transactions(settings, 30) as producer:
        Relay(conn, ForgottenMarks(producer, settings), settings, NOTHING).publish_page()
    assert read_position(settings) is None
    assert judge(database, read_stream(settings), settings.base_url).lost > 0
    return settings


def test_what_kafka_forgot_to_commit_everywhere_is_finished(half_committed, database):
    with RelayProcess(half_committed) as relay:
        relay.wait_for("relay_finishes_transaction")
        relay.wait_for("relay_starts")

    assert judge(database, read_stream(half_committed), half_committed.base_url) == Verdict()
    assert read_position(half_committed).position == end_of_log(database)


def test_a_transaction_nobody_knows_the_end_of_is_refused(half_committed, database):
    """Kafka's answer to the commit did not arrive: the copy of the position is that of before."""
    with connect(database, application="tests") as conn:
        conn.execute("UPDATE relay.position SET position = 0")

    with RelayProcess(half_committed) as relay:
        assert relay.wait_for_end() == 2

    assert "neither committed nor aborted" in relay.output


DELIVERY_SECONDS = 2.0


class CutHalfWay:
    """A producer whose records do not arrive any more when half of a page is there for sure. They are sent
    again until their time is up, while all else in Kafka works."""

    def __init__(self, producer, proxy, after):
        self._producer, self.proxy, self._left = producer, proxy, after

    def __getattr__(self, name):
        return getattr(self._producer, name)

    def send(self, *arguments, **options):
        if self._left == 0:
            self._producer.flush(timeout=20)
            self.proxy.takes_records = False
        self._left -= 1
        return self._producer.send(*arguments, **options)


@pytest.fixture
def half_way(database, store, kafka_server, kafka_prefix, tmp_path):
    """Settings, a connection and a producer that is cut off after 20 of 42 events."""
    with kafka_server.proxy() as proxy:
        settings = stream_settings(database, proxy.bootstrap_servers, kafka_prefix, tmp_path)
        append(store, History(3).grow(40))
        create_topics(settings)
        with (
            connect(database, application="tests") as conn,
            transactions(settings, DELIVERY_SECONDS) as producer,
        ):
            yield settings, conn, CutHalfWay(producer, proxy, after=20)
            proxy.takes_records = True


def test_a_page_of_which_records_expired_is_not_committed(half_way):
    settings, conn, producer = half_way
    relay = Relay(conn, producer, settings, NOTHING, delivery_seconds=DELIVERY_SECONDS)

    with pytest.raises(KafkaTimeoutError):
        relay.publish_page()

    assert read_stream(settings) == []
    assert read_position(settings) is None
    producer.proxy.takes_records = True
    with RelayProcess(settings):
        end = end_of_log(settings.database_url)
        eventually(lambda: published_position(settings.database_url) == end, SOON_SECONDS)
    assert judge(settings.database_url, read_stream(settings), settings.base_url) == Verdict()


def test_the_producer_alone_would_have_committed_the_rest(half_way):
    """Why every future is asked: the control of the test above. Should it fail, kafka-python is mended."""
    settings, conn, producer = half_way
    rows = [StoredRow(*row) for row in read_log(conn, 0, 100)]

    producer.begin_transaction()
    for row in rows:
        record = to_record(row, source=settings.base_url)
        producer.send(events_topic(settings), key=record.key, value=record.value, headers=record.headers)
    producer.flush(timeout=DELIVERY_SECONDS * 3)
    producer.commit_transaction()  # says nothing

    found = judge(settings.database_url, read_stream(settings), settings.base_url)
    assert 0 < found.lost < len(rows)
