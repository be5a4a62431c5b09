"""Traces: from a request through event, read tables, Kafka and webhook; off unless a collector is named."""

import re
import subprocess
import sys
import time
from pathlib import Path

import pytest
import requests
from falcon.testing import TestClient

from event_stream.envelope import request_id_of, to_record
from infrastructure.ids import new_id
from infrastructure.process import tracing
from infrastructure.process.otel import Tracing
from infrastructure.process.trace_ids import Trace
from infrastructure.settings import load_settings
from infrastructure.storage.recorder import read_log
from server.app import create_app
from tests.acceptance.site import Site
from tests.support.api import services_on
from tests.support.arrange import register_property
from tests.support.collector import running_collector
from tests.support.keys import bearer, make_key, operator
from tests.support.receivers import running_receiver
from tests.support.server import free_port, running_api
from tests.support.stream import read_stream, stream_settings
from tests.support.waiting import eventually

ROOT = Path(__file__).parent.parent.parent
TRACE, CALLER = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
FROM_CLIENT = {"traceparent": f"00-{TRACE}-{CALLER}-01"}
SERVER, CLIENT, PRODUCER, CONSUMER, INTERNAL = 2, 3, 4, 5, 1


@pytest.fixture
def collector():
    with running_collector() as running:
        yield running


@pytest.fixture
def traced(collector, monkeypatch):
    """Starts traces in this process, with further variables of the SDK."""

    def start(**variables):
        environ = {"OTEL_EXPORTER_OTLP_ENDPOINT": collector.url, "OTEL_BSP_SCHEDULE_DELAY": "20", **variables}
        for name, value in environ.items():
            monkeypatch.setenv(name, value)
        tracing.start_tracing(load_settings(), "test")

    yield start
    tracing.stop_tracing()


@pytest.fixture
def client(database, tmp_path, store):
    """A client of an application in this process, with the key of an admin."""
    key = make_key(store).key
    register_property(store, "p1", operator(), name="P")
    with services_on(database, tmp_path) as services:
        yield TestClient(create_app(services), headers=bearer(key))


def open_ticket(client, **headers):
    body = {"title": "Leak", "priority": "high", "category": "plumbing", "property_id": "p1"}
    answer = client.simulate_post("/v1/tickets", json=body, headers=headers)
    assert answer.status_code == 201, answer.text
    return answer


def traceparents(conn):
    """The traceparent of each event of a ticket, as the relay would publish it."""
    rows = read_log(conn, 0, 100)
    trace_of = tracing.traces_of(conn, [request_id_of(row.state) for row in rows])
    records = [to_record(row, source="", trace_of=trace_of) for row in rows]
    headers = [dict(record.headers) for record in records]
    return [each["traceparent"].decode() for each in headers if each["ce_type"].startswith(b"ticket.")]


def test_a_change_is_one_trace_from_the_request_to_kafka_and_the_webhook(
    database, collector, kafka, kafka_prefix, tmp_path
):
    with (
        running_receiver() as receiver,
        Site.running(
            database,
            others=("relay", "webhook-dispatcher"),
            workers=1,
            KAFKA_BOOTSTRAP_SERVERS=kafka,
            KAFKA_PREFIX=kafka_prefix,
            WEBHOOK_ALLOW_PRIVATE_ADDRESSES="1",
            OTEL_EXPORTER_OTLP_ENDPOINT=collector.url,
            OTEL_BSP_SCHEDULE_DELAY="50",
        ) as site,
    ):
        client = site.client()
        ticket = site.ticket()
        client.post("/v1/webhooks", json={"url": receiver.url(), "events": ["ticket.*"]}).raise_for_status()
        path = f"/v1/tickets/{ticket['id']}"
        answer = client.patch(path, json={"status": "in_progress"}, headers=FROM_CLIENT)
        event = "ticket.status_changed"
        spans = collector.wait_for(
            "PATCH /v1/tickets/{ticket_id}",
            *(f"{step} {event}" for step in ("create", "project", "publish", "enqueue")),
            "POST",
        )
        (append,) = [span for span in collector.spans if span.name == "append" and span.trace_id == TRACE]
        settings = stream_settings(database, kafka, kafka_prefix, tmp_path)
        headers = [dict(record.headers) for record in read_stream(settings)]

    assert answer.status_code == 200
    request, create, post = spans["PATCH /v1/tickets/{ticket_id}"], spans[f"create {event}"], spans["POST"]
    assert {span.trace_id for span in spans.values()} == {TRACE}
    assert {span.name: span.parent_id for span in (request, append, *spans.values())} == {
        request.name: CALLER,
        "append": request.span_id,
        create.name: append.span_id,
        **{f"{step} {event}": create.span_id for step in ("project", "publish", "enqueue")},
        "POST": create.span_id,
    }
    found = {span.name.split()[0]: (span.service, span.kind) for span in (append, *spans.values())}
    assert found.pop("project")[1] == CONSUMER  # the API projects an event itself if it waits for long
    assert found == {
        "PATCH": ("ticketing-api", SERVER),
        "append": ("ticketing-api", INTERNAL),
        "create": ("ticketing-api", PRODUCER),
        "publish": ("ticketing-relay", PRODUCER),
        "enqueue": ("ticketing-webhook-dispatcher", CONSUMER),
        "POST": ("ticketing-webhook-dispatcher", CLIENT),
    }
    (published,) = [each["traceparent"] for each in headers if each["ce_type"] == event.encode()]
    assert published.decode() == f"00-{TRACE}-{create.span_id}-01"
    (posted,) = receiver.posts
    assert posted.headers["traceparent"] == f"00-{TRACE}-{post.span_id}-01"
    assert post.attributes["http.response.status_code"] == 200


def test_the_span_of_a_request_has_its_template_and_status_and_no_values_of_the_client(
    client, collector, traced
):
    traced()
    client.simulate_get("/v1/tickets/unknown-ticket", params={"as_of": "2020-01-01T00:00:00Z"})
    client.simulate_get("/v1/tickets", params={"q": "Zebra Street 4"})
    found = collector.wait_for("GET /v1/tickets/{ticket_id}", "GET /v1/tickets")

    assert found["GET /v1/tickets/{ticket_id}"].attributes == {
        "http.request.method": "GET",
        "http.route": "/v1/tickets/{ticket_id}",
        "http.response.status_code": 404,
        "error.type": "not_found",
    }
    assert all(value not in collector.text for value in ("Zebra", "unknown-ticket", "2020-01-01", "mts_"))


def test_a_request_without_a_trace_context_has_the_trace_of_its_id(client, conn, collector, traced):
    traced()
    request_id = new_id()
    open_ticket(client, **{"X-Request-Id": request_id})
    spans = collector.wait_for("POST /v1/tickets", "create ticket.opened")

    trace_id = request_id.replace("-", "")
    assert {span.trace_id for span in spans.values()} == {trace_id}
    assert spans["POST /v1/tickets"].parent_id == ""
    assert traceparents(conn) == [f"00-{trace_id}-{spans['create ticket.opened'].span_id}-01"]
    assert conn.execute("SELECT count(*) FROM monitoring.traces").fetchone() == (0,)


MALFORMED = (
    "",
    "nonsense",
    f"00-{'0' * 32}-{CALLER}-01",
    f"00-{TRACE}-{'0' * 16}-01",
    f"ff-{TRACE}-{CALLER}-01",
    f"00-{TRACE.upper()}-{CALLER}-01",
    f"00-{TRACE}-{CALLER}-01-more",
    f"00-{TRACE}-{CALLER}",
    f"00-{TRACE}-{CALLER}-01,00-{TRACE}-{CALLER}-01",
    "0" * 5_000,
)


def test_a_malformed_trace_context_is_ignored(client, collector, traced):
    traced()
    for header in MALFORMED:
        client.simulate_get("/v1/tickets", headers={"traceparent": header})
    eventually(lambda: len(collector.spans) == len(MALFORMED))

    assert {span.parent_id for span in collector.spans} == {""}
    assert TRACE not in {span.trace_id for span in collector.spans}


def test_a_trace_that_the_client_does_not_sample_has_no_spans_and_says_so_to_consumers(
    client, conn, collector, traced
):
    traced()
    open_ticket(client, traceparent=f"00-{TRACE}-{CALLER}-00")
    open_ticket(client, **{"X-Request-Id": "sampled"})
    collector.wait_for("POST /v1/tickets")

    assert TRACE not in {span.trace_id for span in collector.spans}
    assert [(each[3:35], each[-2:]) for each in traceparents(conn)] == [
        (TRACE, "00"),
        (Trace.of_request("sampled").trace_id, "01"),
    ]


def test_a_ratio_applies_to_requests_without_a_parent_and_every_process_decides_alike(
    client, conn, collector, traced
):
    traced(OTEL_TRACES_SAMPLER="parentbased_traceidratio", OTEL_TRACES_SAMPLER_ARG="0")
    open_ticket(client)
    open_ticket(client, **FROM_CLIENT)
    collector.wait_for("POST /v1/tickets", "create ticket.opened")

    assert {span.trace_id for span in collector.spans} == {TRACE}
    assert [each[-2:] for each in traceparents(conn)] == ["00", "01"]


def test_half_of_the_requests_are_sampled_with_a_ratio_of_a_half(monkeypatch, collector):
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", "parentbased_traceidratio")
    monkeypatch.setenv("OTEL_TRACES_SAMPLER_ARG", "0.5")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url)
    first, second = Tracing("api"), Tracing("relay")
    ids = [new_id() for _ in range(2_000)]

    decisions = [first.root_trace(each).is_sampled for each in ids]
    first.close()
    second.close()

    assert decisions == [second.root_trace(each).is_sampled for each in ids]
    assert 850 < sum(decisions) < 1_150  # a UUID's own bits would give 0 or all of them


@pytest.mark.parametrize("fault", ["silent", "away"])
def test_a_collector_that_does_not_work_delays_and_fails_no_request(database, store, collector, fault):
    key, metrics_port = make_key(store).key, free_port()
    if fault == "silent":
        collector.silent.set()
    url = collector.url if fault == "silent" else f"http://127.0.0.1:{free_port()}"
    variables = {
        "OTEL_EXPORTER_OTLP_ENDPOINT": url,
        "OTEL_BSP_MAX_QUEUE_SIZE": "8",
        "OTEL_BSP_MAX_EXPORT_BATCH_SIZE": "4",
        "OTEL_BSP_SCHEDULE_DELAY": "10",
    }
    with running_api(database, workers=1, METRICS_PORT=str(metrics_port), **variables) as base_url:
        if fault == "silent":
            requests.get(f"{base_url}/v1/tickets", headers=bearer(key), timeout=10)
            eventually(lambda: collector.requests)
        durations = []
        for _ in range(50):
            began = time.monotonic()
            answer = requests.get(f"{base_url}/v1/tickets", headers=bearer(key), timeout=10)
            durations.append(time.monotonic() - began)
            assert answer.status_code == 200
        lost = eventually(lambda: lost_spans(metrics_port))

    assert sorted(durations)[25] < 5  # the exporter waits for 10 s
    assert lost > 0


def lost_spans(port):
    text = requests.get(f"http://127.0.0.1:{port}/metrics", timeout=10).text
    return float(re.search(r"^ticketing_spans_lost_total (\S+)$", text, re.MULTILINE)[1])


def test_without_a_collector_nothing_of_opentelemetry_is_imported(tmp_path):
    program = (
        "import sys, cli.main, server.app, event_stream.relay, webhook_dispatcher.dispatcher\n"
        "from infrastructure.process import tracing\n"
        "from infrastructure.settings import load_settings\n"
        "tracing.start_tracing(load_settings(), 'api')\n"
        "with tracing.span('append'): pass\n"
        "print([name for name in sys.modules if name.startswith('opentelemetry')])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=ROOT,
        env={"TICKETING_HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "[]\n"


def test_without_a_collector_a_trace_context_of_the_client_changes_nothing(client, conn):
    open_ticket(client, **FROM_CLIENT, **{"X-Request-Id": "r1"})

    (traceparent,) = traceparents(conn)
    assert traceparent[3:35] == Trace.of_request("r1").trace_id
    assert conn.execute("SELECT count(*) FROM monitoring.traces").fetchone() == (0,)
