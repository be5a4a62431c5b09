"""Posts due deliveries: claims them under a lease, posts many at a time, and stores the results in batches.

One thread with an event loop. The posts in flight are limited in total and for each webhook; more deliveries
are claimed, so that the next post begins when one ends (queue.py). Of each ticket only the first unfinished
delivery to a webhook is claimed, so that the webhook gets its events in order.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from pathlib import Path
from typing import Any

import msgspec
import psycopg
import structlog

from commands.webhook_headers import HEADERS_PURPOSE
from commands.webhooks import SECRET_PURPOSE
from infrastructure.keys.vault import Vault
from infrastructure.process import tracing
from infrastructure.process.failures import describe_error
from infrastructure.process.following import keep_running_async, wait_for_event
from infrastructure.process.loops import Loops
from infrastructure.storage.postgres import connect_async, named_queries
from webhook_dispatcher.attempt_counts import AttemptCounts
from webhook_dispatcher.histories import sql as enqueue_sql
from webhook_dispatcher.outcomes import Done, store_results
from webhook_dispatcher.owners import Endpoint, may_receive
from webhook_dispatcher.poster import Outcome, Poster
from webhook_dispatcher.queue import Claim, Queue
from webhook_dispatcher.signing import key_of, sign

POLL_SECONDS = 0.25  # how often to look for due deliveries
SHORTEST_REST_SECONDS = 0.002  # before a batch of results is written, so that it has several
LONGEST_REST_SECONDS = 0.01  # before the next claim or batch; otherwise twice as long as the last one took
TIMER_SECONDS = 0.001  # after the time of a planned post, so that it is not in the future
HIDDEN = "(hidden)"  # the value of a custom header in the stored attempts
DEFER_SECONDS = 1.0
STOP_SECONDS = 4.0
AHEAD = 3  # how many deliveries are claimed for each post that a webhook gets at a time

sql = named_queries(Path(__file__).parent / "sql" / "delivery.sql")
log = structlog.get_logger()

_decode_headers = msgspec.json.Decoder(dict[str, str]).decode

Connection = psycopg.AsyncConnection[tuple[Any, ...]]
Disable = Callable[[str, str], None]  # webhook id, reason


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """`schedule`: the seconds between attempts. The delivery is dead when the last attempt fails.

    After `breaker` failures in a row a webhook gets one post at a time, each after a pause of
    `breaker_pause_seconds`. It is disabled when all posts have failed for `give_up_seconds`.
    """

    schedule: tuple[float, ...]
    timeout_seconds: float = 15.0
    in_flight: int = 200
    per_endpoint: int = 10
    breaker: int = 10
    breaker_pause_seconds: float = 30.0
    give_up_seconds: float = 5 * 86_400.0

    @property
    def lease(self) -> timedelta:
        """The longest time of an attempt, and some time to store its result."""
        return timedelta(seconds=self.timeout_seconds * 1.5 + 1)


class Deliveries:
    """The loop that posts deliveries. `wake` may be called from any thread."""

    def __init__(
        self,
        dsn: str,
        poster: Poster,
        vault: Vault,
        options: Options,
        disable: Disable,
        loops: Loops | None = None,
    ) -> None:
        loops = loops or Loops()
        self._loop = loops.add("deliveries")
        self._counts = AttemptCounts(loops.registry)
        self._dsn = dsn
        self._poster = poster
        self._options = options
        self._disable = disable
        self._woken = asyncio.Event()
        self._event_loop = asyncio.get_running_loop()
        self._done: list[Done] = []
        self._has_done = asyncio.Event()
        self._queue = Queue(options.in_flight, options.per_endpoint)
        self._claims: dict[int, Claim] = {}  # until their results are stored
        self._tasks: set[asyncio.Task[None]] = set()
        self._keys = lru_cache(maxsize=4_096)(
            lambda encrypted: key_of(vault.decrypt(encrypted, purpose=SECRET_PURPOSE).decode())
        )
        self._headers = lru_cache(maxsize=4_096)(
            lambda encrypted: _decode_headers(vault.decrypt(encrypted, purpose=HEADERS_PURPOSE))
        )

    def wake(self) -> None:
        """Look for due deliveries now."""
        self._event_loop.call_soon_threadsafe(self._woken.set)

    async def run(self, stop: asyncio.Event) -> None:
        """Run until `stop` is set. Reconnects after a restart of PostgreSQL."""
        never = asyncio.Event()  # the writer does not stop by itself; it is cancelled below
        writing = keep_running_async(
            self._write_results, never, failure="webhook_results_not_written", loop=self._loop
        )
        writer = asyncio.create_task(writing)
        writer.add_done_callback(lambda _: stop.set())
        await keep_running_async(
            lambda: self._claim_until(stop), stop, failure="webhook_claims_failed", loop=self._loop
        )
        await self._finish_in_time()
        writer.cancel()
        with suppress(asyncio.CancelledError):
            await writer

    async def _claim_until(self, stop: asyncio.Event) -> None:
        """Claim and post until `stop` is set. After a claim it waits twice as long as the claim took: the
        deliveries that become due meanwhile are claimed together."""
        async with await _connect(self._dsn) as conn:
            while not stop.is_set():
                self._loop.turn()
                self._woken.clear()
                began = time.monotonic()
                if stale := self._queue.take_stale():
                    await self._release(conn, stale)
                free = 2 * self._options.in_flight - len(self._claims)
                claimed = await self._claim(conn, free) if free > 0 else []
                if claimed:
                    await asyncio.sleep(min(2 * (time.monotonic() - began), LONGEST_REST_SECONDS))
                else:
                    await wait_for_event(self._woken, POLL_SECONDS)

    async def _claim(self, conn: Connection, limit: int) -> list[Claim]:
        busy = self._queue.busy()
        parameters = {
            "breaker": self._options.breaker,
            "posts_at_a_time": self._options.per_endpoint,
            "ahead": self._options.per_endpoint * AHEAD,
            "busy_ids": list(busy),
            "busy_posts": list(busy.values()),
            "slow_ids": self._queue.slow(),
            "limit": limit,
            "lease": self._options.lease,
        }
        cur = await conn.execute(sql["claim"], parameters, binary=True)
        claimed = [Claim(*row) for row in await cur.fetchall()]
        if claimed:
            ids = list({claim.endpoint_id for claim in claimed})
            cur = await conn.execute(enqueue_sql["select_endpoints"], {"ids": ids}, binary=True)
            endpoints = {each.id: each for each in map(Endpoint._make, await cur.fetchall())}
            for claim in claimed:
                self._claims[claim.id] = claim
                self._queue.add(claim, endpoints[claim.endpoint_id])
                if claim.wait_seconds > 0:
                    self._event_loop.call_later(claim.wait_seconds + TIMER_SECONDS, self._begin_next)
            self._begin_next()
        return claimed

    def _begin_next(self) -> None:
        """Begin the posts that the limits allow."""
        while (item := self._queue.take()) is not None:
            task = self._event_loop.create_task(self._deliver(item.claim, item.endpoint))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _release(self, conn: Connection, claims: Sequence[Claim]) -> None:
        """End the leases of deliveries that are not posted."""
        for claim in claims:
            self._claims.pop(claim.id, None)
        parameters = {"ids": [claim.id for claim in claims], "claims": [claim.number for claim in claims]}
        await conn.execute(sql["release"], parameters)

    async def _deliver(self, claim: Claim, endpoint: Endpoint) -> None:
        """Post and record the result, also after an error: a claim without a result would stay in flight."""
        began = time.monotonic()
        try:
            done = await self._attempt(claim, endpoint)
        except Exception as error:
            log.error("webhook_delivery_failed", delivery_id=claim.id, error=describe_error(error))
            outcome = Outcome(datetime.now(UTC), None, b"", "not sent: an internal error occurred", 0)
            done = self._judge(claim, endpoint, {}, outcome)
        self._done.append(done)
        self._has_done.set()
        self._queue.end(claim, has_failed=done.has_failed, seconds=time.monotonic() - began)
        self._begin_next()

    async def _attempt(self, claim: Claim, endpoint: Endpoint) -> Done:
        verdict = may_receive(
            endpoint,
            property_id=claim.property_id,
            requester_id=claim.requester_id,
            is_internal=claim.is_internal,
        )
        if verdict == "withheld" or not endpoint.encrypted_secrets:
            return Done(claim.id, claim.endpoint_id, claim.number, claim.failures, "withheld")
        if verdict == "unknown":
            return Done(claim.id, claim.endpoint_id, claim.number, claim.failures, "pending", DEFER_SECONDS)
        signature = sign(
            [self._keys(bytes(encrypted)) for encrypted in endpoint.encrypted_secrets],
            message_id=claim.message_id,
            timestamp=int(time.time()),
            body=claim.body,
        )
        post = tracing.begin_post(claim.traceparent, _attributes_of(claim))
        traceparent = post.traceparent if post is not None else claim.traceparent
        headers = {"Content-Type": "application/json", **signature}
        if traceparent is not None:
            headers["traceparent"] = traceparent
        custom = self._headers(bytes(endpoint.encrypted_headers)) if endpoint.encrypted_headers else {}
        outcome = await self._poster.post(endpoint.url, claim.body, {**headers, **custom})
        if post is not None:
            post.end(outcome.status, outcome.error)
        shown = {**headers, **dict.fromkeys(custom, HIDDEN)}
        return self._judge(claim, endpoint, shown, outcome)

    def _judge(self, claim: Claim, endpoint: Endpoint, headers: dict[str, str], outcome: Outcome) -> Done:
        return Done.of_attempt(
            claim.id,
            endpoint,
            claim.number,
            claim.failures,
            headers=headers,
            outcome=outcome,
            schedule=self._options.schedule,
        )

    async def _write_results(self) -> None:
        """Write results in batches. Results that could not be written stay in `_done` for the next call."""
        rest = SHORTEST_REST_SECONDS
        async with await _connect(self._dsn) as conn:
            while True:
                await self._has_done.wait()
                await asyncio.sleep(rest)
                began = time.monotonic()
                await self._write_batch(conn)
                rest = min(max(2 * (time.monotonic() - began), SHORTEST_REST_SECONDS), LONGEST_REST_SECONDS)

    async def _write_batch(self, conn: Connection) -> None:
        batch = list(self._done)
        if not batch:
            self._has_done.clear()
            return
        began = time.monotonic()
        failing = await store_results(conn, batch, self._options.breaker, self._options.breaker_pause_seconds)
        del self._done[: len(batch)]
        if not self._done:
            self._has_done.clear()
        self._loop.count_batch(len(batch), time.monotonic() - began)
        for done in batch:
            self._counts.count(done)
            if done.has_failed:
                self._queue.note_stored(done.endpoint_id)
            claim = self._claims.get(done.delivery_id)
            if claim is not None and claim.number == done.number:  # not claimed again after its lease
                del self._claims[done.delivery_id]
        self._woken.set()
        await self._disable_failing(batch, failing)

    async def _disable_failing(self, batch: Sequence[Done], failing: dict[str, timedelta]) -> None:
        reasons = {done.endpoint_id: "gone" for done in batch if done.is_gone}
        for endpoint_id, duration in failing.items():
            if duration.total_seconds() > self._options.give_up_seconds:
                reasons.setdefault(endpoint_id, "failing")
        for endpoint_id, reason in reasons.items():
            try:
                await asyncio.to_thread(self._disable, endpoint_id, reason)
            except Exception as error:  # the next failed post tries again
                log.error("webhook_not_disabled", webhook_id=endpoint_id, error=describe_error(error))

    async def _finish_in_time(self) -> None:
        """Wait for the posts in flight, at most STOP_SECONDS; then release the rest to be posted again."""
        deadline = time.monotonic() + STOP_SECONDS
        self._queue.close()
        while (self._tasks or self._done) and time.monotonic() < deadline:
            self._woken.clear()
            await wait_for_event(self._woken, min(POLL_SECONDS, max(0.0, deadline - time.monotonic())))
        done = {each.delivery_id for each in self._done}
        left = [claim for claim in self._claims.values() if claim.id not in done]
        for task in self._tasks:
            task.cancel()
        if left:
            async with await _connect(self._dsn) as conn:
                await self._release(conn, left)


def _attributes_of(claim: Claim) -> dict[str, str | int]:
    """The attributes of the span of a post. They do not contain the address of the webhook."""
    return {
        "ticketing.webhook.id": claim.endpoint_id,
        "ticketing.delivery.id": claim.id,
        "ticketing.attempt": claim.number,
        "messaging.message.id": claim.message_id,
    }


async def _connect(dsn: str) -> Connection:
    """Open a connection. Its commits do not wait for the disk: after a crash of PostgreSQL a delivery may be
    posted again."""
    options = "-c synchronous_commit=off -c statement_timeout=30s -c TimeZone=UTC"
    return await connect_async(
        dsn, application="ticketing-webhook-deliveries", options=options, prepare_threshold=1
    )
