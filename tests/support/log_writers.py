"""Writers for the test of the watermark. They run every kind of transaction that appends events.

They run in separate processes, so that they commit in parallel and the follower does not slow them.
"""

from __future__ import annotations

import random
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import psycopg
from eventsourcing.persistence import IntegrityError, StoredEvent

from infrastructure.storage.postgres import Connection, connect, make_pool
from infrastructure.storage.recorder import WatermarkRecorder

SHARED_STREAMS = 4
INSERT = (
    "INSERT INTO es.stored_events (originator_id, originator_version, topic, state) "
    "VALUES (%s, %s, 'test', '{}') RETURNING notification_id"
)


class ForcedRollback(Exception):
    """Raised by a writer inside its transaction to roll it back."""


def write(dsn: str, first_writer: int, writers: int, seconds: float) -> Counter[str]:
    """Run `writers` writers, one thread each, for `seconds`; count the transactions of each kind."""
    stop_at = time.monotonic() + seconds
    pool = make_pool(dsn, application="writers", max_size=writers)
    with pool, ThreadPoolExecutor(writers) as threads:
        recorder = WatermarkRecorder(pool)
        numbers = range(first_writer, first_writer + writers)
        counts = threads.map(lambda number: _Writer(number, dsn, recorder).run(stop_at), numbers)
        return sum(counts, Counter())


class _Writer:
    """Appends to its own stream and to a few streams that all writers share."""

    def __init__(self, number: int, dsn: str, recorder: WatermarkRecorder) -> None:
        self._random = random.Random(number)
        self._stream = f"own-{number}"
        self._version = 0
        self._dsn = dsn
        self._recorder = recorder

    def run(self, stop_at: float) -> Counter[str]:
        kinds = (
            self.one_event,
            self.several_events,
            self.shared_stream,
            self.slow,
            self.rolled_back,
            self.rolled_back_to_savepoint,
            self.refused,
        )
        done: Counter[str] = Counter()
        with connect(self._dsn, application="writer") as conn:
            while time.monotonic() < stop_at:
                kind = self._random.choice(kinds)
                done[kind(conn) or kind.__name__] += 1
        return done

    def one_event(self, conn: Connection) -> None:
        self._recorder.insert_events([self._event(1)])
        self._version += 1

    def several_events(self, conn: Connection) -> None:
        count = self._random.randint(2, 20)
        self._recorder.insert_events([self._event(number) for number in range(1, count + 1)])
        self._version += count

    def shared_stream(self, conn: Connection) -> str:
        """Compete with others for the next version of a stream; the losers' inserts are rolled back."""
        stream = f"shared-{self._random.randrange(SHARED_STREAMS)}"
        found = self._recorder.select_recorded(stream, 1, 2**63 - 1)
        try:
            self._recorder.insert_events([StoredEvent(stream, len(found) + 1, "test", b"{}")])
        except IntegrityError:
            return "race_lost"
        return "race_won"

    def slow(self, conn: Connection) -> None:
        """Run several statements with pauses. The first takes its id long before the commit."""
        with conn.transaction():
            for _ in range(3):
                self._insert(conn)
                self._pause()

    def rolled_back(self, conn: Connection) -> None:
        version = self._version
        try:
            with conn.transaction():
                self._insert(conn)
                self._pause()
                self._insert(conn)
                raise ForcedRollback
        except ForcedRollback:
            self._version = version

    def rolled_back_to_savepoint(self, conn: Connection) -> None:
        with conn.transaction():
            self._insert(conn)
            self.rolled_back(conn)
            self._insert(conn)

    def refused(self, conn: Connection) -> None:
        """Append two events with the same version: both have taken ids when the append is refused."""
        with suppress(IntegrityError):
            self._recorder.insert_events([self._event(1), self._event(1)])

    def _event(self, number: int) -> StoredEvent:
        return StoredEvent(self._stream, self._version + number, "test", b"{}")

    def _insert(self, conn: Connection) -> None:
        conn.execute(INSERT, [self._stream, self._version + 1])
        self._version += 1

    def _pause(self) -> None:
        time.sleep(self._random.uniform(0.0, 0.02))


class Follower:
    """Polls the log without pause in a thread and records what it reads: (position, stream, version)."""

    def __init__(self, dsn: str, read) -> None:
        self.seen: list[tuple[int, str, int]] = []
        self.polls = 0
        self._dsn = dsn
        self._read = read
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Follower:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Read to the end of the log and stop."""
        self._stopping.set()
        self._thread.join()

    def _run(self) -> None:
        with connect(self._dsn, application="follower") as conn:
            while True:
                is_last_poll = self._stopping.is_set()
                rows = self._read(conn, self.seen[-1][0] if self.seen else 0, 500)
                self.polls += 1
                self.seen += [row[:3] for row in rows]
                if is_last_poll and not rows:
                    return


def read_without_watermark(conn: psycopg.Connection, position: int, limit: int):
    """Read as a follower that ignores the watermark: the control in the test."""
    return conn.execute(
        "SELECT notification_id, originator_id, originator_version FROM es.stored_events"
        " WHERE notification_id > %s ORDER BY notification_id LIMIT %s",
        [position, limit],
    ).fetchall()
