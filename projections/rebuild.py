"""Refills the read tables from the log during live traffic: fills a copy and swaps it with the live tables.

projections/verification.py fills such a copy to compare it with the live tables.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import LiteralString

import msgspec
import structlog
from psycopg import sql as composing

from infrastructure.keys.vault import Vault
from infrastructure.process.deadlines import LONG_STATEMENT_SECONDS
from infrastructure.process.failures import describe_error
from infrastructure.process.following import is_transient
from infrastructure.process.garbage import rare_garbage_collection
from infrastructure.storage.postgres import Connection, connect, named_queries
from infrastructure.storage.read_schema import read_tables
from projections.bulk_fill import LEAST_EVENTS, fill_in_bulk
from projections.old_tables import (
    ATTEMPT,
    drop_old_tables,
    release_rebuild_lock,
    set_aside,
    take_rebuild_lock,
    wait_for_readers,
)
from projections.project_past_tickets import PastTickets
from projections.runner import catch_up, connect_projector
from projections.schema import (
    COPY,
    SchemaState,
    add_for_readers,
    create_read_schema,
    read_schema_state,
)

REBUILD_BATCH_SIZE = 5_000
sql = named_queries(Path(__file__).parent / "sql" / "rebuild.sql")

log = structlog.get_logger()

Progress = Callable[[int, int], None]  # position reached, position to reach


class RebuildRunning(Exception):
    """Another rebuild or verification is under way."""


class RebuildReport(msgspec.Struct, frozen=True, kw_only=True):
    """`events` were projected in `seconds`; the live tables are now at `position`. `old_in_use_by` names the
    sessions that still read the replaced tables, which therefore could not be dropped."""

    events: int
    position: int
    seconds: float
    old_in_use_by: str


def rebuild(dsn: str, vault: Vault, progress: Progress) -> RebuildReport:
    """Replace the read tables of any version, or create them when they are absent.

    The API reads and writes meanwhile. The swap is one short transaction. Raises RebuildRunning,
    TablesInUse.
    """
    started = time.monotonic()
    with fresh_copy(dsn) as (control, copy):
        events = fill_from_start(dsn, control, copy, vault, progress)
        wait_for_readers(control, COPY, lambda: _finish(control))
        control.execute(sql["vacuum_copy"])
        control.execute(sql["summarize_copy"])
        position, late_events = _swap(control, copy, vault, read_schema_state(control))
        old_in_use_by = drop_old_tables(control)
    return RebuildReport(
        events=events + late_events,
        position=position,
        seconds=time.monotonic() - started,
        old_in_use_by=old_in_use_by,
    )


@contextmanager
def fresh_copy(dsn: str) -> Iterator[tuple[Connection, Connection]]:
    """Creates an empty copy of the read tables, and drops it at the end.

    Yields a connection for administration and one that fills the copy.
    """
    with (
        rare_garbage_collection(),
        connect(dsn, application="ticketing-rebuild", limit_seconds=LONG_STATEMENT_SECONDS) as control,
    ):
        if not take_rebuild_lock(control):
            raise RebuildRunning(
                "Another rebuild or verification is running. Run this command again when it has ended."
            )
        set_aside(control, COPY)  # of a rebuild that was killed
        drop_old_tables(control, seconds=0)
        _create_copy(control)
        control.execute(f"SET lock_timeout TO '{ATTEMPT}'")
        try:
            with connect_to_copy(dsn) as copy:
                yield control, copy
        finally:
            set_aside(control, COPY)
            drop_old_tables(control, seconds=0)
            release_rebuild_lock(control)


def _create_copy(control: Connection) -> None:
    """Create the copy without autovacuum, which would read the growing tables again and again.

    It would also prevent the creation of indexes: it ends only when a session has waited for its lock for the
    server's `deadlock_timeout`, which is longer than ATTEMPT.
    """
    create_read_schema(control, COPY, for_readers=False)
    _set_autovacuum(control, sql["without_autovacuum"])


def _finish(control: Connection) -> None:
    with control.transaction():
        add_for_readers(control, COPY)
        _set_autovacuum(control, sql["with_autovacuum"])


def _set_autovacuum(control: Connection, statement: LiteralString) -> None:
    for (change,) in control.execute(statement, {"schema": COPY}).fetchall():
        control.execute(change)


def connect_to_copy(dsn: str) -> Connection:
    """Open a connection that fills the copy, whose statements may take long."""
    copy = connect_projector(dsn, COPY)
    copy.execute("SET statement_timeout TO 0")
    copy.limit_seconds = LONG_STATEMENT_SECONDS
    return copy


def fill_from_start(
    dsn: str,
    control: Connection,
    copy: Connection,
    vault: Vault,
    progress: Progress,
    *,
    keep_past: Callable[[PastTickets], None] | None = None,
    forget_past: Callable[[], None] = lambda: None,
) -> int:
    """Project the log into the empty copy, and return the number of events.

    With `keep_past`, which is passed to catch_up, it projects only up to the live position. `forget_past` is
    called before `keep_past` receives all rows again.
    """
    end = fetch_number(control, "read_live_position" if keep_past else "read_end")
    events = 0
    if end >= LEAST_EVENTS:
        try:
            events = fill_in_bulk(copy, lambda: connect_to_copy(dsn), vault, end, progress, keep_past)
        except Exception as error:
            if is_transient(error):
                raise
            log.warning("rebuild_in_the_order_of_the_log", because=describe_error(error))
            set_aside(control, COPY)
            _create_copy(control)
            forget_past()
    return events + fill(control, copy, vault, progress, keep_past=keep_past)


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
    end = fetch_number(control, "read_end")
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


def _swap(control: Connection, copy: Connection, vault: Vault, live: SchemaState) -> tuple[int, int]:
    """Swap the copy with the live tables. Returns its position, and the number of events it projected."""
    events = position = 0

    def swap() -> None:
        nonlocal events, position
        events += project_all(copy, vault)  # so that little is left to do under the lock
        position, late_events = _swap_once(copy, vault, live)
        events += late_events

    wait_for_readers(control, read_tables.schema, swap)
    return position, events


def _swap_once(copy: Connection, vault: Vault, live: SchemaState) -> tuple[int, int]:
    events = 0
    with copy.transaction():
        copy.execute(f"SET LOCAL lock_timeout TO '{ATTEMPT}'")
        copy.execute("SET LOCAL synchronous_commit TO on")  # because the old tables are dropped afterwards
        if live != "absent":
            copy.execute(sql["lock_live_tables"])
            events = project_all(copy, vault, up_to=fetch_number(copy, "lock_live_position"))
        position = fetch_number(copy, "read_position")
        schema = read_tables.schema
        set_aside(copy, schema)
        copy.execute(composing.SQL(sql["put_copy_in_place"]).format(live=composing.Identifier(schema)))
        copy.execute(sql["tell_readers"], {"position": position, "schema": schema})
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


def fetch_number(conn: Connection, query: str) -> int:
    ((value,),) = conn.execute(sql[query]).fetchall()
    return int(value)
