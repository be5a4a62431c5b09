"""The server, the databases and the options that the parts of `make bench` share."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import msgspec
from psycopg import sql
from rich.console import Console

from infrastructure.storage.embedded import EmbeddedServer
from infrastructure.storage.migrating import migrate
from infrastructure.storage.postgres import connect
from projections.schema import create_read_schema
from tests.support.commands import TICKETING, environment
from tests.support.server import running_api

HOME = Path(".ticketing") / "bench"
RESULTS = HOME / "results"
WORKERS, THREADS = 4, 8  # the defaults of the API
FOLLOWERS = ("webhook-dispatcher", "notary")  # with API and projector, the processes of `make run`
_COMMAND_SECONDS = 3 * 3_600
_DURABLE = ("fsync", "synchronous_commit", "full_page_writes")


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """The options of `python -m benchmarks`."""

    clients: int = 8
    rounds: int = 7
    seconds: float = 2.0
    sizes: tuple[int, ...] = (10_000, 100_000)
    tickets: int = 250_000
    requests: int = 100_000
    postgres: Path = HOME / "postgres"  # the data directory of the server


class Bench(msgspec.Struct, frozen=True):
    """`other_loads` are the processors that other programs used whenever a part has watched them."""

    server: EmbeddedServer
    options: Options
    console: Console
    other_loads: list[float]

    def create_database(self, name: str) -> str:
        """Replace the database by one with empty tables, and return its address."""
        self.drop_database(name)
        dsn = self.server.dsn(name)
        require_durable(dsn)
        migrate(dsn)
        with connect(dsn, application="benchmarks") as conn:
            create_read_schema(conn)
        return dsn

    def copy_database(self, template: str, name: str) -> str:
        """Replace the database `name` by a copy of `template`, which nobody may be connected to."""
        self.drop_database(name)
        statement = sql.SQL("CREATE DATABASE {} TEMPLATE {} STRATEGY FILE_COPY")
        self.execute(statement.format(sql.Identifier(name), sql.Identifier(template)))
        self.execute(
            sql.SQL("CHECKPOINT")
        )  # so that the copy is not written to the disk while it is measured
        return self.server.dsn(name)

    def drop_database(self, name: str) -> None:
        self.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))

    def has_database(self, name: str) -> bool:
        with connect(self.server.dsn("postgres"), application="benchmarks") as conn:
            return conn.execute("SELECT 1 FROM pg_database WHERE datname = %s", [name]).fetchone() is not None

    def execute(self, statement: sql.Composable) -> None:
        """Execute a statement that cannot be in a transaction of the database that it concerns."""
        with connect(self.server.dsn("postgres"), application="benchmarks", limit_seconds=600) as conn:
            conn.execute(statement)


def require_durable(dsn: str) -> None:
    """Exit if the server may lose acknowledged commits."""
    with connect(dsn, application="benchmarks") as conn:
        for setting in _DURABLE:
            row = conn.execute(f"SHOW {setting}").fetchone()
            if row is None or row[0] != "on":
                raise SystemExit(f"{setting} is {row and row[0]}. Set it to on to measure durable commits.")


def running_system(dsn: str, **options: Any) -> AbstractContextManager[str]:
    """Run every process of `make run` on this database; yields the base URL."""
    defaults = {"workers": WORKERS, "threads": THREADS, "forked": False, "others": FOLLOWERS}
    return running_api(dsn, **defaults | options)


def run_ticketing(dsn: str, *arguments: str, standard_input: str = "") -> str:
    """Run a `ticketing` command in a process of its own, and return what it printed."""
    settings = environment(DATABASE_URL=dsn, TICKETING_HOME=str(HOME.resolve()))
    done = subprocess.run(
        [TICKETING, *arguments],
        env=settings,
        input=standard_input,
        capture_output=True,
        text=True,
        timeout=_COMMAND_SECONDS,
    )
    if done.returncode != 0:
        raise SystemExit(f"ticketing {' '.join(arguments)}: {done.stderr}")
    return done.stdout


def issue_key(dsn: str, role: str, user_id: str | None = None) -> str:
    """A new key without a rate limit; with `user_id` it acts as that user."""
    user = ("--user", user_id) if user_id else ()
    arguments = ("--name", "benchmark", "--role", role, "--rate-limit", "unlimited", *user)
    return run_ticketing(dsn, "key", "create", *arguments).strip()


@contextmanager
def terminated(process: subprocess.Popen[Any], seconds: float = 60.0) -> Iterator[None]:
    """End the process after the block."""
    try:
        yield
    finally:
        process.terminate()
        try:
            process.wait(seconds)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
