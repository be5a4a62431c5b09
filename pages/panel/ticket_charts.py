"""The charts of the figures about tickets (projections/ticket_figures.py)."""

from __future__ import annotations

from collections.abc import Callable

from pages.common.filters import day, duration, number
from pages.panel.charts import Columns, Part, Rows, columns, rows
from projections.ticket_figures import Ages, PropertyTimes, Spread, TicketFigures

EVERY_DAYS = 7  # a label of the chart of days


def flow_chart(figures: TicketFigures) -> Columns:
    """The tickets opened and closed on each day."""
    flows = figures.flows
    return columns(
        [f"{one.day.day} {one.day:%b}" for one in flows],
        {"opened": [one.opened for one in flows], "closed": [one.closed for one in flows]},
        [f"{day(one.day)}: {one.opened} opened, {one.closed} closed" for one in flows],
        EVERY_DAYS,
    )


def age_chart(figures: TicketFigures) -> Rows:
    """The tickets of each age, by priority; the most urgent ones first."""
    return rows(
        [
            (
                name_of_ages(ages),
                number(sum(ages.tickets.values())),
                [
                    Part(priority, tickets, f"{number(tickets)} {priority}")
                    for priority, tickets in reversed(ages.tickets.items())
                ],
            )
            for ages in figures.ages
        ]
    )


def name_of_ages(ages: Ages) -> str:
    if ages.to_days is None:
        return f"More than {ages.from_days} days"
    if ages.from_days == 0:
        return "Less than 1 day" if ages.to_days == 1 else f"Less than {ages.to_days} days"
    return f"{ages.from_days} to {ages.to_days} days"


def time_chart(figures: TicketFigures, spread_of: Callable[[PropertyTimes], Spread | None]) -> Rows:
    """The median and the 90th percentile of one of the times, by property; the longest first."""
    found = [(one.place.name, spread) for one in figures.times if (spread := spread_of(one))]
    found.sort(key=lambda pair: -pair[1].median_seconds)
    return rows([_time_row(name, spread) for name, spread in found])


def load_chart(figures: TicketFigures) -> Rows:
    """The tickets of each assignee that are open or in progress."""
    return rows(
        [
            (
                load.person.name,
                number(load.open + load.in_progress),
                [
                    Part("in-progress", load.in_progress, f"{number(load.in_progress)} in progress"),
                    Part("open", load.open, f"{number(load.open)} open"),
                ],
            )
            for load in figures.loads
        ]
    )


def describe(chart: Rows) -> str:
    """The names and values of a chart in words."""
    return ", ".join(f"{row.name}: {row.value}" for row in chart.rows)


def _time_row(name: str, spread: Spread) -> tuple[str, str, list[Part]]:
    median, p90 = duration(spread.median_seconds), duration(spread.p90_seconds)
    parts = [
        Part("median", spread.median_seconds, f"Half within {median}"),
        Part("p90", spread.p90_seconds - spread.median_seconds, f"Nine of ten within {p90}"),
    ]
    return name, f"{median} · {p90}", parts
