"""Reads the rows of a CSV file, and says which cell of which line cannot be read."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Sequence
from typing import BinaryIO, NamedTuple

from api.http.import_lines import MOST_BYTES, RawLine, split_lines
from domain.errors import Details

ROW_TOO_LONG = f"The row is longer than {MOST_BYTES:,} characters, or a quote of it is not closed."
QUOTES = "Double the quotes inside a quoted cell, and close it with one."
# A complete cell with the comma that follows it.
_CELL = re.compile(r'(?:"(?:[^"]|"")*"|[^",\r\n][^,\r\n]*)?,')


class Row(NamedTuple):
    """A row: the number of its first line, and its cells or the problems of its cells."""

    number: int
    cells: list[str]
    problems: Details


class CsvRows:
    """The rows that are not empty. Set `names` to the names of the columns after the first row."""

    def __init__(self, stream: BinaryIO) -> None:
        self.names: Sequence[str] = ()
        self._lines = _Lines(stream)
        self._reader = csv.reader(self._lines, strict=True)

    def __iter__(self) -> Iterator[Row]:
        while True:
            number = self._lines.begin_row()
            try:
                cells = next(self._reader)
            except StopIteration:
                return
            except _Unreadable as error:
                yield Row(number, [], self._problems(number, str(error)))
            except csv.Error as error:
                yield Row(number, [], self._problems(number, f"The cell is not CSV ({error}). {QUOTES}"))
            else:
                if any(cells):
                    yield Row(number, cells, {})

    def _problems(self, number: int, message: str) -> Details:
        column = _cells_before("".join(self._lines.texts))
        name = self.names[column] if column < len(self.names) else "line"
        if self._lines.number > number:
            message = f"{message} Lines {number} to {self._lines.number} were not imported."
        return {name: [message]}


class _Unreadable(Exception):
    """A line is not text, or too long."""


class _Lines:
    """The lines of the file as text. It can be read on after an error, as a generator cannot.

    `texts` are the lines that have been read of the row, up to the place of an error.
    """

    def __init__(self, stream: BinaryIO) -> None:
        self.number = 0
        self.texts: list[str] = []
        self._characters = 0  # of the texts
        self._lines = split_lines(stream)

    def begin_row(self) -> int:
        """Forget the row before, and return the number of the next line."""
        self.texts, self._characters = [], 0
        return self.number + 1

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        line = next(self._lines)
        self.number = line.number
        decoded = self._decode(line)
        self._characters += len(decoded)
        if self._characters > MOST_BYTES:
            raise _Unreadable(ROW_TOO_LONG)
        self.texts.append(decoded)
        return decoded

    def _decode(self, line: RawLine) -> str:
        if line.problem is not None:
            raise _Unreadable(line.problem)
        try:
            return line.content.decode()
        except UnicodeDecodeError as error:
            self.texts.append(line.content[: error.start].decode())
            byte = line.content[error.start]
            raise _Unreadable(
                f"The byte 0x{byte:02x} at place {error.start + 1} of line {line.number} is not UTF-8."
            ) from None


def _cells_before(text: str) -> int:
    """The number of complete cells before the end of the text, or before a cell that is not CSV."""
    cells = end = 0
    while found := _CELL.match(text, end):
        cells, end = cells + 1, found.end()
    return cells
