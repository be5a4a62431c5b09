"""Follows the log without Kafka: reads only the events that a webhook wants."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

from infrastructure.process.following import Pause
from infrastructure.storage.postgres import Connection, fetch_value
from webhook_dispatcher.histories import sql
from webhook_dispatcher.payloads import causes
from webhook_dispatcher.records import Record, record_of_log

BATCH_SIZE = 500
SHORTEST_PAUSE_SECONDS = 0.002
LONGEST_PAUSE_SECONDS = 0.02
REST_SECONDS = 0.01  # after a batch of several events: those stored meanwhile form the next one
WITHOUT_WEBHOOKS_SECONDS = 0.1  # the pause while there is no webhook; also the delay after a registration
STANDBY_SECONDS = 0.2
SAVE_SECONDS = 0.25  # how often the position is stored while no webhook wants the events

Take = Callable[[Connection, Sequence[Record]], int]


class Read(NamedTuple):
    """The result of hook.read_events (migration 0032)."""

    handled: int
    reached: int
    has_webhooks: bool
    positions: list[int] | None
    states: list[bytes] | None


class LogFollower:
    """Reads batches of the log and gives them to `take`, which stores their deliveries and returns how many.

    The position is stored in the transaction of the deliveries. While no webhook wants the events, the
    position is kept in memory (`seen`) and stored from time to time: a commit for each read would cost more
    than the read.
    """

    def __init__(
        self,
        conn: Connection,
        take: Take,
        on_enqueued: Callable[[], None],
        on_turn: Callable[[], object] = lambda: None,
    ) -> None:
        self._conn = conn
        self._on_turn = on_turn
        self._take = take
        self._on_enqueued = on_enqueued
        self._seen = 0
        self._handled = 0
        self._saved_at = 0.0
        pairs = causes()
        self._names = [name for name, _ in pairs]
        self._topics = [topic for _, topic in pairs]

    def run(self, stop: threading.Event) -> None:
        """Follow the log until `stop` is set."""
        idle = Pause(SHORTEST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS)
        while not stop.is_set():
            self._on_turn()
            read = self._read()
            if read.positions:
                is_leading = self.take_batch(read)
                idle.reset()
                rest = REST_SECONDS if len(read.positions) > 1 else SHORTEST_PAUSE_SECONDS
                stop.wait(rest if is_leading else STANDBY_SECONDS)
            else:
                self._pass(read)
                stop.wait(idle.next_seconds() if read.has_webhooks else WITHOUT_WEBHOOKS_SECONDS)

    def take_batch(self, read: Read) -> bool:
        """Store the deliveries of a batch with the position. Returns False if another dispatcher does so."""
        with self._conn.transaction():
            handled: int | None = fetch_value(self._conn, sql["lock_position"], default=None)
            if handled is None:
                return False
            if handled != read.handled:  # another dispatcher has handled some of these events
                read = self._read()
            positions, states = read.positions or [], read.states or []
            records = [record_of_log(*each) for each in zip(positions, states, strict=True)]
            enqueued = self._take(self._conn, records)
            self._conn.execute(sql["save_position"], {"position": read.reached})
        self._handled = read.reached
        if enqueued:
            self._on_enqueued()
        return True

    def _read(self) -> Read:
        parameters = {"seen": self._seen, "most": BATCH_SIZE, "names": self._names, "topics": self._topics}
        with self._conn.cursor(binary=True) as cur:
            (row,) = cur.execute(sql["read_events"], parameters).fetchall()
        read = Read._make(row)
        if read.handled < self._handled:  # an operator has set the position back
            self._seen, self._handled = 0, read.handled
            return self._read()
        self._handled = read.handled
        return read

    def _pass(self, read: Read) -> None:
        """Note that no webhook wants an event up to the position reached."""
        self._seen = read.reached
        now = time.monotonic()
        if read.reached > read.handled and now > self._saved_at + SAVE_SECONDS:
            self._conn.execute(sql["pass_events"], {"position": read.reached})
            self._saved_at = now
