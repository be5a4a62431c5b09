"""Checks the processes that follow the log: their lags, what they have set aside, and what stalls them."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

from api.monitoring.lags import Lags, read_lags
from cli.doctor.finding import Finding, ok, problem, warning
from cli.doctor.server import sql
from infrastructure.process.stalls import STALL_SECONDS, stalling_sessions
from infrastructure.settings import Settings
from infrastructure.storage.postgres import Connection

WARNING_SECONDS, PROBLEM_SECONDS = 10.0, 300.0
LONGEST_LEASE = timedelta(hours=1)  # an attempt lasts at most a minute
OVERDUE = timedelta(minutes=5)
_PROCESSES = {
    "projector": "projector",
    "relay": "relay",
    "webhook_dispatcher": "webhook-dispatcher",
    "notary": "notary",
}


def check_lags(conn: Connection, settings: Settings) -> list[Finding]:
    has_kafka = bool(settings.kafka_bootstrap_servers)
    return judge_lags(read_lags(conn, has_kafka=has_kafka), settings)


def judge_lags(lags: Lags, settings: Settings) -> list[Finding]:
    """A finding for each follower. The notary signs at intervals, so its lag counts from the second one."""
    allowance = 2 * 60 * settings.checkpoint_minutes
    return [
        _judge_lag(_PROCESSES[name], seconds, allowance if name == "notary" else 0)
        for name, seconds in lags._asdict().items()
        if name != "relay" or settings.kafka_bootstrap_servers
    ]


def _judge_lag(process: str, seconds: float, allowance_seconds: float) -> Finding:
    check = f"lag of {process}"
    if seconds == 0:
        return ok(check, "none.")
    text = f"the oldest event that waits is {seconds:.1f} s old."
    remedy = f"Check that `ticketing {process}` runs, and read its log."
    if seconds >= PROBLEM_SECONDS + allowance_seconds:
        return problem(check, text, remedy)
    if seconds >= WARNING_SECONDS + allowance_seconds:
        return warning(check, text, remedy)
    return ok(check, text)


def check_stalls(conn: Connection, longest_seconds: float = STALL_SECONDS) -> list[Finding]:
    """Sessions that have kept followers from reading on for `longest_seconds`."""
    longest = timedelta(seconds=longest_seconds)
    now = datetime.now(UTC)
    stalling = [
        session
        for session in stalling_sessions(conn)
        if session.since is not None and now - session.since >= longest
    ]
    return [
        problem(
            "stalls",
            f"process {session.pid} ({session.application}, role {session.role}) since {session.since}.",
            session.advice,
        )
        for session in stalling
    ] or [ok("stalls", "no session keeps the followers from reading on.")]


def check_failures(conn: Connection) -> list[Finding]:
    """What the followers have set aside."""
    ((parked, dead_letters, dead_deliveries),) = conn.execute(sql["count_failures"]).fetchall()
    findings = []
    if parked:
        remedy = (
            "See `ticketing parked-event list`, remove the cause, and run `ticketing parked-event retry`."
        )
        findings.append(problem("set aside", f"{parked} events could not be projected.", remedy))
    if dead_letters:
        remedy = "See `ticketing dead-letter list`, remove the cause, and run `ticketing dead-letter retry`."
        findings.append(problem("set aside", f"{dead_letters} records have no deliveries.", remedy))
    if dead_deliveries:
        remedy = (
            "See `ticketing delivery list`. Run `ticketing delivery retry` when the receiver works again."
        )
        findings.append(warning("set aside", f"{dead_deliveries} webhook deliveries are dead.", remedy))
    return findings or [ok("set aside", "no parked events, dead letters and dead deliveries.")]


def check_deliveries(conn: Connection) -> Iterator[Finding]:
    """Deliveries that no dispatcher can or does claim."""
    parameters = {"longest": LONGEST_LEASE, "overdue": OVERDUE}
    ((leased, overdue),) = conn.execute(sql["count_stuck"], parameters).fetchall()
    if leased:
        yield problem(
            "leases",
            f"{leased} deliveries are leased for more than {LONGEST_LEASE}, which is longer than any attempt:"
            " the clock of PostgreSQL was set back.",
            "Correct the clock, then run: UPDATE hook.deliveries SET leased_until = NULL WHERE status ="
            f" 'pending' AND leased_until > now() + interval '{LONGEST_LEASE}'.",
        )
    if overdue:
        yield problem(
            "leases",
            f"{overdue} deliveries have been due for more than {OVERDUE} and no dispatcher holds them.",
            "Check that `ticketing webhook-dispatcher` runs, and read its log. It takes them without help.",
        )
    if not leased and not overdue:
        yield ok("leases", "no delivery is stuck.")
