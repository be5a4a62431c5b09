"""`ticketing export` and `ticketing proof`: exports of the log, and proofs for auditors."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Annotated, Any

import typer

from cli import options
from cli.database import Database, open_database
from cli.output import Progress, note, print_result
from domain.errors import Invalid
from infrastructure.keys.vault import Vault, load_vault
from infrastructure.settings import load_settings
from notary.export import COLUMNS, Content, Format, data, digest, find_range, manifest
from notary.proofs import prove
from notary.window import Range


class CannotWrite(Exception):
    """A requested file cannot be written; the message names it and the reason."""


def export(
    start: Annotated[
        Any,
        typer.Option(
            "--from",
            parser=options.parse_position_or_moment,
            metavar="POSITION|TIME",
            help="The first position of the log, or the first moment.",
        ),
    ] = 1,
    end: Annotated[
        Any,
        typer.Option(
            "--to",
            parser=options.parse_position_or_moment,
            metavar="POSITION|TIME",
            help="The last position, or the moment before which the export ends. Default: the last signed"
            " position.",
        ),
    ] = None,
    file_format: Annotated[
        Format, typer.Option("--format", help="One JSON object on each line, or CSV.")
    ] = "ndjson",
    output: Annotated[
        Path | None, typer.Option(help="The file to write. Default: standard output.", dir_okay=False)
    ] = None,
    manifest_file: Annotated[
        Path | None,
        typer.Option("--manifest", help="The file for the signed manifest. Default: OUTPUT.manifest.json."),
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Continue an interrupted export to OUTPUT.")
    ] = False,
) -> None:
    """Write events as they are stored, and a manifest that proves them.

    Both positions are included. A time is compared with the times at which events occurred: --from is
    included, --to is not. Use a date, which means midnight UTC, or a time such as 2030-01-31T12:00:00Z. The
    events are in the order of the log, regardless of their times.

    The same range gives the same bytes. Check both files anywhere: python3 tools/verify_export.py OUTPUT
    OUTPUT.manifest.json
    """
    if resume and output is None:
        raise Invalid({"resume": ["--resume requires --output."]})
    settings = load_settings()
    vault = load_vault(settings)
    with open_database(settings) as database:
        with database.pool.connection() as conn:
            chosen = find_range(conn, vault, start, end)
        if output is None:
            content = digest(_export_to_stdout(database, chosen, file_format), file_format)
        else:
            with _explain_write_errors(output):
                content = _export_to_file(database, chosen, file_format, output, resume=resume)
            manifest_file = manifest_file or output.with_name(f"{output.name}.manifest.json")
        if manifest_file is not None:
            with _explain_write_errors(manifest_file):
                _write_manifest(database, vault, chosen, content, manifest_file)
    note(f"Positions {chosen.first} to {chosen.last}: {content.bytes} bytes, SHA-256 {content.sha256}.")


def proof(event_id: Annotated[str, typer.Argument(metavar="EVENT_ID")]) -> None:
    """Print the proof, as JSON, that an event is in the signed log."""
    with open_database(load_settings()) as database, database.pool.connection() as conn:
        print_result(json.dumps(prove(conn, event_id), indent=2))


@contextmanager
def _explain_write_errors(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise CannotWrite(f"{path} cannot be written: {error.strerror}.") from None


def _export_to_stdout(database: Database, chosen: Range, file_format: Format) -> Iterator[bytes]:
    for piece in data(database.pool, chosen, file_format):
        sys.stdout.buffer.write(piece)
        yield piece
    sys.stdout.buffer.flush()


def _export_to_file(
    database: Database, chosen: Range, file_format: Format, output: Path, *, resume: bool
) -> Content:
    written = _last_position(output, file_format) if resume and output.exists() else None
    if written is not None:
        _require_same_beginning(database, chosen, file_format, output)
        _cut_after_last_line(output)
    rest = chosen if written is None else chosen.following(written)
    with output.open("wb" if written is None else "ab") as file, Progress("Exporting") as progress:
        for piece in data(database.pool, rest, file_format, with_header=written is None):
            file.write(piece)
            progress.show(file.tell(), 0)
    with output.open("rb") as whole:
        return digest(iter(lambda: whole.read(1 << 20), b""), file_format)


def _require_same_beginning(database: Database, chosen: Range, file_format: Format, output: Path) -> None:
    """Raise Invalid if the file was exported with other options: the result would not be one range."""
    pieces = data(database.pool, chosen, file_format)
    expected = b"".join(islice(pieces, 2 if file_format == "csv" else 1))
    with output.open("rb") as file:
        found = file.read(len(expected))
    if not expected.startswith(found[: found.rfind(b"\n") + 1] or found):
        raise Invalid(
            {"output": [f"{output} does not begin as this export does: it is an export of another range."]}
        )


def _last_position(output: Path, file_format: Format) -> int | None:
    """Return the position in the last complete line of the file; None if there is none."""
    last = b""
    with output.open("rb") as file:
        for line in file:
            if line.endswith(b"\n"):
                last = line
    try:
        if file_format == "ndjson":
            return int(json.loads(last)["position"]) if last else None
        first_cell = last.decode().partition(",")[0]
        return int(first_cell) if first_cell not in ("", COLUMNS[0]) else None
    except (ValueError, KeyError, TypeError):
        raise Invalid({"output": [f"{output} is not an export in the format {file_format}."]}) from None


def _cut_after_last_line(output: Path) -> None:
    """Remove the incomplete line at the end of an interrupted export."""
    with output.open("rb+") as file:
        whole_lines = sum(len(line) for line in file if line.endswith(b"\n"))
        file.truncate(whole_lines)


def _write_manifest(database: Database, vault: Vault, chosen: Range, content: Content, path: Path) -> None:
    with database.pool.connection() as conn:
        path.write_bytes(manifest(conn, vault, chosen, content))
