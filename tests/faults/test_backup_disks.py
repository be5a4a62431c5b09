"""`ticketing backup` and `ticketing restore` on a disk that becomes full at each of their steps."""

from __future__ import annotations

import os

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from tests.support.backups import Installation, empty_database, files_of, log_of
from tests.support.commands import environment, ticketing
from tests.support.postgres import cloned_database
from tests.support.small_disk import PAGE, small_disk

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount a disk of its own size")

ENOUGH = 4_096  # pages


@pytest.fixture(scope="module")
def source(postgres, template, tmp_path_factory):
    """A populated installation with a backup in the folder `backup`."""
    folder = tmp_path_factory.mktemp("source")
    with (
        cloned_database(postgres, template) as dsn,
        Installation.on(dsn, folder / "home") as installation,
    ):
        installation.populate()
        installation.backup = folder / "backup"
        done = ticketing("backup", str(installation.backup), environ=installation.environ)
        assert done.returncode == 0, done.stderr
        yield installation


def pages_of(path):
    """The pages of a file, or of all files of a folder."""
    files = [path] if path.is_file() else [each for each in path.rglob("*") if each.is_file()]
    return sum(-(-each.stat().st_size // PAGE) for each in files)


def test_a_backup_to_a_full_disk_leaves_nothing_and_can_be_repeated(source, tmp_path):
    dump = pages_of(source.backup / "database.dump")
    everything = pages_of(source.backup)
    with small_disk(tmp_path / "disk", 1) as disk:
        folder, keys = disk.path / "backup", tmp_path / "keys"
        for pages in (dump // 2, dump + 20, everything - 2):  # in the dump, an attachment, the manifest
            disk.resize(pages)
            done = ticketing("backup", str(folder), "--keys", str(keys), environ=source.environ)

            assert done.returncode == 2, pages
            assert "No space left on device" in done.stderr, done.stderr
            assert "Traceback" not in done.stderr
            assert [list(each.iterdir()) for each in (folder, keys)] == [[], []]

        disk.resize(ENOUGH)
        repeated = ticketing("backup", str(folder), "--keys", str(keys), environ=source.environ)

        assert repeated.returncode == 0, repeated.stderr
        assert (folder / "manifest.json").exists()
        assert (keys / "master-key").exists()


def test_the_copy_of_the_key_on_a_full_disk_leaves_no_backup(source, tmp_path):
    with small_disk(tmp_path / "disk", 1) as disk:
        (disk.path / "filler").write_bytes(b"\0" * PAGE)
        folder, keys = tmp_path / "backup", disk.path / "keys"
        done = ticketing("backup", str(folder), "--keys", str(keys), environ=source.environ)

        assert (done.returncode, "No space left on device" in done.stderr) == (2, True), done.stderr
        assert (list(keys.iterdir()), folder.exists()) == ([], False)


@pytest.fixture
def tablespace(postgres, tmp_path):
    """The DSN of an empty database whose files are on a small disk, and the disk."""
    with small_disk(tmp_path / "tables", ENOUGH) as disk:
        with psycopg.connect(postgres, autocommit=True) as conn:
            (data,) = conn.execute("SHOW data_directory").fetchone()
            owner = os.stat(data)
            os.chown(disk.path, owner.st_uid, owner.st_gid)
            for path in (tmp_path, *tmp_path.parents):
                path.chmod(path.stat().st_mode | 0o011)
            conn.execute(f"CREATE TABLESPACE small LOCATION '{disk.path}'")
            conn.execute("CREATE DATABASE small TEMPLATE template0 TABLESPACE small")
            conn.execute("CHECKPOINT")
        yield make_conninfo(postgres, dbname="small"), disk
        with psycopg.connect(postgres, autocommit=True) as conn:
            conn.execute("DROP DATABASE small WITH (FORCE)")
            conn.execute("DROP TABLESPACE small")


def test_a_restore_into_a_database_on_a_full_disk_changes_nothing_and_can_be_repeated(
    source, tablespace, tmp_path
):
    dsn, disk = tablespace
    environ = environment(DATABASE_URL=dsn, TICKETING_HOME=str(tmp_path / "home"))
    disk.resize(disk.used_pages() + 60)
    done = ticketing("restore", str(source.backup), environ=environ)
    disk.resize(16 * ENOUGH)
    with psycopg.connect(dsn) as conn:
        restored = conn.execute("SELECT to_regclass('es.stored_events')").fetchone()
    repeated = ticketing("restore", str(source.backup), environ=environ)

    assert (done.returncode, "No space left on device" in done.stderr) == (2, True), done.stderr
    assert restored == (None,)
    assert repeated.returncode == 0, repeated.stderr
    assert log_of(dsn) == log_of(source.dsn)


def test_a_restore_on_a_full_disk_of_the_home_is_completed_by_repeating_it(source, postgres, tmp_path):
    attachments = pages_of(source.backup / "attachments")
    keys = tmp_path / "keys"
    keys.mkdir()
    (keys / "master-key").write_text(source.environ["MASTER_KEY"] + "\n")
    with small_disk(tmp_path / "home", 1) as disk, empty_database(postgres, "homeless") as dsn:
        environ = environment(DATABASE_URL=dsn, TICKETING_HOME=str(disk.path))
        del environ["MASTER_KEY"]
        arguments = ("restore", str(source.backup), "--keys", str(keys))
        filler = disk.path / "filler"
        filler.write_bytes(b"\0" * PAGE)
        for pages in (1, attachments, attachments + 2):  # for the key, an attachment, the notary's file
            disk.resize(pages)
            done = ticketing(*arguments, environ=environ)
            refused = ticketing("projector", environ=environ)

            assert (done.returncode, "No space left on device" in done.stderr) == (2, True), done.stderr
            assert "Traceback" not in done.stderr
            assert (refused.returncode, "has not ended" in refused.stderr) == (2, True), refused.stderr
        disk.resize(ENOUGH)
        completed = ticketing(*arguments, environ=environ)

        assert completed.returncode == 0, completed.stderr
        assert log_of(dsn) == log_of(source.dsn)
        assert files_of(disk.path) == files_of(source.home)
        assert not list(disk.path.rglob("*.partial"))
