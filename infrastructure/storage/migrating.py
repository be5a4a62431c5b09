"""Applies migrations while other processes work: expansions, and later contractions.

Each wait for a lock on a table is short, because other sessions wait behind it, and is repeated.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psycopg
import structlog
from psycopg import sql as composing

from infrastructure.process.deadlines import LONG_STATEMENT_SECONDS
from infrastructure.process.failures import describe_error
from infrastructure.storage.migration_files import (
    FIRST_PROGRAM,
    MIGRATIONS,
    PROGRAM,
    ConcurrentStatement,
    InvalidMigration,
    Migration,
    read_migrations,
)
from infrastructure.storage.migrations import pending, read_applied, require_usable, sql
from infrastructure.storage.older_programs import OlderProgramsRun, Session, require_no_older
from infrastructure.storage.postgres import Connection, connect, fetch_value

LOCK_WAIT = "250ms"  # others wait behind the attempt
PAUSE_SECONDS = 0.5  # between two attempts
LOCKED_SECONDS = 60.0  # in total
SETTLE_SECONDS = 2.0  # in which a process that was starting has opened its sessions
POLL_SECONDS = 0.1
_MIGRATION_LOCK = 7_305_871  # an arbitrary constant; one `migrate` works at a time
_NOTICE_END = "SET client_connection_check_interval TO '1s'"
_LOCKED = (psycopg.errors.LockNotAvailable, psycopg.errors.DeadlockDetected)

log = structlog.get_logger()


class MigrationFailed(Exception):
    """A migration failed; what is stored of it is repeated by the next run. The message gives its name and
    the error."""


class NotExpanded(Exception):
    """The database lacks migrations that must be applied before a contraction."""


def migrate(dsn: str, folder: Path = MIGRATIONS) -> list[str]:
    """Apply the pending expansions, in a new database also the contractions; return their names.

    Older programs keep working. A contraction that was announced and not applied is withdrawn. Each migration
    and its record are committed in one transaction, but for those that are declared as concurrent. Waits for
    another `migrate`. Raises MigrationFailed; NewerDatabase, and OlderProgramsRun for migrations from before
    v0.1.0, before anything is changed.
    """
    with _migrating(dsn, folder) as conn:
        applied = read_applied(conn)
        if applied.begun:  # a contraction that was killed before it changed anything
            _withdraw(conn, sorted(applied.begun))
        missing = [
            one for one in pending(_read(folder), applied) if applied.is_new or one.phase != "contract"
        ]
        if not applied.is_new and any(one.number <= FIRST_PROGRAM for one in missing):
            require_no_older(conn, PROGRAM)
        for migration in missing:
            _apply(conn, migration)
        return [one.name for one in missing]


def contract(dsn: str, folder: Path = MIGRATIONS) -> list[str]:
    """Apply the pending contractions, and return their names.

    First it announces them: from then on older programs refuse to start. If one runs all the same, the
    announcement is withdrawn. Raises OlderProgramsRun and NotExpanded, with nothing changed; MigrationFailed.
    """
    with _migrating(dsn, folder) as conn:
        missing = pending(_read(folder), read_applied(conn))
        if lacking := [one.name for one in missing if one.phase != "contract"]:
            raise NotExpanded(f"The database lacks {', '.join(lacking)}. Run `ticketing migrate` first.")
        if missing:
            _announce(conn, missing)
        for migration in missing:
            _apply(conn, migration)
        return [one.name for one in missing]


@contextmanager
def _migrating(dsn: str, folder: Path) -> Iterator[Connection]:
    """A connection that alone may migrate; the tables for the records exist."""
    with connect(dsn, application="ticketing-migrate", limit_seconds=LONG_STATEMENT_SECONDS) as conn:
        # The server ends the statement of a `migrate` that was killed.
        with suppress(psycopg.DataError):  # its operating system does not support it
            conn.execute(_NOTICE_END)
        _take_lock(conn)
        require_usable(conn, max(one.number for one in _read(folder)), folder)
        conn.execute(sql["create_tables"])
        yield conn


def _take_lock(conn: Connection) -> None:
    """Try again and again: a statement that waits would have a snapshot, for whose end an index that the
    other `migrate` builds concurrently would wait."""
    deadline = time.monotonic() + LONG_STATEMENT_SECONDS
    is_reported = False
    while not fetch_value(conn, sql["take_lock"], {"key": _MIGRATION_LOCK}, default=False):
        if time.monotonic() > deadline:
            raise MigrationFailed("Another `ticketing migrate` has not ended. Run this command again later.")
        if not is_reported:
            log.warning("migrate_waits_for_another")
            is_reported = True
        time.sleep(POLL_SECONDS)


def _read(folder: Path) -> list[Migration]:
    try:
        return read_migrations(folder)
    except InvalidMigration as error:
        raise MigrationFailed(str(error)) from None


def _announce(conn: Connection, contractions: list[Migration]) -> None:
    least = max(one.least_program for one in contractions)
    require_no_older(conn, least)
    with conn.transaction():
        for each in contractions:
            conn.execute(sql["begin_change"], {"name": each.name, "least_program": each.least_program})
            conn.execute(sql["store_migration"], {"name": each.name})
    deadline = time.monotonic() + SETTLE_SECONDS
    try:
        while time.monotonic() < deadline:
            require_no_older(conn, least)
            time.sleep(POLL_SECONDS)
    except OlderProgramsRun:
        _withdraw(conn, [one.name for one in contractions])
        raise


def _withdraw(conn: Connection, names: list[str]) -> None:
    with conn.transaction():
        conn.execute(sql["withdraw_changes"], {"names": names})
        conn.execute(sql["withdraw_migrations"], {"names": names})


def _apply(conn: Connection, migration: Migration) -> None:
    try:
        if migration.is_concurrent:
            _apply_concurrently(conn, migration)
        else:
            _apply_at_once(conn, migration)
    except psycopg.errors.InsufficientPrivilege:
        raise
    except (psycopg.Error, InvalidMigration) as error:
        reason = describe_error(error) if isinstance(error, psycopg.Error) else str(error)
        raise MigrationFailed(f"Migration {migration.name} failed: {reason}.") from error


def _apply_at_once(conn: Connection, migration: Migration) -> None:
    deadline = time.monotonic() + LOCKED_SECONDS
    while True:
        try:
            with conn.transaction():
                conn.execute(f"SET LOCAL lock_timeout TO '{LOCK_WAIT}'")
                conn.execute(migration.text)
                _record(conn, migration)
            return
        except _LOCKED:
            if time.monotonic() > deadline:
                holders = ", ".join(map(str, _long_transactions(conn))) or "sessions that change often"
                raise MigrationFailed(
                    f"Migration {migration.name} did not get a lock within {LOCKED_SECONDS:.0f} s, because of"
                    f" {holders}. Nothing of it was changed."
                ) from None
        time.sleep(PAUSE_SECONDS)


def _apply_concurrently(conn: Connection, migration: Migration) -> None:
    for statement in migration.concurrent_statements():
        _drop_invalid(conn, statement)
        conn.execute(statement.text)
    with conn.transaction():
        _record(conn, migration)


def _drop_invalid(conn: Connection, statement: ConcurrentStatement) -> None:
    """Drop the index of the statement if an earlier attempt has left it incomplete."""
    if not statement.created or not statement.schema:
        return
    parameters = {"schema": statement.schema, "index": statement.created}
    if fetch_value(conn, sql["find_invalid_index"], parameters, default=False):
        name = composing.Identifier(statement.schema, statement.created)
        conn.execute(composing.SQL("DROP INDEX CONCURRENTLY {}").format(name))


def _record(conn: Connection, migration: Migration) -> None:
    """Store that a migration is applied; see create_tables for what programs before 0070 read."""
    parameters = {"name": migration.name, "least_program": migration.least_program}
    if migration.phase != "expand":
        conn.execute(sql["store_migration"], parameters)
    if migration.phase != "before phases":
        conn.execute(sql["begin_change"], parameters)
        conn.execute(sql["finish_change"], parameters)


def _long_transactions(conn: Connection) -> list[Session]:
    return [Session(*row) for row in conn.execute(sql["find_long_transactions"])]
