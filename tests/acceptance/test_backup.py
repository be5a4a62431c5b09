"""`ticketing backup` beside writers, and `ticketing restore` elsewhere: the drill."""

from __future__ import annotations

import json
import threading
from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from commands.comments import remove_file
from commands.erasure import erase_user
from infrastructure.storage.postgres import connect
from projections.rebuild import rebuild
from tests.support.backups import (
    FILES,
    Installation,
    empty_database,
    external_server,
    files_of,
    log_of,
    system_programs,
)
from tests.support.browser import Browser
from tests.support.commands import environment, ticketing
from tests.support.forks import TicketingProcess
from tests.support.keys import operator
from tests.support.read_tables import folded_rows, stored_rows
from tests.support.server import running_api
from tests.support.vault import VAULT
from tests.support.waiting import eventually
from tests.support.webhooks import open_ticket

MOST_WRITES = 100
RIGHTS_OF_PUBLIC = (
    "SELECT n.nspname || '.' || p.proname, has_function_privilege('pg_monitor', p.oid, 'EXECUTE')"
    " FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace"
    " WHERE n.nspname !~ '^(pg_|information_schema$|read)' ORDER BY 1"
)
WAITING = "SELECT count(*) FROM pg_stat_activity WHERE application_name ^@ %s AND wait_event_type = 'Lock'"


@pytest.fixture
def source(database, tmp_path):
    with Installation.on(database, tmp_path / "source") as installation:
        installation.populate()
        yield installation


@pytest.fixture
def target(postgres):
    with empty_database(postgres, "restored") as dsn:
        yield dsn


def manifest_of(folder):
    return json.loads((folder / "manifest.json").read_text())["manifest"]


def names_in(dsn):
    with connect(dsn, application="tests") as conn:
        return dict(conn.execute("SELECT id, name FROM read.users ORDER BY id").fetchall())


def test_a_backup_beside_writers_and_rebuilds_is_one_snapshot(source, target, tmp_path):
    folder, home, stop = tmp_path / "backup", tmp_path / "target", threading.Event()

    def write():
        for _ in range(MOST_WRITES):
            source.attach(open_ticket(source.store).id, b"photo")
            if stop.wait(0.01):
                return

    def refill():
        while not stop.is_set():
            rebuild(source.dsn, VAULT, lambda done, total: None)

    with ThreadPoolExecutor(3) as threads:
        work = [threads.submit(each) for each in (write, write, refill)]
        backed_up = ticketing("backup", str(folder), environ=source.environ)
        stop.set()
        [each.result() for each in work]
    log = log_of(source.dsn)
    restored = ticketing(
        "restore", str(folder), environ=environment(DATABASE_URL=target, TICKETING_HOME=str(home))
    )

    assert (backed_up.returncode, restored.returncode) == (0, 0), backed_up.stderr + restored.stderr
    assert "Nothing is wrong." in restored.stderr
    facts, rows = manifest_of(folder)["facts"], log_of(target)
    assert set(rows) <= set(log)
    assert len(rows) == facts["events"]
    assert [row for row in log if row[0] <= facts["log_complete_to"]] == [
        row for row in rows if row[0] <= facts["log_complete_to"]
    ]
    attached = {json.loads(row[4])["attachment_id"] for row in rows if row[3] == "ticket.file_attached"}
    assert set(files_of(home)) == attached
    assert len(attached) > len(FILES)
    with connect(target, application="tests") as conn, psycopg.connect(source.dsn) as before:
        assert stored_rows(conn) == folded_rows(conn)
        assert conn.execute(RIGHTS_OF_PUBLIC).fetchall() == before.execute(RIGHTS_OF_PUBLIC).fetchall()
    with running_api(target, workers=1, TICKETING_HOME=str(home)) as base_url:
        assert Browser(base_url).sign_in("u1").status_code == 303


def test_people_who_were_erased_after_the_backup_are_erased_again(source, tmp_path):
    """The target is an embedded server, which is then backed up itself."""
    folder, home = tmp_path / "backup", tmp_path / "target"
    keys, evidence = tmp_path / "keys", home / "notary" / "checkpoints.jsonl"
    backed_up = ticketing("backup", str(folder), "--keys", str(keys), environ=source.environ)
    erase_user(source.store, "u2", operator())
    latest = source.sign().path.read_text()
    evidence.parent.mkdir(parents=True)
    evidence.write_text(latest)
    environ = environment(TICKETING_HOME=str(home))
    del environ["MASTER_KEY"]  # the copy in `keys` is used

    restored = ticketing("restore", str(folder), "--keys", str(keys), environ=environ)
    again = ticketing("restore", str(folder), environ=environ)
    second = ticketing("backup", str(tmp_path / "second"), environ=environ)

    assert (backed_up.returncode, restored.returncode) == (0, 0), backed_up.stderr + restored.stderr
    assert "u2 is erased again." in restored.stderr
    assert "The events from position 10 to 10, which were signed, are lost." in restored.stderr
    assert "New events get positions after 100010." in restored.stderr
    (kept,) = evidence.parent.glob("checkpoints.jsonl.before-restore-*")
    assert kept.read_text() == latest
    assert latest.startswith(evidence.read_text())
    assert (home / "master-key").stat().st_mode & 0o777 == 0o600
    assert files_of(home) == files_of(source.home)
    assert (again.returncode, "is not empty" in again.stderr) == (2, True), again.stderr
    assert second.returncode == 0, second.stderr
    assert manifest_of(tmp_path / "second")["facts"]["log_end"] > 100_010, "a position was given twice"


def test_an_external_server_of_another_version_is_backed_up_and_restored(source, tmp_path):
    first, second = tmp_path / "first", tmp_path / "second"
    with (
        external_server(system_programs(), tmp_path / "server") as server,
        empty_database(server, "one") as one,
        empty_database(server, "two") as two,
    ):
        older = psycopg.connect(server).info.server_version // 10_000 < 17
        with Installation.on(one, tmp_path / "home") as installation:
            migrated = ticketing("migrate", environ=installation.environ)
            installation.populate()
            backed_up = ticketing("backup", str(first), environ=installation.environ)
            log = log_of(one)
        application = make_conninfo(two, user="application", password="it's secret")
        environ = environment(
            DATABASE_URL=application, MIGRATE_DATABASE_URL=two, TICKETING_HOME=str(tmp_path / "other")
        )
        restored = ticketing("restore", str(first), environ=environ)
        newer = ticketing("backup", str(second), environ=source.environ)
        with empty_database(server, "three") as three:
            environ = environment(DATABASE_URL=three, TICKETING_HOME=str(tmp_path / "third"))
            refused = ticketing("restore", str(second), environ=environ)

        assert [each.returncode for each in (migrated, backed_up, restored, newer)] == [0, 0, 0, 0], (
            backed_up.stderr + restored.stderr
        )
        assert log_of(two) == log
        if older:
            assert (refused.returncode, "same or a later version" in refused.stderr) == (2, True)


def test_a_killed_backup_has_no_manifest_and_is_refused(source, target, conn, tmp_path):
    folder = tmp_path / "backup"
    with psycopg.connect(source.dsn) as blocking:
        blocking.execute("LOCK TABLE access.api_keys")
        process = TicketingProcess("backup", str(folder), environ=source.environ)
        eventually(lambda: conn.execute(WAITING, ["ticketing-backup"]).fetchone() == (1,))
        process.kill()
        process.wait()
        blocking.rollback()

    refused = ticketing(
        "restore", str(folder), environ=environment(DATABASE_URL=target, TICKETING_HOME=str(tmp_path / "t"))
    )
    repeated = ticketing("backup", str(folder), environ=source.environ)

    assert (refused.returncode, "has no manifest.json" in refused.stderr) == (2, True), refused.stderr
    assert (repeated.returncode, "not an empty folder" in repeated.stderr) == (2, True), repeated.stderr


def test_no_process_starts_after_a_killed_restore_until_it_is_repeated(source, target, conn, tmp_path):
    folder, environ = (
        tmp_path / "backup",
        environment(DATABASE_URL=target, TICKETING_HOME=str(tmp_path / "t")),
    )
    assert ticketing("backup", str(folder), environ=source.environ).returncode == 0
    with psycopg.connect(target) as blocking:
        blocking.execute("CREATE SCHEMA es")  # pg_restore waits until it is known whether it stays
        killed = TicketingProcess("restore", str(folder), environ=environ)
        eventually(lambda: conn.execute(WAITING, ["ticketing-pg_restore"]).fetchone() == (1,))
        killed.kill()
        killed.wait()
        refused = [ticketing(command, environ=environ) for command in ("migrate", "projector", "verify")]
        blocking.rollback()
    (tmp_path / "t").mkdir(exist_ok=True)
    (tmp_path / "t" / "attachments").write_text("not a folder")
    failed = ticketing("restore", str(folder), environ=environ)
    refused.append(ticketing("projector", environ=environ))
    (tmp_path / "t" / "attachments").unlink()

    completed = ticketing("restore", str(folder), environ=environ)

    assert [each.returncode for each in refused] == [2, 2, 2, 2]
    assert all("has not ended" in each.stderr for each in refused), refused[0].stderr
    assert failed.returncode == 2
    assert completed.returncode == 0, completed.stderr
    assert log_of(target) == log_of(source.dsn)
    assert files_of(tmp_path / "t") == files_of(source.home)
    assert names_in(target) == names_in(source.dsn)


def test_lost_attachments_are_named_and_those_removed_meanwhile_are_not_missed(source, conn, tmp_path):
    lost, *_ = (source.home / "attachments").iterdir()
    lost.unlink()
    ticket = open_ticket(source.store)
    removed = source.attach(ticket.id, b"removed after the snapshot")
    with psycopg.connect(source.dsn) as blocking:
        blocking.execute("LOCK TABLE access.saved_views")  # pg_dump waits after the snapshot was taken
        process = TicketingProcess(
            "backup", str(tmp_path / "backup"), environ=source.environ, stdout=tmp_path / "said"
        )
        eventually(lambda: conn.execute(WAITING, ["ticketing-backup"]).fetchone() == (1,))
        remove_file(source.store, ticket.id, removed, operator())
        (source.home / "attachments" / removed).unlink()
        blocking.rollback()

    assert process.wait(60) == 1
    manifest = manifest_of(tmp_path / "backup")
    assert (manifest["lost_attachments"], manifest["removed_attachments"]) == ([lost.name], [removed])
    assert lost.name in (tmp_path / "said").read_text()


def test_a_read_only_database_is_backed_up(source, tmp_path):
    ticketing("notary", "sign", environ=source.environ)  # the first command records the master key
    with psycopg.connect(source.dsn, autocommit=True) as conn:
        conn.execute(f'ALTER DATABASE "{conn.info.dbname}" SET default_transaction_read_only = on')

    done = ticketing("backup", str(tmp_path / "backup"), environ=source.environ)

    assert done.returncode == 0, done.stderr
