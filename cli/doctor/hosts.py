"""Checks what several hosts need: a replica for reads, a standby for commits, shared attachments."""

from __future__ import annotations

import time
from collections.abc import Iterator

import psycopg

from cli.doctor.finding import Finding, ok, problem, warning
from cli.doctor.server import sql
from infrastructure.settings import Settings
from infrastructure.storage.postgres import Connection, connect, fetch_value
from infrastructure.storage.replica import ReplicaRefused, require_same_history

REPLAY_SECONDS = 2.0  # a replica that needs longer is of little use: requests wait 0.1 s
PAUSE_SECONDS = 0.05
NEWEST_FILES = 100


def check_replica(conn: Connection, settings: Settings) -> Iterator[Finding]:
    """Whether requests can read from the server of READ_DATABASE_URL."""
    check = "READ_DATABASE_URL"
    if settings.read_database_url is None:
        return
    try:
        with connect(settings.read_database_url, application="ticketing-doctor") as replica:
            require_same_history(replica, conn)
            if not fetch_value(replica, sql["is_replica"], default=False):
                remedy = "Set it to the address of a replica, or remove it."
                yield warning(check, "it leads to the primary, so it relieves nothing.", remedy)
                return
            yield _judge_lag(conn, replica)
    except ReplicaRefused as refusal:
        yield problem(check, "the primary answers all reads.", str(refusal))
    except psycopg.Error as error:
        text = " ".join(str(error).split()).rstrip(".")
        remedy = "Start the replica, or correct the address; it takes no connection pooler."
        yield warning(check, f"it cannot be used, so the primary answers all reads: {text}.", remedy)


def _judge_lag(primary: Connection, replica: Connection) -> Finding:
    check, wanted = "READ_DATABASE_URL", fetch_value(primary, sql["read_shown"], default=0)
    began = time.monotonic()
    while (reached := fetch_value(replica, sql["read_shown"], default=0)) < wanted:
        if time.monotonic() - began > REPLAY_SECONDS:
            return warning(
                check,
                f"the replica is at position {reached} of {wanted}, so the primary answers the reads.",
                "Check that it streams from the primary, that its replay is not paused, and its disk.",
            )
        time.sleep(PAUSE_SECONDS)
    return ok(check, f"it is a replica of the primary, and has reached position {wanted}.")


def check_standby(conn: Connection) -> Iterator[Finding]:
    """Whether a commit that waits for a standby can end."""
    names = fetch_value(conn, sql["read_standby_names"], default="")
    if not names:
        return
    if fetch_value(conn, sql["count_standbys"], default=0) == 0:
        yield problem(
            "standby",
            f"synchronous_standby_names is {names!r}, but no standby is connected: every change waits.",
            "Start the standby, or set synchronous_standby_names to '' and reload: changes are then on one"
            " server only.",
        )
    else:
        yield ok("standby", f"synchronous_standby_names is {names!r}, and a standby is connected.")


def check_attachments(conn: Connection, settings: Settings) -> Iterator[Finding]:
    """Whether the folder of this machine has the newest attachments, which any host may have stored."""
    if settings.attachments_s3_bucket:
        return
    ids = [each for (each,) in conn.execute(sql["newest_attachments"], {"limit": NEWEST_FILES})]
    missing = [each for each in ids if not (settings.attachments_dir / each).is_file()]
    if missing:
        yield problem(
            "attachments",
            f"{len(missing)} of the newest {len(ids)} attachments are not in {settings.attachments_dir}, such"
            f" as {missing[0]}.",
            "If several hosts run the API, set ATTACHMENTS_S3_BUCKET, or let them share this folder."
            " Otherwise restore the files from a backup.",
        )
    else:
        yield ok("attachments", f"the newest {len(ids)} are in {settings.attachments_dir}.")
