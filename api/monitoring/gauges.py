"""The gauges of /metrics that are read from PostgreSQL, from the disk and from the clock at each request."""

from __future__ import annotations

import os
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

import psycopg

from api.monitoring.health import CHECK_OPTIONS, CHECK_SECONDS, read_state
from api.monitoring.sizes import read_checkpoint_on, read_sizes_on
from infrastructure.process import metrics
from infrastructure.settings import Settings
from infrastructure.storage.postgres import Connection, connect, fetch_value, named_queries

# The names that the sessions of the processes have in PostgreSQL.
APPLICATIONS = {
    "api": "ticketing-api",
    "projector": "ticketing-projector",
    "relay": "ticketing-relay",
    "webhook-dispatcher": "ticketing-webhook-dispatcher",
    "notary": "ticketing-notary",
}
FOLLOWERS = ("projector", "relay", "webhook_dispatcher", "notary")
OUTCOMES = ("delivered", "refused", "no_answer")
MOST_ATTEMPTS = 100_000

_sql = named_queries(Path(__file__).parent / "sql" / "gauges.sql")


def update_gauges(settings: Settings) -> None:
    """Set the gauges to the current values. Without the database those of the whole installation keep their
    values, and `ticketing_database_up` is 0."""
    _read_disks(settings)
    try:
        with connect(
            settings.direct_url,
            application="ticketing-metrics",
            limit_seconds=CHECK_SECONDS,
            options=CHECK_OPTIONS,
        ) as conn:
            _read_all(conn, has_kafka=bool(settings.kafka_bootstrap_servers))
    except psycopg.Error:
        metrics.database_up.set(0)
    else:
        metrics.database_up.set(1)


def _read_all(conn: Connection, *, has_kafka: bool) -> None:
    _read_clock(conn)
    read_state(conn, has_kafka=has_kafka)
    _read_positions(conn, has_kafka=has_kafka)
    _read_sessions(conn)
    _read_attempts(conn)
    _read_proof(conn)


def _read_disks(settings: Settings) -> None:
    """The space for users other than root. A folder of which it is unknown keeps its value."""
    folders = {"home": settings.home, "database": settings.postgres_data_dir}
    for name, folder in folders.items():
        if folder is not None:
            with suppress(OSError):
                disk = os.statvfs(folder)
                metrics.disk_free_bytes.labels(name).set(disk.f_bavail * disk.f_frsize)


def _read_clock(conn: Connection) -> None:
    """The difference of the clocks, at most the time of the statement too high."""
    now = fetch_value(conn, _sql["read_clock"], default=datetime.now(UTC))
    metrics.clock_ahead_seconds.set((datetime.now(UTC) - now).total_seconds())


def _read_positions(conn: Connection, *, has_kafka: bool) -> None:
    sizes = read_sizes_on(conn)
    metrics.log_position.set(sizes.last_position)
    metrics.log_bytes.set(sizes.log_bytes)
    metrics.database_bytes.set(sizes.database_bytes)
    positions = conn.execute(_sql["read_positions"], {"has_kafka": has_kafka}).fetchone() or ()
    for follower, position in zip(FOLLOWERS, positions, strict=True):
        if has_kafka or follower != "relay":
            metrics.follower_position.labels(follower).set(position or 0)


def _read_sessions(conn: Connection) -> None:
    names = {application: name for name, application in APPLICATIONS.items()}
    for application, count in conn.execute(_sql["count_sessions"], {"applications": list(names)}):
        metrics.database_sessions.labels(names[application]).set(count)


def _read_attempts(conn: Connection) -> None:
    counts = dict.fromkeys(OUTCOMES, 0) | dict(
        conn.execute(_sql["count_attempts"], {"most": MOST_ATTEMPTS}).fetchall()
    )
    for outcome, count in counts.items():
        metrics.webhook_attempts_recent.labels(outcome).set(count)


def _read_proof(conn: Connection) -> None:
    """The last checkpoint and the last complete verification."""
    checkpoint = read_checkpoint_on(conn)
    metrics.checkpoint_timestamp.set(checkpoint.at.timestamp() if checkpoint else 0)
    finished_at, differences = conn.execute(_sql["read_last_verification"]).fetchone() or (None, 0)
    metrics.verification_timestamp.set(finished_at.timestamp() if finished_at else 0)
    metrics.verification_differences.set(differences)
