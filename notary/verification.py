"""Finds differences between the log and its chained blocks and signed statements."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

import msgspec
import psycopg

from infrastructure.storage.postgres import Connection, fetch_value, named_queries
from notary import merkle
from notary.blocks import (
    LEAF_MARK_BYTES,
    Block,
    Row,
    event_marks_of,
    marks_of,
    read_log_id,
    span_of_times,
    sql,
)
from notary.statements import BadStatement, Reader, Statement, without_repeats

BLOCKS_AT_ONCE = 50
NO_TIMES = (None, None)  # of a block that is older than its columns
_FIRST = -(2**63)
_more_sql = named_queries(Path(__file__).parent / "sql" / "verification.sql")

Progress = Callable[[int, int], None]  # position reached, position to reach


class Finding(msgspec.Struct, frozen=True):
    """A difference between the log and its blocks or statements. `position` is the first position
    concerned."""

    position: int | None
    problem: str


class Report(msgspec.Struct, kw_only=True):
    """`signed` is the position up to which statements outside the database cover the log. `signed_outside`:
    such statements exist."""

    events: int = 0
    blocks: int = 0
    statements: int = 0
    signed: int = 0
    signed_outside: bool = False
    seconds: float = 0.0
    findings: list[Finding] = []

    def add(self, position: int | None, problem: str) -> None:
        self.findings.append(Finding(position, problem))


def verify_log(conn: Connection, outside: dict[str, Iterable[str]], progress: Progress) -> Report:
    """Check the statements, the blocks, the events and the versions of every aggregate. Changes nothing.

    `outside` maps the name of each place outside the database to its lines. The check reads one snapshot and
    does not block writers.
    """
    started = time.monotonic()
    conn.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
    with conn.transaction():
        report = check_log(conn, outside, progress)
    report.seconds = time.monotonic() - started
    return report


def check_log(conn: Connection, outside: dict[str, Iterable[str]], progress: Progress) -> Report:
    """Do what verify_log does, within the transaction of the caller."""
    report = Report()
    checkpoints = _check_statements(conn, outside, report)
    _check_blocks(conn, checkpoints, report, progress)
    _check_versions(conn, report)
    _check_followers(conn, report)
    report.findings.sort(key=lambda finding: finding.position or 0)
    return report


def _check_statements(
    conn: Connection, outside: dict[str, Iterable[str]], report: Report
) -> dict[int, Statement]:
    """The valid checkpoints of the database and of every place outside it, by block number."""
    stored: dict[int, str] = dict(conn.execute(_more_sql["all_statements"]).fetchall())
    log_id = read_log_id(conn)
    valid = _check_lines("The database", stored.values(), log_id, report)
    checkpoints = {int(one.facts["page"]): one for one in valid if one.kind == "checkpoint"}
    report.statements = len(stored)
    for place, lines in outside.items():
        reached = _check_lines(place, lines, log_id, report)
        report.signed_outside = report.signed_outside or bool(reached)
        for one in reached:
            if stored.get(one.number) != one.line:
                report.add(one.position, f"{place}: line {one.number} differs from the database")
            if one.kind == "checkpoint":
                checkpoints[int(one.facts["page"])] = one
                report.signed = max(report.signed, one.position or 0)
    return checkpoints


def _check_lines(place: str, lines: Iterable[str], log_id: str, report: Report) -> list[Statement]:
    """The statements before the first line that was altered after it was signed."""
    reader = Reader(log_id)
    valid: list[Statement] = []
    for number, line in enumerate(without_repeats(lines), start=1):
        try:
            valid.append(reader.read(line))
        except BadStatement as error:
            signed = [one.position for one in valid if one.position is not None]
            after = f", after the checkpoint of position {signed[-1]}" if signed else ""
            report.add(signed[-1] + 1 if signed else None, f"{place}: line {number}{after}: {error}")
            break
    return valid


def _check_blocks(
    conn: Connection, checkpoints: dict[int, Statement], report: Report, progress: Progress
) -> None:
    """Compare events with the marks of their leaves and with roots, roots with the chain, the chain with the
    checkpoints."""
    end = fetch_value(conn, _more_sql["log_end"], default=0)
    chain, number, reached = merkle.first_link(read_log_id(conn)), 0, _FIRST
    confirmed = 0  # the last position that a checkpoint confirmed
    for block, rows in _blocks_with_rows(conn):
        number += 1
        if block.number != number:
            report.add(block.first_position, f"block {number} is missing")
            number = block.number
        leaves = [row.leaf for row in rows]
        has_positions = [row.position for row in rows] == block.positions
        has_root = merkle.root(leaves or [b""]) == block.root
        if not has_positions or block.leaf_marks != marks_of(leaves):
            if has_positions and has_root:
                report.add(block.first_position, f"block {number} was altered")
            else:
                _compare_events(block, rows, report)
        elif not has_root:
            report.add(block.first_position, f"block {number} does not have the root of its events")
        else:
            _compare_identities(block, rows, report)
        if block.link(chain, block.root) != block.chain:
            report.add(block.first_position, f"block {number} does not continue the chain")
        confirmed = _compare_checkpoint(block, checkpoints.pop(number, None), confirmed, report)
        chain, reached = block.chain, block.last_position
        report.events, report.blocks = report.events + len(rows), report.blocks + 1
        progress(reached, max(end, reached))
    checkpoints.pop(0, None)  # signed before the first event
    for _, one in sorted(checkpoints.items()):
        report.add(reached + 1, f"the log ends before the checkpoint of position {one.position}")
    report.events += fetch_value(conn, _more_sql["count_after"], {"after": reached}, default=0)


def _blocks_with_rows(conn: Connection) -> Iterator[tuple[Block, list[Row]]]:
    """Yields each block with the rows of the log between the end of the previous block and its own end."""
    number, reached = 0, _FIRST
    while True:
        with conn.cursor(binary=True) as cur:
            found = cur.execute(sql["blocks_after"], {"number": number, "limit": BLOCKS_AT_ONCE}).fetchall()
        if not found:
            return
        for block in map(Block._make, found):
            parameters = {"after": reached, "last": block.last_position, "limit": None}
            with conn.cursor(binary=True) as cur:
                rows = cur.execute(sql["read_events"], parameters).fetchall()
            yield block, [Row._make(row) for row in rows]
            number, reached = block.number, max(reached, block.last_position)


def _compare_events(block: Block, rows: Sequence[Row], report: Report) -> None:
    """Report which events of a block differ."""
    marks = merkle.split(block.leaf_marks, LEAF_MARK_BYTES)
    chained = dict(zip(block.positions, marks, strict=False))
    found = {row.position: row for row in rows}
    for position in sorted(chained.keys() | found.keys()):
        if position not in found:
            report.add(position, "the event is missing")
        elif position not in chained:
            report.add(position, "the event did not exist when the block was chained")
        elif marks_of([found[position].leaf]) != chained[position]:
            report.add(position, "the event differs from the chained one")
    if len(block.positions) != block.events or len(block.leaf_marks) != block.events * LEAF_MARK_BYTES:
        report.add(block.first_position, f"block {block.number} was altered")


def _compare_identities(block: Block, rows: Sequence[Row], report: Report) -> None:
    """Report times and marks of event ids that are not those of the events. Neither is part of the chain, but
    exports and proofs find events by them."""
    identities = [row.identity for row in rows]
    times = (block.earliest_at, block.latest_at)
    if times not in {NO_TIMES, span_of_times(one.occurred_at for one in identities)}:
        report.add(block.first_position, f"block {block.number} does not have the times of its events")
    if block.event_marks != event_marks_of(identities):
        report.add(block.first_position, f"block {block.number} does not have the marks of its event ids")


def _compare_checkpoint(block: Block, signed: Statement | None, confirmed: int, report: Report) -> int:
    if signed is None:
        return confirmed
    if signed.facts["chain"] == block.chain.hex() and signed.position == block.last_position:
        return block.last_position
    report.add(
        confirmed + 1,
        f"the log between the positions {confirmed + 1} and {block.last_position} differs from the log that"
        f" was signed in line {signed.number}: it was altered and chained again",
    )
    return confirmed


def _check_versions(conn: Connection, report: Report) -> None:
    """Report aggregates whose versions are not 1, 2, 3 ... in the order of the log."""
    for position, aggregate_id, version, due in conn.execute(_more_sql["wrong_versions"]).fetchall():
        report.add(position, f"{aggregate_id} has the version {version} here; {due} was expected")


def _check_followers(conn: Connection, report: Report) -> None:
    """Report followers whose position is beyond the end of the log: they have read events that the log no
    longer has."""
    for follower, position, end in conn.execute(_more_sql["followers_ahead"]).fetchall():
        report.add(end + 1, f"{follower} has read up to position {position}, but the log ends at {end}")
