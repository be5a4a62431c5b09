"""`ticketing rebuild` beside pg_dump, and beside sessions that hold locks on the read tables."""

import subprocess
from pathlib import Path

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from cli.database import prepare
from infrastructure.storage.embedded import postgres_programs
from infrastructure.storage.postgres import connect
from projections import old_tables
from projections.old_tables import TablesInUse
from projections.rebuild import fresh_copy, rebuild
from tests.support.api import services_on
from tests.support.commands import environment, ticketing
from tests.support.history import History, append
from tests.support.postgres import drop_database
from tests.support.read_tables import folded_rows, stored_rows
from tests.support.vault import VAULT

EMBEDDED_MAJOR = 18
EXCEPT_READ_TABLES = "--exclude-schema=read*"  # docs/how-to/operating.md


@pytest.fixture
def filled(store, database, catch_up):
    append(store, History(5).grow(60))
    catch_up()
    return database


@pytest.fixture
def reader(filled):
    """A session with an open transaction that has read the read tables."""
    with psycopg.connect(filled, application_name="slow report") as session:
        session.execute("SELECT count(*) FROM read.tickets")
        yield session


def schemas(conn):
    rows = conn.execute("SELECT nspname FROM pg_namespace WHERE nspname LIKE 'read%'").fetchall()
    return {name for (name,) in rows}


def run_rebuild(dsn, tmp_path):
    done = ticketing("rebuild", environ=environment(DATABASE_URL=dsn, TICKETING_HOME=str(tmp_path)))
    return done.returncode, done.stderr


def run(program, *arguments, dsn, **options):
    """Run a program of the server's major version; returns its output."""
    with psycopg.connect(dsn) as session:
        major = session.info.server_version // 10_000
    system = Path(f"/usr/lib/postgresql/{major}/bin")
    folder = postgres_programs() if major == EMBEDDED_MAJOR else system
    command = [folder / program, *arguments, "--dbname", dsn]
    return subprocess.run(command, capture_output=True, timeout=60, check=True, **options).stdout


def ignore_progress(done, total):
    """Stands in for a progress bar."""


def test_a_rebuild_beside_an_open_reader_succeeds_and_names_it(reader, filled, conn, tmp_path):
    conn.execute("UPDATE read.tickets SET title = 'Wrong'")

    code, message = run_rebuild(filled, tmp_path)

    assert code == 0
    assert "The read tables are refilled" in message
    assert f"process {reader.info.backend_pid} (slow report)" in message
    assert stored_rows(conn) == folded_rows(conn)


def test_what_a_reader_keeps_does_not_block_later_runs_and_is_dropped_afterwards(
    reader, filled, conn, tmp_path
):
    for _ in range(2):
        rebuild(filled, VAULT, ignore_progress)

        assert len(schemas(conn)) == 2  # the second run has dropped its own tables

    reader.rollback()
    with services_on(filled, tmp_path) as services:
        prepare(services.settings)
    assert schemas(conn) == {"read"}


def test_a_reader_of_the_copy_does_not_block_later_runs(filled, conn):
    with psycopg.connect(filled) as dump:
        with fresh_copy(filled):
            dump.execute("LOCK TABLE read_next.tickets IN ACCESS SHARE MODE")  # as pg_dump does

        assert rebuild(filled, VAULT, ignore_progress).events > 60

    assert stored_rows(conn) == folded_rows(conn)


def test_a_rebuild_beside_a_session_that_locks_every_table_changes_nothing_and_says_why(
    filled, conn, monkeypatch
):
    monkeypatch.setattr(old_tables, "WAIT_SECONDS", 0.0)
    conn.execute("UPDATE read.tickets SET title = 'Wrong'")
    with psycopg.connect(filled, application_name="pg_dump") as session:
        session.execute("LOCK TABLE read.tickets, read.projector_position IN ACCESS SHARE MODE")

        for _ in range(2):
            with pytest.raises(TablesInUse, match=rf"process {session.info.backend_pid} \(pg_dump\)"):
                rebuild(filled, VAULT, ignore_progress)

        assert schemas(conn) == {"read"}
    assert conn.execute("SELECT DISTINCT title FROM read.tickets").fetchall() == [("Wrong",)]
    rebuild(filled, VAULT, ignore_progress)
    assert stored_rows(conn) == folded_rows(conn)


def test_a_dump_made_beside_a_rebuild_restores_to_the_same_rows(filled, conn, tmp_path):
    name = conninfo_to_dict(filled)["dbname"] + "_restored"
    restored = make_conninfo(filled, dbname=name)
    with fresh_copy(filled):
        dump = run("pg_dump", EXCEPT_READ_TABLES, dsn=filled)
    conn.execute(f'CREATE DATABASE "{name}"')
    try:
        run("psql", "--no-psqlrc", "--set=ON_ERROR_STOP=1", dsn=restored, input=dump)
        with services_on(restored, tmp_path) as services:
            assert prepare(services.settings) == ["read tables refilled"]
        with connect(restored, application="tests") as copy:
            assert stored_rows(copy) == stored_rows(conn)
    finally:
        drop_database(filled, name)


def test_autovacuum_leaves_the_copy_alone_until_it_is_complete(filled, conn):
    """It holds a lock that prevents indexes, for minutes if a table is large."""

    def tables_without_autovacuum(schema):
        rows = conn.execute(
            "SELECT relname FROM pg_class WHERE relnamespace = %s::regnamespace AND relkind = 'r'"
            " AND 'autovacuum_enabled=off' = ANY(reloptions)",
            [schema],
        )
        return {name for (name,) in rows}

    with fresh_copy(filled):
        assert tables_without_autovacuum("read_next") >= {"tickets", "past_tickets", "audit_events"}

    rebuild(filled, VAULT, ignore_progress)
    assert tables_without_autovacuum("read") == set()
