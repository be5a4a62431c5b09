"""Verification detects and locates each change of the log, the chain, the checkpoints and the read tables."""

from __future__ import annotations

import os
import random

import pytest

from infrastructure.storage.event_store import EventStore
from infrastructure.storage.postgres import connect
from notary.blocks import sql
from notary.follower import sign_log
from notary.verification import check_log, verify_log
from projections.runner import catch_up, connect_projector
from projections.verification import verify as verify_read_tables
from tests.support.history import History, append
from tests.support.tampering import IN_THE_LOG, change_a_checkpoint, change_a_read_row, unprotect
from tests.support.vault import VAULT

pytestmark = pytest.mark.faults
FULL = os.environ.get("FAULTS_FULL") == "1"
PLACES = 25
APPENDS, CHECKPOINTS = (100_000, 20) if FULL else (3_000, 6)


def silent(done, total):
    """No progress bar."""


def in_one_commit(appends):
    """The same events, stored in one commit."""
    return [[event for events in appends for event in events]]


@pytest.fixture(scope="module")
def log(postgres, template):
    """A database with a long log, signed in several steps, and the statements published outside of it."""
    from infrastructure.storage.postgres import make_pool
    from tests.support.postgres import cloned_database

    with cloned_database(postgres, template) as dsn:
        history = History(seed=9)
        with make_pool(dsn, application="tests", max_size=2) as pool, pool.connection() as conn:
            store = EventStore(pool, VAULT)
            for _ in range(CHECKPOINTS):
                append(store, in_one_commit(history.grow(APPENDS // CHECKPOINTS)))
                conn.execute("SELECT nextval('es.stored_events_notification_id_seq')")  # as a rollback does
                sign_log(conn, VAULT)
            append(store, in_one_commit(history.grow(50)))  # not chained yet
            lines = [line for _, line in conn.execute(sql["statements_after"], {"number": 0, "limit": None})]
        with connect_projector(dsn) as projector:
            while catch_up(projector, VAULT):
                pass
        yield dsn, lines


def verify_with(conn, lines):
    return verify_log(conn, {"outside": lines}, silent)


def test_an_unchanged_log_has_no_findings(log):
    dsn, lines = log
    with connect(dsn, application="tests") as conn:
        report = verify_with(conn, lines)

    assert report.findings == []
    assert report.events >= (100_000 if FULL else 3_000)
    assert report.signed > 0
    assert verify_read_tables(dsn, VAULT, silent).count == 0


@pytest.mark.parametrize("way", IN_THE_LOG)
def test_an_altered_log_is_detected_with_the_position(log, way):
    dsn, lines = log
    for place in range(PLACES):
        with connect(dsn, application="tests") as conn, conn.transaction(force_rollback=True):
            unprotect(conn)
            position = IN_THE_LOG[way](conn, random.Random(f"{way} {place}"))

            findings = check_log(conn, {"outside": lines}, silent).findings

        assert findings, (way, place)
        if position is not None:
            assert position in {finding.position for finding in findings}, (way, place)


def test_a_changed_checkpoint_is_detected(log):
    dsn, lines = log
    with connect(dsn, application="tests") as conn:
        for place in range(PLACES):
            chance = random.Random(place)
            number = chance.randrange(len(lines))
            changed = [*lines[:number], change_a_checkpoint(lines[number], chance), *lines[number + 1 :]]

            findings = verify_with(conn, changed).findings

            assert any(f"line {number + 1}" in finding.problem for finding in findings), place


def test_a_missing_checkpoint_is_detected(log):
    dsn, lines = log
    with connect(dsn, application="tests") as conn:
        for number in range(len(lines) - 1):
            assert verify_with(conn, lines[:number] + lines[number + 1 :]).findings


def test_a_changed_read_row_is_detected(log):
    dsn, _ = log
    with connect(dsn, application="tests") as conn:
        changed = {change_a_read_row(conn, random.Random(place)) for place in range(PLACES)}

    report = verify_read_tables(dsn, VAULT, silent)

    assert {(one.table, one.id) for one in report.differences} == changed
    assert report.count == len(changed)
