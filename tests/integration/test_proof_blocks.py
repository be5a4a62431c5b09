"""Blocks store only marks of their events; the hashes themselves are computed from the log."""

import pytest

from infrastructure.storage.migration_files import MIGRATIONS
from notary.blocks import read_block, read_rows
from notary.follower import sign_log
from notary.proofs import prove
from notary.verification import verify_log
from tests.support.history import History, append
from tests.support.tampering import unprotect
from tests.support.vault import VAULT

OLD_TABLE = """
CREATE TABLE notary.pages (
    number bigint PRIMARY KEY,
    first_position bigint NOT NULL,
    last_position bigint NOT NULL UNIQUE,
    positions bigint[] NOT NULL,
    event_ids text[] NOT NULL,
    leaves bytea NOT NULL,
    root bytea NOT NULL,
    chain bytea NOT NULL,
    earliest_at timestamptz,
    latest_at timestamptz
);
CREATE INDEX pages_event_ids_idx ON notary.pages USING gin (event_ids);
"""
OLD_BLOCK = """
INSERT INTO notary.pages
SELECT number, first_position, last_position, %(positions)s, %(event_ids)s, %(leaves)s, root, chain,
       earliest_at, latest_at
  FROM notary.new_pages WHERE number = %(number)s
"""
SKIP = "SELECT nextval('es.stored_events_notification_id_seq') FROM generate_series(1, %s)"
COLUMNS = "number, first_position, last_position, events, gaps, leaf_marks, event_marks, root, chain"


@pytest.fixture
def log(store, conn):
    """Three blocks, the last of which has gaps of one and of several positions."""
    history = History(1)
    for steps in (30, 20):
        append(store, history.grow(steps))
        sign_log(conn, VAULT)
    for skipped in (1, 5, 0):
        append(store, history.grow(3))
        conn.execute(SKIP, [skipped])
    sign_log(conn, VAULT)
    return read_rows(conn, 1, 10_000)


def test_a_block_knows_the_positions_of_its_events(log, conn):
    stored = [row.position for row in log]

    blocks = [read_block(conn, "block_numbered", number=number) for number in (1, 2, 3)]

    assert [position for block in blocks for position in block.positions] == stored
    assert len(blocks[2].gaps) == 4


def test_blocks_of_an_earlier_version_are_converted(log, conn):
    blocks = {number: read_block(conn, "block_numbered", number=number) for number in (1, 2, 3)}
    conn.execute("ALTER TABLE notary.pages RENAME TO new_pages")
    conn.execute(OLD_TABLE)
    for number, block in blocks.items():
        rows = [row for row in log if block.first_position <= row.position <= block.last_position]
        old = {
            "positions": [row.position for row in rows],
            "event_ids": [row.event_id for row in rows],
            "leaves": b"".join(row.leaf for row in rows),
        }
        conn.execute(OLD_BLOCK, {"number": number, **old})
    conn.execute((MIGRATIONS / "0029_proof_blocks.sql").read_text())

    converted, expected = (
        conn.execute(f"SELECT {COLUMNS} FROM notary.{table} ORDER BY number").fetchall()
        for table in ("pages", "new_pages")
    )
    assert converted == expected
    assert prove(conn, log[-1].event_id)["position"] == log[-1].position


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ("leaf_marks = set_byte(leaf_marks, 9, get_byte(leaf_marks, 9) # 1)", "block 2 was altered"),
        ("gaps = ARRAY[first_position + 1, 4611686018427387904]", "did not exist when the block was chained"),
        ("root = set_byte(root, 0, get_byte(root, 0) # 1)", "does not have the root of its events"),
        (
            "event_marks = set_byte(event_marks, 5, get_byte(event_marks, 5) # 1)",
            "the marks of its event ids",
        ),
        ("earliest_at = earliest_at + interval '1 hour', latest_at = NULL", "the times of its events"),
    ],
    ids=["marks", "gaps", "root", "event marks", "one time"],
)
def test_an_altered_block_is_reported(log, conn, change, problem):
    unprotect(conn)
    conn.execute(f"UPDATE notary.pages SET {change} WHERE number = 2")

    findings = verify_log(conn, {}, lambda done, total: None).findings

    assert any(problem in one.problem for one in findings)
