"""An upgrade that changes the read tables, beside processes of this version.

The later version is this program with other read tables.
"""

from types import SimpleNamespace

import pytest

from infrastructure.storage.postgres import connect
from tests.acceptance.site import LEAK, Site
from tests.support.commands import environment, ticketing
from tests.support.history import History, append
from tests.support.later_version import LATER_SCHEMA, later_version
from tests.support.postgres import cloned_database
from tests.support.processes import Processes, end
from tests.support.read_tables import folded_rows, stored_rows
from tests.support.server import free_port
from tests.support.waiting import eventually

EVENTS = 300
ROUNDS = 20


@pytest.fixture
def upgrade(postgres, template, tmp_path):
    """A running system of this version with some events, and functions for both versions."""
    with cloned_database(postgres, template) as dsn:
        ports = [free_port(), free_port()]
        processes = Processes(dsn, tmp_path, WORKERS="2", TICKETING_HOME=str(tmp_path))
        before = [processes.start("projector"), processes.start("api", PORT=str(ports[0]))]
        site, later_site = (Site(dsn, f"http://127.0.0.1:{port}") for port in ports)
        site.populate()
        later_site.keys = site.keys
        append(site.store, [[event for one in History(3).grow(EVENTS) for event in one]])
        environ = environment(DATABASE_URL=dsn, TICKETING_HOME=str(tmp_path), PORT=str(ports[0]))
        try:
            eventually(site.is_ready)
            yield SimpleNamespace(
                dsn=dsn,
                before=before,
                site=site,
                later_site=later_site,
                start=lambda name: processes.start(name, program=later_version, PORT=str(ports[1])),
                run=lambda *command: ticketing(*command, environ=environ),
                run_later=lambda *command: ticketing(*command, environ=environ, program=later_version),
            )
        finally:
            site.pool.close()
            later_site.pool.close()
            processes.close()


def schemas(dsn):
    with connect(dsn, application="tests") as conn:
        rows = conn.execute("SELECT nspname FROM pg_namespace WHERE nspname LIKE 'read%'").fetchall()
    return {name for (name,) in rows}


def stale_reads(writer, reader, number):
    """Write through one API and read through the other, at once; return what was not found."""
    client, other = writer.client(), reader.client()
    stale = []
    for count in range(number):
        answer = client.post("/v1/tickets", json={**LEAK, "title": f"Ticket {count}"})
        assert answer.status_code == 201, answer.text
        ticket_id = answer.json()["data"]["id"]
        changed = client.patch(f"/v1/tickets/{ticket_id}", json={"title": "Changed"})
        read = other.get(f"/v1/tickets/{ticket_id}")
        if (changed.status_code, read.status_code) != (200, 200) or read.json()["data"]["title"] != "Changed":
            stale.append((changed.status_code, read.text))
    return stale


def test_both_versions_serve_at_the_same_time_and_show_each_others_changes(upgrade):
    assert upgrade.run_later("projector").returncode == 2  # its tables are not there yet
    migrated = upgrade.run_later("migrate")
    assert (migrated.returncode, "read tables refilled" in migrated.stderr) == (0, True), migrated.stderr
    assert schemas(upgrade.dsn) == {"read", LATER_SCHEMA}
    upgrade.site.ticket(title="Opened while no projector of the later version runs")

    later_api = upgrade.start("api")  # projects what is missing first
    eventually(upgrade.later_site.is_ready)
    upgrade.start("projector")
    found = upgrade.later_site.client().get("/v1/tickets", params={"q": "later version runs"}).json()["data"]

    assert len(found) == 1
    assert stale_reads(upgrade.site, upgrade.later_site, ROUNDS) == []
    assert stale_reads(upgrade.later_site, upgrade.site, ROUNDS) == []
    refused = upgrade.run_later("migrate", "--contract")
    assert refused.returncode == 2
    assert "Nothing was removed, because programs with other read tables (read) still use" in refused.stderr
    assert "ticketing-projector/" in refused.stderr

    for process in upgrade.before:
        end(process)
    contracted = upgrade.run_later("migrate", "--contract")
    assert contracted.returncode == 0, contracted.stderr
    assert schemas(upgrade.dsn) == {LATER_SCHEMA}
    assert stale_reads(upgrade.later_site, upgrade.later_site, 1) == []
    with connect(upgrade.dsn, application="tests") as conn:
        assert stored_rows(conn, schema=LATER_SCHEMA) == folded_rows(conn)
    for command in ("api", "projector"):
        assert "lacks the read tables: run `ticketing migrate`" in upgrade.run(command).stderr
    for command in (["rebuild"], ["rebuild", "--verify"], ["verify"]):
        done = upgrade.run_later(*command)
        assert done.returncode == 0, done.stdout + done.stderr
    assert "read tables: they fit this version" in upgrade.run_later("doctor").stdout
    assert schemas(upgrade.dsn) == {LATER_SCHEMA}
    assert later_api.poll() is None


def test_an_upgrade_can_be_given_up_before_the_contraction(upgrade):
    assert upgrade.run_later("migrate").returncode == 0
    later = [upgrade.start("projector"), upgrade.start("api")]
    eventually(upgrade.later_site.is_ready)
    ticket = upgrade.later_site.ticket(title="Written by the later version")
    for process in later:
        end(process)

    assert upgrade.site.client().get(f"/v1/tickets/{ticket['id']}").status_code == 200
    removed = upgrade.run("migrate", "--contract")

    assert removed.returncode == 0, removed.stderr
    assert schemas(upgrade.dsn) == {"read"}
    assert upgrade.site.is_ready()


def test_a_contraction_of_the_embedded_server_starts_it_if_necessary(tmp_path):
    done = ticketing("migrate", "--contract", environ=environment(TICKETING_HOME=str(tmp_path / "home")))

    assert (done.returncode, done.stderr.splitlines()[-1]) == (0, "nothing to do"), done.stderr


def test_read_tables_are_replaced_in_place_when_no_process_runs(upgrade):
    for process in upgrade.before:
        end(process)

    assert upgrade.run_later("migrate").returncode == 0

    assert schemas(upgrade.dsn) == {"read"}
    assert "read tables are those of another version" in upgrade.run("projector").stderr
