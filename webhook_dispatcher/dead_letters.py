"""Lists and retries dead letters and dead deliveries.

A dead letter is a record of the log or of Kafka for which no deliveries could be stored. A dead delivery is
one whose last attempt failed.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

from infrastructure.storage.postgres import Connection, fetch_value, named_queries
from webhook_dispatcher.consumer import Consumer
from webhook_dispatcher.records import record_of_dead_letter

BATCH_SIZE = 100

_sql = named_queries(Path(__file__).parent / "sql" / "dead_letters.sql")


class DeadLetterId(NamedTuple):
    """The place of the record: its topic (`log` for the log), partition and offset."""

    topic: str
    partition: int
    offset: int

    def __str__(self) -> str:
        return f"{self.topic}/{self.partition}/{self.offset}"


class DeadLetter(NamedTuple):
    """A record that could not be handled, and the last error."""

    id: DeadLetterId
    size_bytes: int
    error: str
    at: datetime


class DeadDelivery(NamedTuple):
    """A delivery whose last attempt failed. `answer` is its status, or the reason why there was none."""

    id: int
    webhook_id: str
    url: str
    event_name: str
    attempts: int
    answer: str | None
    died_at: datetime


class Retried(NamedTuple):
    """How many dead letters were handled, and how many failed again."""

    handled: int
    failed: int


def list_dead_letters(conn: Connection, limit: int) -> list[DeadLetter]:
    """The dead letters, in the order of their places."""
    rows = conn.execute(_sql["list_letters"], {"limit": limit})
    return [DeadLetter(DeadLetterId(*place), size, error, at) for *place, size, error, at in rows]


def retry_dead_letters(conn: Connection, consumer: Consumer, ids: Sequence[DeadLetterId] | None) -> Retried:
    """Store the deliveries of these dead letters, or of all. Those that fail again stay, with the error."""
    after = DeadLetterId("", 0, 0)
    handled = failed = 0
    while True:
        with conn.transaction():
            parameters = {**_arrays(ids or ()), **_named(after), "all": ids is None, "limit": BATCH_SIZE}
            rows = conn.execute(_sql["take_letters"], parameters, binary=True).fetchall()
            if not rows:
                return Retried(handled, failed)
            taken = sorted(DeadLetterId(*place) for *place, _, _, _ in rows)
            consumer.take(conn, [record_of_dead_letter(*row) for row in sorted(rows)])
            again = fetch_value(conn, _sql["count_letters"], _arrays(taken), default=0)
        after = taken[-1]
        failed += again
        handled += len(taken) - again


def delete_dead_letters(conn: Connection, ids: Sequence[DeadLetterId]) -> int:
    """Delete these dead letters, and return how many there were."""
    return conn.execute(_sql["delete_letters"], _arrays(ids)).rowcount


def list_dead_deliveries(conn: Connection, limit: int) -> list[DeadDelivery]:
    """The dead deliveries of all webhooks that still exist, the newest first."""
    return [DeadDelivery(*row) for row in conn.execute(_sql["list_deliveries"], {"limit": limit})]


def retry_dead_deliveries(conn: Connection, ids: Sequence[int] | None) -> int:
    """Make these dead deliveries due again, or all, with a new schedule of retries. Returns their number.

    Deliveries of disabled webhooks are sent when the webhook is enabled again.
    """
    parameters = {"ids": None if ids is None else list(ids)}
    return fetch_value(conn, _sql["retry_deliveries"], parameters, default=0)


def _named(place: DeadLetterId) -> dict[str, str | int]:
    return {f"after_{name}": value for name, value in place._asdict().items()}


def _arrays(ids: Sequence[DeadLetterId]) -> dict[str, list[str] | list[int]]:
    return {
        "topics": [place.topic for place in ids],
        "partitions": [place.partition for place in ids],
        "offsets": [place.offset for place in ids],
    }
