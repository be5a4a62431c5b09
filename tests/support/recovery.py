"""A server that archives its WAL, and a recovery to a point in time, as docs/how-to/backup.md says."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

import psycopg

from tests.support.backups import ServerPrograms, external_server, start_server
from tests.support.waiting import eventually

ARCHIVED = "SELECT last_archived_wal >= %s FROM pg_stat_archiver"


class ArchivingServer:
    """A running server whose WAL is copied to a folder. `dsn` is that of its maintenance database."""

    def __init__(self, dsn: str, folder: Path, programs: Path) -> None:
        self.dsn = dsn
        self.base = folder / "base"
        self._archive = folder / "archive"
        self._run = ServerPrograms(programs, folder)

    @classmethod
    @contextmanager
    def running(cls, programs: Path, folder: Path) -> Iterator[ArchivingServer]:
        archive = folder / "archive"
        command = f"test ! -f {archive}/%f && cp %p {archive}/%f"
        settings = {"archive_mode": "on", "archive_command": command}
        with external_server(programs, folder, settings) as dsn:
            yield cls(dsn, folder, programs)

    def take_base_backup(self) -> None:
        self._run("pg_basebackup", "-d", self.dsn, "-D", self.base, "--checkpoint=fast")

    def archive_everything(self) -> None:
        """Wait until the WAL of everything that is committed is archived."""
        with psycopg.connect(self.dsn, autocommit=True) as conn:
            (segment,) = conn.execute("SELECT pg_walfile_name(pg_current_wal_lsn())").fetchone() or ("",)
            conn.execute("SELECT pg_switch_wal()")
            eventually(lambda: conn.execute(ARCHIVED, [segment]).fetchone() == (True,))

    @contextmanager
    def recovered(self, moment: datetime, folder: Path) -> Iterator[str]:
        """The DSN of a second server, which was restored from the base backup and the archive."""
        data = folder / "data"
        shutil.copytree(self.base, data)
        with (data / "postgresql.auto.conf").open("a") as file:
            file.write(f"archive_mode = off\nrestore_command = 'cp {self._archive}/%f %p'\n")
            file.write(f"recovery_target_time = '{moment.isoformat()}'\n")
            file.write("recovery_target_action = 'promote'\n")
        (data / "recovery.signal").touch()
        self._run.own(folder)
        with start_server(self._run, data) as dsn:
            with psycopg.connect(dsn, autocommit=True) as conn:
                eventually(lambda: conn.execute("SELECT pg_is_in_recovery()").fetchone() == (False,))
            yield dsn
