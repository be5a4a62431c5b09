"""Clients write down what they were answered while everything behind the API is killed; then it is compared.

The second half plants each kind of violation into the evidence of the same run, and the checker finds it.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack

import pytest
import requests
from prometheus_client.parser import text_string_to_metric_families
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from infrastructure.event_store import decode
from infrastructure.postgres import connect
from infrastructure.topics import PARTITIONS
from tests.acceptance.site import Site
from tests.support.chaos import System
from tests.support.client_history import Clients
from tests.support.history_checker import CHECKS, Evidence, Logged, Posted, Streamed, check
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
CLIENTS, REQUESTS_EACH, FAULTS = (12, 500, 250) if IS_FULL else (4, 30, 8)
PATIENCE_SECONDS = 45.0 if IS_FULL else 1.0  # the claim of a worker that was killed is held for 30 s
SOON_SECONDS = 30
SETTLE_SECONDS = 300 if IS_FULL else 90
WEBHOOKS = ("/one", "/two")


@pytest.fixture(scope="module")
def evidence(postgres, template, tmp_path_factory, request):
    """What a run with faults left behind; with Kafka in the full count."""
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
            system.break_things(lambda: clients.left, FAULTS)
        eventually(lambda: system.runs() and is_settled(site, stream), SETTLE_SECONDS)

        outcomes = Counter((operation.kind, operation.outcome) for operation in clients.history)
        print(f"{dict(system.done)}, {proxy.losses} answers lost; {dict(outcomes)}")
        yield gathered(site, clients, receiver.posts, read_stream(stream) if stream else None)


def is_ready(site):
    try:
        return requests.get(f"{site.base_url}/health/ready", timeout=5).status_code == 200
    except requests.RequestException:
        return False


def is_settled(site, stream):
    """Whether everything has followed the log to its end."""
    with connect(site.dsn, application="tests") as conn:
        (last,) = conn.execute("SELECT max(notification_id) FROM es.stored_events").fetchone()
        (projected,) = conn.execute("SELECT position FROM read.projector_position").fetchone()
        (pending,) = conn.execute("SELECT count(*) FROM hook.deliveries WHERE status = 'pending'").fetchone()
        (made,) = conn.execute("SELECT count(*) FROM hook.deliveries").fetchone()
        (tickets,) = conn.execute(
            "SELECT count(*) FROM es.stored_events WHERE topic LIKE 'ticket.%'"
        ).fetchone()
    is_published = stream is None or published_position(site.dsn) == last
    return projected == last and pending == 0 and made == len(WEBHOOKS) * tickets and is_published


def gathered(site, clients, posts, records):
    with connect(site.dsn, application="tests") as conn:
        log = conn.execute(
            "SELECT notification_id, originator_id, originator_version, state FROM es.stored_events"
            " WHERE topic LIKE 'ticket.%' ORDER BY notification_id"
        ).fetchall()
        rows, folded = stored_rows(conn), folded_rows(conn)
    return Evidence(
        operations=clients.history,
        log=[logged(*row) for row in log],
        feed=list(feed_of(site)),
        records=None if records is None else [streamed(r) for r in records if is_of_a_ticket(r)],
        posts=[Posted(post.path, post.id, post.body, is_signed(post)) for post in posts],
        webhooks=WEBHOOKS,
        rows=rows,
        folded=folded,
        counted=counted(site),
    )


def logged(position, ticket_id, version, state):
    event = decode(state)
    marker = event.text if hasattr(event, "text") else event.title
    return Logged(position, event.event_id, ticket_id, version, marker, bytes(state))


def feed_of(site):
    after, has_more = 0, True
    while has_more:
        page = answered(site, f"/v1/events?after={after}&limit=1000").json()["data"]
        after, has_more = page["position"], page["has_more"]
        for event in page["events"]:
            if event["type"].startswith("ticket."):
                yield int(event["sequence"]), event["id"]


def answered(site, path):
    """Asked until it is: workers may still find connections in their pools that were cut."""
    answers = []
    eventually(lambda: answers.append(site.client().get(path)) or answers[-1].ok, SOON_SECONDS)
    return answers[-1]


def is_of_a_ticket(record):
    return dict(record.headers)["ce_type"].startswith(b"ticket.")


def streamed(record):
    position = int(dict(record.headers)["ce_sequence"])
    return Streamed(position, record.key.decode(), record.partition, record.value)


def is_signed(post):
    try:
        Webhook(SECRET.encode()).verify(post.body, post.headers)
    except WebhookVerificationError:
        return False
    return True


def counted(site):
    """Answers with 2xx by method and route, of all workers, the killed ones too."""
    counts = Counter()
    for family in text_string_to_metric_families(answered(site, "/metrics").text):
        for sample in family.samples:
            if sample.name == "ticketing_http_requests_total" and sample.labels["status"].startswith("2"):
                counts[sample.labels["method"], sample.labels["route"]] += int(sample.value)
    return counts


def test_the_histories_of_clients_agree_with_the_log_and_all_that_follows_it(evidence):
    outcomes = Counter(operation.outcome for operation in evidence.operations)

    assert check(evidence) == {}
    assert outcomes["unknown"] > 0, "no fault met a request: this run proves little"
    assert outcomes["ok"] >= CLIENTS * REQUESTS_EACH / 2
    assert any(operation.status == 412 for operation in evidence.operations)


@pytest.fixture(scope="module")
def sound(evidence):
    """Evidence without faults for what is planted into it; without a Kafka with the records it would have."""
    records = evidence.records or [
        Streamed(event.position, event.ticket_id, hash(event.ticket_id) % PARTITIONS, event.state)
        for event in evidence.log
    ]
    return evidence._replace(records=records)


def one(evidence, **facts):
    """The index of a successful operation like that, from the middle of the history."""
    found = [
        index
        for index, operation in enumerate(evidence.operations)
        if operation.outcome == "ok" and all(getattr(operation, name) == fact for name, fact in facts.items())
    ]
    return found[len(found) // 2]


def without(items, index):
    return [*items[:index], *items[index + 1 :]]


def with_changed(items, index, **facts):
    return [*items[:index], items[index]._replace(**facts), *items[index + 1 :]]


def event_of(evidence, operation):
    return next(i for i, event in enumerate(evidence.log) if event.marker == operation.key)


def lost_write(e):
    index = event_of(e, e.operations[one(e, kind="change")])
    return e._replace(log=without(e.log, index))


def write_stored_twice(e):
    index = event_of(e, e.operations[one(e, kind="comment")])
    again = e.log[index]._replace(position=e.log[-1].position + 1, event_id="again")
    return e._replace(log=[*e.log, again])


def wrong_version_told(e):
    key = e.operations[one(e, kind="open")].key
    return e._replace(operations=[o._replace(version=2) if o.key == key else o for o in e.operations])


def refused_write_stored(e):
    key = e.operations[one(e, kind="comment")].key
    changed = [o._replace(outcome="fail", status=409) if o.key == key else o for o in e.operations]
    return e._replace(operations=changed)


def event_nobody_asked_for(e):
    key = e.operations[one(e, kind="comment")].key
    return e._replace(operations=[o for o in e.operations if o.key != key])


def version_missing(e):
    return e._replace(log=with_changed(e.log, second_event(e), version=102))


def second_event(e):
    """The index of a ticket's second event."""
    return next(i for i, event in enumerate(e.log) if event.version == 2)


def second_record(e):
    position = e.log[second_event(e)].position
    return next(i for i, record in enumerate(e.records) if record.position == position)


def feed_skips_one(e):
    return e._replace(feed=without(e.feed, len(e.feed) // 2))


def feed_repeats_one(e):
    return e._replace(feed=[*e.feed, e.feed[-1]])


def stale_row(e):
    key = next(iter(e.rows["tickets"]))
    rows = {**e.rows, "tickets": {**e.rows["tickets"], key: {**e.rows["tickets"][key], "title": "stale"}}}
    return e._replace(rows=rows)


def row_gone(e):
    rows = {**e.rows, "comments": dict(list(e.rows["comments"].items())[1:])}
    return e._replace(rows=rows)


def record_lost(e):
    return e._replace(records=without(e.records, len(e.records) // 2))


def record_repeated(e):
    return e._replace(records=[*e.records, e.records[0]])


def records_swapped(e):
    index = second_record(e)
    moved = e.records[index]
    return e._replace(records=[moved, *without(e.records, index)])


def record_altered(e):
    return e._replace(records=with_changed(e.records, 0, state=b"{}"))


def record_elsewhere(e):
    return e._replace(records=with_changed(e.records, second_record(e), partition=PARTITIONS))


def delivery_lost(e):
    missed = e.posts[len(e.posts) // 2]
    return e._replace(
        posts=[p for p in e.posts if (p.webhook, p.message_id) != (missed.webhook, missed.message_id)]
    )


def body_changed(e):
    last = e.posts[-1]
    return e._replace(posts=[*e.posts, last._replace(body=last.body + b" ")])


def another_id(e):
    return e._replace(posts=[*e.posts, e.posts[-1]._replace(message_id="msg_other")])


def signature_wrong(e):
    return e._replace(posts=with_changed(e.posts, 0, is_signed=False))


def delivery_out_of_order(e):
    first = next(i for i, post in enumerate(e.posts) if b'"version":2,' in post.body)
    return e._replace(posts=[e.posts[first], *without(e.posts, first)])


def read_is_stale(e):
    """The last write of a client is not in what the same client reads afterwards."""
    write = e.operations[one(e, kind="change")]
    title = next(v.marker for v in e.log if (v.ticket_id, v.version) == (write.ticket_id, 1))
    later = max(o.returned_at for o in e.operations) + 1
    read = write._replace(
        kind="read", key="read-x", marker=title, version=1, invoked_at=later, returned_at=later + 1
    )
    return e._replace(operations=[*e.operations, read])


def read_shows_another_title(e):
    index = one(e, kind="read")
    return e._replace(operations=with_changed(e.operations, index, marker="something else"))


def read_from_the_future(e):
    """A version is read before the write that made it was asked for."""
    write = e.operations[one(e, kind="change")]
    read = write._replace(kind="read", key="read-x", marker=write.key, invoked_at=0.0, returned_at=0.1)
    return e._replace(operations=[*e.operations, read])


def key_answered_differently(e):
    write = e.operations[one(e, kind="change")]
    return e._replace(operations=[*e.operations, write._replace(version=write.version + 1)])


def key_applied_twice(e):
    return write_stored_twice(e)


def update_lost(e):
    """Two clients are told that they changed the same version."""
    write = e.operations[
        next(i for i, o in enumerate(e.operations) if o.expected_version and o.outcome == "ok")
    ]
    rival = write._replace(key="change-x", marker="change-x")
    return e._replace(operations=[*e.operations, rival])


def condition_ignored(e):
    index = next(i for i, o in enumerate(e.operations) if o.expected_version and o.outcome == "ok")
    operation = e.operations[index]
    changed = with_changed(e.operations, index, expected_version=operation.expected_version + 5)
    return e._replace(operations=changed)


def answers_not_counted(e):
    return e._replace(counted={**e.counted, ("POST", "/v1/tickets"): 0})


PLANTED: list[tuple[Callable[[Evidence], Evidence], str]] = [
    (lost_write, "acknowledged_once"),
    (write_stored_twice, "acknowledged_once"),
    (wrong_version_told, "acknowledged_once"),
    (refused_write_stored, "refused_never"),
    (event_nobody_asked_for, "refused_never"),
    (version_missing, "versions_without_gaps"),
    (feed_skips_one, "feed_is_the_log"),
    (feed_repeats_one, "feed_is_the_log"),
    (stale_row, "tables_are_the_fold"),
    (row_gone, "tables_are_the_fold"),
    (record_lost, "stream_is_the_log"),
    (record_repeated, "stream_is_the_log"),
    (records_swapped, "stream_is_the_log"),
    (record_altered, "stream_is_the_log"),
    (record_elsewhere, "stream_is_the_log"),
    (delivery_lost, "webhooks_hear_of_the_log"),
    (body_changed, "webhooks_hear_of_the_log"),
    (another_id, "webhooks_hear_of_the_log"),
    (signature_wrong, "webhooks_hear_of_the_log"),
    (delivery_out_of_order, "webhooks_hear_of_the_log"),
    (read_is_stale, "versions_are_linearizable"),
    (read_shows_another_title, "versions_are_linearizable"),
    (read_from_the_future, "versions_are_linearizable"),
    (key_answered_differently, "keys_apply_once"),
    (key_applied_twice, "keys_apply_once"),
    (update_lost, "conditions_have_one_winner"),
    (condition_ignored, "conditions_have_one_winner"),
    (answers_not_counted, "counters_agree"),
]


@pytest.mark.parametrize(("plant", "name"), PLANTED, ids=[plant.__name__ for plant, _ in PLANTED])
def test_a_planted_violation_is_found(sound, plant, name):
    assert name in check(plant(sound))


def test_every_check_was_shown_a_violation():
    assert {name for _, name in PLANTED} == CHECKS.keys()
