"""`ticketing skip-positions`: after a point-in-time recovery, positions of lost events are not used again."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from backups.positions import SKIPPED, skip_positions
from cli.after_restore import last_position, published_position
from cli.output import note
from infrastructure.settings import BadSettings, load_settings
from infrastructure.storage.server_checks import direct_connection, require_writable
from notary.places import StatementFile

Skipped = Annotated[
    int,
    typer.Option(
        "--skip",
        min=0,
        max=10**12,
        help="How many positions to leave out after the last known one, because of events that were stored"
        " later. 0 if the system was stopped before the backup.",
    ),
]


def skip(
    checkpoints: Annotated[
        Path, typer.Option(metavar="FILE", help="The notary's latest file.", exists=True, dir_okay=False)
    ],
    skipped: Skipped = SKIPPED,
) -> None:
    """After a point-in-time recovery: give no position of a lost event to another one.

    Run it before any process starts. `ticketing restore` does it itself.
    """
    settings = load_settings()
    variable = "MIGRATE_DATABASE_URL" if settings.migrate_database_url else "DATABASE_URL"
    owner = settings.migrate_database_url or settings.direct_url
    if not owner:
        raise BadSettings("DATABASE_URL is not set. Set it to the database that was recovered.")
    known = max(last_position(StatementFile(checkpoints)), published_position(settings) or 0)
    with direct_connection(owner, variable, application="ticketing-cli") as conn:
        require_writable(conn, variable)
        note(f"New events get positions after {skip_positions(conn, known, skipped)}.")
