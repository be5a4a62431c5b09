"""Opens the database for a command: that of DATABASE_URL, or the embedded server of TICKETING_HOME."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import NamedTuple

import msgspec
import psycopg

from backups.target import RestoreIncomplete, require_no_restore
from cli.output import Progress, note
from commands.email_addresses import fill, is_filled
from domain.access import Context, system_context
from infrastructure.ids import new_id
from infrastructure.keys.vault import Vault, has_master_key, load_vault, make_key_file, verify_vault
from infrastructure.process.deadlines import LONG_STATEMENT_SECONDS
from infrastructure.process.failures import describe_error
from infrastructure.settings import Settings
from infrastructure.storage.embedded import EmbeddedFailed, EmbeddedServer, start_embedded
from infrastructure.storage.event_store import EventStore
from infrastructure.storage.log_triggers import WatermarkMissing, verify_triggers
from infrastructure.storage.migrating import MigrationFailed, migrate
from infrastructure.storage.migrations import NewerDatabase, pending_migrations, require_usable
from infrastructure.storage.older_programs import OlderProgramsRun, our_sessions
from infrastructure.storage.postgres import Connection, Pool, connect, fetch_value, make_pool
from infrastructure.storage.roles import APPLICATION, grant_to_application, store_settings_for_pooler
from infrastructure.storage.server_checks import (
    direct_connection,
    require_pooler,
    require_same_database,
    require_writable,
)
from projections.live_tables import make_place, use_read_tables
from projections.old_tables import drop_tables_left_behind
from projections.rebuild import RebuildRunning, rebuild
from projections.runner import catch_up, connect_projector
from projections.schema import create_read_schema, read_schema_state

_AFTER_FAILURE = "Steps that are done stay done: remove the cause and run `ticketing migrate` again."
SHOWN_WITHIN_SECONDS = 60
NAMED = 3  # pending migrations that a message names
POLL_SECONDS = 0.01


class DatabaseUnavailable(Exception):
    """No database can be used; the message names the database and the remedy."""


class Database(NamedTuple):
    """An open database: its connection string, and the objects that commands and queries need."""

    dsn: str
    pool: Pool
    vault: Vault
    store: EventStore

    def wait_until_shown(self, position: int) -> None:
        """Wait until the read tables, and so the API, contain every event up to that position of the log.

        Projects missing events itself, whether or not a projector runs.
        """
        deadline = time.monotonic() + SHOWN_WITHIN_SECONDS
        with connect_projector(self.dsn) as conn:
            while _shown_position(conn) < position:
                if time.monotonic() > deadline:
                    raise DatabaseUnavailable(
                        f"The change is stored at position {position} of the log, but the read tables have"
                        f" not reached it within {SHOWN_WITHIN_SECONDS} seconds. See the projector's log."
                    )
                if not catch_up(conn, self.vault):
                    time.sleep(POLL_SECONDS)  # another process is still appending


@contextmanager
def open_database(settings: Settings) -> Iterator[Database]:
    """Open the database of DATABASE_URL or, without it, the embedded server, which is started if necessary.

    Raises DatabaseUnavailable if no database can be reached, or if it lacks tables of this version.
    """
    with database_address(settings) as dsn, database_at(dsn, settings) as database:
        yield database


@contextmanager
def database_at(dsn: str, settings: Settings) -> Iterator[Database]:
    """Open the database of an address, without a check."""
    pool = make_pool(dsn, application="ticketing-cli", max_size=2)
    vault = load_vault(settings)
    store = EventStore(pool, vault, lock=settings.event_log_lock)
    try:
        yield Database(dsn, pool, vault, store)
    finally:
        store.close()
        pool.close()


def start_server(settings: Settings) -> EmbeddedServer:
    """Start the embedded PostgreSQL of this installation, or use the running one. Raises
    DatabaseUnavailable."""
    try:
        return start_embedded(settings.home / "postgres", announce=note)
    except (EmbeddedFailed, OSError) as error:
        raise DatabaseUnavailable(
            f"The embedded PostgreSQL of {settings.home} does not start: {error}"
        ) from None


@contextmanager
def database_address(settings: Settings) -> Iterator[str]:
    """Open the database like open_database, but yield its connection string, for callers that connect
    themselves."""
    if settings.database_url:
        require_ready(settings)
        yield settings.direct_url
        return
    server = start_server(settings)
    try:
        application = server.dsn(role=APPLICATION)
        embedded_settings = msgspec.structs.replace(settings, database_url=application)
        if server.is_owner:
            prepare(msgspec.structs.replace(embedded_settings, migrate_database_url=server.dsn()))
        else:
            require_ready(embedded_settings)
        yield application
    finally:
        server.stop()


def address_of_process(settings: Settings, *, through_pooler: bool = False) -> str:
    """Return the connection string of PostgreSQL itself for a process of the system, which never starts a
    server. Raises DatabaseUnavailable and UnsuitableDatabase."""
    if not settings.database_url:
        raise DatabaseUnavailable(
            "Set DATABASE_URL. `ticketing up` starts every process with an embedded PostgreSQL."
        )
    require_ready(settings, to_serve=True, through_pooler=through_pooler)
    return settings.direct_url


def prepare(settings: Settings, *, is_restore: bool = False) -> list[str]:
    """Bring the database to this version: migrations, then the read tables. Return the steps that were done.

    Creates a master key for a new database, in a file in TICKETING_HOME, unless MASTER_KEY is set. Raises
    BadSettings when the key is missing or is the key of another database, UnsuitableDatabase, and
    DatabaseUnavailable, also for a database into which a restore has not ended, unless `is_restore`. Every
    step can be repeated after a failure.
    """
    if not is_restore:
        _require_restored(settings)
    try:
        return [*_migrate(settings), *_prepare_tables(settings)]
    except MigrationFailed as failure:
        raise DatabaseUnavailable(f"{failure} {_AFTER_FAILURE}") from None
    except (NewerDatabase, OlderProgramsRun) as refusal:
        raise DatabaseUnavailable(str(refusal)) from None
    except psycopg.errors.InsufficientPrivilege as error:
        raise DatabaseUnavailable(
            f"The role lacks a privilege: {describe_error(error)}. Set MIGRATE_DATABASE_URL to an address"
            f" with a role that owns the database and may create roles. {_AFTER_FAILURE}"
        ) from None
    except psycopg.OperationalError:
        raise
    except psycopg.Error as error:
        raise DatabaseUnavailable(
            f"The database cannot be prepared: {describe_error(error)}. {_AFTER_FAILURE}"
        ) from None


def _require_restored(settings: Settings) -> None:
    owner, variable = settings.migrate_database_url or settings.direct_url, owner_variable(settings)
    with direct_connection(owner, variable, application="ticketing-migrate") as conn:
        try:
            require_no_restore(conn)
        except RestoreIncomplete as problem:
            raise DatabaseUnavailable(str(problem)) from None


def _migrate(settings: Settings) -> list[str]:
    """Apply the migrations and store what belongs to the role of the application."""
    dsn = settings.direct_url
    owner, variable = settings.migrate_database_url or dsn, owner_variable(settings)
    with direct_connection(owner, variable, application="ticketing-migrate") as conn:
        require_writable(conn, variable)
        done = [f"migration {name}" for name in migrate(owner)]
        grant_to_application(owner, dsn)
        with direct_connection(dsn, _direct_variable(settings), application="ticketing-migrate") as own:
            require_same_database(conn, variable, own, _direct_variable(settings))
            if settings.has_pooler:
                store_settings_for_pooler(own, settings.database_url or "")
    return done


def _prepare_tables(settings: Settings) -> list[str]:
    """Check the master key, and create or refill the read tables."""
    dsn = settings.direct_url
    with connect(dsn, application="ticketing-cli", limit_seconds=LONG_STATEMENT_SECONDS) as conn:
        if not has_master_key(conn):
            make_key_file(settings)
        vault = load_vault(settings)
        verify_vault(conn, vault)
        drop_tables_left_behind(conn)
        done = []
        if not is_filled(conn):
            fill(conn, vault)
            done.append("e-mail addresses indexed")
        make_place(conn, {one.read_schema for one in our_sessions(conn) if one.serves})
        state = read_schema_state(conn)
        has_events = fetch_value(conn, "SELECT EXISTS (SELECT FROM es.stored_events)", default=False)
        if state == "absent" and not has_events:
            create_read_schema(conn)
            return [*done, "read tables created"]
        if state == "current":
            return done
    _refill(dsn, vault)
    return [*done, "read tables refilled"]


def _refill(dsn: str, vault: Vault) -> None:
    """Fill the read tables of this version, or wait for another command that does. Older processes serve
    meanwhile, with their own tables if those differ."""
    while True:
        try:
            with Progress("Refilling the read tables") as progress:
                rebuild(dsn, vault, progress.show)
            return
        except RebuildRunning:
            time.sleep(POLL_SECONDS)
        with connect(dsn, application="ticketing-cli") as conn:
            if read_schema_state(conn) == "current":
                return


def require_ready(settings: Settings, *, to_serve: bool = False, through_pooler: bool = False) -> None:
    """Raise DatabaseUnavailable unless the server answers and has the tables of this version. Raise
    UnsuitableDatabase when it cannot be used, and BadSettings when the master key is missing or is the key of
    another database.

    With `to_serve` the triggers of the log and read tables of this version are required too; commands work
    without them. With `through_pooler` the sessions of a connection pooler in DATABASE_URL are checked too.
    """
    try:
        with direct_connection(
            settings.direct_url, _direct_variable(settings), application="ticketing-cli"
        ) as conn:
            require_no_restore(conn)
            require_usable(conn)
            use_read_tables(conn)
            lack = _find_lack(conn, to_serve=to_serve)
            if lack is None:
                verify_vault(conn, load_vault(settings))
            if to_serve and lack is None:
                verify_triggers(conn)
            if through_pooler and lack is None and settings.has_pooler:
                require_pooler(settings.database_url or "", conn)
    except (WatermarkMissing, NewerDatabase, RestoreIncomplete) as problem:
        raise DatabaseUnavailable(str(problem)) from None
    except psycopg.OperationalError as error:
        raise DatabaseUnavailable(f"PostgreSQL cannot be reached: {_first_line(error)}") from None
    except psycopg.errors.ReadOnlySqlTransaction:  # the master key of a new database is not recorded yet
        raise
    except psycopg.Error as error:
        raise DatabaseUnavailable(
            f"PostgreSQL refuses a statement: {describe_error(error)}. If `ticketing migrate` has not ended"
            " successfully, run it again."
        ) from None
    if lack is not None:
        raise DatabaseUnavailable(lack)


def _find_lack(conn: Connection, *, to_serve: bool) -> str | None:
    """What the database lacks of this version, and the remedy; None if it lacks nothing."""
    remedy = "run `ticketing migrate` of this program first."
    if pending := pending_migrations(conn):
        named = ", ".join(pending[:NAMED]) + (f" and {len(pending) - NAMED} more" * (len(pending) > NAMED))
        return f"The database is older than this program, which has migrations to apply ({named}): {remedy}"
    state = read_schema_state(conn)
    if state == "absent":
        return f"The database lacks the read tables: {remedy}"
    if state == "outdated" and to_serve:
        return f"The read tables are those of another version, or a column of them was changed: {remedy}"
    if not is_filled(conn):
        return f"The e-mail addresses of the database are not indexed: {remedy}"
    return None


def _direct_variable(settings: Settings) -> str:
    return "DIRECT_DATABASE_URL" if settings.has_pooler else "DATABASE_URL"


def owner_variable(settings: Settings) -> str:
    return "MIGRATE_DATABASE_URL" if settings.migrate_database_url else _direct_variable(settings)


def operator_context() -> Context:
    """Return the context of a command that an operator runs now."""
    return system_context(datetime.now(UTC), auth="cli", command_id=new_id())


def _shown_position(conn: Connection) -> int:
    return fetch_value(conn, "SELECT position FROM read.projector_position", default=0)


def _first_line(error: psycopg.Error) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
