"""Figures about the tickets in a caller's reach: opened and closed, ages, times to answer, and loads."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from domain.access import Caller
from domain.ticket import PRIORITIES, Priority
from infrastructure.storage.postgres import Pool, named_queries
from projections.project_counts import ALL, PAIRS
from projections.properties import property_names
from projections.views import Reference

DAYS = 30
SHOWN_ROWS = 20  # properties, and assignees
MOST_TICKETS = 20_000  # whose times are measured; the newest ones
AGE_LIMITS = (1, 3, 7, 30)  # days
_STATUS_PAIRS = {
    wanted: [number for (status, _), number in PAIRS.items() if status == wanted]
    for wanted in ("open", "in_progress")
}
_sql = named_queries(Path(__file__).parent / "sql" / "ticket_figures.sql")


class Flow(msgspec.Struct, frozen=True):
    """How many tickets were opened on a day (UTC), and how many were closed for the last time."""

    day: date
    opened: int
    closed: int


class Ages(msgspec.Struct, frozen=True):
    """The tickets of an age that are open or in progress, by priority. The age is at least `from_days`, and
    less than `to_days` if there is a limit."""

    from_days: int
    to_days: int | None
    tickets: dict[Priority, int]


class Spread(msgspec.Struct, frozen=True):
    """The median and the 90th percentile of the durations of so many tickets."""

    tickets: int
    median_seconds: float
    p90_seconds: float


class PropertyTimes(msgspec.Struct, frozen=True):
    """The times of a property's tickets until the first answer and until they were closed; None without such
    tickets."""

    place: Reference
    answer: Spread | None
    resolution: Spread | None


class Load(msgspec.Struct, frozen=True):
    """The tickets of an assignee that are not closed."""

    person: Reference
    open: int
    in_progress: int


class TicketFigures(msgspec.Struct, frozen=True):
    """The figures as of a time. `flows` has an entry for each of the last DAYS days, oldest first. `times`
    has the properties with the most measured tickets, `loads` the assignees with the most tickets, at most
    SHOWN_ROWS of each."""

    at: datetime
    flows: list[Flow]
    ages: list[Ages]
    times: list[PropertyTimes]
    loads: list[Load]


class _Closings(NamedTuple):
    """A row of count_closings."""

    day: date | None
    property_id: str | None
    tickets: int
    median_seconds: float
    p90_seconds: float

    @property
    def spread(self) -> Spread:
        return Spread(self.tickets, self.median_seconds, self.p90_seconds)


def read_ticket_figures(pool: Pool, caller: Caller, now: datetime) -> TicketFigures:
    today = now.astimezone(UTC).date()
    days = [today - timedelta(days=back) for back in reversed(range(DAYS))]
    parameters = {
        "reach": None if caller.property_ids is None else list(caller.property_ids),
        "since": datetime.combine(days[0], time.min, UTC),
        "most": MOST_TICKETS,
    }
    opened = dict(_fetch(pool, "count_opened", parameters))
    closings = [_Closings(*row) for row in _fetch(pool, "count_closings", parameters)]
    closed = {one.day: one.tickets for one in closings if one.day is not None}
    return TicketFigures(
        at=now,
        flows=[Flow(day, opened.get(day, 0), closed.get(day, 0)) for day in days],
        ages=_ages(pool, parameters, now),
        times=_times(pool, parameters, closings),
        loads=_loads(pool, caller),
    )


def _ages(pool: Pool, parameters: Mapping[str, Any], now: datetime) -> list[Ages]:
    rows = _fetch(pool, "count_ages", {**parameters, "now": now, "limits": list(AGE_LIMITS)})
    found = {(bucket, rank): tickets for bucket, rank, tickets in rows}
    spans = zip((0, *AGE_LIMITS), (*AGE_LIMITS, None), strict=True)
    return [
        Ages(
            from_days,
            to_days,
            {name: found.get((bucket, rank), 0) for rank, name in enumerate(PRIORITIES, start=1)},
        )
        for bucket, (from_days, to_days) in enumerate(spans)
    ]


def _times(pool: Pool, parameters: Mapping[str, Any], closings: list[_Closings]) -> list[PropertyTimes]:
    resolutions = {one.property_id: one.spread for one in closings if one.property_id is not None}
    rows = _fetch(pool, "measure_first_answers", parameters)
    answers = {property_id: Spread(*values) for property_id, *values in rows}

    def measured(property_id: str) -> int:
        return sum(found[property_id].tickets for found in (answers, resolutions) if property_id in found)

    shown = sorted(answers.keys() | resolutions.keys(), key=lambda one: (-measured(one), one))[:SHOWN_ROWS]
    names = {place.id: place for place in property_names(pool, shown)}
    return [PropertyTimes(names[one], answers.get(one), resolutions.get(one)) for one in shown]


def _loads(pool: Pool, caller: Caller) -> list[Load]:
    properties = [ALL] if caller.property_ids is None else list(caller.property_ids)
    rows = _fetch(pool, "count_loads", {**_STATUS_PAIRS, "properties": properties, "shown": SHOWN_ROWS})
    return [Load(Reference(user_id, name), *counts) for user_id, name, *counts in rows]


def _fetch(pool: Pool, statement: str, parameters: Mapping[str, Any]) -> list[Any]:
    return pool.fetch(_sql[statement], parameters)
