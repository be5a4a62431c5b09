"""Deletes deliveries that finished long ago, with their attempts and messages, and expired secrets.

A replay sends events that have no delivery. So each webhook stores the position up to which its deliveries
were deleted (`purged_position`); no event at or before it is sent to that webhook again.
"""

from __future__ import annotations

import threading
from datetime import timedelta
from pathlib import Path

import structlog

from infrastructure.process.failures import describe_error
from infrastructure.settings import Settings
from infrastructure.storage.postgres import Connection, connect, fetch_value, named_queries

POLL_SECONDS = 3_600.0
BATCH_SIZE = 1_000
PAUSE_SECONDS = 0.1  # between batches, so that deliveries are not delayed
PURGE_LOCK = 7_305_879  # the advisory lock of the dispatcher that deletes

sql = named_queries(Path(__file__).parent / "sql" / "retention.sql")
log = structlog.get_logger()


def purge_regularly(settings: Settings, stop: threading.Event) -> None:
    """Purge now and every hour until `stop` is set. Logs errors and continues."""
    retention = timedelta(days=settings.webhook_retention_days)
    while not stop.is_set():
        try:
            with _connect(settings) as conn:
                purged = purge(conn, retention, stop)
            if purged:
                log.info("webhook_deliveries_purged", deliveries=purged)
        except Exception as error:
            log.error("webhook_purge_failed", error=describe_error(error), retry_in_seconds=POLL_SECONDS)
        stop.wait(POLL_SECONDS)


def purge(conn: Connection, retention: timedelta, stop: threading.Event, *, limit: int = BATCH_SIZE) -> int:
    """Delete the deliveries that finished longer ago than `retention`, one batch in each transaction.

    Returns the number of deleted deliveries; 0 while another dispatcher deletes.
    """
    purged = 0
    while not stop.is_set():
        batch = _purge_batch(conn, retention, limit)
        purged += batch
        if batch < limit:
            break
        stop.wait(PAUSE_SECONDS)
    return purged


def _purge_batch(conn: Connection, retention: timedelta, limit: int) -> int:
    parameters = {"retention": retention, "limit": limit}
    with conn.transaction():
        if not fetch_value(conn, sql["try_lock"], {"key": PURGE_LOCK}, default=False):
            return 0
        rows = conn.execute(sql["mark_finished"], parameters).fetchall()
        if len(rows) < limit:
            parameters["limit"] = limit - len(rows)
            rows += conn.execute(sql["find_ownerless"], parameters).fetchall()
        if rows:
            conn.execute(sql["delete_deliveries"], {"ids": [delivery_id for delivery_id, _ in rows]})
            messages = {"message_ids": [message_id for _, message_id in rows], "retention": retention}
            conn.execute(sql["delete_messages"], messages)
        conn.execute(sql["delete_secrets"])
    return len(rows)


def _connect(settings: Settings) -> Connection:
    """Open a connection. Its commits do not wait for the disk: after a crash of PostgreSQL, rows that exist
    again are deleted later."""
    options = "-c synchronous_commit=off -c statement_timeout=30s -c lock_timeout=2s -c TimeZone=UTC"
    return connect(settings.direct_url, application="ticketing-webhook-retention", options=options)
