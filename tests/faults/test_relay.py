"""The relay or Kafka is killed or frozen: readers of committed records get each event once and in order."""

from __future__ import annotations

import os
import random
import sys
import threading
import time

import pytest
import requests
from kafka.errors import KafkaConnectionError, KafkaTimeoutError

from cli.supervisor import Child, Supervisor, ticketing_command
from event_stream.envelope import to_record
from event_stream.marks import Marks
from event_stream.position import NOTHING, read_position
from event_stream.relay import Relay, transactions
from infrastructure.storage.kafka_topics import create_topics
from infrastructure.storage.postgres import connect
from infrastructure.storage.recorder import read_log
from infrastructure.storage.topics import events_topic
from tests.acceptance.site import LEAK, Site
from tests.support import impatient_relay
from tests.support.broken_producers import CutHalfWay
from tests.support.commands import environment
from tests.support.history import History, append
from tests.support.postgres import cloned_database
from tests.support.stream import (
    Ends,
    Reader,
    RelayProcess,
    Verdict,
    destination_of,
    end_of_log,
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
KAFKA_KILLS = 30 if IS_FULL else 1
OUTAGE_REQUESTS = 100 if IS_FULL else 15
SOON_SECONDS = 60


def test_kills_of_the_relay_lose_and_repeat_no_event(database, store, kafka, kafka_prefix, tmp_path):
    """Each relay publishes events and is killed at a random moment, every second one as soon as its records
    arrive in Kafka and before they are committed.
    """
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


def test_events_written_while_kafka_is_down_are_published_after_its_restart(
    postgres, template, kafka_server, kafka_prefix, tmp_path
):
    """The API accepts writes all the time."""
    with cloned_database(postgres, template) as dsn:
        settings = stream_settings(dsn, kafka_server.bootstrap_servers, kafka_prefix, tmp_path)
        variables = {"KAFKA_BOOTSTRAP_SERVERS": kafka_server.bootstrap_servers, "KAFKA_PREFIX": kafka_prefix}
        relay = Supervisor([impatient(settings)])
        with Site.running(dsn, workers=1, **variables) as site, RunningSupervisor(relay):
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


def test_kills_of_kafka_while_it_commits_lose_and_repeat_no_event(
    database, store, kafka_server, kafka_prefix, tmp_path
):
    """Kill Kafka just before or after it answers a commit. The relay finishes the transactions
    whose markers Kafka did not write to all partitions."""
    settings = stream_settings(database, kafka_server.bootstrap_servers, kafka_prefix, tmp_path)
    history, chance = History(5), random.Random(5)
    relay = impatient(settings)
    with RunningSupervisor(Supervisor([relay])), connect(database, application="tests") as conn:
        for number in range(KAFKA_KILLS):
            append(store, history.grow(2))
            wait_until_published(conn)
            append(store, [[event for events in history.grow(40) for event in events]])
            if number % 2:
                time.sleep(chance.uniform(0, 0.05))  # the moment is what is tested
            else:
                wait_until_published(conn)
            kafka_server.kill()
            kafka_server.start()
            relay.failures = 0  # otherwise the supervisor waits longer before each restart
        append(store, history.grow(2))  # the relay publishes them after it has finished the last transaction
        wait_until_published(conn)
    found = judge(database, read_stream(settings), settings.base_url)

    output = relay.log.read_text()
    finished = [output.count(f'"is_commit":{outcome}') for outcome in ("true", "false")]
    print(f"{KAFKA_KILLS} kills; missing markers of {finished[0]} commits, {finished[1]} aborts; {found}")
    assert found == Verdict()


def wait_until_published(conn):
    """Return within a millisecond, while Kafka still writes the markers of the transaction."""
    deadline = time.monotonic() + SOON_SECONDS * 3
    query = "SELECT position >= (SELECT max(notification_id) FROM es.stored_events) FROM relay.position"
    while not conn.execute(query).fetchone()[0]:
        assert time.monotonic() < deadline, "the relay does not get to the end of the log"
        time.sleep(0.0005)


def impatient(settings):
    """A relay for a supervisor, with short waits for Kafka; in the full run the real relay."""
    command = ticketing_command("relay") if IS_FULL else [sys.executable, "-m", impatient_relay.__name__]
    return Child("relay", command, environment(**relay_variables(settings)), settings.home / "relay.log")


class RunningSupervisor:
    """Starts the processes of a supervisor, restarts them in a thread when they end, and stops them."""

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


def test_a_relay_whose_kafka_hangs_ends_and_the_next_one_goes_on(
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


DELIVERY_SECONDS = 2.0


@pytest.fixture
def cut_half_way(database, store, kafka_server, kafka_prefix, tmp_path):
    """Settings, a connection and a producer whose network is cut after 20 of 42 events."""
    with kafka_server.proxy() as proxy:
        settings = stream_settings(database, proxy.bootstrap_servers, kafka_prefix, tmp_path)
        append(store, History(3).grow(40))
        create_topics(settings)
        with (
            connect(database, application="tests") as conn,
            transactions(conn, settings, DELIVERY_SECONDS) as producer,
        ):
            yield settings, conn, CutHalfWay(producer, proxy, after=20)
            proxy.takes_records = True


def test_a_batch_with_expired_records_is_not_committed(cut_half_way):
    settings, conn, producer = cut_half_way
    with Marks(settings) as marks:
        relay = Relay(
            conn,
            producer,
            marks,
            settings,
            NOTHING,
            destination_of(settings),
            delivery_seconds=DELIVERY_SECONDS,
        )

        # An expired record raises the error of its last attempt, if there was one.
        with pytest.raises((KafkaTimeoutError, KafkaConnectionError)):
            relay.publish_batch()

    assert read_stream(settings) == []
    assert read_position(settings) is None
    producer.proxy.takes_records = True
    with RelayProcess(settings):
        end = end_of_log(settings.database_url)
        eventually(lambda: published_position(settings.database_url) == end, SOON_SECONDS)
    assert judge(settings.database_url, read_stream(settings), settings.base_url) == Verdict()


def test_the_producer_alone_would_have_committed_the_rest(cut_half_way):
    """The control for the test above: it shows why the relay checks every future.

    If it fails, kafka-python has corrected the defect.
    """
    settings, conn, producer = cut_half_way
    rows = read_log(conn, 0, 100)

    producer.begin_transaction()
    for row in rows:
        record = to_record(row, source=settings.base_url)
        producer.send(events_topic(settings), key=record.key, value=record.value, headers=record.headers)
    producer.flush(timeout=DELIVERY_SECONDS * 3)
    producer.commit_transaction()  # raises nothing

    found = judge(settings.database_url, read_stream(settings), settings.base_url)
    assert 0 < found.lost < len(rows)
