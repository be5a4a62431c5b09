"""What the operator is told about Kafka after a restore."""

from __future__ import annotations

import pytest

from backups.reading import open_backup
from backups.writing import Source, write_backup
from cli.after_restore import advise, published_position
from infrastructure.storage.attachment_store import DiskAttachments
from tests.support.history import History, append
from tests.support.stream import end_of_log, publish_all, stream_settings
from tests.support.vault import VAULT


@pytest.fixture
def settings(database, kafka, kafka_prefix, tmp_path):
    return stream_settings(database, kafka, kafka_prefix, tmp_path)


def back_up(settings, folder):
    source = Source(settings.database_url, VAULT, DiskAttachments(settings.attachments_dir), ())
    write_backup(source, folder, lambda done, total: None)
    return open_backup(folder, VAULT, lambda done, total: None)


def test_the_topic_is_compared_with_the_backup(settings, store, tmp_path, capsys):
    history = History(7)
    append(store, history.grow(30))
    backup = back_up(settings, tmp_path / "earlier")

    advise(settings, backup, 0, published_position(settings))
    assert "Kafka does not answer or has no position of the relay" in capsys.readouterr().err

    publish_all(settings)
    backup = back_up(settings, tmp_path / "backup")

    advise(settings, backup, 0, published_position(settings))
    assert "so consumers need nothing" in capsys.readouterr().err

    append(store, history.grow(40))
    publish_all(settings)
    advise(settings, backup, end_of_log(settings.database_url), published_position(settings))

    said = capsys.readouterr().err
    complete_to = backup.manifest.facts.log_complete_to
    assert f"complete to position {complete_to}, so the topic has events that never happened" in said
    assert f"The events from position {complete_to + 1} to {end_of_log(settings.database_url)}" in said
