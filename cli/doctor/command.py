"""`ticketing doctor`: checks the settings, the servers and the data, and says what to do."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Annotated

import msgspec
import psycopg
import typer

from cli.database import DatabaseUnavailable
from cli.doctor.contradictions import check_settings
from cli.doctor.finding import Finding, problem
from cli.doctor.followers import check_deliveries, check_failures, check_lags, check_stalls
from cli.doctor.hosts import check_attachments, check_replica, check_standby
from cli.doctor.key_material import check_checkpoints, check_keys
from cli.doctor.protection import check_privileges, check_sequence, check_triggers
from cli.doctor.server import (
    check_clock,
    check_database,
    check_owner_address,
    check_server,
    check_sessions,
)
from cli.doctor.storage import check_bucket, check_folders
from cli.doctor.topics import check_topics
from cli.doctor.versions import (
    check_migrations,
    check_postgresql,
    check_program,
    check_read_tables,
    is_migrated,
)
from cli.output import note, print_result
from cli.stopping import UNUSABLE
from infrastructure.process.failures import describe_error
from infrastructure.settings import Settings, load_settings
from infrastructure.storage.embedded import EmbeddedFailed, start_embedded
from infrastructure.storage.postgres import Connection
from infrastructure.storage.roles import APPLICATION
from infrastructure.storage.server_checks import UnsuitableDatabase, direct_connection
from projections.live_tables import use_read_tables

Check = Callable[[], Iterable[Finding]]


class Report(msgspec.Struct):
    """The findings in the order of the checks. `is_complete` is False if PostgreSQL could not be reached."""

    findings: list[Finding]
    is_complete: bool = True

    @property
    def exit_code(self) -> int:
        if not self.is_complete:
            return UNUSABLE
        return int(any(finding.level == "PROBLEM" for finding in self.findings))


def doctor(
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object for programs.")] = False,
) -> None:
    """Check settings, versions, servers, followers, topics, disks, clocks and keys. Changes nothing.

    Each line is OK, WARNING or PROBLEM, what was found, and what to do. Exit code 0: no problem. 1: a problem
    was found. 2: not everything could be checked.
    """
    report = diagnose(load_settings())
    if as_json:
        print_result(msgspec.json.encode(report).decode())
    else:
        for finding in report.findings:
            print_result(str(finding))
    if report.exit_code:
        raise typer.Exit(report.exit_code)


def diagnose(settings: Settings) -> Report:
    """Run every check. A check that fails is a finding, and the others run."""
    report = Report([])
    _run(report, _local_checks(settings))
    try:
        with _address(settings) as dsn:
            settings = msgspec.structs.replace(settings, database_url=settings.database_url or dsn)
            with _connection(settings) as conn:
                _run(report, _checks_of_server(conn, settings))
                if is_migrated(conn):
                    _run(report, _checks_of_data(conn, settings))
    except (DatabaseUnavailable, psycopg.OperationalError) as error:
        report.is_complete = False
        remedy = "Start PostgreSQL, or correct the address. The checks of the database were left out."
        report.findings.append(problem("PostgreSQL", f"it cannot be reached: {_first_line(error)}.", remedy))
    except UnsuitableDatabase as refusal:
        report.findings.append(problem("database", "it cannot be used.", str(refusal)))
    return report


def _local_checks(settings: Settings) -> dict[str, Check]:
    return {
        "program": check_program,
        "settings": lambda: check_settings(settings),
        "disks": lambda: check_folders(settings),
        "bucket": lambda: check_bucket(settings),
    }


def _checks_of_server(conn: Connection, settings: Settings) -> dict[str, Check]:
    return {
        "PostgreSQL": lambda: check_postgresql(conn),
        "database": lambda: check_database(conn),
        "server": lambda: check_server(conn, settings),
        "sessions": lambda: check_sessions(conn, settings),
        "MIGRATE_DATABASE_URL": lambda: check_owner_address(conn, settings),
        "standby": lambda: check_standby(conn),
        "clock": lambda: check_clock(conn),
        "migrations": lambda: check_migrations(conn),
        "read tables": lambda: check_read_tables(conn),
    }


def _checks_of_data(conn: Connection, settings: Settings) -> dict[str, Check]:
    """The checks of a database that has tables."""
    of_kafka: dict[str, Check] = {"Kafka": lambda: check_topics(conn, settings)}
    return {
        "READ_DATABASE_URL": lambda: check_replica(conn, settings),
        "attachments": lambda: check_attachments(conn, settings),
        "triggers": lambda: check_triggers(conn),
        "privileges": lambda: check_privileges(conn),
        "positions": lambda: check_sequence(conn),
        "keys": lambda: check_keys(conn, settings),
        "checkpoint": lambda: check_checkpoints(conn, settings),
        "lags": lambda: check_lags(conn, settings),
        "stalls": lambda: check_stalls(conn),
        "set aside": lambda: check_failures(conn),
        "leases": lambda: check_deliveries(conn),
        **(of_kafka if settings.kafka_bootstrap_servers else {}),
    }


def _run(report: Report, checks: dict[str, Check]) -> None:
    for name, check in checks.items():
        try:
            report.findings += check()
        except psycopg.OperationalError:
            raise
        except psycopg.Error as error:
            remedy = "Run `ticketing migrate`. If that changes nothing, restore a backup."
            report.findings.append(problem(name, f"cannot be checked: {describe_error(error)}.", remedy))


@contextmanager
def _address(settings: Settings) -> Iterator[str]:
    """The address of PostgreSQL itself; that of an embedded server, which is started if necessary."""
    if settings.database_url:
        yield settings.direct_url
        return
    data_dir = settings.home / "postgres"
    if not data_dir.exists():
        raise DatabaseUnavailable(f"DATABASE_URL is not set, and {data_dir} does not exist")
    try:
        server = start_embedded(data_dir, announce=note)
    except (EmbeddedFailed, OSError) as error:
        raise DatabaseUnavailable(f"the embedded PostgreSQL does not start: {error}") from None
    try:
        yield server.dsn(role=APPLICATION)
    finally:
        server.stop()


@contextmanager
def _connection(settings: Settings) -> Iterator[Connection]:
    variable = "DIRECT_DATABASE_URL" if settings.has_pooler else "DATABASE_URL"
    with direct_connection(settings.direct_url, variable, application="ticketing-doctor") as conn:
        use_read_tables(conn)
        yield conn


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(".")
