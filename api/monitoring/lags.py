"""The age of the oldest event that a follower of the log has not handled.

It is computed from the positions that the followers store in PostgreSQL, so it is right while a follower is
down. An event counts from the time when it was recorded, also while an append of another session that has not
ended keeps all followers from reading it.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path
from typing import NamedTuple

import msgspec

from infrastructure.storage.postgres import Connection, named_queries

_sql = named_queries(Path(__file__).parent / "sql" / "lags.sql")


class Lags(NamedTuple):
    """Seconds since the oldest event was recorded that the follower has not handled; 0 without such an event.

    The projector handles an event by writing the read tables, the relay by publishing it, the dispatcher by
    storing its webhook deliveries, and the notary by signing a checkpoint.
    """

    projector: float
    relay: float
    webhook_dispatcher: float
    notary: float


class _Recorded(msgspec.Struct):
    occurred_at: datetime


_decode = msgspec.json.Decoder(_Recorded).decode


def read_lags(conn: Connection, *, has_kafka: bool) -> Lags:
    """The lags now. With Kafka the dispatchers store their progress every two seconds
    (webhook_dispatcher/progress.py), so that much of their lag may be over already."""
    with conn.cursor(binary=True) as cursor:
        row = cursor.execute(_sql["read_lags"], {"has_kafka": has_kafka}).fetchone()
    assert row is not None
    now, began, before, waiting = row
    appended = None if began is None else max(began, _recorded_at(before) or began)
    return Lags(*(_age(now, appended, _recorded_at(state)) for state in waiting))


def _age(now: datetime, *times: datetime | None) -> float:
    """The seconds since the earliest time. 0 if the clock of the process that recorded it is ahead."""
    oldest = min((time for time in times if time is not None), default=now)
    return round(max(timedelta(), now - oldest).total_seconds(), 3)


def _recorded_at(state: bytes | None) -> datetime | None:
    """The time of a stored event; None without an event, and for one that this version cannot decode."""
    try:
        return None if state is None else _decode(state).occurred_at
    except msgspec.MsgspecError:
        return None
