"""What followers serve on METRICS_PORT: whether their loops turn, and what they have done."""

import re
import socket
import threading
from contextlib import ExitStack, contextmanager

import pytest
import requests

from event_stream.relay import run_relay
from infrastructure.process.loop_server import MOST_CONNECTIONS, serve_loops
from infrastructure.process.loops import STUCK_AFTER_SECONDS, Loops
from infrastructure.settings import Settings
from infrastructure.storage.postgres import connect
from notary.follower import run_notary
from projections.runner import Projector
from tests.support.arrange import register_property
from tests.support.keys import operator
from tests.support.proxy import Proxy
from tests.support.receivers import running_receiver
from tests.support.server import free_port
from tests.support.stream import stream_settings
from tests.support.vault import VAULT
from tests.support.waiting import eventually
from tests.support.webhooks import open_ticket, register, settings_for
from webhook_dispatcher.dispatcher import run_dispatcher

STOP_SECONDS = 60


class Served:
    """The metrics and the health of the loops of this process."""

    def __init__(self, server):
        self._url = f"http://127.0.0.1:{server.server_port}"

    def health(self):
        answer = requests.get(f"{self._url}/health", timeout=10)
        return answer.status_code, answer.json()["stuck"]

    def value(self, series):
        """The value of a series; 0 if it does not exist yet."""
        text = requests.get(f"{self._url}/metrics", timeout=10).text
        found = re.search(rf"^{re.escape(series)} (\S+)$", text, re.MULTILINE)
        return float(found[1]) if found else 0.0


@contextmanager
def served(loops, stuck_after_seconds=STUCK_AFTER_SECONDS):
    server = serve_loops("127.0.0.1", 0, loops, stuck_after_seconds=stuck_after_seconds)
    try:
        yield Served(server)
    finally:
        server.shutdown()
        server.server_close()


@contextmanager
def running(work, stuck_after_seconds=STUCK_AFTER_SECONDS):
    """Run a follower in a thread: `work` gets its loops and the event that stops it."""
    loops, stop = Loops(), threading.Event()
    thread = threading.Thread(target=work, args=(loops, stop))
    thread.start()
    try:
        with served(loops, stuck_after_seconds) as metrics:
            yield metrics
    finally:
        stop.set()
        thread.join(STOP_SECONDS)
        assert not thread.is_alive()


def projector(dsn):
    return lambda loops, stop: Projector(dsn, VAULT, loops.add("projector")).run(stop)


def test_a_projector_counts_its_batches_and_says_that_it_leads(database, store):
    register_property(store, "p1", operator(), name="P")

    with running(projector(database)) as metrics:
        eventually(lambda: metrics.value('ticketing_follower_events_total{loop="projector"}') == 1)
        leads = metrics.value('ticketing_follower_leads{loop="projector"}')
        batches = metrics.value('ticketing_follower_batch_seconds_count{loop="projector"}')
        health = metrics.health()

    assert (leads, batches, health) == (1, 1, (200, []))


def test_a_standby_turns_and_does_not_lead(database):
    with (
        running(projector(database)) as leader,
        eventually_leads(leader),
        running(projector(database), stuck_after_seconds=10) as standby,
    ):
        age = 'ticketing_follower_turn_age_seconds{loop="projector"}'
        eventually(lambda: standby.value(age) < 0.1)  # it looks every half second

        assert standby.value('ticketing_follower_leads{loop="projector"}') == 0
        assert standby.health() == (200, [])


@contextmanager
def eventually_leads(metrics):
    eventually(lambda: metrics.value('ticketing_follower_leads{loop="projector"}') == 1)
    yield


def test_a_follower_is_healthy_while_postgresql_is_away_and_counts_its_errors(database):
    errors = 'ticketing_follower_errors_total{error="OperationalError",loop="projector"}'
    with Proxy(database) as proxy, running(projector(proxy.dsn)) as metrics:
        eventually(lambda: metrics.value('ticketing_follower_leads{loop="projector"}') == 1)
        proxy.set_mode("reset")
        eventually(lambda: metrics.value(errors) >= 3)

        assert metrics.health() == (200, [])
        assert metrics.value('ticketing_follower_leads{loop="projector"}') == 0
        proxy.set_mode("pass")
        eventually(lambda: metrics.value('ticketing_follower_leads{loop="projector"}') == 1)


def test_a_loop_that_does_not_turn_is_named_and_the_answer_is_503_until_it_turns(database, store):
    with running(projector(database), stuck_after_seconds=1) as metrics:
        with connect(database, application="lock") as blocker, blocker.transaction():
            blocker.execute("LOCK TABLE read.properties")
            register_property(store, "p1", operator(), name="P")
            eventually(lambda: metrics.health() == (503, ["projector"]))

        eventually(lambda: metrics.health() == (200, []))


def test_a_notary_counts_what_it_chains_and_errors_of_its_places(database, store, tmp_path):
    register_property(store, "p1", operator(), name="P")
    (tmp_path / "notary").write_text("a file instead of a folder")
    settings = Settings(home=tmp_path, database_url=database)

    def work(loops, stop):
        run_notary(settings, VAULT, stop, loop=loops.add("notary"))

    with running(work) as metrics:
        eventually(lambda: metrics.value('ticketing_follower_events_total{loop="notary"}') == 1)
        errors = 'ticketing_follower_errors_total{error="PlaceUnavailable",loop="notary"}'
        eventually(lambda: metrics.value(errors) == 1)

        assert metrics.health() == (200, [])


def test_a_relay_counts_the_events_that_it_publishes(database, store, kafka, kafka_prefix, tmp_path):
    register_property(store, "p1", operator(), name="P")
    settings = stream_settings(database, kafka, kafka_prefix, tmp_path)

    def work(loops, stop):
        run_relay(settings, stop, loop=loops.add("relay"))

    with running(work) as metrics:
        eventually(lambda: metrics.value('ticketing_follower_events_total{loop="relay"}') == 1)

        assert metrics.value('ticketing_follower_leads{loop="relay"}') == 1
        assert metrics.health() == (200, [])


def test_a_dispatcher_counts_attempts_by_outcome_and_deliveries_that_it_gives_up(database, store, tmp_path):
    with running_receiver() as receiver:
        receiver.answers["/refuses"] = lambda request: request.send_error(500)
        register(store, receiver.url("/accepts"))
        register(store, receiver.url("/refuses"))
        register(store, f"http://127.0.0.1:{free_port()}/nobody-listens")
        settings = settings_for(database, tmp_path, webhook_retry_seconds=(0.05,))
        with running(lambda loops, stop: run_dispatcher(settings, stop, loops)) as metrics:
            open_ticket(store)
            eventually(lambda: metrics.value("ticketing_webhook_deliveries_given_up_total") == 2)
            attempts = {
                outcome: metrics.value(f'ticketing_webhook_attempts_total{{outcome="{outcome}"}}')
                for outcome in ("delivered", "refused", "no_answer")
            }

            assert attempts == {"delivered": 1, "refused": 2, "no_answer": 2}
            assert metrics.value("ticketing_webhook_attempt_seconds_count") == 5
            assert metrics.value('ticketing_follower_events_total{loop="deliveries"}') == 5
            assert metrics.value('ticketing_follower_events_total{loop="consumer"}') == 1
            assert metrics.health() == (200, [])


def test_clients_that_send_nothing_cost_a_bounded_number_of_threads():
    server = serve_loops("127.0.0.1", 0, Loops())
    address = ("127.0.0.1", server.server_port)
    before = threading.active_count()
    with ExitStack() as opened:
        for _ in range(MOST_CONNECTIONS):
            opened.enter_context(socket.create_connection(address))
        eventually(lambda: threading.active_count() - before == MOST_CONNECTIONS)
        refused = opened.enter_context(socket.create_connection(address, timeout=10))

        assert refused.recv(1) == b""
    eventually(lambda: threading.active_count() == before)
    assert requests.get(f"http://127.0.0.1:{address[1]}/health", timeout=10).json()["status"] == "live"
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize(("path", "status"), [("/metrics", 200), ("/health", 200), ("/admin", 404)])
def test_there_are_two_paths(path, status):
    with served(Loops()) as metrics:
        assert requests.get(metrics._url + path, timeout=10).status_code == status
