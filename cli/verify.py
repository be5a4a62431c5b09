"""`ticketing verify`: is the log what it was, and do the read tables say what it says?"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Annotated

import typer

from cli.database import DatabaseUnavailable, database_address
from cli.output import Progress, note, print_table
from infrastructure.postgres import connect
from infrastructure.settings import Settings, load_settings
from notary.places import StatementFile
from notary.verification import Report, verify_log
from projections.rebuild import VerifyReport
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
    with database_address(settings) as dsn, Progress("Checking the log") as progress:
        second = progress.also("Comparing the read tables") if read_tables else None
        report, compared = check(dsn, outside, progress.show, second)
    if compared is not None:
        _tell_differences(compared)
    _tell(report)
    if report.findings or (compared is not None and compared.count):
        raise typer.Exit(1)
    if report.statements and not report.signed_outside:
        raise DatabaseUnavailable(
            f"No checkpoints were found outside the database ({', '.join(outside)}): whether the log was"
            " altered and chained again cannot be told. Name their file with --checkpoints."
        )
    note("Nothing is wrong.")


def check(
    dsn: str,
    outside: dict[str, Iterable[str]],
    log_progress: Callable[[int, int], None],
    table_progress: Callable[[int, int], None] | None,
) -> tuple[Report, VerifyReport | None]:
    """The log and, unless `table_progress` is None, the read tables at the same time: each of the two waits
    for the server a good part of its own."""
    with (
        connect(dsn, application="ticketing-verify") as conn,
        ThreadPoolExecutor(1, thread_name_prefix="log") as executor,
    ):
        checking = executor.submit(verify_log, conn, outside, log_progress)
        compared = verify_read_tables(dsn, table_progress) if table_progress else None
        return checking.result(), compared


def _outside(settings: Settings, checkpoints: Path | None) -> dict[str, Iterable[str]]:
    file = StatementFile(checkpoints) if checkpoints else StatementFile.of(settings)
    if checkpoints and not checkpoints.exists():
        raise DatabaseUnavailable(f"There is no file {checkpoints}.")
    outside: dict[str, Iterable[str]] = {str(file.path): file.lines()}
    if settings.kafka_bootstrap_servers and checkpoints is None:
        from notary.topic import StatementTopic  # here, as few commands need a Kafka client

        outside["Kafka"] = StatementTopic(settings).lines()
    return outside


def _tell_differences(report: VerifyReport) -> None:
    if report.count:
        print_table(
            ("TABLE", "ID", "DIFFERENCE"), [(one.table, one.id, one.problem) for one in report.differences]
        )
        rows = "1 row" if report.count == 1 else f"{report.count} rows"
        note(f"{rows} of the read tables not as the log has it: `ticketing rebuild` fills them anew.")


def _tell(report: Report) -> None:
    if report.findings:
        rows = [(one.position, one.problem) for one in report.findings[:LISTED]]
        print_table(("POSITION", "PROBLEM"), rows)
        found = len(report.findings)
        listed = "" if found == len(rows) else f", {len(rows)} of them listed"
        note(f"{found} finding{'s' if found > 1 else ''} in the log{listed}.")
    note(
        f"{report.events} events in {report.pages} pages and {report.statements} statements checked in"
        f" {report.seconds:.1f} s; signed outside the database up to position {report.signed}."
    )
