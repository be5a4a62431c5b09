"""Compares the answers that clients received during faults with the log and with everything derived from it.

The faults kill the processes behind the API and cut connections. The second half plants each kind of
violation into the evidence of the same run, and the checker must detect it.
"""

from __future__ import annotations

import os
from collections import Counter
from contextlib import ExitStack

import pytest
import requests
from prometheus_client.parser import text_string_to_metric_families
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from infrastructure.storage.event_store import decode
from infrastructure.storage.postgres import connect
from infrastructure.storage.topics import PARTITIONS
from tests.acceptance.site import Site
from tests.support.chaos import System
from tests.support.client_history import Clients
from tests.support.history_checker import CHECKS, Evidence, Logged, Posted, Streamed, check
from tests.support.planted_violations import PLANTED
from tests.support.postgres import cloned_database
from tests.support.processes import Processes
from tests.support.proxy import Proxy
from tests.support.read_tables import folded_rows, stored_rows
from tests.support.receivers import running_receiver
from tests.support.server import free_port
from tests.support.stream import published_position, read_stream, stream_settings
from tests.support.waiting import eventually
from tests.support.webhooks import SECRET, register

pytestmark = pytest.mark.faults

IS_FULL = os.environ.get("FAULTS_FULL") == "1"
CLIENTS, REQUESTS_EACH, FAULTS = (12, 400, 160) if IS_FULL else (4, 30, 8)
PATIENCE_SECONDS = 45.0 if IS_FULL else 1.0  # a killed worker holds its claims of idempotency keys for 10 s
SOON_SECONDS = 30
SETTLE_SECONDS = 300 if IS_FULL else 90
WEBHOOKS = ("/one", "/two")


@pytest.fixture(scope="module")
def evidence(postgres, template, tmp_path_factory, request):
    """The evidence of one run with faults; the full run includes Kafka."""
    home = tmp_path_factory.mktemp("chaos")
    with ExitStack() as stack:
        dsn = stack.enter_context(cloned_database(postgres, template))
        proxy = stack.enter_context(Proxy(dsn))
        receiver = stack.enter_context(running_receiver())
        port = free_port()
        variables = {"PORT": str(port), "WORKERS": "2", "THREADS": "8"}
        stream = None
        if IS_FULL:
            kafka = request.getfixturevalue("kafka")
            stream = stream_settings(dsn, kafka, f"chaos-{os.getpid()}", home)
            variables |= {"KAFKA_BOOTSTRAP_SERVERS": kafka, "KAFKA_PREFIX": stream.kafka_prefix}
        followers = ["projector", "webhook-dispatcher", *(["relay"] if stream else [])]
        processes = Processes(proxy.dsn, home, **variables)
        stack.callback(processes.close)
        system = System(dsn, proxy, processes, followers)
        site = Site(dsn, f"http://127.0.0.1:{port}")
        stack.callback(site.pool.close)
        site.populate()
        for path in WEBHOOKS:
            register(site.store, receiver.url(path))
        eventually(lambda: is_ready(site), SETTLE_SECONDS)

        clients = Clients(
            site.base_url,
            site.keys["admin"],
            count=CLIENTS,
            requests_each=REQUESTS_EACH,
            patience_seconds=PATIENCE_SECONDS,
        )
        with clients:
            system.inject_faults(lambda: clients.left, FAULTS)
        eventually(lambda: system.restart_followers() and is_settled(site, stream), SETTLE_SECONDS)

        outcomes = Counter((operation.kind, operation.outcome) for operation in clients.history)
        print(f"{dict(system.done)}, {proxy.losses} answers lost; {dict(outcomes)}")
        yield gather_evidence(site, clients, receiver.posts, read_stream(stream) if stream else None)


def is_ready(site):
    try:
        return requests.get(f"{site.base_url}/health/ready", timeout=5).status_code == 200
    except requests.RequestException:
        return False


def is_settled(site, stream):
    """Whether all followers have reached the end of the log and no delivery is pending."""
    with connect(site.dsn, application="tests") as conn:
        (last,) = conn.execute("SELECT max(notification_id) FROM es.stored_events").fetchone()
        (projected,) = conn.execute("SELECT position FROM read.projector_position").fetchone()
        (pending,) = conn.execute("SELECT count(*) FROM hook.deliveries WHERE status = 'pending'").fetchone()
        (deliveries,) = conn.execute("SELECT count(*) FROM hook.deliveries").fetchone()
        (tickets,) = conn.execute(
            "SELECT count(*) FROM es.stored_events WHERE topic LIKE 'ticket.%'"
        ).fetchone()
    is_published = stream is None or published_position(site.dsn) == last
    return projected == last and pending == 0 and deliveries == len(WEBHOOKS) * tickets and is_published


def gather_evidence(site, clients, posts, records):
    with connect(site.dsn, application="tests") as conn:
        log = conn.execute(
            "SELECT notification_id, originator_id, originator_version, state FROM es.stored_events"
            " WHERE topic LIKE 'ticket.%' ORDER BY notification_id"
        ).fetchall()
        rows, folded = stored_rows(conn), folded_rows(conn)
    return Evidence(
        operations=clients.history,
        log=[to_logged(*row) for row in log],
        feed=list(feed_of(site)),
        records=None if records is None else [to_streamed(r) for r in records if is_of_a_ticket(r)],
        posts=[Posted(post.path, post.id, post.body, is_signed(post)) for post in posts],
        webhooks=WEBHOOKS,
        rows=rows,
        folded=folded,
        counted=count_successes(site),
    )


def to_logged(position, ticket_id, version, state):
    event = decode(state)
    marker = event.text if hasattr(event, "text") else event.title
    return Logged(position, event.event_id, ticket_id, version, marker, bytes(state))


def feed_of(site):
    after, has_more = 0, True
    while has_more:
        page = get_answer(site, f"/v1/events?after={after}&limit=1000").json()["data"]
        after, has_more = page["position"], page["has_more"]
        for event in page["events"]:
            if event["type"].startswith("ticket."):
                yield int(event["sequence"]), event["id"]


def get_answer(site, path):
    """Repeats the request until it succeeds: the pools of workers may still contain cut connections."""
    answers = []
    eventually(lambda: answers.append(site.client().get(path)) or answers[-1].ok, SOON_SECONDS)
    return answers[-1]


def is_of_a_ticket(record):
    return dict(record.headers)["ce_type"].startswith(b"ticket.")


def to_streamed(record):
    position = int(dict(record.headers)["ce_sequence"])
    return Streamed(position, record.key.decode(), record.partition, record.value)


def is_signed(post):
    try:
        Webhook(SECRET.encode()).verify(post.body, post.headers)
    except WebhookVerificationError:
        return False
    return True


def count_successes(site):
    """The number of 2xx answers by method and route, of all workers, including killed ones."""
    counts = Counter()
    for family in text_string_to_metric_families(get_answer(site, "/metrics").text):
        for sample in family.samples:
            if sample.name == "ticketing_http_requests_total" and sample.labels["status"].startswith("2"):
                counts[sample.labels["method"], sample.labels["route"]] += int(sample.value)
    return counts


def test_the_histories_of_clients_agree_with_the_log_and_everything_derived_from_it(evidence):
    outcomes = Counter(operation.outcome for operation in evidence.operations)

    assert check(evidence) == {}
    assert outcomes["unknown"] > 0, "no fault met a request: this run proves little"
    assert outcomes["ok"] >= CLIENTS * REQUESTS_EACH / 2
    assert any(operation.status == 412 for operation in evidence.operations)


@pytest.fixture(scope="module")
def sound_evidence(evidence):
    """The evidence into which violations are planted; a run without Kafka gets the records it would have."""
    records = evidence.records or [
        Streamed(event.position, event.ticket_id, hash(event.ticket_id) % PARTITIONS, event.state)
        for event in evidence.log
    ]
    return evidence._replace(records=records)


@pytest.mark.parametrize(("plant", "name"), PLANTED, ids=[plant.__name__ for plant, _ in PLANTED])
def test_a_planted_violation_is_detected(sound_evidence, plant, name):
    assert name in check(plant(sound_evidence))


def test_every_check_has_a_planted_violation():
    assert {name for _, name in PLANTED} == CHECKS.keys()
