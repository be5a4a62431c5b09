"""The result of a part: tables, notes, figures and plots, shown on the terminal and written to files."""

from __future__ import annotations

import json
import os
import platform
import subprocess
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import msgspec
from rich.console import Console
from rich.table import Table as RichTable


class Table(msgspec.Struct, frozen=True):
    """Cells are formatted. The first column has names, the others have figures."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]


class Plot(msgspec.Struct, frozen=True, kw_only=True):
    """`values` has one list for each series, with one value for each label (None: not measured)."""

    title: str
    unit: str
    kind: Literal["bars", "lines"] = "bars"
    labels: Sequence[str]
    values: dict[str, Sequence[float | None]]
    is_logarithmic: bool = False


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """`figures` is what the JSON file has: all measured values, not rounded."""

    tables: Sequence[Table]
    notes: Sequence[str] = ()
    figures: dict[str, Any] = msgspec.field(default_factory=dict)
    plots: Sequence[Plot] = ()


def show(console: Console, report: Report) -> None:
    for table in report.tables:
        shown = RichTable(title=table.title)
        for number, column in enumerate(table.columns):
            shown.add_column(column, justify="right" if number else "left")
        for row in table.rows:
            shown.add_row(*map(_coloured, row))
        console.print(shown)
    for note in report.notes:
        console.print(note)


def as_markdown(report: Report, pictures: Sequence[str] = ()) -> str:
    """The report as docs/reference/performance.md contains it. `pictures` are the addresses of the plots."""
    parts = []
    for table in report.tables:
        lines = [f"*{table.title}*", "", _line(table.columns), _line(["---"] * len(table.columns))]
        parts.append("\n".join(lines + [_line(row) for row in table.rows]))
    if report.notes:
        parts.append("\n".join(f"* {note}" for note in report.notes))
    parts += [f"![{plot.title}]({name})" for plot, name in zip(report.plots, pictures, strict=False)]
    return "\n\n".join(parts) + "\n"


def write(folder: Path, part: str, report: Report, **conditions: Any) -> None:
    """Write PART.json and PART.md."""
    folder.mkdir(parents=True, exist_ok=True)
    document = {
        "part": part,
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": platform.platform(),
        "processors": os.cpu_count(),
        "python": platform.python_version(),
        "commit": _describe_commit(),
        **conditions,
        **msgspec.to_builtins(report.figures),
        "tables": msgspec.to_builtins(report.tables),
        "notes": list(report.notes),
    }
    (folder / f"{part}.json").write_text(json.dumps(document, indent=2) + "\n")
    (folder / f"{part}.md").write_text(as_markdown(report))


def draw_plots(folder: Path, part: str, plots: Sequence[Plot]) -> None:
    """Write PART-1.svg, PART-2.svg ... if matplotlib is installed."""
    try:
        from benchmarks.plots import draw
    except ImportError:  # matplotlib is in the extra `bench`, which the tests do not install
        return
    for number, plot in enumerate(plots, start=1):
        draw(plot, folder / f"{part}-{number}.svg")


def _coloured(cell: str) -> str:
    colour = {"missed": "red", "wrong": "red", "undecided": "yellow", "reached": "green"}.get(
        cell.rpartition(" ")[2]
    )
    return f"[{colour}]{cell}" if colour else cell


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cell.replace('|', '/') for cell in cells)} |"


def _describe_commit() -> str:
    done = subprocess.run(["git", "describe", "--always", "--dirty"], capture_output=True, text=True)
    return done.stdout.strip()
