"""Applies the migrations, and compares those of this program with those of a database."""

from __future__ import annotations

from pathlib import Path

import psycopg

from infrastructure.process.deadlines import LONG_STATEMENT_SECONDS
from infrastructure.process.failures import describe_error
from infrastructure.storage.postgres import Connection, connect, fetch_value

MIGRATIONS = Path(__file__).parent.parent.parent / "migrations"
_MIGRATION_LOCK = 7_305_871  # an arbitrary constant; allows one migration at a time


class MigrationFailed(Exception):
    """A migration failed, and nothing of it was stored; the message gives its name and the error."""


class NewerDatabase(Exception):
    """A newer program has migrated the database; the message names its migrations and the remedy."""

    def __init__(self, unknown: list[str]) -> None:
        self.unknown = unknown
        super().__init__(
            f"The database was migrated by a newer program: it has migrations that this program does not"
            f" have ({', '.join(unknown)}). Nothing was changed. Use that program or a later one. Migrations"
            " only go forward: to return to this program, restore a backup from before the upgrade."
        )


def migrate(dsn: str) -> list[str]:
    """Apply the pending migrations in order, and return their names. Raises MigrationFailed, and
    NewerDatabase before anything is changed.

    An advisory lock makes concurrent calls wait for each other. Each migration and its record are committed
    in one transaction.
    """
    applied: list[str] = []
    with connect(dsn, application="ticketing-migrate", limit_seconds=LONG_STATEMENT_SECONDS) as conn:
        conn.execute("SELECT pg_advisory_lock(%s)", [_MIGRATION_LOCK])
        require_known_migrations(conn)
        conn.execute(
            "CREATE TABLE IF NOT EXISTS public.ticketing_migrations ("
            "name text PRIMARY KEY, applied_at timestamptz NOT NULL DEFAULT now())"
        )
        for name in pending_migrations(conn):
            try:
                with conn.transaction():
                    conn.execute((MIGRATIONS / name).read_text())
                    conn.execute("INSERT INTO public.ticketing_migrations (name) VALUES (%s)", [name])
            except psycopg.errors.InsufficientPrivilege:
                raise
            except psycopg.Error as error:
                raise MigrationFailed(f"Migration {name} failed: {describe_error(error)}.") from error
            applied.append(name)
    return applied


def pending_migrations(conn: Connection) -> list[str]:
    """The names of the migrations that have not been applied to this database, in order."""
    return sorted(_known() - _applied(conn))


def unknown_migrations(conn: Connection) -> list[str]:
    """The names of the migrations that were applied to this database and that this program does not have."""
    return sorted(_applied(conn) - _known())


def require_known_migrations(conn: Connection) -> None:
    """Raise NewerDatabase if a newer program has migrated the database."""
    if unknown := unknown_migrations(conn):
        raise NewerDatabase(unknown)


def _known() -> set[str]:
    return {path.name for path in MIGRATIONS.glob("*.sql")}


def _applied(conn: Connection) -> set[str]:
    if not fetch_value(conn, "SELECT to_regclass('public.ticketing_migrations')::text", default=""):
        return set()
    return {name for (name,) in conn.execute("SELECT name FROM public.ticketing_migrations")}
