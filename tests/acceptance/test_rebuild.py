"""`ticketing rebuild` during live traffic: clients get no error and no stale answer."""

from __future__ import annotations

import random
import threading
import time
from contextlib import contextmanager

import pytest

from infrastructure.storage.postgres import connect
from tests.acceptance.site import LEAK, Site
from tests.support.commands import environment, ticketing
from tests.support.forks import TicketingProcess
from tests.support.history import History, append
from tests.support.postgres import cloned_database
from tests.support.read_tables import folded_rows, stored_rows
from tests.support.waiting import eventually

EVENTS = 3_000
WRITERS, READERS = 2, 1
LIMIT_SECONDS = 60


@pytest.fixture(scope="module")
def site(postgres, template):
    """A server whose log is long enough for requests during a rebuild."""
    with cloned_database(postgres, template) as dsn, Site.running(dsn, workers=2) as site:
        events = [event for appended in History(1).grow(EVENTS) for event in appended]
        position = append(site.store, [events[n : n + 500] for n in range(0, len(events), 500)])
        eventually(lambda: live_position(dsn) >= position)
        yield site


@pytest.fixture
def environ(site, tmp_path):
    return environment(DATABASE_URL=site.dsn, TICKETING_HOME=str(tmp_path))


def live_position(dsn):
    with connect(dsn, application="tests") as conn:
        return conn.execute("SELECT position FROM read.projector_position").fetchone()[0]


def schemas(site):
    with connect(site.dsn, application="tests") as conn:
        rows = conn.execute("SELECT nspname FROM pg_namespace WHERE nspname LIKE 'read%'").fetchall()
    return {name for (name,) in rows}


class Traffic:
    """Clients that write and read their own writes. `wrong` lists errors and stale answers."""

    def __init__(self, site):
        self.site = site
        self.wrong = []
        self.rounds = 0
        self._stopping = threading.Event()

    @contextmanager
    def flowing(self):
        threads = [threading.Thread(target=self._run, args=(self._write,)) for _ in range(WRITERS)]
        threads += [threading.Thread(target=self._run, args=(self._read,)) for _ in range(READERS)]
        for thread in threads:
            thread.start()
        try:
            eventually(lambda: self.rounds > WRITERS + READERS)
            yield
        finally:
            self._stopping.set()
            for thread in threads:
                thread.join()

    def _run(self, work):
        with self.site.client() as client:
            while not self._stopping.is_set():
                try:
                    work(client)
                except Exception as error:
                    self.wrong.append(repr(error))
                self.rounds += 1

    def _write(self, client):
        posted = client.post("/v1/tickets", json=LEAK)
        path = posted.headers["Location"].removeprefix(self.site.base_url)
        ticket_id = posted.json()["data"]["id"]
        answers = [
            posted,
            client.patch(path, json={"status": "closed", "title": "Rebuilt"}),
            client.post(f"{path}/comments", json={"text": "Hello"}),
        ]
        read = client.get(path)
        listed = client.get("/v1/tickets?status=closed&sort=updated_at&per_page=50")
        answers += [read, listed]
        self.wrong += [answer.text for answer in answers if answer.status_code >= 400]
        data = read.json()["data"]
        if (data["title"], len(data["comments"])) != ("Rebuilt", 1):
            self.wrong.append(f"stale: {data}")
        if ticket_id not in [item["id"] for item in listed.json()["data"]]:
            self.wrong.append("stale list")

    def _read(self, client):
        for path in ("/v1/tickets?per_page=20", "/v1/users", "/v1/properties", "/v1/tickets/t2"):
            answer = client.get(path)
            if answer.status_code != 200:
                self.wrong.append(answer.text)


def test_a_rebuild_during_live_traffic_causes_no_error_and_no_stale_answer(site, environ):
    traffic = Traffic(site)
    with traffic.flowing():
        rebuilt = [ticketing("rebuild", environ=environ) for _ in range(2)]
        verified = ticketing("rebuild", "--verify", environ=environ)

    assert [done.returncode for done in (*rebuilt, verified)] == [0, 0, 0], verified.stdout + verified.stderr
    assert "0 differences" in verified.stdout + verified.stderr
    assert traffic.wrong == []
    assert schemas(site) == {"read"}
    with connect(site.dsn, application="tests") as conn:
        assert stored_rows(conn) == folded_rows(conn)


DAMAGE = {
    "UPDATE read.tickets SET title = 'Elsewhere' WHERE id = 't3'": ("tickets", "t3", "title"),
    "UPDATE read.tickets SET is_deleted = NOT is_deleted WHERE id = 't4'": ("tickets", "t4", "is_deleted"),
    "DELETE FROM read.comments WHERE id = (SELECT min(id) FROM read.comments)": ("comments", "", "missing"),
    "DELETE FROM read.attachments WHERE id = (SELECT min(id) FROM read.attachments)": (
        "attachments",
        "",
        "missing",
    ),
    "INSERT INTO read.units VALUES ('p0', 'x', 'X', NULL, ' x', 1, now())": (
        "units",
        "x",
        "should not be there",
    ),
    "UPDATE read.ticket_counts SET tickets[1] = -1"
    " WHERE (property_id, assignee_id, category) = ('p0', '*', '*')": (
        "ticket_counts",
        "p0/*/*",
        "tickets",
    ),
    "DELETE FROM read.ticket_counts WHERE (property_id, assignee_id, category) = ('*', '*', '*')": (
        "ticket_counts",
        "*/*/*",
        "missing",
    ),
    "UPDATE read.users SET phone = '1234' WHERE id = 'u0'": ("users", "u0", "phone"),
    "INSERT INTO read.parked_events VALUES (1, 't3', 'x')": ("parked_events", "1", "should not be there"),
}


def test_planted_differences_are_found_and_repaired(site, environ):
    with connect(site.dsn, application="tests") as conn:
        assert [conn.execute(damage).rowcount for damage in DAMAGE] == [1] * len(DAMAGE)

    verified = ticketing("rebuild", "--verify", environ=environ)
    rebuilt = ticketing("rebuild", environ=environ)

    assert (verified.returncode, rebuilt.returncode) == (1, 0)
    assert f"{len(DAMAGE)} rows differ" in verified.stdout + verified.stderr
    for table, row, difference in DAMAGE.values():
        found = [line for line in verified.stdout.splitlines() if table in line and difference in line]
        assert any(row in line for line in found), verified.stdout
    with connect(site.dsn, application="tests") as conn:
        assert stored_rows(conn) == folded_rows(conn)
        assert conn.execute("SELECT count(*) FROM read.parked_events").fetchone() == (0,)


def test_a_killed_rebuild_leaves_the_live_tables_correct(site, environ):
    moments = random.Random(1)
    for _ in range(3):
        process = TicketingProcess("rebuild", environ=environ)
        eventually(lambda: "read_next" in schemas(site))
        time.sleep(moments.uniform(0, 0.1))  # kills at an arbitrary moment
        process.kill()
        process.wait()

        ticket = site.ticket()
        assert site.client("staff").get(f"/v1/tickets/{ticket['id']}").status_code == 200
        with connect(site.dsn, application="tests") as conn:
            assert stored_rows(conn) == folded_rows(conn)

    eventually(lambda: ticketing("rebuild", "--verify", environ=environ).returncode == 0)
    assert ticketing("rebuild", environ=environ).returncode == 0
    assert schemas(site) == {"read"}


def test_a_second_rebuild_at_the_same_time_is_refused(site, environ):
    with connect(site.dsn, application="tests") as conn:
        conn.execute("SELECT pg_advisory_lock(7305878)")  # the lock of a running rebuild

        second = ticketing("rebuild", environ=environ)
        verification = ticketing("rebuild", "--verify", environ=environ)

    assert (second.returncode, verification.returncode) == (1, 1)
    assert "is running" in second.stdout + second.stderr
    assert site.client().get("/v1/tickets").status_code == 200
