"""The database into which a backup is restored.

A mark in it makes every process refuse the database until the restore has ended.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from backups.manifest import BackupRefused
from backups.programs import find_programs, require_restorable, run_program
from backups.reading import Backup
from backups.snapshot import sql
from infrastructure.process.deadlines import LONG_STATEMENT_SECONDS
from infrastructure.storage.postgres import Connection, connect, fetch_value

APPLICATION = "ticketing-restore"
_PROGRAM = "ticketing-pg_restore"  # the name of pg_restore's sessions
_RESTORE_LOCK = 7_305_883  # the session advisory lock of a restore


class RestoreIncomplete(Exception):
    """A restore into this database was interrupted. The message says how to complete it."""


def require_no_restore(conn: Connection) -> None:
    """Raise RestoreIncomplete if a restore into this database has not ended."""
    if fetch_value(conn, sql["is_marked"], default=False):
        raise RestoreIncomplete(
            f"A restore into the database {conn.info.dbname} has not ended. Run the same `ticketing restore`"
            " again to complete it, or drop the database."
        )


@contextmanager
def restoring(dsn: str, backup: Backup) -> Iterator[Connection]:
    """A connection that holds the lock of restores, to a database that is empty, or in which a restore of the
    same backup was interrupted. The mark is removed when the block ends without an error.

    Raises BackupRefused.
    """
    with connect(dsn, application=APPLICATION, limit_seconds=LONG_STATEMENT_SECONDS) as conn:
        if not fetch_value(conn, sql["lock_restore"], {"key": _RESTORE_LOCK}, default=False):
            raise BackupRefused(f"Another restore into {conn.info.dbname} is running. Wait until it ends.")
        conn.execute(sql["end_left_behind"], {"application": _PROGRAM})
        _mark(conn, backup)
        yield conn
        conn.execute(sql["drop_mark"])


def restore_database(conn: Connection, dsn: str, backup: Backup) -> bool:
    """Restore the dump in one transaction, unless it is restored already. Return whether it was restored now.

    Raises ProgramsMissing, ProgramFailed, and BackupRefused if the server is older than that of the backup.
    """
    if fetch_value(conn, sql["has_log"], default=False):
        return False
    facts = backup.manifest.facts
    major = conn.info.server_version // 10_000
    if major < facts.server_version // 10_000:
        raise BackupRefused(
            f"The backup is of PostgreSQL {facts.server_version // 10_000}, and the target is PostgreSQL"
            f" {major}. Restore into the same or a later version."
        )
    programs = find_programs(major, at_least=backup.manifest.dump_major)
    require_restorable(programs, major)
    arguments = ["--single-transaction", "--exit-on-error", "--no-owner", "--no-privileges", str(backup.dump)]
    run_program(programs, "pg_restore", arguments, dsn, application=_PROGRAM)
    return True


def complete_database(conn: Connection) -> None:
    """Set what the dump lacks. Can be repeated."""
    conn.execute(sql["restrict_grants"])


def _mark(conn: Connection, backup: Backup) -> None:
    if fetch_value(conn, sql["is_marked"], default=False):
        if fetch_value(conn, sql["read_mark"], default="") != backup.mark:
            raise BackupRefused(
                f"A restore of another backup into {conn.info.dbname} was interrupted. Complete that one, or"
                " drop the database and create it again."
            )
        return
    if found := [name for (name,) in conn.execute(sql["foreign_objects"])]:
        raise BackupRefused(
            f"The database {conn.info.dbname} is not empty: it has {', '.join(found)}. A backup is restored"
            " into an empty database only: create a new one, or use another TICKETING_HOME."
        )
    with conn.transaction():
        conn.execute(sql["create_mark"])
        conn.execute(sql["insert_mark"], {"backup": backup.mark})
