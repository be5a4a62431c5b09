"""`ticketing restore` refuses backups and targets that do not fit, and writes nothing."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import shutil

import pytest

from backups.snapshot import sql
from infrastructure.storage.postgres import connect
from tests.support.backups import Installation, empty_database
from tests.support.commands import environment, ticketing
from tests.support.postgres import cloned_database
from tests.support.vault import VAULT


@pytest.fixture(scope="module")
def taken(postgres, template, tmp_path_factory):
    """A backup."""
    folder = tmp_path_factory.mktemp("taken")
    with (
        cloned_database(postgres, template) as dsn,
        Installation.on(dsn, folder / "home") as installation,
    ):
        installation.populate()
        done = ticketing("backup", str(folder / "backup"), environ=installation.environ)
        assert done.returncode == 0, done.stderr
    return folder / "backup"


@pytest.fixture
def backup(taken, tmp_path):
    """A copy of the backup, which a test alters."""
    return shutil.copytree(taken, tmp_path / "backup")


@pytest.fixture
def target(postgres):
    with empty_database(postgres, "refusing") as dsn:
        yield dsn


def refusal(backup, dsn, home, *options, **variables):
    """What a refused restore says, after a check that it wrote nothing."""
    environ = environment(DATABASE_URL=dsn, TICKETING_HOME=str(home), **variables)
    done = ticketing("restore", str(backup), *options, environ=environ)
    assert done.returncode == 2, done.stderr
    assert not (home / "attachments").exists()
    return done.stderr


def is_empty(dsn):
    with connect(dsn, application="tests") as conn:
        marked = conn.execute(sql["is_marked"]).fetchone() == (True,)
        return not marked and conn.execute(sql["foreign_objects"]).fetchall() == []


def cut_off(backup):
    os.truncate(backup / "database.dump", 1_000)


def change_a_byte(backup):
    path = max((backup / "attachments").iterdir(), key=lambda each: each.stat().st_size)
    path.write_bytes(b"X" + path.read_bytes()[1:])


def remove_a_file(backup):
    (backup / "checkpoints.jsonl").unlink()


def change_the_manifest(backup):
    path = backup / "manifest.json"
    path.write_text(path.read_text().replace('"events": ', '"events": 1'))


def cut_off_the_manifest(backup):
    os.truncate(backup / "manifest.json", 500)


def remove_the_manifest(backup):
    (backup / "manifest.json").unlink()


def rewrite(backup, **changes):
    """Seal a changed manifest, as another version of the program would."""
    content = json.loads((backup / "manifest.json").read_text())["manifest"] | changes
    body = json.dumps(content)
    seal = VAULT.encrypt(hashlib.sha256(body.encode()).digest(), purpose="backup manifest")
    text = f'{{"manifest": {body}, "seal": "{base64.b64encode(seal).decode()}"}}'
    (backup / "manifest.json").write_text(text)
    return content


def be_of_a_newer_format(backup):
    rewrite(backup, format=2)


def be_of_a_newer_program(backup):
    facts = rewrite(backup)["facts"]
    rewrite(backup, facts=facts | {"migrations": [*facts["migrations"], "9999_later.sql"]})


@pytest.mark.parametrize(
    ("alter", "message"),
    [
        (cut_off, "it was cut off or replaced"),
        (change_a_byte, "its SHA-256 is not that of the manifest"),
        (remove_a_file, "checkpoints.jsonl cannot be read"),
        (change_the_manifest, "manifest.json was altered"),
        (cut_off_the_manifest, "manifest.json was altered or cut off"),
        (remove_the_manifest, "has no manifest.json"),
        (be_of_a_newer_format, "reads formats up to 1"),
        (be_of_a_newer_program, "does not know the migration 9999_later.sql"),
    ],
)
def test_an_altered_incomplete_or_newer_backup_is_refused(backup, target, tmp_path, alter, message):
    alter(backup)

    assert message in refusal(backup, target, tmp_path / "home")
    assert is_empty(target)


@pytest.mark.parametrize("log_id", ["other", None])
def test_a_backup_of_another_installation_is_refused(backup, target, tmp_path, database, conn, log_id):
    """With None, the logs have the same id, as those of two copies of one database."""
    other_key = base64.b64encode(b"k" * 32).decode()
    conn.execute("UPDATE notary.log SET id = coalesce(%s, id)", [log_id])
    with Installation.on(database, tmp_path / "home") as other:
        other.sign()

    keys = tmp_path / "keys"
    keys.mkdir()
    (keys / "master-key").write_text(other_key)

    assert "another master key than" in refusal(backup, target, tmp_path / "new", "--keys", str(keys))
    assert "cannot be decrypted" in refusal(backup, target, tmp_path / "new", MASTER_KEY=other_key)
    assert "does not belong to the installation" in refusal(backup, target, tmp_path / "home")
    assert is_empty(target)


def test_forged_checkpoints_are_refused_before_anything_is_written(backup, target, tmp_path):
    forged = tmp_path / "forged.jsonl"
    forged.write_text((backup / "checkpoints.jsonl").read_text().replace('"position":', '"position":1'))

    said = refusal(backup, target, tmp_path / "home", "--checkpoints", str(forged))

    assert f"{forged} is not valid" in said
    assert is_empty(target)


def test_a_database_that_is_not_empty_is_refused(backup, target, tmp_path):
    with connect(target, application="tests") as conn:
        conn.execute("CREATE TABLE public.things (id integer)")

    assert "is not empty: it has public.things" in refusal(backup, target, tmp_path / "home")


def test_a_backup_is_not_written_into_a_used_folder_or_together_with_the_key(tmp_path, database):
    environ = environment(DATABASE_URL=database, TICKETING_HOME=str(tmp_path / "home"))
    used = tmp_path / "used"
    used.mkdir()
    (used / "file").write_text("")

    for arguments, message in (
        ((str(used),), "not an empty folder"),
        ((str(tmp_path / "b"), "--keys", str(tmp_path / "b" / "keys")), "is not apart from"),
        ((str(tmp_path / "b"), "--keys", str(used)), "not an empty folder"),
    ):
        done = ticketing("backup", *arguments, environ=environ)

        assert (done.returncode, message in done.stderr) == (2, True), done.stderr
    assert not (tmp_path / "b").exists()
