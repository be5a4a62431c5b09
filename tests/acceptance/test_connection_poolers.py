"""The system behind Debian's PgBouncer: the API uses it, and everything else needs PostgreSQL itself."""

from __future__ import annotations

from contextlib import ExitStack

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from cli.doctor.command import diagnose
from cli.doctor.server import check_sessions
from infrastructure.settings import Settings
from infrastructure.storage.outcomes import outcome_is_unknown
from infrastructure.storage.postgres import connect, make_pool
from infrastructure.storage.roles import grant_to_application, store_settings_for_pooler
from infrastructure.storage.server_checks import require_pooler
from tests.support.commands import environment, ticketing
from tests.support.hostile_settings import make_hostile
from tests.support.pgbouncer import administer, pgbouncer
from tests.support.postgres import cloned_database
from tests.support.whole_system import expected_of, use_whole_system, whole_system

ROLE = "ticketing_pooled"
ISOLATION = "default_transaction_isolation"
EVERY_PROCESS = ("api", "projector", "webhook-dispatcher", "notary", "migrate")


@pytest.fixture
def owner(postgres, template):
    """The address of a database, for the role that owns it."""
    with cloned_database(postgres, template) as dsn:
        yield dsn


@pytest.fixture
def direct(owner):
    """The address of that database for a role of this test."""
    dsn = make_conninfo(owner, user=ROLE, password="test")
    grant_to_application(owner, dsn)
    return dsn


@pytest.fixture
def hostile(owner, direct):
    """That address, after database and role have got settings that would break requests."""
    with connect(owner, application="tests") as conn:
        make_hostile(conn, "DATABASE", role=ROLE)
        make_hostile(conn, "ROLE", role=ROLE)
        yield direct
        conn.execute(f"ALTER ROLE {ROLE} RESET ALL")


def run(home, *command, **variables):
    return ticketing(*command, environ=environment(TICKETING_HOME=str(home), **variables))


@pytest.mark.parametrize("mode", ["session", "transaction"])
def test_everything_works_when_the_api_uses_a_pooler(hostile, owner, tmp_path, mode):
    log = tmp_path / "output.log"
    with pgbouncer(hostile, mode) as pooled:
        variables = {"DATABASE_URL": pooled, "DIRECT_DATABASE_URL": hostile}
        migrated = run(tmp_path, "migrate", MIGRATE_DATABASE_URL=owner, **variables)
        assert migrated.returncode == 0, migrated.stderr
        with whole_system(hostile, log, **variables) as site:
            found = use_whole_system(site)
            (used,) = (row for row in administer(pooled, "SHOW STATS") if row["database"] != "pgbouncer")

    assert found == expected_of(found)
    assert used["total_query_count"] > 50
    assert [line for line in log.read_text().splitlines() if '"level":"error"' in line] == []


@pytest.mark.parametrize(
    ("more", "processes"), [("", EVERY_PROCESS), ("ignore_startup_parameters = options", ("api", "migrate"))]
)
def test_without_a_direct_address_every_process_refuses_a_pooler_with_the_remedy(
    direct, tmp_path, more, processes
):
    with pgbouncer(direct, "transaction", more=more) as pooled:
        refused = [run(tmp_path, process, DATABASE_URL=pooled) for process in processes]

    assert [(done.returncode, done.stdout) for done in refused] == [(2, "")] * len(refused)
    for done in refused:
        assert "DATABASE_URL leads to a connection pooler" in done.stderr
        assert "Set DIRECT_DATABASE_URL" in done.stderr


def test_a_direct_address_that_leads_to_a_pooler_is_refused(direct, tmp_path):
    with pgbouncer(direct, "session") as pooled:
        done = run(tmp_path, "projector", DATABASE_URL=pooled, DIRECT_DATABASE_URL=pooled)

    assert done.returncode == 2
    assert "DIRECT_DATABASE_URL leads to a connection pooler" in done.stderr


def test_the_api_refuses_a_pooler_whose_sessions_have_other_settings_until_migrate_has_stored_them(
    direct, owner, tmp_path
):
    with connect(owner, application="tests") as conn:
        make_hostile(conn, "DATABASE", role=ROLE, settings={ISOLATION: "serializable", "TimeZone": "Etc/UTC"})
    with pgbouncer(direct, "transaction") as pooled:
        variables = {"DATABASE_URL": pooled, "DIRECT_DATABASE_URL": direct, "PORT": "1"}
        refused = run(tmp_path, "api", **variables)
        with ExitStack() as opened:
            old = [opened.enter_context(connect(pooled, application="tests", is_pooled=True)) for _ in "123"]
            for conn in old:
                conn.execute("BEGIN")  # so that each has a session of its own
            for conn in old:
                conn.execute("COMMIT")
        migrated = run(tmp_path, "migrate", MIGRATE_DATABASE_URL=owner, **variables)
        with connect(direct, application="tests") as conn:
            require_pooler(pooled, conn)
        with connect(pooled, application="tests", is_pooled=True) as conn:
            replaced = conn.execute("SHOW transaction_isolation").fetchone()
        sessions = [row for row in administer(pooled, "SHOW SERVERS") if row["database"] != "pgbouncer"]

    assert refused.returncode == 2
    assert "default_transaction_isolation = 'serializable'" in refused.stderr
    assert "RECONNECT" in refused.stderr
    assert migrated.returncode == 0, migrated.stderr
    assert replaced == ("read committed",)
    assert len(sessions) == 1


def test_the_addresses_of_two_databases_are_refused(direct, database, tmp_path):
    variables = {"DATABASE_URL": database, "DIRECT_DATABASE_URL": direct}

    done = run(tmp_path, "api", **variables)

    assert done.returncode == 2
    assert "DIRECT_DATABASE_URL and DATABASE_URL are addresses of different databases" in done.stderr


def test_doctor_names_a_pooler_that_is_wrong_or_down(direct, database, tmp_path):
    def check(**addresses):
        settings = Settings(home=tmp_path, **addresses)
        with connect(direct, application="tests") as conn:
            return next(one for one in check_sessions(conn, settings) if one.check == "pooler")

    with pgbouncer(direct, "transaction") as pooled:
        unprepared = check(database_url=pooled, direct_database_url=direct)
        with connect(direct, application="tests") as conn:
            store_settings_for_pooler(conn, pooled)
            administer(pooled, "RECONNECT")
        prepared = check(database_url=pooled, direct_database_url=direct)
        without_direct = diagnose(Settings(home=tmp_path, database_url=pooled)).findings[-1]
    down = check(database_url=pooled, direct_database_url=direct)
    other = check(database_url=database, direct_database_url=direct)

    assert [one.level for one in (unprepared, prepared, down, other)] == ["PROBLEM", "OK"] + ["PROBLEM"] * 2
    assert "statement_timeout = '0'" in unprepared.remedy
    assert "it cannot be reached" in down.found
    assert "are addresses of different databases" in other.remedy
    assert "Set DIRECT_DATABASE_URL" in without_direct.remedy


def test_the_outcome_of_a_statement_is_unknown_when_the_pooler_loses_the_server(direct):
    with (
        pgbouncer(direct, "transaction") as pooled,
        make_pool(pooled, application="tests", max_size=2, is_pooled=True) as pool,
        pool.connection() as conn,
        pytest.raises(psycopg.OperationalError) as error,
    ):
        conn.execute("SELECT pg_terminate_backend(pg_backend_pid())")

    assert outcome_is_unknown(error.value)
