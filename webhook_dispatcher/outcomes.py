"""Decides the result of an attempt (delivered, retry at a time, dead) and stores it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any, NamedTuple, Self

import msgspec
import psycopg
import structlog

from commands.webhook_notices import notice_of_failing
from domain.webhook import DeliveryStatus
from infrastructure.storage.postgres import named_queries
from webhook_dispatcher.owners import Endpoint
from webhook_dispatcher.poster import Outcome
from webhook_dispatcher.schedule import delay_seconds

TOO_MANY = 429
UNAVAILABLE = 503

sql = named_queries(Path(__file__).parent / "sql" / "delivery.sql")
log = structlog.get_logger()

_encode = msgspec.json.Encoder().encode  # bytes as base64


class Done(NamedTuple):
    """The result of a claim. Without an outcome nothing was posted."""

    delivery_id: int
    endpoint_id: str
    number: int
    failures: int
    status: DeliveryStatus
    delay_seconds: float = 0.0
    pause_seconds: float = 0.0
    url: str = ""
    headers: Mapping[str, str] = {}
    outcome: Outcome | None = None
    was_failing: bool = False

    @property
    def has_failed(self) -> bool:
        return self.outcome is not None and not self.outcome.is_success

    @property
    def is_gone(self) -> bool:
        return self.outcome is not None and self.outcome.is_gone

    @classmethod
    def of_attempt(
        cls,
        delivery_id: int,
        endpoint: Endpoint,
        number: int,
        failures: int,
        *,
        headers: dict[str, str],
        outcome: Outcome,
        schedule: Sequence[float],
    ) -> Self:
        """Decide the result: 2xx is a success, and 410 is final. Other failures are tried again while the
        schedule lasts, but not before the time in Retry-After."""
        status: DeliveryStatus = "delivered"
        delay = pause = 0.0
        if not outcome.is_success:
            failures += 1
            scheduled = None if outcome.is_gone else delay_seconds(schedule, failures)
            status = "dead" if scheduled is None else "pending"
            requested = outcome.retry_after_seconds or 0.0
            delay = max(scheduled or 0.0, requested)
            pause = requested if outcome.status in (TOO_MANY, UNAVAILABLE) else 0.0
        return cls(
            delivery_id=delivery_id,
            endpoint_id=endpoint.id,
            number=number,
            failures=failures,
            status=status,
            delay_seconds=delay,
            pause_seconds=pause,
            url=endpoint.url,
            headers=headers,
            outcome=outcome,
            was_failing=endpoint.failures > 0,
        )


async def store_results(
    conn: psycopg.AsyncConnection[tuple[Any, ...]],
    batch: Sequence[Done],
    breaker: int,
    breaker_pause_seconds: float,
) -> dict[str, timedelta]:
    """Store a batch in one commit. Returns, by webhook that failed, for how long it has been failing."""
    attempts = [(done, done.outcome) for done in batch if done.outcome is not None]
    successes = {done.endpoint_id for done, outcome in attempts if outcome.is_success}
    recovered = {done.endpoint_id for done, _ in attempts if done.was_failing} & successes
    failures = Counter(done.endpoint_id for done, outcome in attempts if not outcome.is_success)
    failing: dict[str, timedelta] = {}
    if not recovered and not failures:
        await conn.execute(sql["settle"], {"results": _results(batch)})
        _log(attempts)
        return failing
    async with conn.transaction():
        await conn.execute(sql["settle"], {"results": _results(batch)})
        if recovered:
            await conn.execute(sql["note_successes"], {"ids": list(recovered)})
        if failures:
            pauses = {
                endpoint_id: max(done.pause_seconds for done in batch if done.endpoint_id == endpoint_id)
                for endpoint_id in failures
            }
            parameters = {
                "ids": list(failures),
                "failures": list(failures.values()),
                "pauses": list(pauses.values()),
                "breaker": breaker,
                "breaker_pause": timedelta(seconds=breaker_pause_seconds),
            }
            cur = await conn.execute(sql["note_failures"], parameters)
            urls = {done.endpoint_id: done.url for done in batch}
            for endpoint_id, since, at, failures_in_row in await cur.fetchall():
                failing[endpoint_id] = at - since
                if failures_in_row - failures[endpoint_id] < breaker <= failures_in_row:
                    await conn.execute(
                        *notice_of_failing(endpoint_id, urls[endpoint_id], failures_in_row, since, at)
                    )
    _log(attempts)
    return failing


def _log(attempts: Sequence[tuple[Done, Outcome]]) -> None:
    for done, outcome in attempts:
        log.info(
            "webhook_attempt",
            webhook_id=done.endpoint_id,
            delivery_id=done.delivery_id,
            number=done.number,
            status=outcome.status,
            error=outcome.error,
            milliseconds=outcome.milliseconds,
            result=done.status,
        )


def _results(batch: Sequence[Done]) -> str:
    """The rows of the statement `settle` as JSON: one value costs less than an array for each column."""
    rows = []
    for done in batch:
        row: dict[str, Any] = {
            "id": done.delivery_id,
            "claim": done.number,
            "result": done.status,
            "failures": done.failures,
            "delay": done.delay_seconds,
        }
        if done.outcome is not None:
            outcome = done.outcome
            row |= {
                "at": outcome.at,
                "url": done.url,
                "headers": done.headers,
                "status": outcome.status,
                "body": outcome.response_body,
                "error": outcome.error,
                "milliseconds": outcome.milliseconds,
            }
        rows.append(row)
    return _encode(rows).decode()
