"""Measures two or more sides alternately in one run, and shows the ratios of their rates."""

from __future__ import annotations

import json
import platform
import statistics
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
from rich.console import Console
from rich.table import Table


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


def show(console: Console, comparisons: Sequence[Comparison], *, clients: int) -> None:
    table = Table(title=f"Operations per second, {clients} clients, medians of interleaved rounds")
    table.add_column("operation")
    table.add_column("side")
    for column in ("ops/s", "baseline ops/s", "ratio", "lowest", "highest", "target"):
        table.add_column(column, justify="right")
    for comparison in comparisons:
        target = comparison.target
        is_missed = target is not None and comparison.ratio < target
        table.add_row(
            comparison.name,
            f"{comparison.contender} / {comparison.baseline}",
            _format_rate(comparison),
            f"{statistics.median(comparison.baseline_rates):,.0f}",
            f"[{'red' if is_missed else 'green'}]{comparison.ratio:.2f}",
            f"{min(comparison.ratios):.2f}",
            f"{max(comparison.ratios):.2f}",
            "" if target is None else f"{target:g}",
        )
    console.print(table)


def _format_rate(comparison: Comparison) -> str:
    rate, minimum = statistics.median(comparison.contender_rates), comparison.min_rate
    if minimum is None:
        return f"{rate:,.0f}"
    return f"[{'red' if rate < minimum else 'green'}]{rate:,.0f} (>= {minimum:,.0f})"


def write(path: Path, comparisons: Sequence[Comparison], **conditions: Any) -> None:
    """Write the rates of every round as JSON, with the conditions of the run."""
    results = [
        {**msgspec.to_builtins(comparison), "ratio": comparison.ratio, "ratios": comparison.ratios}
        for comparison in comparisons
    ]
    document = {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": platform.platform(),
        "python": platform.python_version(),
        **conditions,
        "comparisons": results,
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(document, indent=2) + "\n")
