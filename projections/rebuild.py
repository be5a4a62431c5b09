"""Refills the read tables from the log during live traffic: fills a copy and swaps it with the live tables.

projections/verification.py fills such a copy to compare it with the live tables.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
import psycopg

from infrastructure.keys.vault import Vault
from infrastructure.process.deadlines import LONG_STATEMENT_SECONDS
from infrastructure.process.garbage import rare_garbage_collection
from infrastructure.storage.postgres import Connection, connect, fetch_value, named_queries
from projections.project_past_tickets import PastTickets
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
_OLD = "read_old"
_REBUILD_KEY = 7_305_878  # session advisory lock; one rebuild or verification runs at a time
sql = named_queries(Path(__file__).parent / "sql" / "rebuild.sql")

Progress = Callable[[int, int], None]  # position reached, position to reach


class RebuildRunning(Exception):
    """Another rebuild or verification is under way."""


class RebuildReport(msgspec.Struct, frozen=True, kw_only=True):
    """`events` were projected in `seconds`; the live tables are now at `position`."""

    events: int
    position: int
    seconds: float


def rebuild(dsn: str, vault: Vault, progress: Progress) -> RebuildReport:
    """Replace the read tables of any version, or create them when they are absent.

    The API reads and writes meanwhile. The swap is one short transaction.
    """
    started = time.monotonic()
    with fresh_copy(dsn) as (control, copy):
        events = fill(control, copy, vault, progress)
        add_for_readers(control, COPY)
        control.execute(sql["analyze_copy"])
        control.execute(sql["summarize_copy"])
        position, late_events = _swap(copy, vault, read_schema_state(control))
        _drop_with_retries(lambda: drop_read_schema(control, _OLD))
    return RebuildReport(events=events + late_events, position=position, seconds=time.monotonic() - started)


@contextmanager
def fresh_copy(dsn: str) -> Iterator[tuple[Connection, Connection]]:
    """Creates an empty copy of the read tables, and drops it at the end.

    Yields a connection for administration and one that fills the copy.
    """
    with (
        rare_garbage_collection(),
        connect(dsn, application="ticketing-rebuild", limit_seconds=LONG_STATEMENT_SECONDS) as control,
    ):
        if not fetch_value(control, sql["take_rebuild_lock"], {"key": _REBUILD_KEY}, default=False):
            raise RebuildRunning(
                "Another rebuild or verification is running. Run this command again when it has ended."
            )
        drop_read_schema(control, COPY)  # a killed rebuild may have left COPY or _OLD
        drop_read_schema(control, _OLD)
        create_read_schema(control, COPY, for_readers=False)
        control.execute("SET lock_timeout TO '2s'")
        try:
            with connect_projector(dsn, COPY) as copy:
                copy.execute("SET statement_timeout TO 0")
                copy.limit_seconds = LONG_STATEMENT_SECONDS
                yield control, copy
        finally:
            _drop_with_retries(lambda: drop_read_schema(control, COPY))
            # Explicitly, because the server releases it a moment after the connection is closed.
            control.execute(sql["release_rebuild_lock"], {"key": _REBUILD_KEY})


def fill(
    control: Connection,
    copy: Connection,
    vault: Vault,
    progress: Progress,
    *,
    keep_past: Callable[[PastTickets], None] | None = None,
) -> int:
    """Project the log into the copy, and return the number of events.

    With `keep_past`, which is passed to catch_up, it projects only up to the live position.
    """
    end = fetch_number(control, "read_watermark")
    events = 0
    while projected := catch_up(
        copy,
        vault,
        REBUILD_BATCH_SIZE,
        up_to=fetch_number(control, "read_live_position") if keep_past else None,
        keep_past=keep_past,
    ):
        events += projected
        position = fetch_number(copy, "read_position")
        end = max(end, position)
        progress(position, end)
    progress(end, end)
    return events


def _swap(copy: Connection, vault: Vault, live: SchemaState) -> tuple[int, int]:
    """Swap the copy with the live tables. Returns its position, and the number of events it projected."""
    attempt = 0
    while True:
        events = project_all(copy, vault)  # so that little is left to do under the lock
        try:
            position, late_events = _swap_once(copy, vault, live)
            return position, events + late_events
        except (psycopg.errors.LockNotAvailable, psycopg.errors.DeadlockDetected):
            attempt += 1
            if attempt == SWAP_ATTEMPTS:
                raise


def _swap_once(copy: Connection, vault: Vault, live: SchemaState) -> tuple[int, int]:
    events = 0
    with copy.transaction():
        copy.execute("SET LOCAL lock_timeout TO '2s'")
        copy.execute("SET LOCAL synchronous_commit TO on")  # because the old tables are dropped afterwards
        if live != "absent":
            copy.execute(sql["lock_live_tables"])
            events = project_all(copy, vault, up_to=fetch_number(copy, "lock_live_position"))
        position = fetch_number(copy, "read_position")
        if live != "absent":
            copy.execute(sql["set_live_aside"])
        copy.execute(sql["put_copy_in_place"])
        copy.execute(sql["tell_readers"], {"position": position})
    return position, events


def project_all(
    copy: Connection,
    vault: Vault,
    *,
    up_to: int | None = None,
    keep_past: Callable[[PastTickets], None] | None = None,
) -> int:
    """Project the rest of the log, up to a position if given, and return the number of events."""
    events = 0
    while projected := catch_up(copy, vault, REBUILD_BATCH_SIZE, up_to=up_to, keep_past=keep_past):
        events += projected
    return events


def _drop_with_retries(drop: Callable[[], Any]) -> None:
    """Call `drop` until it gets the lock. One longer wait for a slow reader would block new readers."""
    for attempt in range(SWAP_ATTEMPTS):
        try:
            drop()
            return
        except (psycopg.errors.LockNotAvailable, psycopg.errors.DeadlockDetected):
            if attempt == SWAP_ATTEMPTS - 1:
                raise


def fetch_number(conn: Connection, query: str) -> int:
    ((value,),) = conn.execute(sql[query]).fetchall()
    return int(value)
