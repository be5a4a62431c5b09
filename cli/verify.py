"""`ticketing verify`: is the log what it was, and do the read tables say what it says?"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated

import typer

from cli.database import DatabaseUnavailable, database_address
from cli.output import Progress, note, print_table
from infrastructure.postgres import connect
from infrastructure.settings import Settings, load_settings
from notary.places import StatementFile
from notary.verification import Report, verify_log
from projections.rebuild import verify as verify_read_tables

LISTED = 100


def verify(
    checkpoints: Annotated[
        Path | None,
        typer.Option(help="The file of signed checkpoints. Default: the notary's, in NOTARY_DIR."),
    ] = None,
    read_tables: Annotated[
        bool, typer.Option("--read-tables/--no-read-tables", help="Compare the read tables with the log too.")
    ] = True,
) -> None:
    """Check that the log is what was chained and signed, and that the read tables say what it says.

    Exit code 0: nothing is wrong. 1: something was altered, and where. 2: it cannot be told.
    """
    settings = load_settings()
    outside = _outside(settings, checkpoints)
    with database_address(settings) as dsn:
        with connect(dsn, application="ticketing-verify") as conn, Progress("Checking the log") as progress:
            report = verify_log(conn, outside, progress.show)
        differing = _differing_rows(dsn) if read_tables else 0
    _tell(report)
    if report.findings or differing:
        raise typer.Exit(1)
    if report.statements and not report.signed_outside:
        raise DatabaseUnavailable(
            f"No checkpoints were found outside the database ({', '.join(outside)}): whether the log was"
            " altered and chained again cannot be told. Name their file with --checkpoints."
        )


def _outside(settings: Settings, checkpoints: Path | None) -> dict[str, Iterable[str]]:
    file = StatementFile(checkpoints) if checkpoints else StatementFile.of(settings)
    if checkpoints and not checkpoints.exists():
        raise DatabaseUnavailable(f"There is no file {checkpoints}.")
    outside: dict[str, Iterable[str]] = {str(file.path): file.lines()}
    if settings.kafka_bootstrap_servers and checkpoints is None:
        from notary.topic import StatementTopic  # here, as few commands need a Kafka client

        outside["Kafka"] = StatementTopic(settings).lines()
    return outside


def _differing_rows(dsn: str) -> int:
    with Progress("Comparing the read tables") as progress:
        report = verify_read_tables(dsn, progress.show)
    if report.count:
        print_table(
            ("TABLE", "ID", "DIFFERENCE"), [(one.table, one.id, one.problem) for one in report.differences]
        )
        note(f"{report.count} rows of the read tables differ from what the log gives.")
    return report.count


def _tell(report: Report) -> None:
    if report.findings:
        rows = [(one.position, one.problem) for one in report.findings[:LISTED]]
        print_table(("POSITION", "PROBLEM"), rows)
        note(f"{len(report.findings)} findings in the log, {len(rows)} of them listed.")
    note(
        f"{report.events} events in {report.pages} pages and {report.statements} statements checked in"
        f" {report.seconds:.1f} s; signed outside the database up to position {report.signed}."
    )
