"""Checks the versions of Python, of PostgreSQL, and of what is in the database."""

from __future__ import annotations

import platform
from collections.abc import Iterator
from importlib.metadata import version

from cli.doctor.finding import Finding, ok, problem, warning
from cli.doctor.server import sql
from cli.version import DISTRIBUTION
from commands.email_addresses import is_filled
from infrastructure.storage.migrations import (
    NewerDatabase,
    pending_contractions,
    pending_migrations,
    require_usable,
)
from infrastructure.storage.postgres import Connection, fetch_value
from infrastructure.storage.server_checks import OLDEST_VERSION
from projections.schema import read_schema_state

NEWEST_TESTED = 18
_MIGRATE = "Run `ticketing migrate`."
_CONTRACT = "When no older program runs any more, run `ticketing migrate --contract`."


def check_program() -> list[Finding]:
    return [ok("program", f"{DISTRIBUTION} {version(DISTRIBUTION)}, Python {platform.python_version()}.")]


def check_postgresql(conn: Connection) -> list[Finding]:
    return [judge_postgresql(conn.info.server_version)]


def judge_postgresql(server_version: int) -> Finding:
    """The finding for a version as the server reports it, such as 180001 for 18.1."""
    major, minor = divmod(server_version, 10_000)
    found = f"version {major}.{minor}."
    if server_version < OLDEST_VERSION:
        return problem("PostgreSQL", found, f"Use PostgreSQL {OLDEST_VERSION // 10_000} or later.")
    if major > NEWEST_TESTED:
        return warning("PostgreSQL", found, f"This program was tested with versions up to {NEWEST_TESTED}.")
    return ok("PostgreSQL", found)


def check_migrations(conn: Connection) -> Iterator[Finding]:
    try:
        require_usable(conn)
    except NewerDatabase as refusal:
        yield problem("migrations", f"{', '.join(refusal.unknown)} are unknown.", str(refusal))
        return
    if pending := pending_migrations(conn):
        yield problem("migrations", f"{', '.join(pending)} are not applied.", _MIGRATE)
        return
    if removals := pending_contractions(conn):
        found = f"all are applied but removals of what only older programs use: {', '.join(removals)}."
        yield warning("migrations", found, _CONTRACT)
    else:
        yield ok("migrations", "all are applied.")
    if not is_filled(conn):
        yield problem("e-mail addresses", "they are not indexed.", _MIGRATE)


def is_migrated(conn: Connection) -> bool:
    """Whether the database has tables, of whichever version."""
    return fetch_value(conn, sql["is_migrated"], default=False)


def check_read_tables(conn: Connection) -> Iterator[Finding]:
    state = read_schema_state(conn)
    if state == "current":
        yield ok("read tables", "they fit this version.")
    elif state == "absent":
        yield problem("read tables", "they are absent.", _MIGRATE)
    else:
        found = "they are those of another version, or a column was changed."
        yield problem("read tables", found, "Run `ticketing migrate` of the version that you want to use.")
