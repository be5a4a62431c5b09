"""Migrations with a phase stop no request: they neither rewrite nor read whole tables under a lock."""

import subprocess

import pytest

from infrastructure.storage import migrating
from infrastructure.storage.embedded import postgres_programs
from infrastructure.storage.migrating import contract, migrate
from infrastructure.storage.migration_files import FIRST_PROGRAM, InvalidMigration, Migration, read_migrations
from infrastructure.storage.postgres import connect
from tests.support.migration_rules import find_violations
from tests.support.planted_migrations import make_folder
from tests.support.postgres import cloned_database

PHASED = [one for one in read_migrations() if one.number > FIRST_PROGRAM]
REFUSED = {
    "CREATE INDEX ON hook.deliveries (status)": "reads hook.deliveries",
    "ALTER TABLE hook.attempts ALTER COLUMN milliseconds TYPE bigint": "rewrites hook.attempts",
    "ALTER TABLE hook.attempts ADD COLUMN token uuid DEFAULT gen_random_uuid()": "rewrites hook.attempts",
    "ALTER TABLE hook.deliveries ALTER COLUMN finished_at SET NOT NULL": "reads hook.deliveries",
    "ALTER TABLE hook.attempts ADD CONSTRAINT late CHECK (milliseconds < 60000)": "reads hook.attempts",
    "ALTER TABLE hook.attempts ADD FOREIGN KEY (delivery_id) REFERENCES hook.deliveries": "reads hook.att",
    "UPDATE hook.deliveries SET finished_at = now()": "reads hook.deliveries",
}
ALLOWED = (
    "ALTER TABLE hook.deliveries ADD COLUMN note text",
    "ALTER TABLE hook.deliveries ADD COLUMN note text NOT NULL DEFAULT 'none'",
    "ALTER TABLE hook.attempts ADD CONSTRAINT late CHECK (milliseconds < 60000) NOT VALID",
    "ALTER TABLE hook.deliveries DROP COLUMN finished_at",
    "CREATE TABLE hook.notes (id bigint PRIMARY KEY, note text); CREATE INDEX ON hook.notes (note)",
)


@pytest.fixture(autouse=True)
def settle_at_once(monkeypatch):
    monkeypatch.setattr(migrating, "SETTLE_SECONDS", 0.0)


@pytest.fixture
def first_version(postgres, tmp_path):
    """The address of a database as v0.1.0 has migrated it."""
    with cloned_database(postgres, "template1") as dsn:
        migrate(dsn, make_folder(tmp_path / "first", up_to=FIRST_PROGRAM))
        yield dsn


def test_the_migrations_of_this_program_keep_the_rules(first_version, tmp_path):
    found = {}
    for migration in PHASED:
        folder = make_folder(tmp_path / "so far", up_to=migration.number)
        with connect(first_version, application="tests") as conn:
            if not migration.is_concurrent:
                found[migration.name] = find_violations(conn, migration.text)
        migrate(first_version, folder)
        contract(first_version, folder)

    assert {name: violations for name, violations in found.items() if violations} == {}


@pytest.mark.parametrize("statement", REFUSED)
def test_a_statement_that_would_stop_requests_on_a_large_table_is_found(conn, statement):
    assert [one for one in find_violations(conn, statement) if one.startswith(REFUSED[statement])]


@pytest.mark.parametrize("statement", ALLOWED)
def test_other_changes_of_tables_are_allowed(conn, statement):
    assert find_violations(conn, statement) == []


def test_constraints_are_validated_beside_requests(conn):
    conn.execute(ALLOWED[2])

    assert find_violations(conn, "ALTER TABLE hook.attempts VALIDATE CONSTRAINT late") == []


@pytest.mark.parametrize(
    "statement",
    [
        "CREATE INDEX other_idx ON hook.deliveries (status)",
        "CREATE INDEX CONCURRENTLY other_idx ON hook.deliveries (status)",
        "UPDATE hook.deliveries SET status = 'dead'",
    ],
)
def test_a_concurrent_migration_has_only_statements_that_can_be_repeated(statement):
    text = f"-- phase: expand, concurrently\n{statement};\n"

    with pytest.raises(InvalidMigration, match=r"9001_x\.sql: a concurrent migration may only"):
        Migration("9001_x.sql", "expand", True, 0, text).concurrent_statements()


def test_an_upgraded_database_is_equal_to_a_new_one(first_version, database):
    """Both have the same tables, columns, functions and indexes, although the order of migrations differs."""
    migrate(first_version)
    contract(first_version)

    assert described(first_version) == described(database)


def described(dsn):
    """The definitions of everything but the read tables, without an order."""
    command = [postgres_programs() / "pg_dump", "--schema-only", "--no-owner", "--exclude-schema=read*", dsn]
    dump = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return sorted(line for line in dump.splitlines() if not line.startswith(("--", "\\")))
