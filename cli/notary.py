"""`ticketing notary`: the process that chains and signs the log, and its commands for operators."""

from __future__ import annotations

import typer

from cli.database import address_of_process, database_address
from cli.output import note, print_result
from cli.stopping import log_failure, make_stop_event
from cli.watching import start_observation, start_watches
from infrastructure.keys.vault import load_vault
from infrastructure.process.logs import configure_logs
from infrastructure.settings import load_settings
from infrastructure.storage.postgres import connect
from notary.follower import run_notary, sign_log
from notary.places import NotaryRefused, PlaceUnavailable, require_folder
from notary.signing import last_checkpoint, rotate_key

app = typer.Typer(
    invoke_without_command=True,
    no_args_is_help=False,
    help="Chain the event log and sign checkpoints of it, until a signal ends the process. A second notary is"
    " a standby.",
)


@app.callback()
def notary(context: typer.Context) -> None:
    if context.invoked_subcommand is None:
        settings = load_settings()
        configure_logs(settings.log_level)
        require_folder(settings)
        loops = start_observation(settings, "notary")
        address_of_process(settings)
        with log_failure("notary", NotaryRefused, PlaceUnavailable):
            stop = make_stop_event()
            start_watches(settings.direct_url, bool(settings.kafka_bootstrap_servers), stop)
            run_notary(settings, load_vault(settings), stop, loop=loops.add("notary"))


@app.command()
def sign() -> None:
    """Chain the log and sign a checkpoint now. The running notary publishes it."""
    settings = load_settings()
    with database_address(settings) as dsn, connect(dsn, application="ticketing-cli") as conn:
        sign_log(conn, load_vault(settings))
        signed = last_checkpoint(conn)
    note(f"Signed up to position {signed.position if signed else 0}.")


@app.command("rotate-key")
def rotate() -> None:
    """Sign with a new key from now on, and print its id. Signatures of older keys stay valid."""
    settings = load_settings()
    with database_address(settings) as dsn, connect(dsn, application="ticketing-cli") as conn:
        print_result(rotate_key(conn, load_vault(settings)))
