"""The `ticketing` command: its subcommands, and the exit codes of errors.

Exit codes: 0 success; 1 refused, or a check failed; 2 wrong usage, invalid setting or file, no database, no
Kafka.
"""

from __future__ import annotations

import os
import sys

import psycopg
import typer
from psycopg_pool import PoolTimeout

from backups.manifest import BackupRefused
from backups.programs import ProgramFailed, ProgramsMissing
from cli import (
    dead_letters,
    demo,
    keys,
    notary,
    oauth_clients,
    parked_events,
    processes,
    properties,
    relay,
    users,
)
from cli.backup import backup
from cli.child_process import EndedEarly
from cli.database import DatabaseUnavailable
from cli.doctor.command import doctor
from cli.export import CannotWrite, export, proof
from cli.history import history
from cli.import_file import import_file
from cli.output import note
from cli.rebuild import rebuild
from cli.relay import RelayStopped
from cli.restore import restore
from cli.skip_positions import skip
from cli.stopping import UNUSABLE
from cli.up import CannotStart, up
from cli.verify import verify
from cli.version import show_version
from domain.errors import DomainError, Invalid
from infrastructure.process.logs import configure_logs
from infrastructure.process.standard_error import protect_standard_error
from infrastructure.settings import BadSettings
from infrastructure.storage.attachment_store import AttachmentsUnavailable
from infrastructure.storage.server_checks import UnsuitableDatabase
from notary.places import NotaryRefused, PlaceUnavailable
from projections.old_tables import TablesInUse
from projections.rebuild import RebuildRunning
from projections.verification import NothingToVerify

REFUSED = 1
COMMANDS_LOG_LEVEL = "WARNING"

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Maintenance ticketing for property managers."
    " docs/reference/settings.md lists the environment variables.",
)
app.callback()(show_version)
app.command(rich_help_panel="Start")(up)
app.command(rich_help_panel="One process each")(processes.migrate)
app.command(rich_help_panel="One process each")(processes.api)
app.command(rich_help_panel="One process each")(processes.projector)
app.add_typer(relay.app, name="relay", rich_help_panel="One process each")
app.add_typer(notary.app, name="notary", rich_help_panel="One process each")
app.command(rich_help_panel="One process each")(processes.webhook_dispatcher)
app.add_typer(keys.app, name="key", rich_help_panel="Manage")
app.add_typer(oauth_clients.app, name="oauth-client", rich_help_panel="Manage")
app.add_typer(users.app, name="user", rich_help_panel="Manage")
app.add_typer(properties.app, name="property", rich_help_panel="Manage")
app.add_typer(properties.units_app, name="unit", rich_help_panel="Manage")
app.add_typer(demo.app, name="demo", rich_help_panel="Manage")
app.command("import", rich_help_panel="Manage")(import_file)
app.command(rich_help_panel="Operate")(doctor)
app.command(rich_help_panel="Operate")(rebuild)
app.command(rich_help_panel="Operate")(backup)
app.command(rich_help_panel="Operate")(restore)
app.command("skip-positions", rich_help_panel="Operate")(skip)
app.command(rich_help_panel="Operate")(verify)
app.command(rich_help_panel="Operate")(export)
app.command(rich_help_panel="Operate")(proof)
app.add_typer(parked_events.app, name="parked-event", rich_help_panel="Operate")
app.add_typer(dead_letters.app, name="dead-letter", rich_help_panel="Operate")
app.add_typer(dead_letters.deliveries_app, name="delivery", rich_help_panel="Operate")
app.command(rich_help_panel="Audit")(history)


def main() -> None:
    """Run the command line and exit with its code."""
    protect_standard_error()
    configure_logs(COMMANDS_LOG_LEVEL)  # long-running processes set their own level
    try:
        app()
    except Invalid as refusal:
        for messages in refusal.details.values():
            for message in messages:
                note(message)
        sys.exit(REFUSED)
    except (DomainError, RebuildRunning, TablesInUse) as refusal:
        note(str(refusal))
        sys.exit(REFUSED)
    except (
        AttachmentsUnavailable,
        BackupRefused,
        BadSettings,
        UnsuitableDatabase,
        DatabaseUnavailable,
        CannotStart,
        CannotWrite,
        EndedEarly,
        NothingToVerify,
        NotaryRefused,
        PlaceUnavailable,
        ProgramFailed,
        ProgramsMissing,
        RelayStopped,
    ) as problem:
        note(str(problem))
        sys.exit(UNUSABLE)
    except (psycopg.OperationalError, PoolTimeout) as problem:
        note(f"PostgreSQL did not answer: {problem}")
        sys.exit(UNUSABLE)
    except psycopg.errors.ReadOnlySqlTransaction:
        note("The database is read-only, so nothing was changed. Run the command when it can be written.")
        sys.exit(UNUSABLE)
    except OSError as problem:  # probably standard output on a full disk
        note(f"A file or stream cannot be read or written: {problem}")
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # so that Python can flush it
        sys.exit(UNUSABLE)


if __name__ == "__main__":
    main()
