"""Every process refuses a database of a newer and of an older version, and names what is wrong."""

import pytest

from cli.main import app
from projections.schema import read_schema_state
from tests.support.commands import environment, ticketing
from tests.support.server import free_port

NEWER = "9999_of_the_future.sql"
PROCESSES = ("api", "projector", "relay", "webhook-dispatcher", "notary")
GROUP = "One process each"


@pytest.fixture
def start(database, tmp_path):
    """Returns a function that runs a command on this test's database until it ends."""
    environ = environment(
        DATABASE_URL=database,
        TICKETING_HOME=str(tmp_path),
        PORT=str(free_port()),
        KAFKA_BOOTSTRAP_SERVERS="127.0.0.1:1",
    )
    return lambda *command: ticketing(*command, environ=environ)


@pytest.fixture
def refusals(start):
    """Returns a function that starts these commands, each of which must end with exit code 2, and returns
    their messages."""

    def run(*commands):
        done = [start(*command.split()) for command in commands]
        assert [one.returncode for one in done] == [2] * len(done), [one.stderr for one in done]
        assert not any("Traceback" in one.stderr for one in done)
        return [one.stderr for one in done]

    return run


def test_an_older_program_refuses_a_newer_database(refusals, conn):
    conn.execute("INSERT INTO public.ticketing_migrations (name) VALUES (%s)", [NEWER])
    conn.execute("DELETE FROM public.ticketing_migrations WHERE name LIKE '0050%'")

    messages = refusals(*PROCESSES, "migrate", "up", "verify", "rebuild", "notary sign")

    for message in messages:
        assert f"by a newer program: it has migrations that this program does not have ({NEWER})" in message
        assert "Use that program or a later one." in message
        assert "restore a backup" in message
    applied = conn.execute("SELECT name FROM public.ticketing_migrations WHERE name >= '0050'").fetchall()
    assert applied == [(NEWER,)]


def test_an_older_program_refuses_a_database_that_a_newer_one_has_contracted(refusals, conn):
    conn.execute(
        "INSERT INTO public.ticketing_changes (name, least_program, finished_at) VALUES (%s, 9999, now())",
        [NEWER],
    )

    for message in refusals(*PROCESSES, "migrate", "migrate --contract"):
        assert f"The database was contracted by a newer program ({NEWER})" in message
        assert "Use that program or a later one." in message


def test_an_older_program_works_with_what_a_newer_one_has_added(start, conn):
    conn.execute("INSERT INTO public.ticketing_changes (name, finished_at) VALUES (%s, now())", [NEWER])

    done = [start(*command.split()) for command in ("migrate", "rebuild --verify")]

    assert [one.returncode for one in done] == [0, 0], [one.stderr for one in done]


def test_a_newer_program_refuses_an_older_database(refusals, conn):
    conn.execute("DELETE FROM public.ticketing_migrations WHERE name >= '0042'")

    for message in refusals(*PROCESSES):
        assert "older than this program" in message
        assert "(0042_webhook_settings.sql, 0043_webhook_limits.sql, 0044_lag_samples.sql and " in message
        assert "run `ticketing migrate` of this program first" in message


def test_a_process_refuses_read_tables_of_another_version_which_migrate_refills(start, refusals, conn):
    conn.execute("COMMENT ON SCHEMA read IS 'read tables of another version'")

    for message in refusals(*PROCESSES):
        assert "The read tables are those of another version" in message
        assert "run `ticketing migrate` of this program first" in message
    assert start("migrate").returncode == 0
    assert read_schema_state(conn) == "current"


def test_these_are_all_processes():
    commands = [one.callback.__name__ for one in app.registered_commands if one.rich_help_panel == GROUP]
    groups = [one.name for one in app.registered_groups if one.rich_help_panel == GROUP]

    assert {name.replace("_", "-") for name in commands + groups} == {*PROCESSES, "migrate"}
