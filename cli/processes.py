"""One process each, for compose and production: `ticketing migrate`, `api` and the others."""

from __future__ import annotations

import msgspec

from cli.database import DatabaseUnavailable, address_of_process, prepare
from cli.listening import require_free_metrics_port, require_our_host
from cli.output import note
from cli.stopping import log_failure, make_stop_event
from infrastructure.keys.vault import load_vault
from infrastructure.process.logs import configure_logs
from infrastructure.settings import load_settings
from projections.runner import Projector


def migrate() -> None:
    """Bring the database to this version: apply migrations, make or refill the read tables. Then end."""
    settings = load_settings()
    if not settings.database_url:
        raise DatabaseUnavailable(
            "DATABASE_URL is not set. `ticketing up` migrates the embedded PostgreSQL itself."
        )
    done = prepare(settings)
    for step in done or ["nothing to do"]:
        note(step)


def api() -> None:
    """Serve the HTTP API in the foreground, with WORKERS processes of THREADS threads each."""
    from server.gunicorn_server import serve  # loads the frameworks no other command needs

    settings = load_settings()
    require_our_host(settings)
    require_free_metrics_port(settings)
    serve(msgspec.structs.replace(settings, database_url=address_of_process(settings)))


def projector() -> None:
    """Keep the read tables up with the event log. A second one stands by."""
    settings = load_settings()
    configure_logs(settings.log_level)
    dsn = address_of_process(settings)
    with log_failure("projector"):
        Projector(dsn, load_vault(settings)).run(make_stop_event())


def webhook_dispatcher() -> None:
    """Send what happens to webhooks, from Kafka or, without one, from the log. Several share the work."""
    settings = load_settings()
    settings = msgspec.structs.replace(settings, database_url=address_of_process(settings))
    from webhook_dispatcher.dispatcher import run_dispatcher  # loads an HTTP client no other command needs

    with log_failure("webhook_dispatcher"):
        run_dispatcher(settings, make_stop_event())
