"""Measures two or more sides alternately in one run, and shows the ratios of their rates."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from benchmarks.report import Plot, Report, Table


class Comparison(msgspec.Struct, frozen=True, kw_only=True):
    """The rates of two sides in each round, in operations per second. `target` and `min_rate` are the
    ratio and the rate that the contender should reach."""

    name: str
    contender: str
    baseline: str
    target: float | None
    contender_rates: list[float]
    baseline_rates: list[float]
    min_rate: float | None = None

    @property
    def ratios(self) -> list[float]:
        return [
            contender / baseline
            for contender, baseline in zip(self.contender_rates, self.baseline_rates, strict=True)
        ]

    @property
    def ratio(self) -> float:
        return statistics.median(self.ratios)


def compare(
    name: str,
    *,
    contenders: Sequence[tuple[str, float | None]],
    baseline: str,
    rounds: int,
    measure: Callable[[str], float],
    min_rate: float | None = None,
) -> list[Comparison]:
    """Measure the baseline and each contender once in each round, so that other load affects all of them.

    `contenders` are pairs of name and target.
    """
    rates: dict[str, list[float]] = {side: [] for side in (baseline, *(side for side, _ in contenders))}
    for _ in range(rounds):
        for side, side_rates in rates.items():
            side_rates.append(measure(side))
    return [
        Comparison(
            name=name,
            contender=side,
            baseline=baseline,
            target=target,
            contender_rates=rates[side],
            baseline_rates=rates[baseline],
            min_rate=min_rate,
        )
        for side, target in contenders
    ]


def as_report(
    comparisons: Sequence[Comparison], *, clients: int, notes: Sequence[str] = (), **figures: Any
) -> Report:
    """The table of the comparisons, a plot of their ratios, and the rates of every round."""
    title = f"Operations per second, {clients} clients, medians of interleaved rounds"
    columns = ("operation", "sides", "ops/s", "baseline ops/s", "ratio", "lowest", "highest", "target")
    rows = [_row(one) for one in comparisons]
    names = [f"{one.name}: {one.contender}" for one in comparisons]
    ratios = {"median of the ratios": [one.ratio for one in comparisons]}
    return Report(
        tables=[Table(title, columns, rows)] if comparisons else [],
        notes=notes,
        figures={"clients": clients, **figures, "comparisons": [_figures(one) for one in comparisons]},
        plots=[Plot(title="Ratio to the baseline", unit="ratio", labels=names, values=ratios)]
        if comparisons
        else [],
    )


def judge(ratios: Sequence[float], target: float) -> str:
    """Whether every round reaches the target ("reached") or none does ("missed"). Otherwise "undecided": the
    rounds vary too much for a verdict, mostly because of other load."""
    if min(ratios) >= target:
        return "reached"
    return "missed" if max(ratios) < target else "undecided"


def _row(one: Comparison) -> list[str]:
    rate = statistics.median(one.contender_rates)
    slow = one.min_rate is not None and rate < one.min_rate
    verdict = "missed" if slow else "reached"
    minimum = "" if one.min_rate is None else f" (>= {one.min_rate:,.0f}), {verdict}"
    return [
        one.name,
        f"{one.contender} / {one.baseline}",
        f"{rate:,.0f}{minimum}",
        f"{statistics.median(one.baseline_rates):,.0f}",
        f"{one.ratio:.2f}",
        f"{min(one.ratios):.2f}",
        f"{max(one.ratios):.2f}",
        "" if one.target is None else f"{one.target:g}, {judge(one.ratios, one.target)}",
    ]


def _figures(one: Comparison) -> dict[str, Any]:
    return {**msgspec.to_builtins(one), "ratio": one.ratio, "ratios": one.ratios}
