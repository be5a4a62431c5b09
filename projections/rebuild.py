"""Filling the read tables anew from the log beside live traffic, to replace or to check the live ones."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
import psycopg

from infrastructure.postgres import Connection, connect, named_queries
from projections.comparison import Difference, compare_tables
from projections.refill_audit import AuditFiller
from projections.runner import catch_up, connect_projector
from projections.schema import (
    COPY,
    SchemaState,
    add_for_readers,
    create_read_schema,
    drop_read_schema,
    read_schema_state,
)

REBUILD_BATCH_SIZE = 5_000
SWAP_ATTEMPTS = 20
LISTED_DIFFERENCES = 100
_OLD = "read_old"
_REBUILD_KEY = 7_305_878  # the session advisory lock of the one rebuild or verification under way
_sql = named_queries(Path(__file__).parent / "sql" / "rebuild.sql")

Progress = Callable[[int, int], None]  # position reached, position to reach


class RebuildRunning(Exception):
    """Another rebuild or verification is under way."""


class NothingToVerify(Exception):
    """There are no read tables, or they are another version's: rebuild them instead."""


class RebuildReport(msgspec.Struct, frozen=True, kw_only=True):
    """`events` were projected in `seconds`; the live tables now stand at `position`."""

    events: int
    position: int
    seconds: float


class VerifyReport(msgspec.Struct, frozen=True, kw_only=True):
    """What differed from the log at `position`: `count` rows, of which LISTED_DIFFERENCES are listed."""

    events: int
    position: int
    seconds: float
    count: int
    differences: list[Difference]


def rebuild(dsn: str, progress: Progress) -> RebuildReport:
    """Replace the read tables, of whatever version or absent, by fresh ones.

    The API goes on reading and writing meanwhile; the change is one short transaction.
    """
    started = time.monotonic()
    with _fresh_copy(dsn) as (control, copy):
        events = _fill(control, copy, progress)
        add_for_readers(control, COPY)
        control.execute(_sql["analyze_copy"])
        control.execute(_sql["summarize_copy"])
        position, late_events = _swap(copy, read_schema_state(control))
        _patiently(lambda: drop_read_schema(control, _OLD))
    return RebuildReport(events=events + late_events, position=position, seconds=time.monotonic() - started)


def verify(dsn: str, progress: Progress) -> VerifyReport:
    """Compare every row of the live tables with what the log gives, changing nothing.

    Projection pauses for the moment it takes to bring both to the same position; the comparison then
    works on a snapshot of that moment.
    """
    started = time.monotonic()
    with (
        _fresh_copy(dsn) as (control, copy),
        connect_projector(dsn, COPY) as second,
        connect(dsn, application="ticketing-verify") as reader,
    ):
        if read_schema_state(control) != "current":
            raise NothingToVerify("The read tables are absent or outdated: run `ticketing rebuild`.")
        control.execute(_sql["take_copy_off_the_log"])
        second.execute("SET statement_timeout TO 0")
        audit = AuditFiller(second)
        with _beside(audit, _number(control, "read_live_position")):
            events = _fill(control, copy, progress, within_live=True)
        reader.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        with reader.transaction():
            with control.transaction():
                position = _number(control, "lock_live_position")
                events += _project_all(copy, up_to=position, audit=False)
                audit.fill(position)
                reader.execute(_sql["take_snapshot"])
            count, differences = compare_tables(reader, LISTED_DIFFERENCES)
    return VerifyReport(
        events=events,
        position=position,
        seconds=time.monotonic() - started,
        count=count,
        differences=differences,
    )


@contextmanager
def _fresh_copy(dsn: str) -> Iterator[tuple[Connection, Connection]]:
    """An empty copy of the read tables: a connection that administers, and one that fills the copy."""
    with connect(dsn, application="ticketing-rebuild") as control:
        if not control.execute(_sql["take_rebuild_lock"], {"key": _REBUILD_KEY}).fetchall()[0][0]:
            raise RebuildRunning("A rebuild or verification is under way already.")
        drop_read_schema(control, COPY)  # both are what a killed rebuild left
        drop_read_schema(control, _OLD)
        create_read_schema(control, COPY, for_readers=False)
        control.execute("SET lock_timeout TO '2s'")
        try:
            with connect_projector(dsn, COPY) as copy:
                copy.execute("SET statement_timeout TO 0")
                yield control, copy
        finally:
            _patiently(lambda: drop_read_schema(control, COPY))
            # The server gives it back a moment after we have left, too late for who calls us again at once.
            control.execute(_sql["give_rebuild_lock_back"], {"key": _REBUILD_KEY})


@contextmanager
def _beside(audit: AuditFiller, up_to: int) -> Iterator[None]:
    """Fill `audit_events` on a thread for as long as the block lasts, or longer, up to that position."""
    with ThreadPoolExecutor(1, thread_name_prefix="audit") as executor:
        filling = executor.submit(audit.fill, up_to)
        try:
            yield
            filling.result()
        except BaseException:
            audit.stopping.set()
            raise


def _fill(control: Connection, copy: Connection, progress: Progress, *, within_live: bool = False) -> int:
    """Project the whole log into the copy, or, `within_live`, what the live tables have of it, without
    `audit_events`; return how many events."""

    def limit() -> int | None:
        return _number(control, "read_live_position") if within_live else None

    end = _number(control, "read_watermark")
    events = 0
    while projected := catch_up(copy, REBUILD_BATCH_SIZE, up_to=limit(), audit=not within_live):
        events += projected
        position = _number(copy, "read_position")
        end = max(end, position)
        progress(position, end)
    progress(end, end)
    return events


def _swap(copy: Connection, live: SchemaState) -> tuple[int, int]:
    """Put the copy in the live tables' place; return the position, and how many more events that took."""
    attempt = 0
    while True:
        events = _project_all(copy)  # so that little is left to do under the lock
        try:
            position, late_events = _swap_once(copy, live)
            return position, events + late_events
        except (psycopg.errors.LockNotAvailable, psycopg.errors.DeadlockDetected):
            attempt += 1
            if attempt == SWAP_ATTEMPTS:
                raise


def _swap_once(copy: Connection, live: SchemaState) -> tuple[int, int]:
    events = 0
    with copy.transaction():
        copy.execute("SET LOCAL lock_timeout TO '2s'")
        copy.execute("SET LOCAL synchronous_commit TO on")  # the old tables are dropped after this
        if live != "absent":
            copy.execute(_sql["lock_live_tables"])
            events = _project_all(copy, up_to=_number(copy, "lock_live_position"))
        position = _number(copy, "read_position")
        if live != "absent":
            copy.execute(_sql["set_live_aside"])
        copy.execute(_sql["put_copy_in_place"])
        copy.execute(_sql["tell_readers"], {"position": position})
    return position, events


def _project_all(copy: Connection, *, up_to: int | None = None, audit: bool = True) -> int:
    events = 0
    while projected := catch_up(copy, REBUILD_BATCH_SIZE, up_to=up_to, audit=audit):
        events += projected
    return events


def _patiently(drop: Callable[[], Any]) -> None:
    """Drop what a slow reader may still be reading: try again rather than make new readers queue."""
    for attempt in range(SWAP_ATTEMPTS):
        try:
            drop()
            return
        except (psycopg.errors.LockNotAvailable, psycopg.errors.DeadlockDetected):
            if attempt == SWAP_ATTEMPTS - 1:
                raise


def _number(conn: Connection, query: str) -> int:
    return int(conn.execute(_sql[query]).fetchall()[0][0])
