"""Sending again, sending what was never sent, and sending a test: rows for the dispatcher to find."""

from __future__ import annotations

import time
from datetime import datetime, timedelta

import msgspec

from infrastructure.storage.event_store import EventStore, decode
from infrastructure.storage.postgres import Connection, Pool
from infrastructure.storage.recorder import read_log
from webhook_dispatcher.enqueue import Enqueuer, LoggedEvent, insert
from webhook_dispatcher.payloads import make_test_message
from webhook_dispatcher.reading import sql

PAGE_SIZE = 500
REPLAY_SECONDS = 2.0  # of one request; the answer says from where to go on
SKEW = timedelta(minutes=5)  # the log is in order of position, which clocks follow only roughly


class Replayed(msgspec.Struct, frozen=True, kw_only=True):
    """`queued` deliveries are new. Not `complete`: ask again from `continue_from`."""

    queued: int
    complete: bool
    continue_from: datetime | None = None


def send_test(pool: Pool, webhook_id: str, event_id: str, at: datetime) -> str:
    """Queue a test message, once for each `event_id`; return the delivery's id."""
    message = make_test_message(webhook_id, event_id, at)
    with pool.connection() as conn, conn.transaction():
        insert(conn, [message], [(webhook_id, message)])
        _try_at_once(conn, webhook_id)
        parameters = {"endpoint_id": webhook_id, "message_id": message.id}
        row = conn.execute(sql["delivery_of"], parameters).fetchone()
    return str(row[0]) if row else ""


def redeliver(pool: Pool, webhook_id: str, delivery_id: str) -> None:
    """Post it again from the beginning of the schedule, whatever became of it."""
    with pool.connection() as conn, conn.transaction():
        conn.execute(sql["redeliver"], {"endpoint_id": webhook_id, "id": int(delivery_id)})
        _try_at_once(conn, webhook_id)


def recover(pool: Pool, webhook_id: str, since: datetime) -> int:
    """Post again what is dead of the deliveries made since then; return how many there are."""
    with pool.connection() as conn, conn.transaction():
        count = conn.execute(sql["recover"], {"endpoint_id": webhook_id, "since": since}).rowcount
        _try_at_once(conn, webhook_id)
    return count


def replay_missing(pool: Pool, store: EventStore, webhook_id: str, since: datetime) -> Replayed:
    """Queue what happened since then and has no delivery, also from before the webhook was registered.

    Found in the log itself, so that an event which never became a delivery is found too.
    """
    enqueuer = Enqueuer(store)
    deadline = time.monotonic() + REPLAY_SECONDS
    queued = 0
    with pool.connection() as conn:
        position = _position_before(conn, _a_little_before(since))
        while page := read_log(conn, position, PAGE_SIZE):
            events = [LoggedEvent(row[0], decode(row[4])) for row in page if row[3].startswith("ticket.")]
            wanted = [logged for logged in events if logged.event.occurred_at >= since]
            with conn.transaction():
                queued += enqueuer.enqueue_for(conn, wanted, webhook_id)
            position = page[-1][0]
            if time.monotonic() > deadline and len(page) == PAGE_SIZE:
                reached = decode(page[-1][4]).occurred_at
                if reached - SKEW > since:  # else it would go round in circles
                    return Replayed(queued=queued, complete=False, continue_from=reached - SKEW)
    return Replayed(queued=queued, complete=True)


def _a_little_before(moment: datetime) -> datetime:
    """SKEW earlier, or the moment itself where the calendar ends."""
    try:
        return moment - SKEW
    except OverflowError:
        return moment


def _position_before(conn: Connection, moment: datetime) -> int:
    """A position of the log with nothing later than `moment` before it, found by halving."""
    row = conn.execute(sql["last_position"]).fetchone()
    low, high = 0, row[0] if row else 0
    while low < high:
        middle = (low + high) // 2
        found = conn.execute(sql["event_at_or_after"], {"position": middle + 1}).fetchone()
        if found is None or decode(found[1]).occurred_at >= moment:
            high = middle
        else:
            low = found[0]
    return low


def _try_at_once(conn: Connection, webhook_id: str) -> None:
    """Someone who asks for a post does not want to wait for a pause to end."""
    conn.execute(sql["unpause"], {"endpoint_id": webhook_id})
