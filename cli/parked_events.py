"""`ticketing parked-event`: lists events that could not be projected, and projects them again."""

from __future__ import annotations

from typing import Annotated

import typer

from cli.database import open_database
from cli.output import format_time, note, print_table
from infrastructure.settings import load_settings
from projections.overview import list_parked
from projections.parked_events import retry_parked_events
from projections.runner import connect_projector

LISTED = 1_000

app = typer.Typer(no_args_is_help=True, help="Events that could not be projected into the read tables.")


@app.command("list")
def list_events() -> None:
    """List parked events in the order of the log: those that failed, and later ones of their aggregates."""
    with open_database(load_settings()) as database:
        page = list_parked(database.pool, LISTED, 0)
    rows = [
        (event.position, event.aggregate_id, format_time(event.parked_at), event.error)
        for event in page.items
    ]
    print_table(("POSITION", "AGGREGATE", "PARKED", "ERROR"), rows)
    if (page.total or 0) > LISTED:
        note(f"{page.total} events are parked; the first {LISTED} are listed.")


@app.command("retry")
def retry_events(
    aggregate_ids: Annotated[
        list[str] | None,
        typer.Argument(metavar="[AGGREGATE]...", help="Only those of these aggregates. Default: all."),
    ] = None,
) -> None:
    """Project parked events again, after their cause is removed. Exit with 1 if some fail again."""
    with open_database(load_settings()) as database, connect_projector(database.dsn) as conn:
        projected, parked = retry_parked_events(conn, database.vault, aggregate_ids or None)
    note(f"Events projected: {projected}.")
    if parked:
        note(f"Events still parked: {parked}. `ticketing parked-event list` shows the errors.")
        raise typer.Exit(1)
