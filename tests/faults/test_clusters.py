"""Two hosts behind nginx, with two of each process and a pair of PostgreSQL servers, under load.

Followers and an API are killed, then the primary is lost and the standby promoted. Afterwards the answers
that clients got are compared with the log, the read tables, the topic, the feeds and the webhooks.
"""

from __future__ import annotations

import os
import time
from collections import Counter
from contextlib import ExitStack
from itertools import pairwise

import pytest

from api.http.pending_changes import HEADER
from infrastructure.storage.postgres import connect
from tests.acceptance.site import Client, Site
from tests.chaos.api import Api
from tests.chaos.evidence import Log, read_files
from tests.chaos.followers import digest
from tests.chaos.history_checker import Evidence, check
from tests.chaos.load import FILE, Load
from tests.chaos.operations import WRITES
from tests.chaos.watchers import WEBHOOKS, Watchers, register_webhooks
from tests.support.cluster import Cluster
from tests.support.commands import environment, ticketing
from tests.support.postgres import make_template
from tests.support.read_tables import folded_rows, stored_rows
from tests.support.receivers import running_receiver
from tests.support.replication import running_pair
from tests.support.waiting import eventually

pytestmark = pytest.mark.faults

IS_FULL = os.environ.get("FAULTS_FULL") == "1"
CLIENTS, EVENTS = (8, 4_000) if IS_FULL else (3, 40)  # before the promotion, and after it again
LEADERS = ("projector", "relay", "notary")
START_SECONDS = 180
SETTLE_SECONDS = 240
TAKEOVER_SECONDS = 30  # on a busy machine
OWN_WRITES = 5


class Running:
    """A cluster with its load and its followers."""

    def __init__(self, cluster, site, api, watchers, load, began_at):
        self.cluster = cluster
        self.api = api
        self.site = site
        self.watchers = watchers
        self.load = load
        self.end = began_at
        self._window = 0
        self.begin()

    def begin(self):
        """Begin a window with new tickets."""
        self._window += 1
        self.load.work(self._window)

    def work(self, events):
        """Let the load work until so many more events are in the topic."""
        seen = len(self.watchers.consumer.records)
        eventually(lambda: len(self.watchers.consumer.records) >= seen + events, SETTLE_SECONDS)

    def end_window(self):
        """Stop the load, wait until every follower has reached the end of the log, return the evidence."""
        operations, behind, end = self.load.rest(), [], self.end

        def is_settled():
            self.end, behind[:] = self.watchers.find_behind(end)
            return not behind

        eventually(is_settled, SETTLE_SECONDS, message=lambda: f"behind: {behind}")
        with connect(self.cluster.dsn, application="tests", limit_seconds=600) as conn:
            log = Log(conn, end, self.end)
            rows, folded = stored_rows(conn), folded_rows(conn)
        changes, ids = self.watchers.changes, {event.ticket_id for event in log.events}
        return Evidence(
            operations=operations,
            log=log.events,
            feed=self.watchers.take_events(),
            records=self.watchers.take_records(),
            posts=self.watchers.take_posts(),
            webhooks=WEBHOOKS,
            not_posted=frozenset(log.not_posted),
            rows=rows,
            folded=folded,
            differences=verify(self.cluster),
            copy={each: changes.copy.get(each, 0) for each in ids},
            setbacks=self.watchers.take_setbacks(),
            files=read_files(self.api, operations),
            content=digest(FILE),
            counted=None,
            may_break=True,  # how late answers are depends on the machine
            problems=[],
        )


def verify(cluster):
    """The differences that `ticketing verify` finds, on the host whose notary leads."""
    home = cluster.leader_of("notary").home
    done = ticketing("verify", environ=environment(DATABASE_URL=cluster.dsn, TICKETING_HOME=str(home)))
    return [] if done.returncode == 0 else [f"ticketing verify: {done.stdout[-2_000:]}{done.stderr[-2_000:]}"]


@pytest.fixture(scope="module")
def running(kafka, tmp_path_factory):
    """A cluster under load."""
    home = tmp_path_factory.mktemp("cluster")
    with ExitStack() as stack:
        pair = stack.enter_context(running_pair())
        database = make_template(pair.primary.dsn())
        pair.copy()
        pair.replicate_synchronously()
        receiver = stack.enter_context(running_receiver())
        cluster = Cluster(pair, database, home, kafka, receiver.url(""))
        stack.callback(cluster.close)
        site = Site(cluster.dsn, cluster.base_url)
        stack.callback(site.pool.close)
        cluster.start()
        site.populate()
        apis = [Api(host.base_url) for host in cluster.hosts]
        eventually(lambda: all(api.is_ready() for api in apis), START_SECONDS)
        register_webhooks(site, cluster)
        api = Api(cluster.base_url)
        api.key = site.keys["admin"]
        with connect(cluster.dsn, application="tests") as conn:
            (began_at,) = conn.execute("SELECT max(notification_id) FROM es.stored_events").fetchone()
        watchers = stack.enter_context(Watchers(cluster, api, receiver, began_at))
        load = Load(cluster.base_url, api.key, clients=CLIENTS, pause_seconds=0.05, bulk_clients=1, seed=1)
        stack.enter_context(load)
        found = Running(cluster, site, api, watchers, load, began_at)
        found.work(5)
        yield found


def get_settled(client, path, **options):
    """The first answer that is not 503, and without the warning of a busy system that it lacks changes."""

    def ask():
        answer = client.get(path, **options)
        return (answer,) if answer.status_code != 503 and HEADER not in answer.headers else None

    (answer,) = eventually(ask)  # in a tuple, because an answer such as 404 counts as false
    return answer


def test_a_change_through_one_host_is_read_through_the_other(running):
    one, other = (Client(host.base_url, running.site.keys["manager"]) for host in running.cluster.hosts)
    for number in range(OWN_WRITES):
        title = f"seen everywhere {number}"
        ticket = running.site.ticket("manager", title=f"to be changed {number}")
        one.patch(f"/v1/tickets/{ticket['id']}", json={"title": title}).raise_for_status()
        read = get_settled(other, f"/v1/tickets/{ticket['id']}").json()["data"]
        listed = get_settled(other, "/v1/tickets", params={"q": title}).json()["data"]

        assert read["title"] == title
        assert ticket["id"] in {row["id"] for row in listed}
        one, other = other, one


def test_a_file_from_one_host_is_read_through_the_other(running):
    one, other = (Client(host.base_url, running.site.keys["manager"]) for host in running.cluster.hosts)
    ticket = running.site.ticket()
    sent = one.post(f"/v1/tickets/{ticket['id']}/attachments", files={"file": ("leak.txt", b"leak")})
    path = sent.json()["data"]["url"].partition("/v1/")[2]

    answer = get_settled(other, f"/v1/{path}")
    assert (answer.status_code, answer.content) == (200, b"leak"), answer.text


@pytest.mark.parametrize("name", LEADERS)
def test_the_other_host_takes_over_from_a_killed_leader(running, name):
    eventually(lambda: running.cluster.leader_of(name).last_logged(f"{name}_leads"))
    leader = running.cluster.leader_of(name)
    (other,) = (host for host in running.cluster.hosts if host is not leader)
    keeper = leader.keepers[name]
    keeper.is_held = True
    try:
        began = time.monotonic()
        leader.kill(name)
        eventually(lambda: running.cluster.leader_of(name) is other, TAKEOVER_SECONDS)
        seconds = time.monotonic() - began
        running.work(3)
    finally:
        keeper.is_held = False
    print(f"{name}: the other host leads after {seconds:.2f} s")


def test_a_killed_dispatcher_and_a_killed_api_are_replaced(running):
    host = running.cluster.hosts[0]
    host.kill("webhook-dispatcher")
    host.kill("api")
    running.work(5)
    eventually(lambda: Api(host.base_url).is_ready(), START_SECONDS)


def test_kills_of_processes_lose_double_and_disorder_nothing(running):
    """Checks what happened until now. Some tickets are of these tests, not of the load."""
    violations = check(running.end_window())
    violations.pop("refused_writes_are_not_stored", None)

    assert violations == {}


def test_the_loss_of_the_primary_loses_doubles_and_disorders_nothing(running):
    pair = running.cluster.pair
    running.begin()
    running.work(EVENTS)
    lost_at = time.monotonic()
    pair.primary.kill()
    pair.replica.promote()
    promoted_at = time.monotonic()
    running.work(EVENTS)
    evidence = running.end_window()

    violations = check(evidence)
    print(report(evidence, lost_at, promoted_at, violations))
    assert violations == {}
    assert pair.replica.execute("SELECT pg_is_in_recovery()") == [(False,)]
    assert len(evidence.log) >= 2 * EVENTS


def report(evidence, lost_at, promoted_at, violations):
    writes = {one.key: one for one in evidence.operations if one.kind in WRITES and one.outcome == "ok"}
    stored = Counter(event.marker for event in evidence.log)
    answered = sorted(one.returned_at for one in writes.values())
    gaps = [after - before for before, after in pairwise(answered) if after > lost_at]
    positions = [event.position for event in evidence.log]
    skipped = max(after - before for before, after in pairwise(positions))
    return (
        f"{len(writes)} acknowledged writes, {sum(key not in stored for key in writes)} lost,"
        f" {sum(stored[key] > 1 for key in writes)} doubled; promoted after {promoted_at - lost_at:.2f} s,"
        f" longest time without an acknowledged write {max(gaps):.2f} s; largest gap of positions {skipped};"
        f" {violations}"
    )
