"""Queues deliveries for the dispatcher: repeated ones, missing ones, and tests."""

from __future__ import annotations

import time
from datetime import datetime, timedelta

import msgspec

from api.v1.webhook_views import sql
from infrastructure.storage.event_store import EventStore, decode
from infrastructure.storage.outcomes import making_change
from infrastructure.storage.postgres import Connection, Pool, fetch_value
from infrastructure.storage.recorder import read_log
from webhook_dispatcher.enqueue import Enqueuer, insert
from webhook_dispatcher.histories import LoggedEvent
from webhook_dispatcher.payloads import make_test_message

BATCH_SIZE = 500
REPLAY_SECONDS = 2.0  # of one request; the next one starts at `continue_from`
SKEW = timedelta(minutes=5)  # an event at a later position can be earlier by at most this time


class Replayed(msgspec.Struct, frozen=True, kw_only=True):
    """`queued` is the number of new deliveries. If `complete` is false, continue from `continue_from`."""

    queued: int
    complete: bool
    continue_from: datetime | None = None


def send_test(pool: Pool, webhook_id: str, event_id: str, at: datetime) -> str:
    """Queue a test message, once for each `event_id`, and return the id of its delivery."""
    message = make_test_message(webhook_id, event_id, at)
    with pool.connection() as conn, making_change(), conn.transaction():
        insert(conn, [(message, [webhook_id])])
        _end_pause(conn, webhook_id)
        parameters = {"endpoint_id": webhook_id, "message_id": message.id}
        return str(fetch_value(conn, sql["delivery_of"], parameters, default=""))


def redeliver(pool: Pool, webhook_id: str, delivery_id: str) -> None:
    """Queue the delivery again, regardless of its status, and start its schedule of retries again."""
    with pool.connection() as conn, making_change(), conn.transaction():
        conn.execute(sql["redeliver"], {"endpoint_id": webhook_id, "id": int(delivery_id)})
        _end_pause(conn, webhook_id)


def recover(pool: Pool, webhook_id: str, since: datetime) -> int:
    """Queue the dead deliveries that were created since then again, and return their number."""
    with pool.connection() as conn, making_change(), conn.transaction():
        count = conn.execute(sql["recover"], {"endpoint_id": webhook_id, "since": since}).rowcount
        _end_pause(conn, webhook_id)
    return count


def count_recoverable(pool: Pool, webhook_id: str, since: datetime) -> int:
    """The number of deliveries that `recover` would queue."""
    with pool.connection() as conn:
        return fetch_value(conn, sql["count_dead"], {"endpoint_id": webhook_id, "since": since}, default=0)


def replay_missing(
    pool: Pool, store: EventStore, webhook_id: str, since: datetime, *, base_url: str
) -> Replayed:
    """Queue the events since then that have no delivery, also those from before the webhook was registered.

    Reads the log, so it also finds events for which no delivery was ever created.
    """
    with pool.connection() as conn:
        return _replay(conn, Enqueuer(store, base_url), webhook_id, since)


def count_missing(
    pool: Pool, store: EventStore, webhook_id: str, since: datetime, *, base_url: str
) -> Replayed:
    """What `replay_missing` would queue. Queues the same events in a transaction that it rolls back, because
    only that finds out which of them the webhook may receive and has not received."""
    with pool.connection() as conn, conn.transaction(force_rollback=True):
        return _replay(conn, Enqueuer(store, base_url), webhook_id, since)


def _replay(conn: Connection, enqueuer: Enqueuer, webhook_id: str, since: datetime) -> Replayed:
    deadline = time.monotonic() + REPLAY_SECONDS
    queued = 0
    position = _position_before(conn, _subtract_skew(since))
    while batch := read_log(conn, position, BATCH_SIZE):
        events = [
            LoggedEvent(row.position, decode(row.state))
            for row in batch
            if row.event_type.startswith("ticket.")
        ]
        wanted = [logged for logged in events if logged.event.occurred_at >= since]
        with making_change(), conn.transaction():
            queued += enqueuer.enqueue_for(conn, wanted, webhook_id)
        position = batch[-1].position
        if time.monotonic() > deadline and len(batch) == BATCH_SIZE:
            reached = decode(batch[-1].state).occurred_at
            if reached - SKEW > since:  # otherwise the next request would read the same events again
                return Replayed(queued=queued, complete=False, continue_from=reached - SKEW)
    return Replayed(queued=queued, complete=True)


def _subtract_skew(moment: datetime) -> datetime:
    """The moment minus SKEW, or the moment itself at the beginning of the calendar."""
    try:
        return moment - SKEW
    except OverflowError:
        return moment


def _position_before(conn: Connection, moment: datetime) -> int:
    """The position before the first event at or after `moment`, by binary search; inexact by up to SKEW."""
    low, high = 0, fetch_value(conn, sql["last_position"], default=0)
    while low < high:
        middle = (low + high) // 2
        row = conn.execute(sql["event_at_or_after"], {"position": middle + 1}).fetchone()
        position, state = row or (0, b"")
        if row is None or decode(state).occurred_at >= moment:
            high = middle
        else:
            low = position
    return low


def _end_pause(conn: Connection, webhook_id: str) -> None:
    """End the pause after failures, so that the delivery is sent immediately."""
    conn.execute(sql["unpause"], {"endpoint_id": webhook_id})
