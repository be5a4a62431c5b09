"""The command line: real processes on a real database."""

import json
import os
import pty
import re
import select
import socket
from datetime import UTC, datetime
from pathlib import Path

import pytest

from commands.api_keys import has_key_form
from domain.property import Property
from domain.user import User
from infrastructure.keys.tokens import digest
from infrastructure.storage.event_store import EventStore
from tests.support.commands import environment, ticketing
from tests.support.forks import TicketingProcess
from tests.support.vault import VAULT
from tests.support.waiting import eventually

A_PROPERTY = (
    *("property", "create", "--name", "Seaside Apartments", "--street", "123 Ocean Drive"),
    *("--city", "Beachtown", "--state", "CA", "--zip", "90210", "--country", "USA"),
)
A_USER = ("user", "create", "--name", "Jane Smith", "--email", "jane.smith@example.com", "--role", "staff")


@pytest.fixture
def run(database, tmp_path):
    """Returns a function that runs `ticketing` on this test's database."""
    environ = environment(DATABASE_URL=database, TICKETING_HOME=str(tmp_path))
    return lambda *arguments: ticketing(*arguments, environ=environ)


def key_rows(pool):
    with pool.connection() as conn:
        return conn.execute(
            "SELECT secret_sha256, name, role, user_id, property_ids, scopes, rate_limit, expires_at"
            "  FROM access.api_keys"
        ).fetchall()


def shown(pool, table, row_id):
    with pool.connection() as conn:
        return conn.execute(f"SELECT name FROM read.{table} WHERE id = %s", [row_id]).fetchone()


def test_key_create_prints_the_key_and_nothing_else(run, pool):
    done = run("key", "create", "--name", "first", "--role", "admin")

    assert done.returncode == 0
    assert re.fullmatch(r"mts_\w+\n", done.stdout)
    assert has_key_form(done.stdout.strip())
    assert "reaches every property" in done.stderr
    assert done.stdout.strip() not in done.stderr
    (row,) = key_rows(pool)
    assert row[:5] == (digest(done.stdout.strip()), "first", "admin", None, [])
    assert row[6:] == (1_000, None)


def test_key_create_stores_every_option(run, pool):
    run(*A_PROPERTY, "--id", "abc123")
    run(*A_USER, "--id", "user101", "--property", "abc123")

    done = run(
        *("key", "create", "--name", "bot", "--role", "guest", "--user", "user101", "--property", "abc123"),
        *("--scopes", "tickets:read users:read", "--rate-limit", "unlimited", "--expires", "2999-01-31"),
    )

    assert done.returncode == 0, done.stderr
    (row,) = key_rows(pool)
    scopes = ["tickets:read", "users:read"]
    assert row[1:] == ("bot", "guest", "user101", ["abc123"], scopes, None, datetime(2999, 1, 31, tzinfo=UTC))


def test_given_ids_are_used_and_the_rows_are_readable_at_once(run, pool):
    assert run(*A_PROPERTY, "--id", "abc123").stdout == "abc123\n"
    added = run("unit", "add", "--property", "abc123", "--name", " Unit 101 ", "--id", "unit456")
    assert added.stdout == "unit456\n"
    assert run(*A_USER, "--id", "user101", "--phone", "555-123-4567").stdout == "user101\n"

    assert shown(pool, "properties", "abc123") == ("Seaside Apartments",)
    assert shown(pool, "units", "unit456") == ("Unit 101",)
    assert shown(pool, "users", "user101") == ("Jane Smith",)
    store = EventStore(pool, VAULT)
    assert store.load(User, "user101").phone == "555-123-4567"
    assert store.load(Property, "abc123").units == {"unit456": "Unit 101"}


def test_without_an_id_a_new_one_is_generated_and_printed(run, pool):
    done = run(*A_USER)

    assert re.fullmatch(r"[0-9a-f-]{36}\n", done.stdout)
    assert shown(pool, "users", done.stdout.strip()) == ("Jane Smith",)


def test_a_key_is_listed_on_one_line_in_a_narrow_terminal(run, database, tmp_path):
    """People copy the id from that line."""
    run("key", "create", "--name", "first", "--role", "admin")
    terminal, end = pty.openpty()
    environ = environment(DATABASE_URL=database, TICKETING_HOME=str(tmp_path), COLUMNS="40")

    running = TicketingProcess("key", "list", environ=environ, stdout=Path(os.ttyname(end)))

    shown = b""
    while shown.count(b"\n") < 2 and select.select([terminal], [], [], 30)[0]:
        shown += os.read(terminal, 65_536)
    os.close(terminal)
    os.close(end)
    assert running.wait(60) == 0
    row = shown.decode().splitlines()[1]
    assert re.match(r"key_[0-9a-f-]{36}  ", row)
    assert "tickets:read tickets:write users:read" in row


def test_a_revoked_key_is_listed_as_revoked(run, pool):
    run("key", "create", "--name", "first", "--role", "admin")
    key_id = run("key", "list").stdout.splitlines()[1].split()[0]

    done = run("key", "revoke", key_id)
    again = run("key", "revoke", key_id)

    assert (done.returncode, again.returncode) == (0, 0)
    assert "revoked already" in again.stderr
    with pool.connection() as conn:
        assert conn.execute(
            "SELECT count(*) FROM access.api_keys WHERE revoked_at IS NOT NULL"
        ).fetchone() == (1,)


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (("key", "create", "--name", "x", "--role", "admin", "--user", "nobody"), "no user nobody"),
        (("key", "create", "--name", "x", "--role", "admin", "--property", "nowhere"), "no property nowhere"),
        (("key", "create", "--name", "x", "--role", "admin", "--expires", "2001-01-01"), "past"),
        (("key", "revoke", "key_unknown"), "No such API key"),
        (("unit", "add", "--property", "nowhere", "--name", "Unit 1"), "No such property"),
        ((*A_USER, "--property", "nowhere"), "nowhere"),
    ],
)
def test_a_command_that_the_rules_refuse_exits_with_1(run, arguments, reason):
    done = run(*arguments)

    assert done.returncode == 1
    assert done.stdout == ""
    assert reason in done.stderr
    assert "Traceback" not in done.stderr


def test_an_id_in_use_exits_with_1(run):
    run(*A_PROPERTY, "--id", "abc123")

    done = run(*A_USER, "--id", "abc123")

    assert (done.returncode, done.stdout) == (1, "")
    assert "already in use" in done.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ("key", "create", "--name", "x", "--role", "owner"),
        ("key", "create", "--role", "admin"),
        ("key", "create", "--name", " ", "--role", "admin"),
        ("key", "create", "--name", "x", "--role", "admin", "--scopes", "tickets:burn"),
        ("key", "create", "--name", "x", "--role", "admin", "--rate-limit", "0"),
        ("key", "create", "--name", "x", "--role", "admin", "--expires", "soon"),
        (*A_USER, "--id", "with space"),
        (*A_USER, "--email", "jane"),
        (*A_USER, "--name", b"\xff\xfe"),
        ("up", "--port", "70000"),
        ("nonsense",),
    ],
)
def test_wrong_usage_exits_with_2_and_changes_nothing(run, pool, arguments):
    done = run(*arguments)

    assert done.returncode == 2
    assert done.stdout == ""
    assert "Traceback" not in done.stderr
    assert EventStore(pool, VAULT).recorder.max_notification_id() is None


@pytest.mark.parametrize(
    ("variables", "reason"),
    [
        ({"DATABASE_URL": "postgresql://nobody@127.0.0.1:1/none"}, "cannot be reached"),
        ({"DATABASE_URL": "not an address"}, "DATABASE_URL"),
        ({"WORKERS": "many"}, "WORKERS"),
    ],
)
def test_unusable_settings_exit_with_2(tmp_path, variables, reason):
    environ = environment(TICKETING_HOME=str(tmp_path), **variables)

    done = ticketing("key", "list", environ=environ)

    assert done.returncode == 2
    assert reason in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("process", "name", "value"),
    [
        ("api", "HOST", "nonsense..host"),
        ("api", "HOST", "192.0.2.1"),  # RFC 5737: an address of no machine
        ("api", "METRICS_PORT", "taken"),
        ("projector", "METRICS_PORT", "taken"),
        ("webhook-dispatcher", "METRICS_PORT", "taken"),
        ("notary", "METRICS_PORT", "taken"),
        ("notary", "NOTARY_DIR", "/dev/null/checkpoints"),
    ],
)
def test_a_process_names_the_setting_that_it_cannot_use(database, tmp_path, process, name, value):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        variables = {name: str(taken.getsockname()[1]) if value == "taken" else value}
        environ = environment(DATABASE_URL=database, TICKETING_HOME=str(tmp_path), **variables)

        done = ticketing(process, environ=environ)

    assert done.returncode == 2
    assert name in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("process", ["api", "projector", "webhook-dispatcher"])
def test_a_process_refuses_to_start_without_the_triggers_of_the_log(database, conn, tmp_path, process):
    conn.execute("ALTER TABLE es.stored_events DISABLE TRIGGER stored_events_enter")
    environ = environment(DATABASE_URL=database, TICKETING_HOME=str(tmp_path))

    done = ticketing(process, environ=environ)

    assert done.returncode == 2
    assert "ENABLE ALWAYS TRIGGER stored_events_enter" in done.stderr


@pytest.mark.parametrize("process", ["projector", "notary"])
def test_a_process_logs_lines_of_json_to_standard_error(database, tmp_path, process):
    environ = environment(DATABASE_URL=database, TICKETING_HOME=str(tmp_path))
    stdout, log = tmp_path / "stdout", tmp_path / "stderr"
    running = TicketingProcess(process, environ=environ, stdout=stdout, stderr=log)
    try:
        eventually(lambda: "\n" in log.read_text() + stdout.read_text(), within=60)
    finally:
        running.kill()

    assert json.loads(log.read_text().splitlines()[0])["event"] == f"{process}_leads"
    assert stdout.read_text() == ""


def test_the_error_that_ends_a_process_is_logged(database, conn, tmp_path):
    environ = environment(DATABASE_URL=database, TICKETING_HOME=str(tmp_path))
    log = tmp_path / "stderr"
    running = TicketingProcess("notary", environ=environ, stderr=log)
    try:
        eventually(lambda: "notary_leads" in log.read_text(), within=60)
        conn.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE application_name LIKE 'ticketing-notary%' AND datname = current_database()"
        )
        code = running.wait(60)
    finally:
        running.kill()

    last = [json.loads(line) for line in log.read_text().splitlines()][-1]
    assert (code, last["event"], last["level"], "exception" in last) == (2, "notary_ended", "error", False)
    assert "connection" in last["error"]  # which of two errors is seen first is up to the operating system


@pytest.mark.parametrize("process", ["migrate", "api", "projector"])
def test_a_process_without_a_database_address_exits_with_2(tmp_path, process):
    done = ticketing(process, environ=environment(TICKETING_HOME=str(tmp_path)))

    assert done.returncode == 2
    assert "DATABASE_URL" in done.stderr


def test_a_command_starts_and_stops_the_embedded_server_when_none_is_running(tmp_path):
    environ = environment(TICKETING_HOME=str(tmp_path / "home"))

    created = ticketing(*A_PROPERTY, "--id", "abc123", environ=environ)
    again = ticketing(*A_PROPERTY, "--id", "abc123", environ=environ)

    assert created.returncode == 0, created.stderr
    assert again.returncode == 1
    assert not (tmp_path / "home" / "postgres" / "postmaster.pid").exists()


def test_demo_data_is_determined_by_the_seed_and_loaded_once(run, pool):
    first = run("demo", "load", "--tickets", "20", "--seed", "7")
    again = run("demo", "load", "--tickets", "20", "--seed", "7")
    other = run("demo", "load", "--tickets", "20", "--seed", "8")

    assert first.returncode == again.returncode == other.returncode == 0, first.stderr + again.stderr
    assert "20 tickets (seed 7)" in first.stderr
    assert "0 tickets (seed 7)" in again.stderr
    assert "20 tickets existed already" in again.stderr
    assert "19 tickets (seed 8)" in other.stderr  # every load includes the ticket of the API reference
    with pool.connection() as conn:
        assert conn.execute("SELECT count(*) FROM read.tickets").fetchone() == (39,)
        ticket = conn.execute(
            "SELECT t.title, p.name, n.name, r.name, a.name FROM read.tickets t"
            " JOIN read.properties p ON p.id = t.property_id"
            " JOIN read.units n ON n.property_id = t.property_id AND n.id = t.unit_id"
            " JOIN read.users r ON r.id = t.requester_id JOIN read.users a ON a.id = t.assignee_id"
            " WHERE t.id = '123e4567-e89b-12d3-a456-426614174000'"
        ).fetchone()
        roles = conn.execute("SELECT DISTINCT role FROM read.users ORDER BY role").fetchall()
    assert ticket == ("Water leak in bathroom", "Seaside Apartments", "Unit 101", "John Doe", "Jane Smith")
    assert roles == [("admin",), ("guest",), ("manager",), ("staff",)]


def test_demo_data_that_is_loaded_in_bulk_equals_projected_data(run, pool, monkeypatch):
    done = run("demo", "load", "--tickets", "5100")

    assert done.returncode == 0, done.stderr
    with pool.connection() as conn:
        assert conn.execute("SELECT count(*) FROM read.tickets").fetchone() == (5100,)
    verified = run("rebuild", "--verify")
    assert verified.returncode == 0, verified.stdout
    assert "0 differences" in verified.stderr


def test_verify_names_the_rows_that_differ_and_rebuild_repairs_them(run, pool):
    run(*A_PROPERTY, "--id", "abc123")
    with pool.connection() as conn:
        conn.execute("UPDATE read.properties SET name = 'Elsewhere'")

    differing = run("rebuild", "--verify")
    rebuilt = run("rebuild")
    verified = run("rebuild", "--verify")

    assert (differing.returncode, rebuilt.returncode, verified.returncode) == (1, 0, 0)
    assert "properties" in differing.stdout
    assert "abc123" in differing.stdout
    assert shown(pool, "properties", "abc123") == ("Seaside Apartments",)


def test_commands_refuse_a_missing_or_wrong_master_key(database, tmp_path):
    """The first `migrate` creates the key. Without it, or with another one, commands exit with 2."""
    home = {"DATABASE_URL": database, "TICKETING_HOME": str(tmp_path / "home"), "MASTER_KEY": ""}
    create = ("key", "create", "--name", "k", "--role", "admin")

    made = ticketing("migrate", environ=environment(**home))
    used = ticketing(*create, environ=environment(**home))
    lost = ticketing(*create, environ=environment(**home | {"TICKETING_HOME": str(tmp_path / "elsewhere")}))
    wrong = ticketing(*create, environ=environment(**home | {"MASTER_KEY": "A" * 43 + "="}))

    assert (made.returncode, used.returncode) == (0, 0), made.stderr + used.stderr
    assert (lost.returncode, wrong.returncode) == (2, 2)
    assert "MASTER_KEY is not set" in lost.stderr
    assert "not the key of this database" in wrong.stderr
