"""Migrations in two phases: additions while older programs run, and removals when none does."""

import os
import signal
import threading
from multiprocessing import get_context

import psycopg
import pytest

from infrastructure.storage import migrating
from infrastructure.storage.migrating import MigrationFailed, NotExpanded, contract, migrate
from infrastructure.storage.migration_files import PROGRAM
from infrastructure.storage.migrations import NewerDatabase, require_usable
from infrastructure.storage.older_programs import OlderProgramsRun
from tests.support.planted_migrations import PLANTED, make_folder
from tests.support.waiting import eventually

NOTE, INDEX, WITHOUT_NOTE = PLANTED
COLUMNS = "SELECT count(*) FROM pg_attribute WHERE attname = 'planted_note' AND NOT attisdropped"
IS_VALID = "SELECT indisvalid FROM pg_index WHERE indexrelid = to_regclass('es.planted_idx')"
WAITING = (
    "SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'CREATE INDEX CONC%' AND wait_event_type = 'Lock'"
    " AND datname = current_database()"
)
AN_OPEN_APPEND = "BEGIN; LOCK TABLE es.stored_events IN ROW EXCLUSIVE MODE"
OLDER = ("ticketing-api", f"ticketing-projector/{PROGRAM:04d}", "ticketing-cli/9002")


@pytest.fixture
def folder(tmp_path):
    """The migrations of a later program: this one's and planted ones."""
    return make_folder(tmp_path / "migrations", planted=PLANTED)


@pytest.fixture(autouse=True)
def settle_at_once(monkeypatch):
    monkeypatch.setattr(migrating, "SETTLE_SECONDS", 0.1)


def listed(conn):
    """The planted migrations that v0.1.0 sees."""
    rows = conn.execute("SELECT name FROM public.ticketing_migrations WHERE name > '9' ORDER BY 1")
    return [name for (name,) in rows]


def session_of(database, name):
    return psycopg.connect(database, application_name=name, autocommit=True)


def test_an_expansion_is_not_shown_to_the_first_version_which_refuses_what_it_does_not_know(
    database, conn, folder
):
    assert migrate(database, folder) == [NOTE, INDEX]

    assert conn.execute(COLUMNS).fetchone() == (1,)
    assert conn.execute(IS_VALID).fetchone() == (True,)
    assert listed(conn) == []
    require_usable(conn)
    assert migrate(database, folder) == []


def test_a_contraction_is_refused_before_the_expansion(database, conn, folder):
    with pytest.raises(NotExpanded, match=f"lacks {NOTE}, {INDEX}. Run `ticketing migrate` first"):
        contract(database, folder)

    assert listed(conn) == []


@pytest.mark.parametrize(
    "name", ["ticketing-api", f"ticketing-projector/{PROGRAM:04d}", "ticketing-cli/9002"]
)
def test_a_contraction_is_refused_while_an_older_program_is_connected(database, conn, folder, name):
    migrate(database, folder)
    with session_of(database, name) as old:
        with pytest.raises(OlderProgramsRun) as refused:
            contract(database, folder)
        assert f"{name} (session {old.info.backend_pid}" in str(refused.value)

    assert "Replace these processes by the new version" in str(refused.value)
    assert (listed(conn), conn.execute(COLUMNS).fetchone()) == ([], (1,))
    with session_of(database, "ticketing-api/9003"):
        assert contract(database, folder) == [WITHOUT_NOTE]
    assert conn.execute(COLUMNS).fetchone() == (0,)


def test_a_contraction_is_withdrawn_if_an_older_program_connects_after_its_announcement(
    database, conn, folder, monkeypatch
):
    monkeypatch.setattr(migrating, "SETTLE_SECONDS", 60.0)
    migrate(database, folder)
    with get_context("fork").Pool(1) as pool:
        contracting = pool.apply_async(contract, (database, folder))
        eventually(lambda: listed(conn) == [WITHOUT_NOTE])
        with pytest.raises(NewerDatabase):
            require_usable(conn)
        with session_of(database, "ticketing-api"), pytest.raises(OlderProgramsRun):
            contracting.get(60)

    assert (listed(conn), conn.execute(COLUMNS).fetchone()) == ([], (1,))
    require_usable(conn)


def test_after_a_contraction_older_programs_refuse_and_newer_ones_do_not(database, conn, folder):
    migrate(database, folder)
    contract(database, folder)

    assert listed(conn) == [WITHOUT_NOTE]  # which v0.1.0 does not know
    with pytest.raises(NewerDatabase) as refused:
        require_usable(conn)
    assert f"contracted by a newer program ({WITHOUT_NOTE})" in str(refused.value)
    assert (
        f"with the migration 9003 or a later one, and the newest migration of this program is {PROGRAM:04d}"
        in (str(refused.value))
    )
    require_usable(conn, 9_003, folder)
    with pytest.raises(NewerDatabase):
        migrate(database)


def test_an_announcement_is_withdrawn_by_the_next_migrate_if_its_contraction_was_killed(
    database, conn, folder, monkeypatch
):
    monkeypatch.setattr(migrating, "SETTLE_SECONDS", 60.0)
    migrate(database, folder)
    contracting = get_context("fork").Process(target=contract, args=(database, folder))
    contracting.start()
    eventually(lambda: listed(conn) == [WITHOUT_NOTE])
    contracting.kill()
    contracting.join()

    assert migrate(database, folder) == []
    assert (listed(conn), conn.execute(COLUMNS).fetchone()) == ([], (1,))
    require_usable(conn)


def test_a_migration_that_was_killed_is_completed_by_the_next(database, conn, folder):
    """The kill comes while the index waits for a transaction, and leaves it invalid."""
    conn.execute(AN_OPEN_APPEND)
    running = get_context("fork").Process(target=migrate, args=(database, folder))
    running.start()
    with session_of(database, "tests") as other:
        eventually(lambda: other.execute(WAITING).fetchone() == (1,))
        os.kill(running.pid, signal.SIGKILL)
        running.join()
        eventually(lambda: other.execute(WAITING).fetchone() == (0,))
        assert other.execute(IS_VALID).fetchone() == (False,)
        conn.execute("COMMIT")

        assert migrate(database, folder) == [INDEX]

        assert other.execute(IS_VALID).fetchone() == (True,)


def test_two_migrations_at_once_wait_for_one_another(database, conn, folder):
    conn.execute(AN_OPEN_APPEND)
    done = []
    with get_context("fork").Pool(2) as pool:
        both = [pool.apply_async(migrate, (database, folder)) for _ in range(2)]
        with session_of(database, "tests") as other:
            eventually(lambda: other.execute(WAITING).fetchone() == (1,))
            assert not any(one.ready() for one in both)
            conn.execute("COMMIT")
        done = [one.get(60) for one in both]

    assert sorted(done) == [[], [NOTE, INDEX]]


def test_writers_wait_briefly_for_a_migration_that_does_not_get_its_lock(database, conn, folder, monkeypatch):
    """The migration gives up its place in the queue again and again, and names the session in the end."""
    monkeypatch.setattr(migrating, "LOCKED_SECONDS", 3.0)
    conn.execute("BEGIN; SELECT count(*) FROM hook.endpoints")
    failed = []

    def run():
        try:
            migrate(database, folder)
        except MigrationFailed as failure:
            failed.append(str(failure))

    running = threading.Thread(target=run)
    running.start()
    rounds = 0
    with session_of(database, "tests") as writer:
        writer.execute("SET lock_timeout TO '2s'")
        while running.is_alive():
            writer.execute("UPDATE hook.endpoints SET url = url")
            rounds += 1
    running.join()

    assert rounds > 3
    assert "Migration 9001_note.sql did not get a lock within 3 s, because of tests (session" in failed[0]
    conn.execute("COMMIT")
    assert migrate(database, folder) == [NOTE, INDEX]


def test_a_file_without_a_phase_is_refused(database, tmp_path):
    folder = make_folder(tmp_path / "migrations", planted={"9001_note.sql": "SELECT 1;"})

    with pytest.raises(MigrationFailed, match=r"9001_note.sql: its first line does not declare a phase"):
        migrate(database, folder)


def test_migrations_from_before_the_first_version_need_every_process_stopped(database, conn):
    conn.execute("DELETE FROM public.ticketing_migrations WHERE name LIKE '0050%'")
    conn.execute("DROP TABLE access.saved_views")
    with session_of(database, "ticketing-projector"), pytest.raises(OlderProgramsRun):
        migrate(database)

    assert migrate(database) == ["0050_saved_views.sql"]
