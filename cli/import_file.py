"""`ticketing import`: brings properties, units, people and tickets of another system in."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TextIO

import msgspec
import typer

from cli.database import Database, open_database, operator_context
from cli.output import Progress, note, print_table
from commands.import_items import Importer, Item
from commands.imports import import_items
from domain.errors import Details, DomainError, Invalid
from domain.text import ExternalSource
from infrastructure.process.garbage import rare_garbage_collection
from infrastructure.settings import load_settings

if TYPE_CHECKING:
    from api.http.import_files import FileFormat, Line

BATCH_LINES = 500  # in one commit
BATCH_BYTES = 4_194_304
LISTED = 20  # refused lines, without --report

_encode = msgspec.json.Encoder().encode


class _Refused(msgspec.Struct, frozen=True, kw_only=True):
    """A line of the report."""

    line: int
    message: str
    details: Details


def import_file(
    file: Annotated[
        Path, typer.Argument(help="NDJSON, or CSV if the name ends with .csv.", exists=True, dir_okay=False)
    ],
    source: Annotated[str, typer.Option(help="The name of the other system, such as `sap`.")],
    webhooks: Annotated[
        bool, typer.Option("--webhooks", help="Send webhook messages about what is imported.")
    ] = False,
    report: Annotated[
        Path | None, typer.Option(help="Write the refused lines to this file, as NDJSON.")
    ] = None,
) -> None:
    """Import properties, units, people and tickets with their original times and authors.

    docs/how-to/import.md describes the file.

    What exists already, by its external id, is not changed: an interrupted import can be run again.
    Exit code 0: nothing was refused. 1: lines were refused; the others are imported.
    """
    _require_source(source)
    with open_database(load_settings()) as database, rare_garbage_collection():
        importer = Importer(operator_context(), source, notify=webhooks)
        with report.open("w") if report else open(os.devnull, "w") as refused_lines:
            counts, listed = _import(database, file, importer, refused_lines)
    if listed and report is None:
        print_table(
            ("LINE", "FIELD", "PROBLEM"), [row for one in listed for row in _rows_of(one)], to_stderr=True
        )
    note(
        f"Imported {counts['created']} objects; {counts['unchanged']} existed already;"
        f" {counts['refused']} lines were refused."
    )
    if counts["refused"]:
        raise typer.Exit(1)


def _require_source(source: str) -> None:
    try:
        msgspec.convert(source, ExternalSource)
    except msgspec.ValidationError:
        message = "The source must be a lower-case slug of at most 50 characters, such as sap."
        raise Invalid({"source": [message]}) from None


def _import(
    database: Database, file: Path, importer: Importer, report: TextIO
) -> tuple[Counter[str], list[_Refused]]:
    """Import the file in batches, and wait until the API shows it. Returns counts, and the first refused
    lines."""
    from api.http.import_files import read_lines  # here: it loads metrics, which `api` must share first

    counts: Counter[str] = Counter()
    listed: list[_Refused] = []
    last, size = 0, file.stat().st_size
    file_format: FileFormat = "csv" if file.suffix == ".csv" else "ndjson"
    with file.open("rb") as stream, Progress("Importing") as progress:
        for batch in _batches(read_lines(stream, file_format), stream.tell):
            position, refused = _import_batch(database, batch, importer, counts)
            last = max(last, position)
            for one in refused:
                report.write(f"{_encode(one).decode()}\n")
            listed += refused[: LISTED - len(listed)]
            progress.show(stream.tell(), size)
    database.wait_until_shown(last)
    return counts, listed


def _batches(lines: Iterable[Line], tell: Callable[[], int]) -> Iterator[list[Line]]:
    """Groups of lines, of at most BATCH_LINES. A group ends when BATCH_BYTES of the file have been read."""
    batch: list[Line] = []
    begun = 0
    for line in lines:
        batch.append(line)
        if len(batch) == BATCH_LINES or tell() - begun >= BATCH_BYTES:
            yield batch
            batch, begun = [], tell()
    if batch:
        yield batch


def _import_batch(
    database: Database, batch: list[Line], importer: Importer, counts: Counter[str]
) -> tuple[int, list[_Refused]]:
    """Import the lines that can be read. Returns the position of the last event, and the refused lines."""
    read = [(line.number, line.item) for line in batch if isinstance(line.item, Item)]
    results, position = import_items(database.store, [item for _, item in read], importer)
    outcomes = {number: result for (number, _), result in zip(read, results, strict=True)}
    refused = []
    for number, item in batch:
        outcome = outcomes[number] if isinstance(item, Item) else item
        if isinstance(outcome, DomainError):
            refused.append(_Refused(line=number, message=str(outcome), details=outcome.details or {}))
        counts["refused" if isinstance(outcome, DomainError) else outcome] += 1
    return position, refused


def _rows_of(refused: _Refused) -> list[tuple[int, str, str]]:
    if not refused.details:
        return [(refused.line, "", refused.message)]
    return [(refused.line, name, text) for name, texts in refused.details.items() for text in texts]
