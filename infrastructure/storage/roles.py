"""The database role of the processes: it owns only the read tables, and can only append to the log."""

from __future__ import annotations

from psycopg import sql
from psycopg.conninfo import conninfo_to_dict

from infrastructure.process.deadlines import LONG_STATEMENT_SECONDS
from infrastructure.storage.postgres import Connection, connect
from infrastructure.storage.session_settings import OF_POOLER, newer_settings

APPLICATION = "ticketing_app"  # the name of the role in the embedded server


def grant_to_application(owner_dsn: str, application_dsn: str) -> None:
    """Grant the role of `application_dsn` the privileges that the processes need; create it if it is missing.

    `owner_dsn` connects as the role that ran the migrations, which needs CREATEROLE to create a role. Does
    nothing if both are the same role: then only the triggers make the log append-only.
    """
    application = conninfo_to_dict(application_dsn)
    role = str(application.get("user") or "")
    if not role or role == conninfo_to_dict(owner_dsn).get("user"):
        return
    with (
        connect(owner_dsn, application="ticketing-migrate", limit_seconds=LONG_STATEMENT_SECONDS) as conn,
        conn.transaction(),
    ):
        conn.execute("SELECT pg_advisory_xact_lock(7305877)")  # concurrent GRANTs on one object fail
        if not conn.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", [role]).fetchone():
            create = sql.SQL("CREATE ROLE {} LOGIN PASSWORD {}")
            conn.execute(create.format(sql.Identifier(role), sql.Literal(application.get("password"))))
        conn.execute("SELECT public.ticketing_grant(%s)", [role])


def store_settings_for_pooler(conn: Connection, application_dsn: str) -> None:
    """Store the session settings that requests need, for the role of `application_dsn` in this database.

    A connection pooler opens sessions itself, so the API cannot set them. The settings of a role in a
    database take precedence over those of the role, the database and the server.
    """
    role = sql.Identifier(str(conninfo_to_dict(application_dsn).get("user") or conn.info.user))
    database = sql.Identifier(conn.info.dbname)
    settings = OF_POOLER | newer_settings(conn.info.server_version)
    with conn.transaction():
        conn.execute("SELECT pg_advisory_xact_lock(7305877)")  # concurrent changes of one role fail
        for name, value in settings.items():
            alter = sql.SQL("ALTER ROLE {} IN DATABASE {} SET {} TO {}")
            conn.execute(alter.format(role, database, sql.Identifier(name), sql.Literal(value)))
