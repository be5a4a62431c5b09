"""Output of commands: results on standard output, messages to the operator on standard error."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from types import TracebackType
from typing import Self

import typer
from rich import progress as bars
from rich.console import Console
from rich.table import Table

ANY_WIDTH = 1_000_000  # no cell is cut or wrapped: people copy ids from tables, and programs read them


def note(text: str) -> None:
    """Write a message to standard error."""
    typer.echo(text, err=True)


def print_result(text: str) -> None:
    """Write a line of the result to standard output."""
    typer.echo(text)


def print_table(columns: Sequence[str], rows: Sequence[Sequence[object]], *, to_stderr: bool = False) -> None:
    """Write rows under their column names. Cells are written literally, without markup.

    A row is one line, whatever its length.
    """
    stream = sys.stderr if to_stderr else sys.stdout
    console = Console(file=stream, width=ANY_WIDTH, markup=False, highlight=False)
    table = Table(*columns, box=None, pad_edge=False)
    for row in rows:
        table.add_row(*("-" if cell is None else str(cell) for cell in row))
    console.print(table)


def format_time(at: datetime | None) -> str | None:
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ") if at else None


class Progress:
    """A progress bar on standard error, shown on terminals only."""

    def __init__(self, title: str) -> None:
        self._bars = bars.Progress(
            bars.TextColumn("{task.description}"),
            bars.BarColumn(),
            bars.MofNCompleteColumn(),
            bars.TimeRemainingColumn(),
            console=Console(stderr=True),
            disable=not sys.stderr.isatty(),
        )
        self._task = self._bars.add_task(title, total=None)

    def __enter__(self) -> Self:
        self._bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bars.stop()

    def show(self, done: int, total: int) -> None:
        self._bars.update(self._task, completed=done, total=total)

    def add_bar(self, title: str) -> Callable[[int, int], None]:
        """Add a second bar below the first, and return the function that updates it."""
        task = self._bars.add_task(title, total=None)
        return lambda done, total: self._bars.update(task, completed=done, total=total)
