"""`ticketing migrate` and the start of every process: they refuse what cannot work, and name the remedy."""

from __future__ import annotations

import os
from itertools import count

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import make_conninfo

from tests.support.commands import environment, ticketing
from tests.support.postgres import drop_database
from tests.support.server import free_port

EVERY_PROCESS = ("migrate", "api", "projector", "webhook-dispatcher", "notary", "up")
_numbers = count(1)


@pytest.fixture
def create_database(postgres):
    """Returns a function that creates a database without tables and returns its address."""
    created = []

    def create(**options):
        name = f"ticketing_empty_{os.getpid()}_{next(_numbers)}"
        clauses = [sql.SQL(f"{word} {{}}").format(sql.Literal(value)) for word, value in options.items()]
        statement = sql.SQL("CREATE DATABASE {} TEMPLATE template0 {}")
        with psycopg.connect(postgres, autocommit=True) as conn:
            conn.execute(statement.format(sql.Identifier(name), sql.SQL(" ").join(clauses)))
        created.append(name)
        return make_conninfo(postgres, dbname=name)

    yield create
    for name in created:
        drop_database(postgres, name)


@pytest.fixture
def empty(create_database):
    return create_database()


@pytest.fixture
def run(tmp_path):
    """Returns a function that runs a command with these settings."""

    def run(*command, **variables):
        home = {"TICKETING_HOME": str(tmp_path), "PORT": str(free_port())}
        return ticketing(*command, environ=environment(**home | variables))

    return run


@pytest.fixture
def weak_role(postgres, empty):
    """The name of a role that may connect and nothing else."""
    with psycopg.connect(postgres, autocommit=True) as conn:
        conn.execute("CREATE ROLE ticketing_weak LOGIN PASSWORD 'test'")
        yield "ticketing_weak"
        with psycopg.connect(empty, autocommit=True) as there:
            there.execute("DROP OWNED BY ticketing_weak CASCADE")
        conn.execute("DROP ROLE ticketing_weak")


@pytest.mark.parametrize(("encoding", "processes"), [("SQL_ASCII", EVERY_PROCESS), ("LATIN1", ("migrate",))])
def test_a_database_that_is_not_utf_8_is_refused_by_every_process(run, create_database, encoding, processes):
    dsn = create_database(ENCODING=encoding, LC_COLLATE="C", LC_CTYPE="C", LOCALE_PROVIDER="libc")

    refused = [run(process, DATABASE_URL=dsn, MASTER_KEY="") for process in processes]

    assert [done.returncode for done in refused] == [2] * len(refused)
    for done in refused:
        assert f"encoding {encoding}" in done.stderr
        assert "CREATE DATABASE name ENCODING 'UTF8' TEMPLATE template0" in done.stderr
        assert "Traceback" not in done.stderr


def test_a_migration_that_fails_is_named_and_succeeds_when_the_cause_is_gone(run, empty):
    with psycopg.connect(empty, autocommit=True) as conn:
        conn.execute("CREATE SCHEMA hook")
        failed = [run("migrate", DATABASE_URL=empty) for _ in range(2)]
        served = run("projector", DATABASE_URL=empty)
        conn.execute("DROP SCHEMA hook")

    again = run("migrate", DATABASE_URL=empty)

    for done in failed:
        assert done.returncode == 2
        assert done.stderr.startswith('Migration 0004_webhooks.sql failed: DuplicateSchema: schema "hook"')
        assert "run `ticketing migrate` again" in done.stderr
        assert "Traceback" not in done.stderr
    assert "run `ticketing migrate`" in served.stderr
    assert again.returncode == 0
    assert "migration 0001_event_log.sql" not in again.stderr
    assert "read tables created" in again.stderr


def test_a_role_without_privileges_is_refused_and_can_continue_after_another_role(run, empty, weak_role):
    weak = make_conninfo(empty, user=weak_role, password="test")
    refused = [run("migrate", DATABASE_URL=weak) for _ in range(2)]
    done_by_owner = run("migrate", DATABASE_URL=weak, MIGRATE_DATABASE_URL=empty)
    still_refused = run("migrate", DATABASE_URL=weak)

    for done in (*refused, still_refused):
        assert done.returncode == 2
        assert "permission denied" in done.stderr
        assert "Set MIGRATE_DATABASE_URL" in done.stderr
        assert "Traceback" not in done.stderr
    assert done_by_owner.returncode == 0, done_by_owner.stderr


def test_an_owner_that_may_not_create_the_missing_role_is_refused(run, empty, weak_role):
    with psycopg.connect(empty, autocommit=True) as conn:
        conn.execute(f"GRANT CREATE ON DATABASE {conn.info.dbname} TO {weak_role}")
        conn.execute(f"GRANT CREATE ON SCHEMA public TO {weak_role}")
    owner = make_conninfo(empty, user=weak_role, password="test")
    missing = make_conninfo(empty, user="ticketing_missing", password="test")

    refused = run("migrate", DATABASE_URL=missing, MIGRATE_DATABASE_URL=owner)

    assert refused.returncode == 2
    assert "permission denied to create role" in refused.stderr
    assert "Traceback" not in refused.stderr


def test_a_damaged_database_is_refused_without_a_traceback(run, empty):
    assert run("migrate", DATABASE_URL=empty).returncode == 0
    with psycopg.connect(empty, autocommit=True) as conn:
        conn.execute("DROP TABLE access.secrets")

    for process in ("migrate", "projector"):
        refused = run(process, DATABASE_URL=empty)

        assert refused.returncode == 2
        assert 'relation "access.secrets" does not exist' in refused.stderr
        assert "Traceback" not in refused.stderr


def test_a_read_only_database_is_refused_by_migrate_with_the_reason(run, empty):
    with psycopg.connect(empty, autocommit=True) as conn:
        conn.execute(f"ALTER DATABASE {conn.info.dbname} SET default_transaction_read_only = on")

    refused = run("migrate", DATABASE_URL=empty)

    assert refused.returncode == 2
    assert "is read-only" in refused.stderr
    assert "default_transaction_read_only" in refused.stderr


def test_a_command_that_cannot_change_a_read_only_database_says_so(run, database):
    create = ("key", "create", "--name", "first", "--role", "admin")
    assert run(*create, DATABASE_URL=database).returncode == 0
    with psycopg.connect(database, autocommit=True) as conn:
        conn.execute(f"ALTER DATABASE {conn.info.dbname} SET default_transaction_read_only = on")

    refused = run(*create, DATABASE_URL=database)
    read = run("export", "--from", "2026-01-01", "--to", "2026-02-01", DATABASE_URL=database)

    assert (refused.returncode, refused.stdout) == (2, "")
    assert "The database is read-only, so nothing was changed." in refused.stderr
    assert "Traceback" not in refused.stderr + read.stderr
