"""`ticketing --version`."""

from __future__ import annotations

from importlib.metadata import version
from typing import Annotated

import typer

from cli.output import print_result

DISTRIBUTION = "modern-management-ticketing"


def _print_version(wanted: bool) -> None:
    if wanted:
        print_result(f"{DISTRIBUTION} {version(DISTRIBUTION)}")
        raise typer.Exit


def show_version(
    wanted: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Print name and version, and exit."
        ),
    ] = False,
) -> None:
    """Print the name and version with `--version`. Runs before every command."""
