"""Counts for the overview page: open tickets, and the lag of the followers of the log."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import msgspec

from domain.access import Caller
from infrastructure.storage.postgres import Pool, named_queries
from projections.project_counts import ALL, PAIRS
from projections.rows import split_total
from projections.views import Page

_PAIRS = {
    "open": [number for (status, _), number in PAIRS.items() if status == "open"],
    "in_progress": [number for (status, _), number in PAIRS.items() if status == "in_progress"],
    "critical": [PAIRS["open", "critical"], PAIRS["in_progress", "critical"]],
}
LARGE_LAG = 100  # events; a lag of a few events is normal
_sql = named_queries(Path(__file__).parent / "sql" / "overview.sql")


class TicketCounts(msgspec.Struct, frozen=True):
    """Numbers of tickets that are not closed. Critical or unassigned tickets are also counted as open or in
    progress."""

    open: int
    in_progress: int
    critical: int
    unassigned: int


class SystemState(msgspec.Struct, frozen=True):
    """Positions in the log, and counts.

    `relay_at` is None if no event was ever published to Kafka. `dispatched` changes only without Kafka.
    `behind_kafka` counts the records that the dispatchers have not consumed yet; None if no dispatcher has
    reported recently. `deliveries_due` counts deliveries that wait to be posted now.
    """

    log_end: int
    projected: int
    parked: int
    relayed: int
    relay_at: datetime | None
    dispatched: int
    behind_kafka: int | None
    deliveries_due: int
    failing_webhooks: int

    @property
    def projector_lag(self) -> int:
        """The number of events that are not in the read tables yet."""
        return max(0, self.log_end - self.projected)

    @property
    def relay_lag(self) -> int:
        """The number of events that are not in Kafka yet."""
        return max(0, self.log_end - self.relayed)

    def dispatcher_lag(self, has_kafka: bool) -> int | None:
        """The number of events, or records of Kafka, without webhook deliveries; None if it is unknown."""
        return self.behind_kafka if has_kafka else max(0, self.log_end - self.dispatched)

    def problems(self, has_kafka: bool) -> list[str]:
        """What is wrong, in words; empty if nothing is."""
        dispatcher_lag = self.dispatcher_lag(has_kafka)
        found = {
            "The projector lags.": self.projector_lag >= LARGE_LAG,
            "Events are parked.": self.parked > 0,
            "The relay to Kafka lags.": has_kafka and self.relay_lag >= LARGE_LAG,
            "The webhook dispatcher does not report.": dispatcher_lag is None,
            "The webhook dispatcher lags.": (dispatcher_lag or 0) >= LARGE_LAG,
            "Webhooks are failing.": self.failing_webhooks > 0,
        }
        return [problem for problem, is_present in found.items() if is_present]


class ParkedEvent(msgspec.Struct, frozen=True):
    """An event that could not be projected, or a later one of the same aggregate."""

    position: int
    aggregate_id: str
    error: str
    parked_at: datetime


def ticket_counts(pool: Pool, caller: Caller) -> TicketCounts:
    properties = [ALL] if caller.property_ids is None else list(caller.property_ids)
    with pool.connection() as conn:
        (row,) = conn.execute(_sql["count_tickets"], _PAIRS | {"properties": properties}).fetchall()
    return TicketCounts(*row)


def system_state(pool: Pool) -> SystemState:
    with pool.connection() as conn:
        (row,) = conn.execute(_sql["read_system"]).fetchall()
    return SystemState(*row)


def list_parked(pool: Pool, limit: int, offset: int) -> Page[ParkedEvent]:
    """The parked events in the order of the log."""
    with pool.connection() as conn:
        rows = conn.execute(_sql["list_parked"], {"limit": limit, "offset": offset}).fetchall()
    events, total = split_total(ParkedEvent, rows)
    return Page(items=events, total=total)
