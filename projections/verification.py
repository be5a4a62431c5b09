"""Compares every row of the live read tables with the log, while the API is in use."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import msgspec
import psycopg

from infrastructure.keys.vault import Vault
from infrastructure.process.deadlines import LONG_STATEMENT_SECONDS
from infrastructure.storage.postgres import Connection, connect
from projections.comparison import Difference, Differences, compare_tables
from projections.live_rows import AuditCheck, PastTicketsCheck
from projections.old_tables import wait_for_readers
from projections.rebuild import Progress, fetch_number, fill_from_start, fresh_copy, project_all, sql
from projections.schema import COPY, read_schema_state

APPLICATION = "ticketing-verify"


class NothingToVerify(Exception):
    """The read tables are absent, or do not fit this version: they must be rebuilt first."""


class VerifyReport(msgspec.Struct, frozen=True, kw_only=True):
    """The differences between the read tables and the log at `position`: `count` rows, and the first ones."""

    events: int
    position: int
    seconds: float
    count: int
    differences: list[Difference]


def verify(dsn: str, vault: Vault, progress: Progress) -> VerifyReport:
    """Compare all read tables with the log, changing nothing."""
    with _audit_in_background(dsn) as audit:
        report = verify_tables(dsn, vault, progress)
    return with_audit(report, audit)


def with_audit(report: VerifyReport, audit: Differences) -> VerifyReport:
    """The report of verify_tables with the findings of verify_audit added."""
    both = Differences()
    both.add(*report.differences, unlisted=report.count - len(report.differences))
    both.add_all(audit)
    return msgspec.structs.replace(report, count=both.count, differences=both.listed)


def verify_tables(dsn: str, vault: Vault, progress: Progress) -> VerifyReport:
    """Compare all read tables but `audit_events` with the log.

    Projection pauses briefly while the copy reaches the position of the live tables; the comparison uses a
    snapshot of that moment. Raises RebuildRunning, NothingToVerify, TablesInUse.
    """
    started = time.monotonic()
    with (
        fresh_copy(dsn) as (control, copy),
        connect(dsn, application=APPLICATION, limit_seconds=LONG_STATEMENT_SECONDS) as reader,
        connect(dsn, application=APPLICATION, limit_seconds=LONG_STATEMENT_SECONDS) as past_reader,
    ):
        if read_schema_state(control) != "current":
            raise NothingToVerify("The read tables are absent or outdated: run `ticketing rebuild`.")
        wait_for_readers(control, COPY, lambda: _take_off_the_log(control))
        past = PastTicketsCheck(past_reader)
        events = fill_from_start(
            dsn, control, copy, vault, progress, keep_past=past.compare, forget_past=past.start_again
        )
        reader.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        with reader.transaction():
            with control.transaction():
                position = fetch_number(control, "lock_live_position")
                events += project_all(copy, vault, up_to=position, keep_past=past.compare)
                reader.execute(sql["take_snapshot"])
            differences = compare_tables(reader)
            past.find_invalid(reader)
        differences.add_all(past.differences)
    return VerifyReport(
        events=events,
        position=position,
        seconds=time.monotonic() - started,
        count=differences.count,
        differences=differences.listed,
    )


def verify_audit(dsn: str, progress: Progress, stopping: threading.Event | None = None) -> Differences:
    """Compare the table `audit_events` with the log, up to the position of the live tables."""
    with connect(dsn, application=APPLICATION, limit_seconds=LONG_STATEMENT_SECONDS) as conn:
        if read_schema_state(conn) != "current":
            return Differences()  # verify_tables raises NothingToVerify
        check = AuditCheck(conn)
        check.run(progress, stopping or threading.Event())
        return check.differences


def _take_off_the_log(control: Connection) -> None:
    with control.transaction():
        control.execute(sql["take_copy_off_the_log"])


@contextmanager
def _audit_in_background(dsn: str) -> Iterator[Differences]:
    """Runs verify_audit in a background thread; its findings are added to the yielded object."""
    found, stopping = Differences(), threading.Event()
    with ThreadPoolExecutor(1, thread_name_prefix="audit") as executor:
        checking = executor.submit(verify_audit, dsn, lambda done, total: None, stopping)
        try:
            yield found
            found.add_all(checking.result())
        except BaseException:
            stopping.set()
            raise
