"""Counts the attempts of a dispatcher, for its metrics."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Histogram

from webhook_dispatcher.outcomes import Done
from webhook_dispatcher.poster import Outcome

OUTCOMES = ("delivered", "refused", "no_answer")
_SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 15.0, 30.0, 60.0)


class AttemptCounts:
    """The attempts whose results this process has stored."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._attempts = Counter(
            "ticketing_webhook_attempts",
            "Posts to webhooks, by outcome",
            ("outcome",),
            registry=registry,
        )
        for outcome in OUTCOMES:
            self._attempts.labels(outcome)
        self._seconds = Histogram(
            "ticketing_webhook_attempt_seconds",
            "Time of a post to a webhook",
            buckets=_SECONDS,
            registry=registry,
        )
        self._dead = Counter(
            "ticketing_webhook_deliveries_given_up",
            "Deliveries whose last attempt failed",
            registry=registry,
        )

    def count(self, done: Done) -> None:
        """Count a result that is stored; without a post, nothing."""
        if done.outcome is None:
            return
        self._attempts.labels(_name_of(done.outcome)).inc()
        self._seconds.observe(done.outcome.milliseconds / 1_000)
        if done.status == "dead":
            self._dead.inc()


def _name_of(outcome: Outcome) -> str:
    if outcome.status is None:
        return "no_answer"
    return "delivered" if outcome.is_success else "refused"
