"""How much of the machine other programs use.

While they use much, a run gives no verdicts: they slow one side more than the other, in every round, so that
agreement of the rounds proves nothing.
"""

from __future__ import annotations

import re
import time
from collections.abc import Sequence

import msgspec
import psutil

from benchmarks.report import Report, Table

MOST_PROCESSORS = 0.2
WATCH_SECONDS = 1.0
_VERDICT = re.compile(r", (reached|missed|undecided)$")
_VERDICT_IN_NOTE = re.compile(r": (reached|missed|undecided)$")


def watch_other_load(seconds: float = WATCH_SECONDS) -> float:
    """The number of processors in use. Call it while the measured system is not running or idle."""
    before, began = _busy_seconds(), time.monotonic()
    time.sleep(seconds)
    return (_busy_seconds() - before) / (time.monotonic() - began)


def withhold_verdicts(report: Report, loads: Sequence[float]) -> Report:
    """The report with the load, and without verdicts if it was too high at any time that was watched."""
    highest = max(loads)
    used = f"Other programs used up to {highest:.2f} processors when nothing was measured"
    figures = {**report.figures, "other_load": list(loads)}
    if highest <= MOST_PROCESSORS:
        return msgspec.structs.replace(report, figures=figures, notes=[*report.notes, f"{used}."])
    tables = [
        Table(
            table.title,
            table.columns,
            [[_VERDICT.sub(", not judged", cell) for cell in row] for row in table.rows],
        )
        for table in report.tables
    ]
    notes = [_VERDICT_IN_NOTE.sub(": not judged", note) for note in report.notes]
    told = f"{used} (at most {MOST_PROCESSORS:g}): rates and ratios are not results. Use an idle machine."
    return msgspec.structs.replace(report, tables=tables, notes=[*notes, told], figures=figures)


def _busy_seconds() -> float:
    times = psutil.cpu_times()
    return float(times.user + times.nice + times.system + times.irq + times.softirq + times.steal)
