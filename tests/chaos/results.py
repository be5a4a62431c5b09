"""The results of runs: one JSON object a line for each window, and their sum as a table."""

from __future__ import annotations

import json
import os
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from tests.chaos.rig import Window

RESULTS = Path(os.environ.get("CHAOS_RESULTS") or Path(__file__).parents[2] / "build" / "chaos.jsonl")


def append(run: dict[str, Any], window: Window) -> None:
    """Append the outcome of a window, or of the check of a whole run."""
    RESULTS.parent.mkdir(parents=True, exist_ok=True)
    with RESULTS.open("a") as file:
        file.write(json.dumps(run | window._asdict()) + "\n")


def read() -> list[dict[str, Any]]:
    if not RESULTS.exists():
        return []
    return [json.loads(line) for line in RESULTS.read_text().splitlines()]


def table(windows: Iterable[dict[str, Any]]) -> str:
    """The sum of all windows, and the slowest recovery of each kind of fault, in Markdown."""
    found = list(windows)
    faults = [window for window in found if not window["is_whole"]]
    by_kind: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for window in faults:
        by_kind[window["fault"]].append(window)
    runs = {(window["began"], window["seed"]) for window in found}
    violations = sum(len(texts) for window in found for texts in window["violations"].values())
    checked = sum(window["is_whole"] for window in found)
    mended = sum(window["has_mended_kafka"] for window in found)
    lines = [
        "| runs | checked as a whole | faults | acknowledged writes | refused | unknown at first | violations"
        " | late for the machine | Kafka started by hand |",
        "|---|---|---|---|---|---|---|---|---|",
        f"| {len(runs)} | {checked} | {len(faults):,} | {_sum(faults, 'acknowledged'):,}"
        f" | {_sum(faults, 'refused'):,} | {_sum(faults, 'unknown'):,} | {violations:,}"
        f" | {_sum(faults, 'slow'):,} | {mended} |",
        "",
        "| fault | times | acknowledged writes | slowest recovery | what worked last |",
        "|---|---|---|---|---|",
    ]
    for kind, its in sorted(by_kind.items()):
        slowest = max(its, key=lambda window: window["recovery_seconds"] or 0.0)
        seconds, last = slowest["recovery_seconds"], slowest["recovered_last"]
        shown = "none" if seconds is None else f"{seconds:.1f} s"
        lines.append(f"| {kind} | {len(its)} | {_sum(its, 'acknowledged'):,} | {shown} | {last} |")
    return "\n".join(lines)


def _sum(windows: Iterable[dict[str, Any]], name: str) -> int:
    return sum(window[name] for window in windows)
