"""The lags of the last day: samples in a table, which every process can show.

Every process that follows the log samples, so that there are samples while one of them is down. The first
sample of each span of SPAN is stored.
"""

from __future__ import annotations

import threading
from datetime import datetime, timedelta
from pathlib import Path

import msgspec
import psycopg
import structlog

from api.monitoring.lags import read_lags
from infrastructure.process.failures import describe_error
from infrastructure.storage.postgres import Connection, Pool, connect, named_queries

SPAN = timedelta(seconds=30)
KEPT_FOR = timedelta(hours=24)
_OPTIONS = "-c statement_timeout=5s -c lock_timeout=1s -c synchronous_commit=off"

_sql = named_queries(Path(__file__).parent / "sql" / "lag_samples.sql")
log = structlog.get_logger()


class LagSample(msgspec.Struct, frozen=True):
    """The lags at a time, in seconds; see api.monitoring.lags.Lags. `relay` is None without Kafka."""

    at: datetime
    projector: float
    relay: float | None
    webhook_dispatcher: float
    notary: float


def sample_regularly(dsn: str, has_kafka: bool, stop: threading.Event) -> None:
    """Store samples until `stop` is set. An error of PostgreSQL is logged and does not end it."""
    while not stop.is_set():
        try:
            with connect(dsn, application="ticketing-lags", limit_seconds=10, options=_OPTIONS) as conn:
                store_sample(conn, has_kafka)
        except psycopg.Error as error:
            log.error("lag_not_sampled", error=describe_error(error), retry_in_seconds=SPAN.total_seconds())
        stop.wait(SPAN.total_seconds())


def store_sample(conn: Connection, has_kafka: bool) -> None:
    """Store the lags of now unless this span has a sample, and delete samples older than KEPT_FOR."""
    lags = read_lags(conn, has_kafka=has_kafka)._asdict()
    if not has_kafka:
        lags["relay"] = None
    conn.execute(_sql["store_sample"], {**lags, "span": SPAN, "kept": KEPT_FOR})


def list_samples(pool: Pool, since: datetime) -> list[LagSample]:
    """The samples since then, oldest first."""
    return [LagSample(*row) for row in pool.fetch(_sql["list_samples"], {"since": since})]
