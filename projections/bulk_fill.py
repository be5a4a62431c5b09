"""Fills an empty copy of the read tables from a long log, with several connections at the same time.

The events of an aggregate are read together, so that each row is written once, in its last state. In the
order of the log a ticket is written again with every batch that changes it. Threads share the aggregates by
ranges of ids, because rows of different aggregates do not depend on each other. Only rows of `audit_events`
do; another thread writes them in the order of the log. The threads wait for PostgreSQL most of the time.

Nothing is parked here: an event that cannot be projected is an error.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from itertools import pairwise
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any

from infrastructure.keys.vault import Vault
from infrastructure.storage.event_store import decode
from infrastructure.storage.postgres import Connection, fetch_value, named_queries
from infrastructure.storage.recorder import read_log
from projections import project_audit
from projections.batch import Entry, project_aggregates
from projections.project_past_tickets import PastTickets

LEAST_EVENTS = 20_000  # for fewer, starting the threads does not pay
BATCH_SIZE = 5_000
RANGES = 64
FILLERS = 2  # threads that project aggregates
SAMPLED_EVENTS = 30_000
_LAST_VERSION = 2**63 - 1
_sql = named_queries(Path(__file__).parent / "sql" / "bulk_fill.sql")

Range = tuple[str, str]  # the ids after the first and up to the second
Connect = Callable[[], Connection]
KeepPast = Callable[[PastTickets], None]
Progress = Callable[[int, int], None]


def fill_in_bulk(
    copy: Connection,
    connect: Connect,
    vault: Vault,
    end: int,
    progress: Progress,
    keep_past: KeepPast | None = None,
) -> int:
    """Project the log up to the position `end` into the empty copy, and return the number of events.

    `connect` opens a connection to the copy. With `keep_past` the tables `past_tickets` and `audit_events`
    are not written: `keep_past`, which several threads call, receives the rows for `past_tickets` instead.
    Raises the error of an event that cannot be projected; the copy is then useless.
    """
    events = _Work(connect, vault, end, _choose_ranges(copy, end), progress, keep_past).run()
    copy.execute(_sql["move_position"], {"position": end})
    return events


class _Work:
    """The ranges that are left to project, and the threads that project them."""

    def __init__(
        self,
        connect: Connect,
        vault: Vault,
        end: int,
        ranges: Sequence[Range],
        progress: Progress,
        keep_past: KeepPast | None,
    ) -> None:
        self._connect = connect
        self._vault = vault
        self._end = end
        self._progress = progress
        self._keep_past = keep_past
        self._events = 0  # that the threads have projected
        self._audited = 0  # events that have their audit row
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        self._ranges: SimpleQueue[Range] = SimpleQueue()
        for each in ranges:
            self._ranges.put(each)

    def run(self) -> int:
        """Return the number of events."""
        with ThreadPoolExecutor(FILLERS + 1, thread_name_prefix="fill") as threads:
            audited = [] if self._keep_past else [threads.submit(self._fill_audit_events)]
            filled = [threads.submit(self._fill_aggregates) for _ in range(FILLERS)]
            every: list[Future[Any]] = [*audited, *filled]
            try:
                wait(every, return_when=FIRST_EXCEPTION)
            finally:
                self._stopping.set()
            for one in every:
                one.result()  # raises its error
        return self._events

    def _fill_aggregates(self) -> None:
        with self._connect() as conn:
            conn.execute(_sql["read_by_index"])
            while (ids := self._next_range()) is not None:
                for entries in self._read(conn, ids):
                    with conn.transaction():
                        past = project_aggregates(conn, self._vault, entries)
                        if self._keep_past is None:
                            past.write_tickets(conn)
                    if self._keep_past:
                        self._keep_past(past)
                    self._note(projected=len(entries))

    def _next_range(self) -> Range | None:
        try:
            return self._ranges.get_nowait()
        except Empty:
            return None

    def _read(self, conn: Connection, ids: Range) -> Iterator[list[Entry]]:
        """The events of the aggregates in batches, ordered by aggregate and version."""
        after, last = ids
        version = _LAST_VERSION
        while not self._stopping.is_set():
            parameters = {"id": after, "version": version, "last": last, "end": self._end}
            with conn.cursor(binary=True) as cur:
                rows = cur.execute(_sql["read_range"], {**parameters, "limit": BATCH_SIZE}).fetchall()
            if not rows:
                return
            yield [Entry(position, aggregate_id, state) for position, aggregate_id, _, state in rows]
            _, after, version, _ = rows[-1]

    def _fill_audit_events(self) -> None:
        reached = 0
        with self._connect() as conn:
            while not self._stopping.is_set() and reached < self._end:
                rows = [row for row in read_log(conn, reached, BATCH_SIZE) if row.position <= self._end]
                if not rows:
                    break
                audited = [(row.position, decode(row.state)) for row in rows]
                with conn.transaction():
                    project_audit.project(conn, audited, project_audit.select_rows(conn, audited))
                reached = rows[-1].position
                self._note(audited=len(rows))

    def _note(self, projected: int = 0, audited: int = 0) -> None:
        with self._lock:
            self._events += projected
            self._audited += audited
            done = self._events if self._keep_past else (self._events + self._audited) // 2
            self._progress(min(done, self._end), self._end)


def _choose_ranges(conn: Connection, end: int) -> list[Range]:
    """Ranges of ids with about the same number of events."""
    parameters = {
        "fractions": [number / RANGES for number in range(1, RANGES)],
        "percent": min(100.0, 100.0 * SAMPLED_EVENTS / end),
    }
    sampled = fetch_value(conn, _sql["sample_ids"], parameters, default=list[str]())
    bounds = ["", *dict.fromkeys(sampled), fetch_value(conn, _sql["last_id"], default="")]
    return list(pairwise(bounds))
