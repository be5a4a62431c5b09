"""Point-in-time recovery with base backup and WAL archive, by the steps in docs/how-to/backup.md."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from commands.erasure import erase_user
from tests.support.backups import Installation, files_of, log_of, system_programs
from tests.support.browser import Browser
from tests.support.commands import environment, ticketing
from tests.support.keys import operator
from tests.support.recovery import ArchivingServer
from tests.support.server import running_api
from tests.support.webhooks import open_ticket

(DOCUMENT,) = (Path(__file__).parent.parent.parent / "docs").rglob("backup.md")
SECTION = DOCUMENT.read_text().partition("## Point-in-time recovery")[2]


@pytest.fixture
def server(tmp_path):
    with ArchivingServer.running(system_programs(), tmp_path / "server") as running:
        yield running


def test_a_recovery_by_the_documented_steps_loses_only_what_happened_after_its_target(server, tmp_path):
    with psycopg.connect(server.dsn, autocommit=True) as conn:
        conn.execute("CREATE DATABASE ticketing TEMPLATE template0")
    with Installation.on(make_conninfo(server.dsn, dbname="ticketing"), tmp_path / "home") as old:
        assert ticketing("migrate", environ=old.environ).returncode == 0
        old.populate()
        server.take_base_backup()
        kept = open_ticket(old.store)
        old.attach(kept.id, b"after the base backup")
        old.project()
        with psycopg.connect(server.dsn) as conn:
            (moment,) = conn.execute("SELECT clock_timestamp()").fetchone()
        before = log_of(old.dsn)
        lost = open_ticket(old.store)
        erase_user(old.store, "u2", operator())
        latest = old.sign().path
        last_position = log_of(old.dsn)[-1][0]
        server.archive_everything()

    home = tmp_path / "new"
    ran = []

    def run(command, *options, expected=0):
        done = ticketing(*command.split(), *options, environ=environ, given="y\n")
        assert done.returncode == expected, done.stderr
        ran.append(command)
        return done.stderr + done.stdout

    with server.recovered(moment, tmp_path / "second") as recovered:
        dsn = make_conninfo(recovered, dbname="ticketing")
        environ = environment(DATABASE_URL=dsn, TICKETING_HOME=str(home))
        assert log_of(dsn) == before
        shutil.copytree(tmp_path / "home" / "attachments", home / "attachments")
        shutil.copytree(latest.parent, home / "notary")
        file = str(home / "notary" / latest.name)
        run("migrate")
        run("skip-positions --checkpoints", file)
        erased = run("user erase-again --checkpoints", file)
        refused = run("notary", expected=2)
        evidence = str(shutil.move(file, tmp_path / "evidence.jsonl"))
        verified = run("verify --checkpoints", evidence, expected=1)
        with Installation.on(dsn, home) as new:
            next_position = open_ticket(new.store).position
        log = log_of(dsn)
        with running_api(dsn, workers=1, TICKETING_HOME=str(home)) as base_url:
            signed_in = Browser(base_url).sign_in("u1").status_code

    assert "u2 is erased again." in erased
    assert "is not in the database" in refused
    assert "signed" in verified
    assert lost.id not in {row[1] for row in log}
    assert next_position > last_position
    assert min(row[0] for row in log[len(before) :]) > last_position
    assert files_of(home) == files_of(tmp_path / "home")
    assert signed_in == 303
    steps = re.findall(r"`ticketing ([a-z-]+(?: [a-z-]+)?(?: --checkpoints)?)(?: FILE)?`", SECTION)
    assert [step for step in dict.fromkeys(steps) if step in ran] == ran
