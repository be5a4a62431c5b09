"""`ticketing rebuild`: refills the read tables from the log, or compares them with the log."""

from __future__ import annotations

import os
from typing import Annotated

import typer

from cli.database import database_address
from cli.output import Progress, note, print_table
from infrastructure.keys.vault import Vault, load_vault
from infrastructure.settings import load_settings
from projections import rebuild as read_tables
from projections.verification import verify as verify_read_tables

NICENESS = 5  # of the refilling, so that the API and the projector get the processor first


def rebuild(
    verify: Annotated[
        bool,
        typer.Option(
            "--verify",
            help="Change nothing: compare the read tables with the log, and exit with 1 if they differ.",
        ),
    ] = False,
) -> None:
    """Fill new read tables from the event log during live traffic, then exchange them for the live ones."""
    settings = load_settings()
    with database_address(settings) as dsn:
        if verify:
            _verify(dsn, load_vault(settings))
        else:
            _rebuild(dsn, load_vault(settings))


def _rebuild(dsn: str, vault: Vault) -> None:
    os.nice(NICENESS)
    with Progress("Refilling the read tables") as progress:
        report = read_tables.rebuild(dsn, vault, progress.show)
    note(
        f"The read tables are refilled: {report.events} events up to position {report.position} of the log"
        f" in {report.seconds:.1f} s."
    )
    if report.old_in_use_by:
        note(
            f"The replaced tables are still read by {report.old_in_use_by}. They use disk space until the"
            " next `ticketing rebuild`, `ticketing migrate` or `ticketing up` drops them."
        )


def _verify(dsn: str, vault: Vault) -> None:
    with Progress("Comparing the read tables with the log") as progress:
        report = verify_read_tables(dsn, vault, progress.show)
    if not report.count:
        note(f"0 differences: the read tables match the log up to position {report.position}.")
        return
    rows = [(one.table, one.id, one.problem) for one in report.differences]
    print_table(("TABLE", "ID", "DIFFERENCE"), rows)
    note(
        f"{report.count} rows differ from the log up to position {report.position},"
        f" {len(rows)} of them listed. Run `ticketing rebuild` to repair them."
    )
    raise typer.Exit(1)
