"""The settings of every PostgreSQL session that the code relies on.

They take precedence over the settings of the server, the database and the role. Not one of them is
`default_transaction_read_only`: a database that is read-only on purpose must stay so.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from psycopg import ConnectionInfo

# Values as SHOW displays them.
BASE: dict[str, str] = {
    # Followers read the log up to a watermark, which needs a new snapshot for each statement. In other
    # transactions a concurrent change would be an error.
    "default_transaction_isolation": "read committed",
    "default_transaction_deferrable": "off",
    # Names are qualified; a schema in front of pg_catalog could replace functions and operators.
    "search_path": "public",
    "row_security": "on",
    # A commit that was answered survives a crash. Followers set it to off; `remote_apply` stays.
    "synchronous_commit": "on",
    # The text of values, in SQL that converts them and in results.
    "TimeZone": "UTC",
    "DateStyle": "ISO, MDY",
    "IntervalStyle": "postgres",
    "bytea_output": "hex",
    "extra_float_digits": "1",
    # The meaning of SQL.
    "standard_conforming_strings": "on",
    "transform_null_equals": "off",
    "array_nulls": "on",
    "quote_all_identifiers": "off",
    "gin_fuzzy_search_limit": "0",  # a limit leaves out results of a search
    "jit": "off",  # compiling a statement can take longer than the time limit of a request
    # Limits. Callers set their own.
    "statement_timeout": "0",
    "lock_timeout": "0",
    "idle_in_transaction_session_timeout": "0",
    "idle_session_timeout": "0",
    "exit_on_error": "off",
}
COMMIT = "synchronous_commit"
DURABLE_COMMITS = ("on", "remote_apply")  # both also wait for the standbys in synchronous_standby_names
# The startup options: all but the one that depends on the value that the server has.
AT_START: dict[str, str] = {name: value for name, value in BASE.items() if name != COMMIT}
_MAKE_DURABLE = (
    "SELECT set_config('synchronous_commit', 'on', false)"
    " WHERE current_setting('synchronous_commit') NOT IN ('on', 'remote_apply')"
)
# The server cancels a statement before the time of the request is over, so that its outcome is known.
REQUEST_LIMITS: dict[str, str] = {
    "statement_timeout": "3500ms",
    "lock_timeout": "2s",
    "idle_in_transaction_session_timeout": "2s",
}
# What a connection pooler must give to the requests of the API: `ticketing migrate` stores it for the role.
OF_POOLER: dict[str, str] = BASE | REQUEST_LIMITS
# Settings that older servers lack. They cannot be startup options, because an unknown one is refused.
NEWER: dict[str, str] = {
    "transaction_timeout": "0",  # PostgreSQL 17
    "restrict_nonsystem_relation_kind": "",
}
# libpq sends these after the startup options, if the environment has PGTZ or PGDATESTYLE.
_OF_ENVIRONMENT = ("TimeZone", "DateStyle")
# PgBouncer sets these in the session that it gives to a client: to the value that the client has set, or to
# the one that it saw in its first session, which may be older than the stored settings.
_OF_POOLER_CLIENT = ("TimeZone", "DateStyle", "standard_conforming_strings")
_FIRST_VERSION_WITH_NEWER = 170_000


def as_options(settings: Mapping[str, str]) -> str:
    """The settings as startup options of a connection."""
    return " ".join(f"-c {name}={_escape(value)}" for name, value in settings.items())


def late_settings(info: ConnectionInfo, *, options: str = "", is_pooled: bool = False) -> str:
    """Statements for a new session, for what startup options cannot do; often empty for a pooler. `options`
    are the startup options of the caller."""
    if is_pooled:
        return _set(_different(info, _OF_POOLER_CLIENT))
    others = _set(_different(info, _OF_ENVIRONMENT) | newer_settings(info.server_version))
    return others if COMMIT in options else "; ".join(filter(None, (others, _MAKE_DURABLE)))


def is_base(name: str, value: str | None) -> bool:
    """Whether a session has what the code relies on in this setting."""
    return value in DURABLE_COMMITS if name == COMMIT else value == BASE[name]


def newer_settings(server_version: int) -> dict[str, str]:
    return NEWER if server_version >= _FIRST_VERSION_WITH_NEWER else {}


def _different(info: ConnectionInfo, names: Iterable[str]) -> dict[str, str]:
    """The settings of these names that the server or pooler has reported with another value."""
    return {name: BASE[name] for name in names if info.parameter_status(name) != BASE[name]}


def _set(settings: Mapping[str, str]) -> str:
    return "; ".join(f"SET {name} TO '{value}'" for name, value in settings.items())


def _escape(value: str) -> str:
    return value.replace("\\", "\\\\").replace(" ", "\\ ")
