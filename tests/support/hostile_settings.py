"""Settings of a database or role that would break the system if a connection did not set its own."""

from __future__ import annotations

from typing import Literal

from psycopg import sql

from infrastructure.storage.postgres import Connection

HOSTILE: dict[str, str] = {
    "default_transaction_isolation": "serializable",
    "default_transaction_deferrable": "on",
    "search_path": "nowhere",
    "row_security": "off",
    "synchronous_commit": "off",
    "TimeZone": "Asia/Kathmandu",
    "DateStyle": "German, DMY",
    "IntervalStyle": "sql_standard",
    "bytea_output": "escape",
    "extra_float_digits": "-15",
    "standard_conforming_strings": "off",
    "transform_null_equals": "on",
    "array_nulls": "off",
    "quote_all_identifiers": "on",
    "gin_fuzzy_search_limit": "1",
    "jit": "on",
    "statement_timeout": "1ms",
    "lock_timeout": "1ms",
    "idle_in_transaction_session_timeout": "1ms",
    "idle_session_timeout": "1ms",
    "exit_on_error": "on",
    "client_encoding": "SQL_ASCII",
}
NEWER = {"transaction_timeout": "100ms", "restrict_nonsystem_relation_kind": "view"}

Scope = Literal["DATABASE", "ROLE", "ROLE IN DATABASE"]


def make_hostile(conn: Connection, scope: Scope, *, role: str, settings: dict[str, str] = HOSTILE) -> None:
    """Store the settings for new sessions of this database, of a role, or of a role in this database."""
    database = sql.Identifier(conn.info.dbname)
    owner = {
        "DATABASE": sql.SQL("DATABASE {}").format(database),
        "ROLE": sql.SQL("ROLE {}").format(sql.Identifier(role)),
        "ROLE IN DATABASE": sql.SQL("ROLE {} IN DATABASE {}").format(sql.Identifier(role), database),
    }[scope]
    newer = NEWER if conn.info.server_version >= 170_000 and settings is HOSTILE else {}
    for name, value in (settings | newer).items():
        statement = sql.SQL("ALTER {} SET {} TO {}")
        conn.execute(statement.format(owner, sql.Identifier(name), sql.Literal(value)))
