"""READ_DATABASE_URL: reads go to a replica, and show every change that was answered before them."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families
from psycopg.conninfo import make_conninfo

from cli.doctor.hosts import check_replica
from infrastructure.settings import Settings
from infrastructure.storage.event_store import EventStore
from infrastructure.storage.postgres import connect, make_pool
from infrastructure.storage.replica import (
    ReplicaRefused,
    allow_replica,
    make_replica_pool,
    require_primary,
    require_same_history,
)
from projections.runner import catch_up, connect_projector
from tests.acceptance.site import Site
from tests.support.history import History, append
from tests.support.postgres import make_template
from tests.support.replication import running_pair
from tests.support.vault import VAULT
from tests.support.waiting import eventually

CLIENTS, CHANGES_EACH = 4, 15


@pytest.fixture(scope="module")
def pair():
    with running_pair() as running:
        yield running


@pytest.fixture(scope="module")
def database(pair):
    """The name of a migrated database on both servers."""
    name = make_template(pair.primary.dsn())
    pair.copy()
    return name


@pytest.fixture(scope="module")
def site(pair, database):
    with Site.running(pair.primary.dsn(database), READ_DATABASE_URL=pair.replica.dsn(database)) as running:
        yield running


@pytest.fixture
def replayed(pair, site):
    """After the test the replica replays again, and answers."""
    yield pair
    pair.replica.thaw()
    pair.replica.execute("SELECT pg_wal_replay_resume()")
    pair.wait_until_equal()
    eventually(lambda: answered_by_replica(site))


@contextmanager
def counted(site):
    """Yields a dictionary; at the end it has the number of statements by outcome, since the beginning."""
    before, found = outcomes(site), {}
    yield found
    after = outcomes(site)
    found.update({name: int(after[name] - before.get(name, 0)) for name in after})


def outcomes(site):
    samples = [
        sample
        for family in text_string_to_metric_families(site.client().get("/metrics").text)
        for sample in family.samples
    ]
    return {
        sample.labels["outcome"]: sample.value
        for sample in samples
        if sample.name == "ticketing_replica_reads_total"
    }


def answered_by_replica(site):
    with counted(site) as found:
        assert site.client().get("/v1/tickets").ok
    return found.get("answered", 0) > 0


def test_reads_are_answered_by_the_replica(site, replayed):
    ticket = site.ticket()
    pages = ["/v1/tickets", f"/v1/tickets/{ticket['id']}", f"/v1/tickets/{ticket['id']}/comments"]
    pages += ["/v1/tickets/count", "/v1/users", "/v1/users/me", "/v1/properties", "/v1/properties/abc123"]
    pages += ["/v1/properties/abc123/units", f"/v1/tickets/{ticket['id']}/attachments", "/v1/users/user101"]
    replayed.wait_until_equal()

    with counted(site) as found:
        answers = [site.client().get(page) for page in pages]

    assert [answer.status_code for answer in answers] == [200] * len(pages)
    assert found.get("answered", 0) >= len(pages)


def test_every_read_shows_the_changes_that_were_answered_before_it(site, replayed):
    """Several clients change tickets, and others read them at once: no read is older than an answer."""
    stale = []

    def change(number):
        ticket = site.ticket(title=f"ticket {number}")
        for count in range(CHANGES_EACH):
            title = f"title {number} {count}"
            site.client().patch(f"/v1/tickets/{ticket['id']}", json={"title": title}).raise_for_status()
            one = site.client("manager").get(f"/v1/tickets/{ticket['id']}").json()["data"]
            listed = site.client().get("/v1/tickets", params={"q": title}).json()["data"]
            stale.extend(
                row for row in (one, *(r for r in listed if r["id"] == ticket["id"])) if row["title"] != title
            )
            assert any(row["id"] == ticket["id"] for row in listed)

    with counted(site) as found, ThreadPoolExecutor(CLIENTS) as executor:
        list(executor.map(change, range(CLIENTS)))

    assert stale == []
    assert found.get("answered", 0) > 0


def test_while_the_replica_lags_behind_the_primary_answers(site, replayed):
    replayed.replica.execute("SELECT pg_wal_replay_pause()")
    ticket = site.ticket(title="behind the replica")

    with counted(site) as found:
        read = site.client().get(f"/v1/tickets/{ticket['id']}")
        listed = site.client().get("/v1/tickets", params={"q": "behind the replica"})

    assert read.json()["data"]["title"] == "behind the replica"
    assert [row["id"] for row in listed.json()["data"]] == [ticket["id"]]
    assert found["behind"] >= 2
    assert found.get("answered", 0) == 0


def test_rights_are_checked_on_the_primary_while_the_replica_lags_behind(site, replayed):
    person = site.person()
    key = site.key(role="staff", user_id=person["id"])
    guest = site.key(role="staff", user_id="user101")
    assert site.client(key=key).get("/v1/tickets").ok
    replayed.replica.execute("SELECT pg_wal_replay_pause()")

    site.client().patch(f"/v1/users/{person['id']}", json={"active": False}).raise_for_status()
    site.client().patch("/v1/users/user101", json={"property_ids": ["def456"]}).raise_for_status()

    assert site.client(key=key).get("/v1/tickets").status_code == 401
    rows = site.client(key=guest).get("/v1/tickets").json()["data"]
    assert {row["property"]["id"] for row in rows} <= {"def456"}
    site.client().patch("/v1/users/user101", json={"property_ids": ["abc123"]}).raise_for_status()


def test_while_the_replica_hangs_the_primary_answers(site, replayed):
    replayed.replica.freeze()

    with counted(site) as found:
        answers = [site.client().get("/v1/tickets") for _ in range(5)]

    assert [answer.status_code for answer in answers] == [200] * 5
    assert max(answer.elapsed.total_seconds() for answer in answers) < 4
    assert found["failed"] >= 1


def test_without_the_replica_the_primary_answers_and_later_the_replica_again(site, pair, replayed):
    ticket = site.ticket()
    results, stop = [], threading.Event()

    def read():
        while not stop.is_set():
            results.append(site.client().get(f"/v1/tickets/{ticket['id']}").status_code)

    reader = threading.Thread(target=read)
    reader.start()
    try:
        eventually(lambda: len(results) > 20)
        pair.replica.kill()
        seen = len(results)
        eventually(lambda: len(results) > seen + 20)
        pair.replica.start()
        eventually(lambda: answered_by_replica(site))
    finally:
        stop.set()
        reader.join()

    assert set(results) == {200}


def test_a_statement_that_the_replica_cannot_run_is_run_by_the_primary(pair, database):
    """A replica refuses some statements; an error of the statement itself comes from the primary."""
    with (
        make_pool(pair.primary.dsn(database), application="tests", max_size=3) as primary,
        make_replica_pool(pair.replica.dsn(database), primary, max_size=3) as reads,
    ):
        reads.wait()
        allow_replica(0)
        try:
            assert reads.fetch("SELECT pg_is_in_recovery()") == [(True,)]
            assert reads.fetch("SELECT txid_current() > 0, pg_is_in_recovery()") == [(True, False)]
            assert reads.fetch("SELECT pg_is_in_recovery()") == [(False,)]  # the rest of the request
        finally:
            require_primary()


def test_another_database_is_refused(pair, database):
    with (
        connect(pair.primary.dsn(), application="tests") as replica,
        connect(pair.primary.dsn(database), application="tests") as primary,
        pytest.raises(ReplicaRefused, match="another database"),
    ):
        require_same_history(replica, primary)


def findings(pair, database, url):
    """What `ticketing doctor` says about READ_DATABASE_URL."""
    settings = Settings(home=Path("/nowhere"), database_url=pair.primary.dsn(database), read_database_url=url)
    with connect(pair.primary.dsn(database), application="tests") as conn:
        return [(one.level, one.found) for one in check_replica(conn, settings)]


def test_the_doctor_says_whether_the_replica_is_used(pair, database, replayed):
    replica, primary = pair.replica.dsn(database), pair.primary.dsn(database)
    pair.wait_until_equal()
    ((used_level, used),) = findings(pair, database, replica)
    ((own_level, own),) = findings(pair, database, primary)
    ((other_level, _),) = findings(pair, database, pair.replica.dsn("postgres"))
    ((away_level, away),) = findings(pair, database, make_conninfo(replica, port=1))

    assert (used_level, own_level, other_level, away_level) == ("OK", "WARNING", "PROBLEM", "WARNING")
    assert "it is a replica of the primary" in used
    assert "leads to the primary" in own
    assert "cannot be used" in away


def test_a_server_that_went_on_alone_is_refused(pair, database):
    """Runs last: the replica is promoted and stores an event that the primary does not have."""
    pair.replica.promote()
    alone = pair.replica.dsn(database)
    with make_pool(alone, application="tests", max_size=2) as pool, connect_projector(alone) as projector:
        append(EventStore(pool, VAULT), History(1).grow(3))
        while catch_up(projector, VAULT):
            pass

    with (
        connect(alone, application="tests") as replica,
        connect(pair.primary.dsn(database), application="tests") as primary,
        pytest.raises(ReplicaRefused, match="gone on without it"),
    ):
        require_same_history(replica, primary)
