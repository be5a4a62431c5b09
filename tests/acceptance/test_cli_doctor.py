"""`ticketing doctor` on the command line: its lines, its JSON and its exit codes."""

import json
import os
import subprocess

import pytest

from tests.support.commands import TICKETING, environment, ticketing

# Runs a command on a new disk that only it can see; the disk disappears with it.
ON_A_SMALL_DISK = 'mount -t tmpfs -o size=8m tmpfs "$1" && shift && exec "$@"'


@pytest.fixture
def environ(database, tmp_path):
    variables = environment(DATABASE_URL=database, TICKETING_HOME=str(tmp_path))
    for command in (("migrate",), ("notary", "sign")):
        assert ticketing(*command, environ=variables).returncode == 0
    return variables


def test_doctor_prints_a_line_for_each_check_and_exits_with_1_only_for_a_problem(environ, conn):
    healthy = ticketing("doctor", environ=environ)
    conn.execute("ALTER TABLE es.stored_events DISABLE TRIGGER stored_events_append_only")
    broken = ticketing("doctor", environ=environ)
    as_json = ticketing("doctor", "--json", environ=environ)
    unreachable = ticketing("doctor", environ=environ | {"DATABASE_URL": "postgresql://127.0.0.1:1/x"})
    invalid = ticketing("doctor", environ=environ | {"PORT": "0"})

    assert (healthy.returncode, healthy.stderr) == (0, "")
    lines = healthy.stdout.splitlines()
    assert {line.split()[0] for line in lines} == {"OK", "WARNING"}  # the tests' role owns the log
    assert "OK       triggers: those that make the log append-only are enabled." in lines
    assert broken.returncode == 1
    assert "PROBLEM  triggers: stored_events_append_only of es.stored_events is not" in broken.stdout
    report = json.loads(as_json.stdout)
    assert as_json.returncode == 1
    assert report["is_complete"] is True
    assert [one["check"] for one in report["findings"] if one["level"] == "PROBLEM"] == ["triggers"]
    assert set(report["findings"][0]) == {"level", "check", "found", "remedy"}
    assert unreachable.returncode == 2
    assert unreachable.stdout.splitlines()[-1].startswith("PROBLEM  PostgreSQL: it cannot be reached: ")
    assert (invalid.returncode, invalid.stdout) == (2, "")
    assert "PORT is '0'" in invalid.stderr


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount a disk of its own size")
def test_doctor_names_a_full_disk(environ, tmp_path):
    full = tmp_path / "disk"
    full.mkdir()
    command = ["unshare", "--mount", "sh", "-c", ON_A_SMALL_DISK, "sh", full, TICKETING, "doctor"]

    done = subprocess.run(
        command, env=environ | {"TICKETING_HOME": str(full)}, capture_output=True, text=True, timeout=60
    )

    assert done.returncode == 1, done.stderr
    assert f"PROBLEM  disk of TICKETING_HOME: 8 MiB are free in {full}." in done.stdout
    assert "writes are refused. Free space, or use a larger disk." in done.stdout
