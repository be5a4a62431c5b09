"""The commands that run one process each, for compose and production: `ticketing migrate`, `api` and
others."""

from __future__ import annotations

from typing import Annotated

import typer

from cli.contracting import remove_old
from cli.database import DatabaseUnavailable, address_of_process, prepare
from cli.listening import require_free_metrics_port, require_local_host
from cli.output import note
from cli.stopping import log_failure, make_stop_event
from cli.watching import start_observation, start_watches
from infrastructure.keys.vault import load_vault
from infrastructure.process.logs import configure_logs
from infrastructure.settings import load_settings
from infrastructure.storage.read_schema import ORDINARY, read_tables
from projections.runner import Projector, connect_projector, project_everything


def migrate(
    contract: Annotated[
        bool,
        typer.Option(
            "--contract",
            help="When no process of an older version runs: remove what only older versions use.",
        ),
    ] = False,
) -> None:
    """Bring the database to this version while older processes work: add tables, fill the read tables.

    After all processes are replaced, run it again with --contract.
    """
    settings = load_settings()
    if contract:
        for step in remove_old(settings) or ["nothing to do"]:
            note(step)
        return
    if not settings.database_url:
        raise DatabaseUnavailable(
            "DATABASE_URL is not set. `ticketing up` migrates the embedded PostgreSQL itself."
        )
    done = prepare(settings)
    for step in done or ["nothing to do"]:
        note(step)


def api() -> None:
    """Serve the HTTP API in the foreground, with WORKERS processes of THREADS threads each."""
    from server.gunicorn_server import serve  # here, because only this command needs these frameworks

    settings = load_settings()
    require_local_host(settings)
    require_free_metrics_port(settings)
    dsn = address_of_process(settings, through_pooler=True)
    if read_tables.schema != ORDINARY:
        with connect_projector(dsn) as conn:  # no projector of this version may have run until now
            project_everything(conn, load_vault(settings))
    serve(settings)


def projector() -> None:
    """Keep the read tables up to date with the event log. A second projector is a standby."""
    settings = load_settings()
    configure_logs(settings.log_level)
    loops = start_observation(settings, "projector")
    dsn = address_of_process(settings)
    stop = make_stop_event()
    with log_failure("projector"):
        start_watches(dsn, bool(settings.kafka_bootstrap_servers), stop)
        loop = loops.add("projector")
        Projector(dsn, load_vault(settings), loop, has_replica=settings.has_replica).run(stop)


def webhook_dispatcher() -> None:
    """Send events to webhooks, from Kafka or, without it, from the log. Several dispatchers share the
    work."""
    settings = load_settings()
    loops = start_observation(settings, "webhook-dispatcher")
    address_of_process(settings)
    from webhook_dispatcher.dispatcher import (
        run_dispatcher,  # here, because only this command needs an HTTP client
    )

    stop = make_stop_event()
    with log_failure("webhook_dispatcher"):
        start_watches(settings.direct_url, bool(settings.kafka_bootstrap_servers), stop)
        run_dispatcher(settings, stop, loops)
