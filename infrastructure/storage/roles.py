"""The role the processes work as: it owns nothing but the read tables, and can only append to the log."""

from __future__ import annotations

from psycopg import sql
from psycopg.conninfo import conninfo_to_dict

from infrastructure.process.deadlines import LONG_STATEMENT_SECONDS
from infrastructure.storage.postgres import connect

APPLICATION = "ticketing_app"  # of the embedded server


def grant_to_application(owner_dsn: str, application_dsn: str) -> None:
    """Give the role of `application_dsn` what the processes need, and make it if it is not there.

    `owner_dsn` is that of the role that ran the migrations; making a role takes CREATEROLE. Nothing is done
    where both are one role: then the triggers alone keep the log append-only.
    """
    application = conninfo_to_dict(application_dsn)
    role = str(application.get("user") or "")
    if not role or role == conninfo_to_dict(owner_dsn).get("user"):
        return
    with (
        connect(owner_dsn, application="ticketing-migrate", limit_seconds=LONG_STATEMENT_SECONDS) as conn,
        conn.transaction(),
    ):
        conn.execute("SELECT pg_advisory_xact_lock(7305877)")  # one at a time: GRANTs get in each other's way
        if not conn.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", [role]).fetchone():
            make = sql.SQL("CREATE ROLE {} LOGIN PASSWORD {}")
            conn.execute(make.format(sql.Identifier(role), sql.Literal(application.get("password"))))
        conn.execute("SELECT public.ticketing_grant(%s)", [role])
