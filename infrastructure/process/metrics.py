"""The metrics, and their output for Prometheus.

If SharedMetrics was created before this module is imported, the workers of one server share the metrics
(server/gunicorn_server.py does this). Otherwise each process has its own.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterable
from contextlib import suppress
from functools import cache
from importlib.metadata import PackageNotFoundError, version

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    generate_latest,
    start_http_server,
)
from prometheus_client.metrics_core import Metric
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import REGISTRY, Collector

from infrastructure.process import standard_error
from infrastructure.process.observers import observers

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_DISTRIBUTION = "modern-management-ticketing"
_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)


def _gauge(name: str, meaning: str, *labels: str) -> Gauge:
    """A gauge of which the workers of one server export the last value that one of them has set."""
    return Gauge(name, meaning, labels, multiprocess_mode="mostrecent")


requests_total = Counter("ticketing_http_requests_total", "Requests answered", ("method", "route", "status"))
request_seconds = Histogram(
    "ticketing_http_request_seconds", "Time to answer", ("method", "route"), buckets=_SECONDS
)
projector_lag = Gauge(
    "ticketing_projector_lag_events", "Events not yet in the read tables", multiprocess_mode="mostrecent"
)
relay_lag = Gauge("ticketing_relay_lag_events", "Events not yet in Kafka", multiprocess_mode="mostrecent")
projector_lag_seconds = Gauge(
    "ticketing_projector_lag_seconds",
    "Age of the oldest event that is not in the read tables",
    multiprocess_mode="mostrecent",
)
relay_lag_seconds = Gauge(
    "ticketing_relay_lag_seconds",
    "Age of the oldest event that is not in Kafka",
    multiprocess_mode="mostrecent",
)
webhook_dispatcher_lag_seconds = Gauge(
    "ticketing_webhook_dispatcher_lag_seconds",
    "Age of the oldest event without its webhook deliveries",
    multiprocess_mode="mostrecent",
)
notary_lag_seconds = Gauge(
    "ticketing_notary_lag_seconds",
    "Age of the oldest event in no signed checkpoint",
    multiprocess_mode="mostrecent",
)
parked_events = Gauge(
    "ticketing_parked_events", "Events that could not be projected", multiprocess_mode="mostrecent"
)

webhook_deliveries_due = Gauge(
    "ticketing_webhook_deliveries_due", "Deliveries that wait to be posted", multiprocess_mode="mostrecent"
)
webhook_deliveries_dead = Gauge(
    "ticketing_webhook_deliveries_dead",
    "Deliveries whose last attempt failed",
    multiprocess_mode="mostrecent",
)
webhook_dead_letters = Gauge(
    "ticketing_webhook_dead_letters",
    "Records for which no deliveries could be stored",
    multiprocess_mode="mostrecent",
)
webhooks_failing = Gauge(
    "ticketing_webhooks_failing", "Webhooks whose last post failed", multiprocess_mode="mostrecent"
)

webhook_attempts_recent = _gauge(
    "ticketing_webhook_attempts_recent", "Posts to webhooks in the last 5 minutes", "outcome"
)
log_position = _gauge("ticketing_log_position", "Position of the last event")
follower_position = _gauge(
    "ticketing_follower_position", "Position up to which the follower has handled the log", "follower"
)
log_bytes = _gauge("ticketing_log_bytes", "Size of the event log with its indexes")
database_bytes = _gauge("ticketing_database_bytes", "Size of the database")
checkpoint_timestamp = _gauge(
    "ticketing_checkpoint_timestamp_seconds", "Time of the last signed checkpoint; 0 without one"
)
verification_timestamp = _gauge(
    "ticketing_verification_timestamp_seconds", "Time of the last complete verification; 0 without one"
)
verification_differences = _gauge(
    "ticketing_verification_differences", "Findings of the last complete verification"
)
database_up = _gauge("ticketing_database_up", "Whether this API could read the other gauges from PostgreSQL")
database_sessions = _gauge(
    "ticketing_database_sessions", "Sessions in PostgreSQL of each process", "application"
)
clock_ahead_seconds = _gauge(
    "ticketing_clock_ahead_seconds", "Clock of this API minus the clock of PostgreSQL"
)
disk_free_bytes = _gauge("ticketing_disk_free_bytes", "Free space on the disk of a folder", "folder")
build_info = _gauge("ticketing_build_info", "Always 1; the label is the version of this API", "version")

append_seconds = Histogram(
    "ticketing_append_seconds", "Time of a successful commit of events", buckets=_SECONDS
)
events_appended = Counter("ticketing_events_appended_total", "Events stored by this API")
pool_waits = Counter(
    "ticketing_database_pool_waits_total", "Waits of 1 ms or more for a connection to PostgreSQL"
)
pool_wait_seconds = Counter("ticketing_database_pool_wait_seconds_total", "Duration of those waits")
pool_timeouts = Counter(
    "ticketing_database_pool_timeouts_total", "Waits that ended without a connection to PostgreSQL"
)
replica_reads = Counter(
    "ticketing_replica_reads_total",
    "Statements for the replica that it answered, or that it left to the primary: it was behind or failed",
    ("outcome",),
)
for _outcome in ("answered", "behind", "failed"):
    replica_reads.labels(_outcome)  # 0 from the start: rates need a value before the first read
requests_uncounted = Counter(
    "ticketing_http_requests_uncounted_total",
    "Requests that the rate limit did not count",
)
spans_exported = Counter("ticketing_spans_exported_total", "Spans that the collector of traces accepted")
spans_lost = Counter(
    "ticketing_spans_lost_total", "Spans that the collector of traces did not accept, or that had no place"
)
log_lines_lost = Counter("ticketing_log_lines_lost_total", "Log lines that standard error did not accept")


def _count_append(seconds: float, events: int) -> None:
    append_seconds.observe(seconds)
    events_appended.inc(events)


def _count_pool_wait(seconds: float) -> None:
    pool_waits.inc()
    pool_wait_seconds.inc(seconds)


def _count_replica_read(outcome: str) -> None:
    replica_reads.labels(outcome).inc()


standard_error.output.on_lost = log_lines_lost.inc
observers.on_append = _count_append
observers.on_replica_read = _count_replica_read
observers.on_spans_exported = spans_exported.inc
observers.on_spans_lost = spans_lost.inc
observers.on_pool_wait = _count_pool_wait
observers.on_pool_timeout = pool_timeouts.inc
with suppress(PackageNotFoundError):
    build_info.labels(version(_DISTRIBUTION)).set(1)


def count_request(method: str, route: str, status: int, seconds: float) -> None:
    """Count one request. `route` is the path template, so that the number of series stays small."""
    known = method if method in _METHODS else "other"
    _counter(known, route, status).inc()
    _timer(known, route).observe(seconds)


def count_uncounted() -> None:
    """Count a request that the rate limit did not count."""
    requests_uncounted.inc()


def render_metrics() -> bytes:
    """All metrics in the text format of Prometheus, with those of all workers added up."""
    return generate_latest(_registry())


def serve_metrics(host: str, port: int, *, before_each: Callable[[], None]) -> socket.socket:
    """Serve the metrics at every path of a separate port, without a key, from a thread of this process.

    Each request calls `before_each` first, which updates the gauges. Returns the listening socket, which
    forked processes must close: otherwise they keep the port open after this process has ended.
    """
    registry = CollectorRegistry()
    registry.register(_Fresh(_registry(), before_each))
    server, _ = start_http_server(port, host, registry)
    return server.socket


class _Fresh(Collector):
    """The metrics of a registry; calls `before` before each collection."""

    def __init__(self, registry: CollectorRegistry, before: Callable[[], None]) -> None:
        self._registry = registry
        self._before = before

    def collect(self) -> Iterable[Metric]:
        self._before()
        return self._registry.collect()


def _registry() -> CollectorRegistry:
    """The metrics of all workers; of this process alone if they are not shared or their folder is missing."""
    if not os.path.isdir(os.environ.get("PROMETHEUS_MULTIPROC_DIR", "")):
        return REGISTRY
    registry = CollectorRegistry()
    MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
    return registry


_METHODS = frozenset(("DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT"))


@cache
def _counter(method: str, route: str, status: int) -> Counter:
    return requests_total.labels(method, route, str(status))


@cache
def _timer(method: str, route: str) -> Histogram:
    return request_seconds.labels(method, route)
