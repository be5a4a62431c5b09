"""What the loops of a follower do: whether each one turns, for /health, and what it has done, for /metrics.

A loop turns when it begins its next step: it reads a batch, tries again after an error, or looks whether it
may take over. A loop that waits for an unavailable PostgreSQL or Kafka turns too, because every wait for them
has a limit. So a loop that does not turn hangs in this program, and only a restart helps.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from importlib.metadata import PackageNotFoundError, version

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest
from prometheus_client.metrics_core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from infrastructure.process import standard_error
from infrastructure.process.observers import observers

STUCK_AFTER_SECONDS = 240.0  # longer than the limits of all waits in one turn, such as 135 s for Kafka
_DISTRIBUTION = "modern-management-ticketing"
_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)


class Loop:
    """One loop of a follower. Its methods take microseconds and never raise."""

    def __init__(self, name: str, loops: Loops) -> None:
        self.name = name
        self.turned_at = time.monotonic()
        self._loops = loops
        self._events = loops.events.labels(name)
        self._seconds = loops.batch_seconds.labels(name)
        loops.leads.labels(name).set(0)

    def turn(self) -> None:
        """Note that the loop begins its next step."""
        self.turned_at = time.monotonic()

    @contextmanager
    def leading(self) -> Iterator[None]:
        """Run a block as the leader: the process that does the work of the loop."""
        self._loops.leads.labels(self.name).set(1)
        try:
            yield
        finally:
            self._loops.leads.labels(self.name).set(0)

    def count_batch(self, events: int, seconds: float) -> None:
        """Count a batch of events that was handled."""
        self._events.inc(events)
        self._seconds.observe(seconds)

    def count_error(self, error: Exception) -> None:
        """Count an error after which the loop tries again, by the name of its class."""
        self._loops.errors.labels(self.name, type(error).__name__).inc()
        self.turn()


class Loops(Collector):
    """The loops of one process, with metrics of their own: those in metrics.py are the API's."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.events = Counter(
            "ticketing_follower_events", "Events handled by a loop", ("loop",), registry=self.registry
        )
        self.batch_seconds = Histogram(
            "ticketing_follower_batch_seconds",
            "Time to handle a batch of events",
            ("loop",),
            buckets=_SECONDS,
            registry=self.registry,
        )
        self.errors = Counter(
            "ticketing_follower_errors",
            "Errors after which a loop tried again, by class",
            ("loop", "error"),
            registry=self.registry,
        )
        self.leads = Gauge(
            "ticketing_follower_leads", "Whether this process leads", ("loop",), registry=self.registry
        )
        self.build_info = Gauge(
            "ticketing_build_info",
            "Always 1; the label is the version of this process",
            ("version",),
            registry=self.registry,
        )
        self.lines_lost = Counter(
            "ticketing_log_lines_lost",
            "Log lines that standard error did not accept",
            registry=self.registry,
        )
        with suppress(PackageNotFoundError):
            self.build_info.labels(version(_DISTRIBUTION)).set(1)
        ProcessCollector(registry=self.registry)
        self.registry.register(self)
        self._loops: dict[str, Loop] = {}
        self._lock = threading.Lock()

    def count_process(self) -> None:
        """Count what the whole process reports: lost log lines, waits for a connection of its pool, spans."""
        waits = Counter(
            "ticketing_database_pool_waits",
            "Waits of 1 ms or more for a connection to PostgreSQL",
            registry=self.registry,
        )
        seconds = Counter(
            "ticketing_database_pool_wait_seconds", "Duration of those waits", registry=self.registry
        )
        timeouts = Counter(
            "ticketing_database_pool_timeouts",
            "Waits that ended without a connection to PostgreSQL",
            registry=self.registry,
        )

        spans_exported = Counter(
            "ticketing_spans_exported", "Spans that the collector of traces accepted", registry=self.registry
        )
        spans_lost = Counter(
            "ticketing_spans_lost",
            "Spans that the collector of traces did not accept, or that had no place",
            registry=self.registry,
        )

        def count_wait(waited_seconds: float) -> None:
            waits.inc()
            seconds.inc(waited_seconds)

        observers.on_pool_wait = count_wait
        observers.on_pool_timeout = timeouts.inc
        observers.on_spans_exported = spans_exported.inc
        observers.on_spans_lost = spans_lost.inc
        standard_error.output.on_lost = self.lines_lost.inc

    def add(self, name: str) -> Loop:
        """A new loop, which has just turned."""
        loop = Loop(name, self)
        with self._lock:
            self._loops[name] = loop
        return loop

    def ages(self) -> dict[str, float]:
        """The seconds since the last turn of each loop."""
        now = time.monotonic()
        with self._lock:
            return {name: max(0.0, now - loop.turned_at) for name, loop in self._loops.items()}

    def collect(self) -> Iterable[Metric]:
        """The ages as a metric, computed at each request."""
        ages = GaugeMetricFamily(
            "ticketing_follower_turn_age_seconds", "Time since the last turn of a loop", labels=["loop"]
        )
        for name, seconds in self.ages().items():
            ages.add_metric([name], seconds)
        yield ages

    def render(self) -> bytes:
        """All metrics in the text format of Prometheus."""
        return generate_latest(self.registry)
