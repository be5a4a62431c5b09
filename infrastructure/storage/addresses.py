"""Connection strings of PostgreSQL: that of a setting with the parameters of all our connections."""

from __future__ import annotations

from psycopg.conninfo import conninfo_to_dict, make_conninfo

from infrastructure.process.deadlines import DeadlineExceeded, seconds_left
from infrastructure.storage.migration_files import PROGRAM
from infrastructure.storage.read_schema import read_tables
from infrastructure.storage.session_settings import AT_START, as_options

CONNECT_SECONDS = 3
LEAST_CONNECT_SECONDS = 2  # the least that psycopg and libpq accept
# For all connections: no thread waits longer than about twenty seconds if the host of the server is lost.
_NOTICE_LOST_SERVERS = {
    "connect_timeout": CONNECT_SECONDS,  # for each host in the connection string
    "keepalives_idle": 5,
    "keepalives_interval": 2,
    "keepalives_count": 3,
    "tcp_user_timeout": 20_000,
}


def address(dsn: str, *, application: str, options: str = "", is_pooled: bool = False) -> str:
    """The connection string with the parameters of all our connections. `options` are session settings, which
    take precedence over the base settings, and these over options in `dsn`. A pooler gets none of them: it
    would refuse or ignore them. The session's name ends with what `ticketing migrate --contract` must know
    (infrastructure/storage/older_programs.py)."""
    given = str(conninfo_to_dict(dsn).get("options") or "")
    return make_conninfo(
        dsn,
        application_name=_name_session(application),
        client_encoding="UTF8",
        options=given if is_pooled else " ".join(filter(None, (given, as_options(AT_START), options))),
        **_NOTICE_LOST_SERVERS,
    )


def _name_session(application: str) -> str:
    """The name of the application, with the number of the program and the schema of its read tables."""
    is_ours = application.startswith("ticketing-")
    return f"{application}/{PROGRAM:04d}{read_tables.suffix}" if is_ours else application


def connect_seconds(dsn: str) -> int:
    """The connect_timeout for each host in the connection string; they are tried one after the other."""
    hosts = str(conninfo_to_dict(dsn).get("host") or "").count(",") + 1
    seconds = int(seconds_left(CONNECT_SECONDS * hosts) / hosts)
    if seconds < LEAST_CONNECT_SECONDS:
        raise DeadlineExceeded("No time is left to connect to PostgreSQL")
    return seconds
