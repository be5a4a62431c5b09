"""Backups of attachments that are in a bucket."""

from __future__ import annotations

import json

import pytest

from infrastructure.settings import load_settings
from infrastructure.storage.attachment_store import make_attachment_store
from tests.support.backups import FILES, Installation, empty_database
from tests.support.bucket import CREDENTIALS, bucket_that_breaks_off, running_buckets
from tests.support.commands import environment, ticketing


@pytest.fixture
def buckets(monkeypatch):
    for name, value in CREDENTIALS.items():
        monkeypatch.setenv(name, value)
    with running_buckets() as server:
        yield server


@pytest.fixture
def source(database, buckets, tmp_path):
    """An installation whose attachments are in the bucket `source`."""
    variables = buckets.create("source")
    with Installation.on(database, tmp_path / "source") as installation:
        installation.attachments = make_attachment_store(load_settings(variables))
        installation.environ |= variables
        installation.populate()
        yield installation


def test_attachments_in_a_bucket_are_restored_into_another_bucket_or_a_folder(
    source, buckets, postgres, tmp_path
):
    folder = tmp_path / "backup"
    backed_up = ticketing("backup", str(folder), environ=source.environ)
    restored = []
    for variables in (buckets.create("target"), {}):
        with empty_database(postgres, "from_bucket") as dsn:
            environ = environment(DATABASE_URL=dsn, TICKETING_HOME=str(tmp_path / "target"), **variables)
            restored.append(ticketing("restore", str(folder), environ=environ))

    assert (backed_up.returncode, [each.returncode for each in restored]) == (0, [0, 0]), backed_up.stderr
    expected = buckets.files_of("source")
    assert sorted(expected.values()) == sorted(FILES)
    assert buckets.files_of("target") == expected
    assert {
        path.name: path.read_bytes() for path in (tmp_path / "target" / "attachments").iterdir()
    } == expected


def test_an_object_that_is_missing_in_the_bucket_is_named(source, buckets, tmp_path):
    lost = min(buckets.files_of("source"))
    buckets.delete("source", lost)

    done = ticketing("backup", str(tmp_path / "backup"), environ=source.environ)

    assert (done.returncode, lost in done.stderr) == (1, True), done.stderr
    manifest = json.loads((tmp_path / "backup" / "manifest.json").read_text())["manifest"]
    assert manifest["lost_attachments"] == [lost]


def test_without_its_bucket_there_is_no_backup_and_nothing_is_left(source, tmp_path):
    folder = tmp_path / "backup"
    for name, value in (("ATTACHMENTS_S3_BUCKET", "absent"), ("ATTACHMENTS_S3_ENDPOINT", None)):
        with bucket_that_breaks_off() as endpoint:
            environ = source.environ | {name: value or endpoint}
            done = ticketing("backup", str(folder), environ=environ)

        assert done.returncode == 2, done.stderr
        assert "The attachments cannot be read" in done.stderr
        assert "Traceback" not in done.stderr
        assert list(folder.iterdir()) == []
