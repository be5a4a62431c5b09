"""`ticketing migrate --contract`: removes what only older versions use, when none of their processes runs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from cli.database import DatabaseUnavailable, database_address, owner_variable, start_server
from infrastructure.process.deadlines import LONG_STATEMENT_SECONDS
from infrastructure.settings import Settings
from infrastructure.storage.migrating import MigrationFailed, NotExpanded, contract
from infrastructure.storage.older_programs import OlderProgramsRun, describe, our_sessions
from infrastructure.storage.postgres import Connection, connect
from infrastructure.storage.server_checks import direct_connection, require_writable
from projections.live_tables import drop_other_tables, other_tables
from projections.schema import read_schema_state


def remove_old(settings: Settings) -> list[str]:
    """Apply the contractions, and drop the read tables of other versions. Return the steps that were done.

    Raises DatabaseUnavailable with nothing changed while a process of an older version runs, or before
    `ticketing migrate` has ended.
    """
    try:
        with _addresses(settings) as (dsn, owner), _connect(dsn) as conn:
            if read_schema_state(conn) != "current":
                raise NotExpanded(
                    "The read tables of this version are not complete. Run `ticketing migrate` first."
                )
            schemas = other_tables(conn)
            _require_unused(conn, schemas)
            with direct_connection(
                owner, owner_variable(settings), application="ticketing-migrate"
            ) as owning:
                require_writable(owning, owner_variable(settings))
            done = [f"contraction {name}" for name in contract(owner)]
            return done + [
                f"read tables in the schema {one} dropped" for one in drop_other_tables(conn, schemas)
            ]
    except (NotExpanded, OlderProgramsRun, MigrationFailed) as problem:
        raise DatabaseUnavailable(str(problem)) from None


def _require_unused(conn: Connection, schemas: list[str]) -> None:
    """Raise OlderProgramsRun if a process uses the read tables in one of the schemas."""
    using = [one for one in our_sessions(conn) if one.serves and one.read_schema in schemas]
    if using:
        raise OlderProgramsRun(describe(using, f"with other read tables ({', '.join(schemas)})"))


@contextmanager
def _addresses(settings: Settings) -> Iterator[tuple[str, str]]:
    """The addresses of the application and of the owner of the tables."""
    with database_address(settings) as dsn:
        if settings.database_url:
            yield dsn, settings.migrate_database_url or dsn
            return
        server = start_server(settings)
        try:
            yield dsn, server.dsn()
        finally:
            server.stop()


def _connect(dsn: str) -> Connection:
    return connect(dsn, application="ticketing-migrate", limit_seconds=LONG_STATEMENT_SECONDS)
