"""Whether the log is what the notary chained and signed, and where it is not."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

import msgspec
import psycopg

from infrastructure.storage.postgres import Connection, named_queries
from notary import merkle
from notary.pages import Page, Row, read_log_id, span_of_times, sql
from notary.statements import BadStatement, Reader, Statement, without_repeats

PAGES_AT_ONCE = 50
_FIRST = -(2**63)
_more_sql = named_queries(Path(__file__).parent / "sql" / "verification.sql")

Progress = Callable[[int, int], None]  # position reached, position to reach


class Finding(msgspec.Struct, frozen=True):
    """Something that is not as it was: where, and what. `position` is the first it concerns."""

    position: int | None
    problem: str


class Report(msgspec.Struct, kw_only=True):
    """`signed` is the position up to which statements outside the database vouch for the log;
    `signed_outside` whether there were any."""

    events: int = 0
    pages: int = 0
    statements: int = 0
    signed: int = 0
    signed_outside: bool = False
    seconds: float = 0.0
    findings: list[Finding] = []

    def found(self, position: int | None, problem: str) -> None:
        self.findings.append(Finding(position, problem))


def verify_log(conn: Connection, outside: dict[str, Iterable[str]], progress: Progress) -> Report:
    """Check statements, pages, events and the versions of every aggregate, changing nothing.

    `outside` holds the lines of each place outside the database, by the place's name. Works on one
    snapshot, beside live traffic.
    """
    started = time.monotonic()
    conn.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
    with conn.transaction():
        report = check_log(conn, outside, progress)
    report.seconds = time.monotonic() - started
    return report


def check_log(conn: Connection, outside: dict[str, Iterable[str]], progress: Progress) -> Report:
    """As verify_log, on what the caller's transaction sees."""
    report = Report()
    checkpoints = _check_statements(conn, outside, report)
    _check_pages(conn, checkpoints, report, progress)
    _check_versions(conn, report)
    _check_followers(conn, report)
    report.findings.sort(key=lambda finding: finding.position or 0)
    return report


def _check_statements(
    conn: Connection, outside: dict[str, Iterable[str]], report: Report
) -> dict[int, Statement]:
    """The good checkpoints of the database and of every place outside it, by page."""
    ours: dict[int, str] = dict(conn.execute(_more_sql["all_statements"]).fetchall())
    log_id = read_log_id(conn)
    good = _check_lines("The database", ours.values(), log_id, report)
    checkpoints = {int(one.facts["page"]): one for one in good if one.kind == "checkpoint"}
    report.statements = len(ours)
    for place, lines in outside.items():
        reached = _check_lines(place, lines, log_id, report)
        report.signed_outside = report.signed_outside or bool(reached)
        for one in reached:
            if ours.get(one.number) != one.line:
                report.found(one.position, f"{place}: line {one.number} is not what the database has")
            if one.kind == "checkpoint":
                checkpoints[int(one.facts["page"])] = one
                report.signed = max(report.signed, one.position or 0)
    return checkpoints


def _check_lines(place: str, lines: Iterable[str], log_id: str, report: Report) -> list[Statement]:
    """The statements up to the first that is not as it was signed."""
    reader = Reader(log_id)
    good: list[Statement] = []
    for number, line in enumerate(without_repeats(lines), start=1):
        try:
            good.append(reader.read(line))
        except BadStatement as error:
            signed = [one.position for one in good if one.position is not None]
            after = f", after the checkpoint of position {signed[-1]}" if signed else ""
            report.found(signed[-1] + 1 if signed else None, f"{place}: line {number}{after}: {error}")
            break
    return good


def _check_pages(
    conn: Connection, checkpoints: dict[int, Statement], report: Report, progress: Progress
) -> None:
    """Events against leaves, these against roots, roots against the chain, that against what is signed."""
    end = int(conn.execute(_more_sql["log_end"]).fetchall()[0][0])
    chain, number, reached = merkle.first_link(read_log_id(conn)), 0, _FIRST
    vouched = 0  # the last position that a checkpoint agreed with
    for page, rows in _pages_with_rows(conn):
        number += 1
        if page.number != number:
            report.found(page.first_position, f"page {number} is missing")
            number = page.number
        if [row.position for row in rows] != list(page.positions) or page.leaves != b"".join(
            row.leaf for row in rows
        ):
            _compare_events(page, rows, report)
        elif page.latest_at and (page.earliest_at, page.latest_at) != span_of_times(
            row.occurred_at for row in rows
        ):
            report.found(page.first_position, f"page {number} does not have the times of its events")
        if merkle.root(merkle.split(page.leaves) or [b""]) != page.root:
            report.found(page.first_position, f"page {number} does not have the root of its events")
        if page.link(chain, page.root) != page.chain:
            report.found(page.first_position, f"page {number} does not continue the chain")
        vouched = _compare_checkpoint(page, checkpoints.pop(number, None), vouched, report)
        chain, reached = page.chain, page.last_position
        report.events, report.pages = report.events + len(rows), report.pages + 1
        progress(reached, max(end, reached))
    checkpoints.pop(0, None)  # the one before the first event
    for _, one in sorted(checkpoints.items()):
        report.found(reached + 1, f"the log ends before the checkpoint of position {one.position}")
    report.events += int(conn.execute(_more_sql["count_after"], {"after": reached}).fetchall()[0][0])


def _pages_with_rows(conn: Connection) -> Iterator[tuple[Page, list[Row]]]:
    """Each page, and what the log holds between the end of the page before and its own."""
    number, reached = 0, _FIRST
    while True:
        with conn.cursor(binary=True) as cur:
            found = cur.execute(sql["pages_after"], {"number": number, "limit": PAGES_AT_ONCE}).fetchall()
        if not found:
            return
        for page in map(Page._make, found):
            parameters = {"after": reached, "last": page.last_position, "limit": None}
            with conn.cursor(binary=True) as cur:
                rows = cur.execute(sql["read_events"], parameters).fetchall()
            yield page, [Row._make(row) for row in rows]
            number, reached = page.number, max(reached, page.last_position)


def _compare_events(page: Page, rows: Sequence[Row], report: Report) -> None:
    """Tell which events of a page differ."""
    chained = dict(zip(page.positions, merkle.split(page.leaves), strict=False))
    there = {row.position: row for row in rows}
    for position in sorted(chained.keys() | there.keys()):
        if position not in there:
            report.found(position, "the event is missing")
        elif position not in chained:
            report.found(position, "the event was not there when the page was chained")
        elif there[position].leaf != chained[position]:
            report.found(position, "the event is not the one that was chained")
    if len(chained) != len(page.positions) or len(page.leaves) != len(page.positions) * merkle.HASH_BYTES:
        report.found(page.first_position, f"page {page.number} was altered")


def _compare_checkpoint(page: Page, signed: Statement | None, vouched: int, report: Report) -> int:
    if signed is None:
        return vouched
    if signed.facts["chain"] == page.chain.hex() and signed.position == page.last_position:
        return page.last_position
    report.found(
        vouched + 1,
        f"the log between the positions {vouched + 1} and {page.last_position} is not what was signed in"
        f" line {signed.number}: it was altered and chained again",
    )
    return vouched


def _check_versions(conn: Connection, report: Report) -> None:
    """Every aggregate has the versions 1, 2, 3 ... in the order of the log."""
    for position, aggregate_id, version, due in conn.execute(_more_sql["wrong_versions"]).fetchall():
        report.found(position, f"version {version} of {aggregate_id} stands where {due} is due")


def _check_followers(conn: Connection, report: Report) -> None:
    """Nobody has read further than the log goes: they note the positions of events they have seen."""
    for follower, position, end in conn.execute(_more_sql["followers_ahead"]).fetchall():
        report.found(end + 1, f"{follower} has read up to position {position}, but the log ends at {end}")
