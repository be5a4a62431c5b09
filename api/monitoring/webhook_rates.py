"""How many posts of webhooks succeeded lately, and how long they took."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import msgspec

from infrastructure.storage.postgres import Pool, named_queries

SPANS = (1, 24)  # hours
MOST_ATTEMPTS = 10_000  # the newest ones
SHOWN_WEBHOOKS = 20
MOST_COUNTED = 10_000  # deliveries

_sql = named_queries(Path(__file__).parent / "sql" / "webhook_rates.sql")


class Rate(msgspec.Struct, frozen=True):
    """The attempts of a span, those that were answered with 2xx, and percentiles of their durations."""

    attempts: int
    successes: int
    median_milliseconds: int
    p95_milliseconds: int

    @property
    def success(self) -> float:
        """The share of successful attempts, from 0 to 1."""
        return self.successes / self.attempts


class WebhookRates(msgspec.Struct, frozen=True):
    """A webhook with the rates of the last hour and of the last day; None without attempts."""

    id: str
    url: str
    hour: Rate | None
    day: Rate | None


class Unfinished(msgspec.Struct, frozen=True):
    """Deliveries that wait for another attempt, and that are not attempted again; each counted up to
    MOST_COUNTED."""

    retried: int
    dead: int


class _Row(NamedTuple):
    """A row of measure_webhooks."""

    id: str
    url: str
    hours: int
    attempts: int
    successes: int
    median_milliseconds: int
    p95_milliseconds: int


def measure_webhooks(pool: Pool) -> list[WebhookRates]:
    """The webhooks with the most failures of the last day, at most SHOWN_WEBHOOKS."""
    rows = [_Row(*row) for row in pool.fetch(_sql["measure_webhooks"], _PARAMETERS)]
    rates = {
        (row.id, row.hours): Rate(row.attempts, row.successes, row.median_milliseconds, row.p95_milliseconds)
        for row in rows
    }
    urls = {row.id: row.url for row in rows}
    hour, day = SPANS
    found = [
        WebhookRates(key, url, rates.get((key, hour)), rates.get((key, day))) for key, url in urls.items()
    ]
    return sorted(found, key=_failures_first)[:SHOWN_WEBHOOKS]


def count_unfinished(pool: Pool) -> Unfinished:
    (row,) = pool.fetch(_sql["count_unfinished"], {"most": MOST_COUNTED})
    return Unfinished(*row)


_PARAMETERS = {"spans": list(SPANS), "most": MOST_ATTEMPTS}


def _failures_first(webhook: WebhookRates) -> tuple[int, int, str]:
    rate = webhook.day  # which contains the hour
    return (rate.successes - rate.attempts, -rate.attempts, webhook.id) if rate else (0, 0, webhook.id)
