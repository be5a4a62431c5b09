"""/health: checks for load balancers and supervisors, without a key and without internal details."""

from __future__ import annotations

import socket
import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import ClassVar, Literal, NamedTuple

import falcon
import msgspec
import psycopg

from api.http.bodies import respond
from api.http.errors import Refused
from api.http.queries import NoQuery, read_query
from api.http.resource import Operation, Resource
from api.http.services import Services
from api.monitoring.lags import read_lags
from domain.errors import Details
from infrastructure.process.deadlines import DeadlineExceeded
from infrastructure.process.metrics import (
    notary_lag_seconds,
    parked_events,
    projector_lag,
    projector_lag_seconds,
    relay_lag,
    relay_lag_seconds,
    webhook_dead_letters,
    webhook_deliveries_dead,
    webhook_deliveries_due,
    webhook_dispatcher_lag_seconds,
    webhooks_failing,
)
from infrastructure.settings import Settings
from infrastructure.storage.migrations import find_problem
from infrastructure.storage.postgres import (
    Connection,
    connect,
    fetch_value,
    named_queries,
)
from infrastructure.storage.server_checks import describe_wrong_settings, wrong_settings
from projections.schema import read_schema_state

CHECK_SECONDS = 1.0
KAFKA_SECONDS = 0.3
CHECK_OPTIONS = "-c statement_timeout=900ms"
_REFUSALS_OF_WRITES = {
    "recovery": "PostgreSQL is in recovery: it is a standby or is starting, and cannot store changes.",
    "read-only": "The database is read-only (default_transaction_read_only), so it cannot store changes.",
}

_sql = named_queries(Path(__file__).parent / "sql" / "health.sql")


KafkaState = Literal["reachable", "unreachable", "not configured"]


class Liveness(msgspec.Struct, frozen=True, kw_only=True):
    status: Literal["live"] = "live"


class Readiness(msgspec.Struct, frozen=True, kw_only=True):
    """`projector_lag`: events not yet in the read tables. `parked_events`: events that could not be
    projected. `relay_lag`: events not yet in Kafka; null without Kafka. The fields with `lag_seconds`: the
    age of the oldest event that is not yet in the read tables, in Kafka, among the webhook deliveries, or in
    a signed checkpoint. `webhook_deliveries_due`: deliveries that wait to be posted, counted up to 10,000.
    `webhooks_failing`: webhooks whose last post failed. Neither these numbers nor the state of Kafka make
    the API unready."""

    status: Literal["ready"] = "ready"
    projector_lag: int
    projector_lag_seconds: float
    parked_events: int
    kafka: KafkaState
    relay_lag: int | None
    relay_lag_seconds: float | None
    webhook_dispatcher_lag_seconds: float
    notary_lag_seconds: float
    webhook_deliveries_due: int
    webhooks_failing: int


class _State(NamedTuple):
    """The columns of select_state."""

    lag: int = 0
    parked: int = 0
    unpublished: int = 0
    due: int = 0
    failing: int = 0
    dead: int = 0
    dead_letters: int = 0


class Live(Resource):
    """Answers 200 as long as the process can answer."""

    operations: ClassVar[dict[str, Operation]] = {
        "GET": Operation(
            summary="Whether the process is running", public=True, query=NoQuery, answer=Liveness
        )
    }

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        read_query(req, NoQuery)
        respond(resp, Liveness())


class Ready(Resource):
    """Answers 200 if requests can be served, otherwise 503."""

    operations: ClassVar[dict[str, Operation]] = {
        "GET": Operation(
            summary="Whether requests can be served",
            description="If they cannot, the answer is 503, and `details` states the reason.",
            public=True,
            query=NoQuery,
            answer=Readiness,
            errors=("unavailable",),
        )
    }

    def __init__(self, services: Services) -> None:
        super().__init__(services)
        self._check = Check(services.settings)

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        read_query(req, NoQuery)
        result = self._check.run()
        if isinstance(result, Readiness):
            respond(resp, result)
            return
        message = next(iter(result.values()))[0]
        raise Refused("unavailable", message, details=result, headers={"Retry-After": "1"})


class Check:
    """Checks what requests need, in a separate thread with a separate connection.

    A database that hangs blocks this thread, not those of requests, and `run` returns within CHECK_SECONDS.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._lock = threading.Lock()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="readiness")
        self._running: Future[Readiness | Details] | None = None
        self._started_at = 0.0
        self._conn: Connection | None = None

    def run(self) -> Readiness | Details:
        """The current state, or the faults by area.

        Concurrent calls share one check. A call that finds a check running for more than CHECK_SECONDS fails
        immediately, so that many calls do not occupy all threads.
        """
        with self._lock:
            if self._running is None or self._running.done():
                self._running = self._thread.submit(self._check)
                self._started_at = time.monotonic()
            running, seconds_left = self._running, self._started_at + CHECK_SECONDS - time.monotonic()
        try:
            return running.result(max(0.0, seconds_left))
        except TimeoutError:
            return {"database": [f"PostgreSQL did not answer within {CHECK_SECONDS:g} s."]}

    def _check(self) -> Readiness | Details:
        """The state. A new session is checked if the old one was closed by the server or has old settings."""
        was_connected = self._conn is not None and not self._conn.closed
        overdue = False
        try:
            result = self._check_on(self._connect())
        except psycopg.Error as error:
            result = {"database": [f"PostgreSQL is not available: {type(error).__name__}."]}
            overdue = isinstance(error, DeadlineExceeded)
        if isinstance(result, Readiness):
            return result
        if self._conn is not None:
            self._conn.close()
        return self._check() if was_connected and not overdue else result

    def _connect(self) -> Connection:
        if self._conn is None or self._conn.closed:
            self._conn = connect(
                self._settings.database_url or "",
                application="ticketing-health",
                limit_seconds=CHECK_SECONDS,
                options=CHECK_OPTIONS,
                is_pooled=self._settings.has_pooler,
            )
        return self._conn

    def _check_on(self, conn: Connection) -> Readiness | Details:
        if problem := find_problem(conn):
            return {"migrations": [problem]}
        if (state := read_schema_state(conn)) != "current":
            return {"read_tables": [f"The read tables are {state}. Run `ticketing migrate`."]}
        if refusal := fetch_value(conn, _sql["select_refusal_of_writes"], default=""):
            return {"database": [_REFUSALS_OF_WRITES[refusal]]}
        if self._settings.has_pooler and (wrong := wrong_settings(conn)):
            return {"database": [describe_wrong_settings(wrong)]}
        servers = self._settings.kafka_bootstrap_servers
        return read_state(conn, has_kafka=bool(servers), kafka=_kafka_state(servers))


def read_state(conn: Connection, *, has_kafka: bool, kafka: KafkaState = "not configured") -> Readiness:
    """Read the lags and counts, and set the gauges to them."""
    state = _State(*(conn.execute(_sql["select_state"]).fetchone() or ()))
    lags = read_lags(conn, has_kafka=has_kafka)
    projector_lag.set(max(0, state.lag))
    projector_lag_seconds.set(lags.projector)
    webhook_dispatcher_lag_seconds.set(lags.webhook_dispatcher)
    notary_lag_seconds.set(lags.notary)
    parked_events.set(state.parked)
    webhook_deliveries_due.set(state.due)
    webhook_deliveries_dead.set(state.dead)
    webhook_dead_letters.set(state.dead_letters)
    webhooks_failing.set(state.failing)
    if has_kafka:
        relay_lag.set(max(0, state.unpublished))
        relay_lag_seconds.set(lags.relay)
    return Readiness(
        projector_lag=max(0, state.lag),
        projector_lag_seconds=lags.projector,
        parked_events=state.parked,
        kafka=kafka,
        relay_lag=max(0, state.unpublished) if has_kafka else None,
        relay_lag_seconds=lags.relay if has_kafka else None,
        webhook_dispatcher_lag_seconds=lags.webhook_dispatcher,
        notary_lag_seconds=lags.notary,
        webhook_deliveries_due=state.due,
        webhooks_failing=state.failing,
    )


def _kafka_state(servers: str | None) -> KafkaState:
    """Whether one of the first three bootstrap servers accepts a connection."""
    if not servers:
        return "not configured"
    for server in servers.split(",")[:3]:
        host, _, port = server.strip().rpartition(":")
        try:
            with socket.create_connection((host, int(port)), timeout=KAFKA_SECONDS):
                return "reachable"
        except (OSError, ValueError):
            continue
    return "unreachable"
