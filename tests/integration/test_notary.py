"""The notary chains the log, signs the chain, and writes the statements outside the database."""

from __future__ import annotations

import json
import resource
import threading
from contextlib import closing, contextmanager
from pathlib import Path

import msgspec
import psycopg
import pytest
from structlog.testing import capture_logs

from infrastructure.settings import Settings
from infrastructure.storage.kafka import make_admin
from infrastructure.storage.postgres import connect
from infrastructure.storage.topics import checkpoints_topic, events_topic
from notary import merkle
from notary.blocks import BLOCK_EVENTS, read_end, sql
from notary.follower import Notary, sign_log
from notary.places import FILE, NotaryRefused, PlaceUnavailable, StatementFile
from notary.signing import rotate_key
from notary.statements import BadStatement, Reader
from notary.topic import StatementTopic
from notary.verification import verify_log
from tests.support.exports import climb
from tests.support.history import History, append
from tests.support.stream import delete_topics
from tests.support.vault import VAULT


@pytest.fixture
def settings(tmp_path, database):
    return Settings(home=tmp_path, database_url=database)


@pytest.fixture
def notary(conn, settings):
    return Notary(conn, VAULT, settings)


@pytest.fixture
def history():
    return History(seed=1)


def in_one_commit(appends):
    """The same events, to be stored in one commit."""
    return [[event for events in appends for event in events]]


def file_of(settings):
    return StatementFile.of(settings)


def verify_with(conn, *places):
    outside = {str(number): list(place.lines()) for number, place in enumerate(places)}
    return verify_log(conn, outside, lambda done, total: None)


def test_the_tree_is_that_of_rfc_6962_and_every_path_leads_to_its_root():
    for count in range(1, 70):
        leaves = [merkle.leaf(number, "t1", number, "x", b"{}") for number in range(count)]

        root = merkle.root(leaves)

        assert root == by_definition(leaves)
        for index, leaf in enumerate(leaves):
            assert climb(leaf, merkle.path(leaves, index)) == root


def by_definition(leaves):
    """The root hash as RFC 6962, section 2.1, defines it."""
    if len(leaves) == 1:
        return leaves[0]
    split = 1 << (len(leaves) - 1).bit_length() - 1
    return merkle.sha256(b"\1" + by_definition(leaves[:split]) + by_definition(leaves[split:])).digest()


def test_the_first_step_signs_and_later_ones_wait_until_a_checkpoint_is_due(store, notary, history, settings):
    append(store, history.grow(20))
    notary.step()
    first = list(file_of(settings).lines())
    append(store, history.grow(20))

    notary.step()

    kinds = [json.loads(line)["kind"] for line in first]
    assert kinds == ["key", "checkpoint"]
    assert list(file_of(settings).lines()) == first


def test_full_blocks_are_chained_at_once(store, notary, history, conn):
    notary.step()
    append(store, in_one_commit(history.grow(BLOCK_EVENTS)))

    while notary.step():
        pass

    assert read_end(conn).number == 1
    assert read_end(conn).position >= BLOCK_EVENTS


def test_an_erasure_is_signed_at_once(store, notary, history, settings, conn):
    from commands.erasure import erase_user
    from tests.unit.builders import caller, context

    append(store, history.grow(10))
    notary.step()
    erase_user(store, "u0", context(caller("admin")))

    notary.step()

    last_two = [json.loads(line) for line in file_of(settings).lines()][-2:]
    assert [one["kind"] for one in last_two] == ["erasure", "checkpoint"]
    assert last_two[0]["user_id"] == "u0"
    assert verify_with(conn, file_of(settings)).findings == []


def test_signatures_of_an_old_key_stay_valid(store, notary, history, conn, settings):
    append(store, history.grow(10))
    sign_log(conn, VAULT)
    new = rotate_key(conn, VAULT)
    append(store, history.grow(10))
    sign_log(conn, VAULT)
    notary.step()

    report = verify_with(conn, file_of(settings))

    signers = [json.loads(line)["signed_by"] for line in file_of(settings).lines()]
    assert signers[-1] == new != signers[0]
    assert report.findings == []
    assert report.signed == read_end(conn).position
    keys = conn.execute("SELECT count(*), count(sealed_private_key) FROM notary.keys").fetchone()
    assert keys == (2, 1)


def test_a_statement_signed_by_an_unannounced_key_is_refused(conn, store, history):
    sign_log(conn, VAULT)
    rotate_key(conn, VAULT)
    append(store, history.grow(10))
    sign_log(conn, VAULT)
    lines = [line for _, line in conn.execute(sql["statements_after"], {"number": 0, "limit": None})]
    reader = Reader()

    reader.read(lines[0])
    reader.keys.clear()

    with pytest.raises(BadStatement, match="which no line before it announces"):
        reader.read(lines[1])


def test_the_notary_refuses_to_write_to_the_file_of_another_log(notary, settings, store, history, conn):
    append(store, history.grow(10))
    notary.step()
    conn.execute("ALTER TABLE notary.statements DISABLE TRIGGER ALL")
    conn.execute("DELETE FROM notary.statements WHERE number = 2")
    append(store, history.grow(10))

    with pytest.raises(NotaryRefused, match="is not in the database"):
        Notary(conn, VAULT, settings).step()


def test_a_line_cut_short_by_a_crash_is_written_again(notary, settings, conn, store, history):
    append(store, history.grow(10))
    notary.step()
    whole = (settings.notary_dir / FILE).read_bytes()
    (settings.notary_dir / FILE).write_bytes(whole[:-30])

    Notary(conn, VAULT, settings).step()

    assert (settings.notary_dir / FILE).read_bytes() == whole


def test_after_a_full_disk_the_file_contains_every_line_once(settings, conn, monkeypatch):
    for _ in range(8):
        rotate_key(conn, VAULT)  # so many lines wait to be written when the disk is full
    monkeypatch.setattr("notary.follower.RETRY_SECONDS", 0)
    notary = Notary(conn, VAULT, settings)
    with files_of_at_most(2_000):
        notary.step()
    some = list(file_of(settings).lines())

    notary.step()

    numbers = [json.loads(line)["number"] for line in file_of(settings).lines()]
    assert 0 < len(some) < len(numbers)
    assert numbers == list(range(1, len(numbers) + 1))
    assert verify_with(conn, file_of(settings)).findings == []


@contextmanager
def files_of_at_most(size):
    """Makes the kernel refuse writes to files beyond this size, as on a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_repeated_lines_are_not_reported(notary, settings, conn, store, history):
    """Kafka may store lines although its answer was lost; the notary then sends them again."""
    append(store, history.grow(10))
    notary.step()
    path = settings.notary_dir / FILE
    path.write_text(path.read_text() * 2)
    append(store, history.grow(10))
    Notary(conn, VAULT, settings).step()

    report = verify_with(conn, file_of(settings))

    assert (report.findings, report.signed) == ([], read_end(conn).position)


def test_after_an_unreadable_last_line_the_notary_writes_nothing(notary, settings, conn):
    notary.step()
    path = settings.notary_dir / FILE
    path.write_text(path.read_text() + "not a statement\n")

    with pytest.raises(NotaryRefused, match="cannot be read: it is not JSON"):
        Notary(conn, VAULT, settings).step()


def test_checkpoints_are_written_to_kafka_too(kafka, kafka_prefix, settings, conn, store, history):
    with_kafka = msgspec.structs.replace(settings, kafka_bootstrap_servers=kafka, kafka_prefix=kafka_prefix)
    append(store, history.grow(10))
    Notary(conn, VAULT, with_kafka).step()
    append(store, history.grow(10))

    Notary(conn, VAULT, with_kafka).step()

    in_kafka = list(StatementTopic(with_kafka).lines())
    assert in_kafka == list(file_of(with_kafka).lines())
    assert len(in_kafka) == 3
    assert verify_with(conn, StatementTopic(with_kafka), file_of(with_kafka)).findings == []


def test_checkpoints_do_not_depend_on_the_events_topic(kafka, kafka_prefix, settings, conn):
    with_kafka = msgspec.structs.replace(settings, kafka_bootstrap_servers=kafka, kafka_prefix=kafka_prefix)
    with closing(make_admin(with_kafka)) as admin:
        unusable = {"num_partitions": 1, "replication_factor": 1, "configs": {"cleanup.policy": "compact"}}
        admin.create_topics({events_topic(with_kafka): unusable})

    Notary(conn, VAULT, with_kafka).step()

    assert list(StatementTopic(with_kafka).lines()) == list(file_of(with_kafka).lines()) != []


def test_a_deleted_topic_gets_every_statement_again(
    kafka, kafka_prefix, settings, conn, store, history, monkeypatch
):
    monkeypatch.setattr("notary.follower.RETRY_SECONDS", 0)
    with_kafka = msgspec.structs.replace(settings, kafka_bootstrap_servers=kafka, kafka_prefix=kafka_prefix)
    notary = Notary(conn, VAULT, with_kafka)
    notary.step()
    delete_topics(with_kafka, checkpoints_topic(with_kafka))
    append(store, history.grow(5))
    sign_log(conn, VAULT)

    for _ in range(2):  # the first finds the topic missing
        notary.step()

    assert list(StatementTopic(with_kafka).lines()) == list(file_of(with_kafka).lines())


def test_a_topic_that_would_lose_checkpoints_is_named_and_the_file_is_written(
    kafka, kafka_prefix, settings, conn
):
    with_kafka = msgspec.structs.replace(settings, kafka_bootstrap_servers=kafka, kafka_prefix=kafka_prefix)
    topic = checkpoints_topic(with_kafka)
    with closing(make_admin(with_kafka)) as admin:
        admin.create_topics({topic: {"num_partitions": 1, "replication_factor": 1}})
        admin.wait_for_topics([topic])

    with capture_logs() as lines:
        Notary(conn, VAULT, with_kafka).step()

    (failure,) = [line for line in lines if line["event"] == "checkpoints_not_published"]
    assert f"The topic {topic}" in failure["error"]
    assert "retention.ms is 604800000 and must be -1" in failure["error"]
    assert len(list(file_of(with_kafka).lines())) == 2


def test_without_kafka_the_file_is_written(settings, conn, monkeypatch):
    monkeypatch.setattr("infrastructure.storage.kafka.CONNECT_SECONDS", 1)
    without_kafka = msgspec.structs.replace(settings, kafka_bootstrap_servers="127.0.0.1:1")

    Notary(conn, VAULT, without_kafka).step()

    assert len(list(file_of(without_kafka).lines())) == 2


def test_without_kafka_reading_its_lines_raises_place_unavailable(settings, monkeypatch):
    monkeypatch.setattr("infrastructure.storage.kafka.CONNECT_SECONDS", 1)
    without_kafka = msgspec.structs.replace(settings, kafka_bootstrap_servers="127.0.0.1:1")

    with pytest.raises(PlaceUnavailable, match="Kafka"):
        list(StatementTopic(without_kafka).lines())


def test_without_the_disk_the_notary_goes_on_and_writes_later(settings, conn, store, history):
    settings.notary_dir.write_text("a file where the folder should be")
    notary = Notary(conn, VAULT, settings)
    append(store, history.grow(10))

    notary.step()
    settings.notary_dir.unlink()
    Notary(conn, VAULT, settings).step()

    assert len(list(file_of(settings).lines())) == 2


def test_writers_never_wait_for_the_notary(store, history, conn, database):
    append(store, history.grow(10))
    with connect(database, application="tests") as slow, slow.transaction():
        slow.execute(sql["lock_chain"], {"key": 7_305_876})
        slow.execute("LOCK TABLE notary.pages, notary.statements IN ACCESS EXCLUSIVE MODE")
        conn.execute("SET statement_timeout TO '2s'")

        append(store, history.grow(10))

        with pytest.raises(psycopg.errors.QueryCanceled):
            sign_log(conn, VAULT)


def test_concurrent_signers_sign_one_after_the_other(store, history, conn, database):
    append(store, in_one_commit(history.grow(500)))
    start = threading.Barrier(4)

    def work():
        with connect(database, application="tests") as mine:
            start.wait(timeout=20)
            sign_log(mine, VAULT)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)

    assert verify_with(conn).findings == []
    assert [number for (number,) in conn.execute("SELECT number FROM notary.statements ORDER BY 1")] == [1, 2]


@pytest.mark.parametrize("statement", ["UPDATE {} SET {} = {}", "DELETE FROM {}", "TRUNCATE {}"])
@pytest.mark.parametrize(("table", "column"), [("pages", "root"), ("statements", "line")])
def test_the_tables_of_the_notary_are_append_only(conn, store, history, statement, table, column):
    append(store, history.grow(3))
    sign_log(conn, VAULT)

    with pytest.raises(psycopg.errors.InsufficientPrivilege, match="append-only"):
        conn.execute(statement.format(f"notary.{table}", column, column))


def test_the_file_is_created_in_the_configured_folder(tmp_path, database, conn):
    elsewhere = Path(tmp_path / "worm")
    settings = Settings(home=tmp_path, database_url=database, notary_folder=elsewhere)

    Notary(conn, VAULT, settings).step()

    assert (elsewhere / FILE).exists()
