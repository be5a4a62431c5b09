"""Checks the settings of the PostgreSQL server that the system relies on, and its clock."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from datetime import datetime
from pathlib import Path

import psycopg

from cli.doctor.finding import Finding, ok, problem, warning
from infrastructure.settings import Settings
from infrastructure.storage.postgres import Connection, connect, fetch_value, named_queries
from infrastructure.storage.server_checks import (
    UnsuitableDatabase,
    describe_wrong_settings,
    require_same_database,
    require_suitable,
    require_writable,
    wrong_settings,
)
from infrastructure.storage.session_settings import BASE, COMMIT, is_base

sql = named_queries(Path(__file__).parent / "sql" / "doctor.sql")

# Without these a commit that was answered may be lost in a crash of the server.
_DURABLE = {"fsync": "on", "full_page_writes": "on"}
_OTHERS = ("autovacuum", "max_connections", "superuser_reserved_connections")
PER_WORKER = 5  # connections of a worker of the API beside one for each thread
OF_FOLLOWERS = 20  # connections of the projector, relay, notary, dispatcher and commands
CLOCK_WARNING_SECONDS, CLOCK_PROBLEM_SECONDS = 2.0, 30.0


def check_database(conn: Connection) -> list[Finding]:
    """Whether the database can be used: its encoding, and whether it can be written."""
    try:
        require_suitable(conn, "DATABASE_URL")
        require_writable(conn, "DATABASE_URL")
    except UnsuitableDatabase as refusal:
        return [problem("database", "it cannot be used.", str(refusal))]
    return [ok("database", "it is encoded in UTF-8 and can be written.")]


def check_server(conn: Connection, settings: Settings) -> Iterator[Finding]:
    names = [*_DURABLE, *_OTHERS]
    found: dict[str, str] = dict(conn.execute(sql["read_server_settings"], {"names": names}).fetchall())
    if wrong := [name for name, needed in _DURABLE.items() if found[name] != needed]:
        listed = ", ".join(f"{name} is {found[name]}" for name in wrong)
        yield problem(
            "durability",
            f"{listed}: after a crash of the server, changes that were answered may be lost.",
            "Run " + "; ".join(f"ALTER SYSTEM SET {name} = on" for name in wrong) + "; then reload.",
        )
    else:
        yield ok("durability", "fsync and full_page_writes are on.")
    if found["autovacuum"] != "on":
        remedy = "Run ALTER SYSTEM SET autovacuum = on, then reload."
        yield warning("autovacuum", "it is off, so lists become slower.", remedy)
    yield judge_connections(settings, found)


def judge_connections(settings: Settings, found: Mapping[str, str]) -> Finding:
    """Whether the server accepts as many connections as the processes of one host may open."""
    accepted = int(found["max_connections"]) - int(found["superuser_reserved_connections"])
    of_requests = 0 if settings.has_pooler else settings.workers * settings.threads
    needed = of_requests + settings.workers * PER_WORKER + OF_FOLLOWERS
    text = f"the server accepts {accepted}; one API and the other processes may open {needed}."
    if needed <= accepted:
        return ok("connections", text)
    remedy = "Increase max_connections, use fewer WORKERS or THREADS, or use a connection pooler."
    return problem("connections", text, remedy)


def check_sessions(conn: Connection, settings: Settings) -> Iterator[Finding]:
    """The settings of a session, and of a session of the pooler: isolation level, synchronous_commit, ..."""
    rows = conn.execute(sql["read_session_settings"], {"names": list(BASE)}).fetchall()
    wrong = {name: value for name, value in rows if not is_base(name, value)}
    if wrong:
        listed = ", ".join(f"{name} is {value!r} instead of {BASE[name]!r}" for name, value in wrong.items())
        remedy = "Remove the event trigger or extension that changes them when a session begins."
        yield problem("sessions", f"their settings differ from those that they ask for: {listed}.", remedy)
    else:
        commit = next(value for name, value in rows if name == COMMIT)
        yield ok("sessions", f"isolation read committed, {COMMIT} {commit}, time zone UTC.")
    if settings.has_pooler:
        yield _check_pooler(conn, settings)


def _check_pooler(direct: Connection, settings: Settings) -> Finding:
    try:
        with connect(settings.database_url or "", application="ticketing-doctor", is_pooled=True) as conn:
            require_same_database(direct, "DIRECT_DATABASE_URL", conn, "DATABASE_URL")
            if wrong := wrong_settings(conn):
                return problem("pooler", "its sessions have other settings.", describe_wrong_settings(wrong))
    except UnsuitableDatabase as refusal:
        return problem("pooler", "it leads to another database.", str(refusal))
    except psycopg.OperationalError as error:
        return problem(
            "pooler", f"it cannot be reached: {_line(error)}.", "Start it, or correct DATABASE_URL."
        )
    return ok("pooler", "its sessions are in the same database and have the settings that requests need.")


def check_owner_address(conn: Connection, settings: Settings) -> list[Finding]:
    """Whether MIGRATE_DATABASE_URL leads to the database of the processes."""
    check = "MIGRATE_DATABASE_URL"
    if not settings.migrate_database_url:
        return []
    try:
        with connect(settings.migrate_database_url, application="ticketing-doctor") as owner:
            require_same_database(conn, "DATABASE_URL", owner, check)
    except UnsuitableDatabase as refusal:
        return [problem(check, "it leads to another database.", str(refusal))]
    except psycopg.OperationalError as error:
        return [problem(check, f"it cannot be used: {_line(error)}.", "Correct the address or the password.")]
    return [ok(check, "it leads to the same database.")]


def _line(error: psycopg.Error) -> str:
    return " ".join(str(error).split()).rstrip(".")


def check_clock(conn: Connection) -> list[Finding]:
    """The difference between the clock of this machine and that of PostgreSQL."""
    began = time.time()
    shown: datetime | None = fetch_value(conn, sql["read_clock"], default=None)
    ended = time.time()
    assert shown is not None
    return [judge_clock((began + ended) / 2 - shown.timestamp())]


def judge_clock(ahead_seconds: float) -> Finding:
    """The finding for a clock of this machine that is so many seconds ahead of that of PostgreSQL."""
    size = abs(ahead_seconds)
    way = "ahead of" if ahead_seconds > 0 else "behind"
    text = f"this machine is {size:.1f} s {way} PostgreSQL."
    remedy = "Synchronize both clocks (NTP): times of events, expiry of keys and signatures depend on them."
    if size >= CLOCK_PROBLEM_SECONDS:
        return problem("clock", text, remedy)
    if size >= CLOCK_WARNING_SECONDS:
        return warning("clock", text, remedy)
    return ok("clock", text)
