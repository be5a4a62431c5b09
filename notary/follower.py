"""The notary: follows the log, chains it, signs checkpoints, and publishes them outside the database."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple

import structlog

from infrastructure.keys.vault import Vault
from infrastructure.process.following import wait_for_leadership
from infrastructure.process.loops import Loop, Loops
from infrastructure.settings import Settings
from infrastructure.storage.postgres import NOTICE_LOST_CLIENTS, Connection, connect, fetch_value
from notary.blocks import BLOCK_EVENTS, Row, chain_block, read_end, sql
from notary.places import NotaryRefused, Place, PlaceUnavailable, StatementFile
from notary.signing import last_checkpoint, lock_chain, sign_checkpoint, sign_erasure
from notary.statements import BadStatement, parse

LEADER_KEY = 7_305_875  # the session advisory lock of the notary that leads
POLL_SECONDS = 1.0
RETRY_SECONDS = 30.0
LINES_AT_ONCE = 500
_ERASED = "user.erased"

log = structlog.get_logger()


def run_notary(settings: Settings, vault: Vault, stop: threading.Event, *, loop: Loop | None = None) -> None:
    """Run until `stop` is set; a second notary waits until the first has ended. Raises on any error: the
    supervisor restarts the process."""
    loop = loop or Loops().add("notary")
    options = f"-c statement_timeout=60s {NOTICE_LOST_CLIENTS}"
    with connect(settings.direct_url, application="ticketing-notary", options=options) as conn:
        if wait_for_leadership(conn, LEADER_KEY, stop, between_tries=loop.turn):
            log.info("notary_leads")
            with loop.leading():
                Notary(conn, vault, settings, loop).run(stop)


class Notary:
    """Chains each full block. Chains and signs the rest of the log when a checkpoint is due or a person was
    erased."""

    def __init__(self, conn: Connection, vault: Vault, settings: Settings, loop: Loop | None = None) -> None:
        self._conn = conn
        self._vault = vault
        self._loop = loop or Loops().add("notary")
        self._interval_seconds = settings.checkpoint_minutes * 60
        self._publisher = Publisher(conn, _places(settings), self._loop)
        self._signed_at: float | None = None

    def run(self, stop: threading.Event) -> None:
        while not stop.is_set():
            if not self.step():
                stop.wait(POLL_SECONDS)

    def step(self) -> bool:
        """Chain, sign and publish what is due. Returns whether another full block may be waiting."""
        self._loop.turn()
        waiting, has_erasure = self._count_waiting()
        is_due = self._signed_at is None or time.monotonic() - self._signed_at >= self._interval_seconds
        if waiting >= BLOCK_EVENTS and not has_erasure:
            self._chain_next()
        if (is_due and waiting < BLOCK_EVENTS) or has_erasure:
            sign_log(self._conn, self._vault, chain=self._chain_next)
            self._signed_at = time.monotonic()
        self._publisher.publish()
        return waiting >= BLOCK_EVENTS

    def _chain_next(self) -> Sequence[Row]:
        """Do what chain_next does, and count it."""
        self._loop.turn()
        began = time.monotonic()
        rows = chain_next(self._conn, self._vault)
        if rows:
            self._loop.count_batch(len(rows), time.monotonic() - began)
        return rows

    def _count_waiting(self) -> tuple[int, bool]:
        parameters = {"after": read_end(self._conn).position, "limit": BLOCK_EVENTS}
        ((count, has_erasure),) = self._conn.execute(sql["count_waiting"], parameters).fetchall()
        return int(count), bool(has_erasure)


def sign_log(conn: Connection, vault: Vault, *, chain: Callable[[], Sequence[Row]] | None = None) -> None:
    """Chain all events of the log and sign a checkpoint over them, unless one exists. `chain` chains a block;
    by default chain_next."""
    chain = chain or partial(chain_next, conn, vault)
    while len(chain()) == BLOCK_EVENTS:
        pass
    with conn.transaction():
        lock_chain(conn)
        end, last = read_end(conn), last_checkpoint(conn)
        if last is None or last.facts["page"] != end.number:
            statement = sign_checkpoint(conn, vault, end)
            log.info("checkpoint_signed", number=statement.number, position=end.position)


def chain_next(conn: Connection, vault: Vault) -> Sequence[Row]:
    """Chain one block, and sign a statement for each erasure in it, in one commit."""
    with conn.transaction():
        lock_chain(conn)
        rows = chain_block(conn)
        for row in rows:
            if row.event_type == _ERASED:
                sign_erasure(conn, vault, row.aggregate_id, row.position)
    return rows


def _places(settings: Settings) -> list[Place]:
    """The file and, if Kafka is configured, the topic."""
    found: list[Place] = [StatementFile.of(settings)]
    if settings.kafka_bootstrap_servers:
        from notary.topic import StatementTopic  # imported here, because it loads a Kafka client

        found.append(StatementTopic(settings))
    return found


class StatementRow(NamedTuple):
    """A statement in the database."""

    number: int
    line: str


class Publisher:
    """Copies the statements of the database to every place outside it."""

    def __init__(self, conn: Connection, places: Sequence[Place], loop: Loop) -> None:
        self._conn = conn
        self._loop = loop
        self._places = places
        self._reached: dict[Place, int] = {}
        self._not_before: dict[Place, float] = {}

    def publish(self) -> None:
        """Publish new statements. Tries an unavailable place again later, and does not delay the others."""
        for place in self._places:
            if time.monotonic() < self._not_before.get(place, 0.0):
                continue
            try:
                self._publish_to(place)
            except PlaceUnavailable as error:
                self._loop.count_error(error)
                log.error("checkpoints_not_published", error=str(error), retry_in_seconds=RETRY_SECONDS)
                self._reached.pop(place, None)  # some lines may have arrived: read the last line again
                self._not_before[place] = time.monotonic() + RETRY_SECONDS

    def _publish_to(self, place: Place) -> None:
        if place not in self._reached:
            self._reached[place] = last_published(self._conn, place)
        while rows := self._rows_after(self._reached[place]):
            self._loop.turn()
            place.append([row.line for row in rows])
            self._reached[place] = rows[-1].number

    def _rows_after(self, number: int) -> list[StatementRow]:
        parameters = {"number": number, "limit": LINES_AT_ONCE}
        return [StatementRow(*row) for row in self._conn.execute(sql["statements_after"], parameters)]


def last_published(conn: Connection, place: Place) -> int:
    """The number of the last line at the place, 0 if there is none. Raises NotaryRefused if the database
    lacks that line."""
    line = place.last_line()
    if line is None:
        return 0
    try:
        number = parse(line).number
    except BadStatement as error:
        raise NotaryRefused(
            f"The last checkpoint outside the database cannot be read: {error}. Run `ticketing verify`,"
            " then move the old checkpoints away; the notary begins a new file."
        ) from None
    if fetch_value(conn, sql["statement_numbered"], {"number": number}, default="") != line:
        raise NotaryRefused(
            f"The last checkpoint outside the database, number {number}, is not in the database: this is"
            " another database, or one restored from a backup, or its log was altered. Run `ticketing"
            " verify`, then move the old checkpoints away; the notary begins a new file."
        )
    return number
