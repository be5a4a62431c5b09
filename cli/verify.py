"""`ticketing verify`: checks that the log is unaltered and that the read tables match it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, NamedTuple

import psycopg
import typer

from cli.child_process import ChildWork, run_in_child
from cli.database import DatabaseUnavailable, database_address
from cli.output import Progress, note, print_table
from infrastructure.ids import new_id
from infrastructure.keys.vault import Vault, load_vault
from infrastructure.process.deadlines import LONG_STATEMENT_SECONDS
from infrastructure.process.failures import describe_error
from infrastructure.process.garbage import rare_garbage_collection
from infrastructure.settings import Settings, load_settings
from infrastructure.storage.postgres import connect, named_queries
from notary.places import StatementFile
from notary.verification import Report, verify_log
from projections.comparison import Differences
from projections.rebuild import Progress as ShowProgress
from projections.verification import VerifyReport, verify_audit, verify_tables, with_audit

LISTED = 100
_sql = named_queries(Path(__file__).parent / "sql" / "verify.sql")


class Checked(NamedTuple):
    """The findings in the log and in the table `audit_events`, which the same process compares."""

    log: Report
    audit: Differences


def verify(
    checkpoints: Annotated[
        Path | None,
        typer.Option(help="The file of signed checkpoints. Default: the notary's file in NOTARY_DIR."),
    ] = None,
    read_tables: Annotated[
        bool, typer.Option("--read-tables/--no-read-tables", help="Compare the read tables with the log too.")
    ] = True,
) -> None:
    """Check that the log matches its chain and signed checkpoints, and that the read tables match the log.

    Exit code 0: no problem found. 1: something was altered. 2: the check was not possible.
    """
    settings = load_settings()
    outside = _find_outside_checkpoints(settings, checkpoints)
    with database_address(settings) as dsn:
        check(dsn, settings, outside, read_tables=read_tables)


def check(
    dsn: str, settings: Settings, outside: dict[str, Iterable[str]], *, read_tables: bool = True
) -> None:
    """Check the database of an address and print what was found. Raises typer.Exit if something was altered,
    and DatabaseUnavailable if the check was not possible. `outside` has the lines of checkpoints by place."""
    with (
        start_check(dsn, outside, audit=read_tables) as log,
        Progress("Checking the log") as progress,
    ):
        tables = progress.add_bar("Comparing the read tables") if read_tables else None
        report, compared = finish_check(dsn, load_vault(settings), log, progress.show, tables)
        if compared is not None and (report.findings or report.signed_outside or not report.statements):
            _store_outcome(dsn, report, compared)
    if compared is not None:
        _print_differences(compared)
    _print_report(report)
    if report.findings or (compared is not None and compared.count):
        raise typer.Exit(1)
    if report.statements and not report.signed_outside:
        raise DatabaseUnavailable(
            f"No checkpoints were found outside the database ({', '.join(outside)}), so this check cannot"
            " find a log that was altered and chained again. Give the file of checkpoints with --checkpoints."
        )
    note("Nothing is wrong.")


@contextmanager
def start_check(dsn: str, outside: dict[str, Iterable[str]], *, audit: bool) -> Iterator[ChildWork[Checked]]:
    """Start to check the log and, with `audit`, the table `audit_events` in another process."""

    def work(progress: ShowProgress) -> Checked:
        with rare_garbage_collection():
            with connect(dsn, application="ticketing-verify", limit_seconds=LONG_STATEMENT_SECONDS) as conn:
                report = verify_log(conn, outside, progress)
            return Checked(report, verify_audit(dsn, progress) if audit else Differences())

    with run_in_child(work) as log:
        yield log


def finish_check(
    dsn: str,
    vault: Vault,
    log: ChildWork[Checked],
    log_progress: ShowProgress,
    table_progress: ShowProgress | None,
) -> tuple[Report, VerifyReport | None]:
    """Wait for the result of `start_check`; with `table_progress` compare the read tables meanwhile."""
    with ThreadPoolExecutor(1, thread_name_prefix="log") as executor:
        waiting = executor.submit(log.wait, log_progress)
        try:
            compared = verify_tables(dsn, vault, table_progress) if table_progress else None
        except BaseException:
            log.end()
            raise
        report, audit = waiting.result()
    return report, with_audit(compared, audit) if compared else None


def _store_outcome(dsn: str, report: Report, compared: VerifyReport) -> None:
    """Store the outcome for the panel and the metrics, also of a check that found something."""
    outcome = {
        "id": new_id(),
        "position": compared.position,
        "events": compared.events,
        "seconds": report.seconds,
        "differences": compared.count + len(report.findings),
    }
    try:
        with connect(dsn, application="ticketing-verify") as conn:
            conn.execute(_sql["insert_verification"], outcome)
    except psycopg.Error as error:  # such as a read-only copy
        note(f"The outcome was not stored for the panel and the metrics: {describe_error(error)}.")


def _find_outside_checkpoints(settings: Settings, checkpoints: Path | None) -> dict[str, Iterable[str]]:
    file = StatementFile(checkpoints) if checkpoints else StatementFile.of(settings)
    if checkpoints and not checkpoints.exists():
        raise DatabaseUnavailable(f"There is no file {checkpoints}.")
    outside: dict[str, Iterable[str]] = {str(file.path): file.lines()}
    if settings.kafka_bootstrap_servers and checkpoints is None:
        from notary.topic import StatementTopic  # here, because it loads a Kafka client

        outside["Kafka"] = StatementTopic(settings).lines()
    return outside


def _print_differences(report: VerifyReport) -> None:
    if report.count:
        print_table(
            ("TABLE", "ID", "DIFFERENCE"), [(one.table, one.id, one.problem) for one in report.differences]
        )
        rows = "1 row" if report.count == 1 else f"{report.count} rows"
        note(f"Differences from the log: {rows} of the read tables. Run `ticketing rebuild` to refill them.")


def _print_report(report: Report) -> None:
    if report.findings:
        rows = [(one.position, one.problem) for one in report.findings[:LISTED]]
        print_table(("POSITION", "PROBLEM"), rows)
        found = len(report.findings)
        listed = "" if found == len(rows) else f", {len(rows)} of them listed"
        note(f"{found} finding{'s' if found > 1 else ''} in the log{listed}.")
    note(
        f"{report.events} events in {report.blocks} blocks and {report.statements} statements checked in"
        f" {report.seconds:.1f} s; signed outside the database up to position {report.signed}."
    )
