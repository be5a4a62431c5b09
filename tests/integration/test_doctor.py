"""`ticketing doctor` on a real system: without a fault all is OK, and each fault is named."""

from __future__ import annotations

import base64
from contextlib import contextmanager

import msgspec
import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from cli.database import prepare
from cli.doctor.command import diagnose
from cli.doctor.followers import check_stalls
from cli.doctor.hosts import check_standby
from cli.doctor.server import check_sessions, judge_clock
from cli.doctor.versions import judge_postgresql
from infrastructure.settings import Settings
from infrastructure.storage.postgres import connect
from infrastructure.storage.roles import APPLICATION
from notary.follower import Notary
from notary.places import FILE
from tests.support.commands import MASTER_KEY
from tests.support.doctor_faults import FAULTS
from tests.support.history import History, append
from tests.support.postgres import cloned_database
from tests.support.vault import VAULT
from tests.support.waiting import eventually

OTHER_KEY = base64.b64encode(bytes(32)).decode()


def healthy_settings(owner, home):
    """The settings of a prepared database whose notary has signed and published."""
    application = make_conninfo(owner, user=APPLICATION, password="test")
    settings = Settings(
        home=home, database_url=application, migrate_database_url=owner, master_key=MASTER_KEY
    )
    prepare(settings)
    with connect(application, application="tests") as conn:
        Notary(conn, VAULT, settings).step()
    return settings


@pytest.fixture(scope="module")
def owner(postgres, template):
    """The address of a database that tests break and repair."""
    with cloned_database(postgres, template) as dsn:
        yield dsn


@pytest.fixture(scope="module")
def settings(owner, tmp_path_factory):
    return healthy_settings(owner, tmp_path_factory.mktemp("home"))


@contextmanager
def broken(owner, breaking, repairing):
    """Breaks something in the database for the time of the block."""
    with psycopg.connect(owner, autocommit=True) as conn:
        conn.execute(breaking)
        try:
            yield
        finally:
            conn.execute("SET default_transaction_read_only = off")
            conn.execute(repairing)


def faults(settings):
    """The findings that are not OK, by level and check."""
    found = [one for one in diagnose(settings).findings if one.level != "OK"]
    assert all(one.remedy for one in found)
    return {(one.level, one.check): f"{one.found} {one.remedy}" for one in found}


def changed(settings, **values):
    return msgspec.structs.replace(settings, **values)


def test_a_healthy_system_has_only_ok(settings):
    report = diagnose(settings)

    assert [str(one) for one in report.findings if one.level != "OK"] == []
    assert report.exit_code == 0
    assert {one.check for one in report.findings} >= {
        *(
            "program",
            "settings",
            "disk of TICKETING_HOME",
            "PostgreSQL",
            "database",
            "durability",
            "sessions",
        ),
        *("connections", "clock", "migrations", "read tables", "triggers", "privileges", "positions"),
        *("master key", "notary key", "checkpoint", "checkpoint file", "lag of projector", "lag of notary"),
        *("lag of webhook-dispatcher", "stalls", "set aside", "leases", "MIGRATE_DATABASE_URL"),
    }


@pytest.mark.parametrize(("breaking", "repairing", "finding", "text"), FAULTS.values(), ids=list(FAULTS))
def test_a_fault_of_the_database_is_named(owner, settings, breaking, repairing, finding, text):
    with broken(owner, breaking, repairing):
        found = faults(settings)

    assert list(found) == [finding]
    assert text in found[finding]
    assert faults(settings) == {}


def test_settings_of_the_server_that_lose_commits_are_named(owner, settings):
    with psycopg.connect(owner, autocommit=True) as conn:
        try:
            for name in ("fsync", "autovacuum"):
                conn.execute(f"ALTER SYSTEM SET {name} = off")
            conn.execute("SELECT pg_reload_conf()")
            eventually(lambda: conn.execute("SHOW fsync").fetchone() == ("off",))
            found = faults(settings)
        finally:
            for name in ("fsync", "autovacuum"):
                conn.execute(f"ALTER SYSTEM RESET {name}")
            conn.execute("SELECT pg_reload_conf()")
            eventually(lambda: conn.execute("SHOW fsync").fetchone() == ("on",))

    assert list(found) == [("PROBLEM", "durability"), ("WARNING", "autovacuum")]
    assert "ALTER SYSTEM SET fsync = on" in found["PROBLEM", "durability"]


def test_a_role_that_owns_the_log_is_a_warning(owner, settings):
    found = faults(changed(settings, database_url=owner, migrate_database_url=None))

    assert list(found) == [("WARNING", "privileges")]
    assert "only triggers make the log append-only" in found["WARNING", "privileges"]


def test_a_standby_that_is_not_connected_is_a_problem(owner, settings):
    with psycopg.connect(owner, autocommit=True) as conn:
        names = "SHOW synchronous_standby_names"
        conn.execute("SET synchronous_commit = off")  # else this session would wait for the standby
        try:
            conn.execute("ALTER SYSTEM SET synchronous_standby_names = 'other'")
            conn.execute("SELECT pg_reload_conf()")
            eventually(lambda: conn.execute(names).fetchone() == ("other",))
            found = list(check_standby(conn))
        finally:
            conn.execute("ALTER SYSTEM RESET synchronous_standby_names")
            conn.execute("SELECT pg_reload_conf()")
            eventually(lambda: conn.execute(names).fetchone() == ("",))

    assert [(one.level, "no standby is connected" in one.found) for one in found] == [("PROBLEM", True)]
    assert list(check_standby_of(owner)) == []


def check_standby_of(owner):
    with connect(owner, application="tests") as conn:
        return list(check_standby(conn))


def test_attachments_that_another_host_has_stored_are_a_problem(owner, settings):
    add = (
        "INSERT INTO read.attachments (id, ticket_id, filename, content_type, size_bytes, sha256, created_at,"
        " ticket_version) VALUES ('lost', 't', 'leak.jpg', 'image/jpeg', 1, '', now(), 1)"
    )
    with broken(owner, add, "DELETE FROM read.attachments"):
        found = faults(settings)
        settings.attachments_dir.mkdir(exist_ok=True)
        (settings.attachments_dir / "lost").touch()
        assert faults(settings) == {}

    assert list(found) == [("PROBLEM", "attachments")]
    assert "1 of the newest 1 attachments are not in" in found["PROBLEM", "attachments"]
    assert "ATTACHMENTS_S3_BUCKET" in found["PROBLEM", "attachments"]


def test_too_few_connections_are_a_problem(settings):
    found = faults(changed(settings, workers=64, threads=64))

    assert list(found) == [("PROBLEM", "connections")]


def test_an_address_of_another_database_is_a_problem(settings, postgres):
    found = faults(changed(settings, migrate_database_url=postgres))

    assert list(found) == [("PROBLEM", "MIGRATE_DATABASE_URL")]
    assert "are addresses of different databases" in found["PROBLEM", "MIGRATE_DATABASE_URL"]


def test_a_session_with_other_settings_is_a_problem(settings):
    with connect(settings.database_url, application="tests") as conn:
        conn.execute("SET default_transaction_isolation TO 'serializable'")
        (finding,) = check_sessions(conn, settings)

    assert finding.level == "PROBLEM"
    assert "default_transaction_isolation is 'serializable' instead of 'read committed'" in finding.found


@pytest.mark.parametrize(
    ("seconds", "level"), [(0.5, "OK"), (-1.9, "OK"), (3, "WARNING"), (-29, "WARNING"), (40, "PROBLEM")]
)
def test_a_difference_of_clocks_has_a_level(seconds, level):
    assert judge_clock(seconds).level == level


@pytest.mark.parametrize(
    ("version", "level"), [(140_011, "PROBLEM"), (150_000, "OK"), (180_001, "OK"), (190_000, "WARNING")]
)
def test_a_version_of_postgresql_has_a_level(version, level):
    assert judge_postgresql(version).level == level


@pytest.mark.parametrize(
    ("key", "text"),
    [(OTHER_KEY, "not the key of this database"), ("x", "32 random bytes"), (None, "not set")],
)
def test_a_wrong_or_missing_master_key_is_a_problem(settings, key, text):
    found = faults(changed(settings, master_key=key))

    assert list(found) == [("PROBLEM", "master key")]
    assert text in found["PROBLEM", "master key"]


def test_a_key_file_that_others_can_read_is_a_warning(settings):
    file = settings.home / "master-key"
    file.write_text(MASTER_KEY)
    file.chmod(0o644)
    try:
        found = faults(changed(settings, master_key=None))
    finally:
        file.unlink()

    assert f"chmod 600 {file}" in found["WARNING", "master key"]


def test_a_file_of_checkpoints_of_another_log_or_none_is_named(settings, tmp_path):
    (tmp_path / FILE).write_text("altered\n")

    altered = faults(changed(settings, notary_folder=tmp_path))
    absent = faults(changed(settings, notary_folder=tmp_path / "other"))

    assert "Run `ticketing verify`" in altered["PROBLEM", "checkpoint file"]
    assert list(absent) == [("WARNING", "checkpoint file")]


def test_events_that_nobody_handles_are_lags(database, store, tmp_path):
    settings = healthy_settings(database, tmp_path)
    append(store, History(seed=1).grow(3))  # they occurred months ago

    found = faults(settings)

    assert list(found) == [
        ("PROBLEM", f"lag of {process}") for process in ("projector", "webhook-dispatcher", "notary")
    ]
    assert "Check that `ticketing projector` runs" in found["PROBLEM", "lag of projector"]


def test_a_session_that_stalls_the_followers_is_named(settings, owner):
    insert = "INSERT INTO es.stored_events VALUES ('a', 1, 't', '')"
    with psycopg.connect(owner) as stalling, connect(owner, application="tests") as conn:
        stalling.execute(insert)
        (finding,) = check_stalls(conn, longest_seconds=0)
        stalling.rollback()

        assert finding.level == "PROBLEM"
        assert f"SELECT pg_terminate_backend({stalling.info.backend_pid})" in finding.remedy
        assert [one.level for one in check_stalls(conn, longest_seconds=0)] == ["OK"]


def test_a_database_that_is_not_utf_8_is_a_problem(settings, postgres):
    with psycopg.connect(postgres, autocommit=True) as conn:
        conn.execute(
            "CREATE DATABASE doctor_latin1 ENCODING LATIN1 TEMPLATE template0 LOCALE 'C' LOCALE_PROVIDER libc"
        )
        try:
            dsn = make_conninfo(postgres, dbname="doctor_latin1")
            report = diagnose(changed(settings, database_url=dsn, migrate_database_url=None))
        finally:
            conn.execute("DROP DATABASE doctor_latin1 WITH (FORCE)")

    assert report.exit_code == 1
    assert "the encoding LATIN1; it must be UTF8" in str(report.findings[-1])


def test_without_postgresql_the_other_checks_are_done_and_the_report_is_incomplete(settings, tmp_path):
    for address in ("postgresql://nobody@127.0.0.1:1/nothing", None):
        report = diagnose(changed(settings, database_url=address, home=tmp_path))

        assert report.exit_code == 2
        assert {"settings", "disk of TICKETING_HOME"} <= {one.check for one in report.findings}
        assert report.findings[-1].found.startswith("it cannot be reached: ")


def test_an_empty_database_has_two_problems_with_what_to_do(settings, postgres):
    found = faults(changed(settings, database_url=postgres, migrate_database_url=None))

    assert list(found) == [("PROBLEM", "migrations"), ("PROBLEM", "read tables")]
    assert "0001_event_log.sql" in found["PROBLEM", "migrations"]
    assert all("Run `ticketing migrate`." in text for text in found.values())
