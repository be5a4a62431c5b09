"""Numbers at a glance: how many tickets wait, and how far behind the log its followers are."""

from __future__ import annotations

from datetime import date, datetime
from pathlib import Path

import msgspec

from domain.access import Caller
from infrastructure.storage.postgres import Pool, named_queries
from projections.views import Page

_sql = named_queries(Path(__file__).parent / "sql" / "overview.sql")


class TicketCounts(msgspec.Struct, frozen=True):
    """Tickets that are not closed. One may be counted as critical and as unassigned too."""

    open: int
    in_progress: int
    critical: int
    unassigned: int


class DayCount(msgspec.Struct, frozen=True):
    """How many tickets were opened on a day (UTC)."""

    day: date
    tickets: int


class SystemState(msgspec.Struct, frozen=True):
    """Positions in the log. `relay_at` is None when nothing was ever published to Kafka; `dispatched` moves
    only where there is no Kafka. `behind_kafka` counts the records the dispatchers have still to take from
    it, None when none of them was heard of lately. `deliveries_due` wait to be posted now."""

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
        """How many events the read tables lack."""
        return max(0, self.log_end - self.projected)

    @property
    def relay_lag(self) -> int:
        """How many events Kafka lacks."""
        return max(0, self.log_end - self.relayed)

    def dispatcher_lag(self, has_kafka: bool) -> int | None:
        """How many events, or records where there is a Kafka, have not been made deliveries of yet."""
        return self.behind_kafka if has_kafka else max(0, self.log_end - self.dispatched)


class ParkedEvent(msgspec.Struct, frozen=True):
    """An event that could not be projected, or one that waits behind it."""

    position: int
    aggregate_id: str
    error: str
    parked_at: datetime


def ticket_counts(pool: Pool, caller: Caller) -> TicketCounts:
    with pool.connection() as conn:
        (row,) = conn.execute(_sql["count_tickets"], {"mine": _reach(caller)}).fetchall()
    return TicketCounts(*row)


def opened_by_day(pool: Pool, caller: Caller, today: datetime, days: int) -> list[DayCount]:
    """One entry a day, oldest first, of the `days` before today and today."""
    parameters = {"mine": _reach(caller), "today": today, "days": days}
    with pool.connection() as conn:
        rows = conn.execute(_sql["count_opened_by_day"], parameters).fetchall()
    return [DayCount(*row) for row in rows]


def system_state(pool: Pool) -> SystemState:
    with pool.connection() as conn:
        (row,) = conn.execute(_sql["read_system"]).fetchall()
    return SystemState(*row)


def list_parked(pool: Pool, limit: int, offset: int) -> Page[ParkedEvent]:
    """The parked events in the order of the log."""
    with pool.connection() as conn:
        rows = conn.execute(_sql["list_parked"], {"limit": limit, "offset": offset}).fetchall()
    return Page(items=[ParkedEvent(*row[:4]) for row in rows], total=rows[0][4] if rows else 0)


def _reach(caller: Caller) -> list[str] | None:
    return None if caller.property_ids is None else list(caller.property_ids)
