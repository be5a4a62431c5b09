"""The PostgreSQL server of the tests, and databases cloned from one migrated template."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path

import psycopg
from psycopg import sql
from psycopg.conninfo import make_conninfo

from infrastructure.storage.embedded import start_embedded
from infrastructure.storage.migrating import migrate
from infrastructure.storage.postgres import connect
from projections.schema import create_read_schema

TEMPLATE = f"ticketing_template_{os.getpid()}"
SPACE_BYTES = 8 * 1024**3
_MEMORY = Path("/dev/shm")
_numbers = count(1)


@contextmanager
def running_server() -> Iterator[str]:
    """The DSN of a server that allows creating databases.

    This is TEST_DATABASE_URL, or an embedded server with production settings in a temporary directory. The
    directory is in memory if there is space: creating and dropping many databases on a disk is slow.
    """
    if configured := os.environ.get("TEST_DATABASE_URL"):
        yield configured
        return
    with tempfile.TemporaryDirectory(prefix="ticketing-test-", dir=memory()) as folder:
        server = start_embedded(Path(folder) / "data")
        try:
            yield server.dsn("postgres")
        finally:
            server.stop()


def memory() -> str | None:
    """A folder in memory, if there is space."""
    has_space = _MEMORY.is_dir() and shutil.disk_usage(_MEMORY).free > SPACE_BYTES
    return str(_MEMORY) if has_space else None


def make_template(server: str) -> str:
    """Create the migrated database that tests clone, and return its name."""
    _make_database(server, TEMPLATE)
    dsn = make_conninfo(server, dbname=TEMPLATE)
    migrate(dsn)
    with connect(dsn, application="tests") as conn:
        create_read_schema(conn)
    return TEMPLATE


@contextmanager
def cloned_database(server: str, template: str) -> Iterator[str]:
    """The DSN of a new copy of the template. Drops it afterwards, even if clients are still connected."""
    name = f"ticketing_test_{os.getpid()}_{next(_numbers)}"
    _make_database(server, name, template)
    try:
        yield make_conninfo(server, dbname=name)
    finally:
        drop_database(server, name)


def drop_database(server: str, name: str) -> None:
    _administer(server, sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))


def _make_database(server: str, name: str, template: str = "template1") -> None:
    statement = sql.SQL("CREATE DATABASE {} TEMPLATE {}")
    _administer(server, statement.format(sql.Identifier(name), sql.Identifier(template)))


def _administer(server: str, statement: sql.Composable) -> None:
    with psycopg.connect(server, autocommit=True) as conn:
        conn.execute(statement)
