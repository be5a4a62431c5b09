"""One snapshot of the database, which pg_dump and the manifest share."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import psycopg
from psycopg.rows import dict_row

from backups.manifest import BackupRefused, Facts
from infrastructure.process.deadlines import LONG_STATEMENT_SECONDS
from infrastructure.storage.migration_files import read_migrations
from infrastructure.storage.migrations import read_applied
from infrastructure.storage.postgres import connect, fetch_value, named_queries

APPLICATION = "ticketing-backup"
sql = named_queries(Path(__file__).parent / "sql" / "backups.sql")


class AttachedFile(NamedTuple):
    """A file that the log names."""

    attachment_id: str
    sha256: str


class Snapshot(NamedTuple):
    """`name` is what `pg_dump --snapshot` takes. `server_major` is the major version of the server."""

    name: str
    server_major: int
    facts: Facts
    attached: list[AttachedFile]


@contextmanager
def open_snapshot(dsn: str) -> Iterator[Snapshot]:
    """Open a snapshot that lasts until the block ends. Writers are not blocked. Raises BackupRefused."""
    with connect(dsn, application=APPLICATION, limit_seconds=LONG_STATEMENT_SECONDS) as conn:
        if fetch_value(conn, sql["is_standby"], default=False):
            raise BackupRefused(
                "The server is a standby, which does not show the transactions that are open on the primary."
                " Use the address of the primary."
            )
        complete_to = fetch_value(conn, sql["read_watermark"], default=0)
        conn.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        with conn.transaction():
            facts = _read_facts(conn, complete_to)
            attached = [AttachedFile(*row) for row in conn.execute(sql["attached_files"])]
            name = fetch_value(conn, sql["export_snapshot"], default="")
            yield Snapshot(name, conn.info.server_version // 10_000, facts, attached)


def _read_facts(conn: psycopg.Connection, complete_to: int) -> Facts:
    known = {one.name for one in read_migrations()}  # additions of a newer program need not be known
    row = conn.cursor(row_factory=dict_row).execute(sql["read_facts"]).fetchone()
    return Facts(
        **(row or {}),
        server_version=conn.info.server_version,
        migrations=sorted(read_applied(conn).finished & known),
        log_complete_to=complete_to,
    )


def removed_since(dsn: str, attachment_ids: list[str]) -> set[str]:
    """Those of the attachments that are removed from their tickets by now."""
    with connect(dsn, application=APPLICATION, limit_seconds=LONG_STATEMENT_SECONDS) as conn:
        return {found for (found,) in conn.execute(sql["removed_since"], {"ids": attachment_ids})}
