"""Two PostgreSQL servers with streaming replication on loopback; one can be lost and the other promoted."""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil
import psycopg
from psycopg.conninfo import make_conninfo

from infrastructure.process.left_behind import kill_left_behind
from infrastructure.storage.embedded import SETTINGS, postgres_programs
from infrastructure.storage.server_account import creating_account, permit_access, server_account
from tests.support.postgres import memory
from tests.support.server import lasting_ports
from tests.support.waiting import eventually

COMMAND_SECONDS = 90
STANDBY = "standby"  # the name of the replica in synchronous_standby_names
# A commit is answered when the replica shows it.
SYNCHRONOUS = {"synchronous_standby_names": STANDBY, "synchronous_commit": "remote_apply"}
_SETTINGS = SETTINGS | {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "shared_buffers": "64MB",
    "max_connections": "150",
    "wal_retrieve_retry_interval": "200ms",
}
_LOCALE = ("--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--encoding=UTF8")


class Server:
    """A server with its own folder and port."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (self.port,) = lasting_ports(1)
        self._programs = postgres_programs()
        account = server_account(folder)
        self._account = creating_account(account) if account else None
        if self._account:
            permit_access({self._account}, self._programs.parents, self._programs.parent, print)

    def dsn(self, database: str = "postgres") -> str:
        return make_conninfo("", host="127.0.0.1", port=self.port, user="postgres", dbname=database)

    def create(self) -> None:
        """Create an empty cluster."""
        self._make_folder()
        self._run("initdb", "-D", self.folder, "-U", "postgres", "--auth=trust", "-N", *_LOCALE)
        with (self.folder / "postgresql.conf").open("a") as conf:
            conf.write("\ninclude 'test.conf'\n")

    def copy(self, primary: Server) -> None:
        """Become a replica of the primary; it has the name STANDBY."""
        self._make_folder()
        source = make_conninfo(primary.dsn(), dbname=None, application_name=STANDBY)
        self._run("pg_basebackup", "-d", source, "-D", self.folder, "-R", "-c", "fast", "-X", "stream", "-N")

    def start(self, settings: Mapping[str, str] = {}) -> None:
        """Start with these settings beside those of the tests, and wait until it answers."""
        self.set(settings)
        self._run(
            "pg_ctl", "start", "-D", self.folder, "-l", self.folder / "log", "-w", "-t", COMMAND_SECONDS
        )

    def set(self, settings: Mapping[str, str]) -> None:
        """Write the settings file, for the next start or `reload`."""
        values = {**_SETTINGS, "port": str(self.port), **settings}
        file = self.folder / "test.conf"
        file.write_text("".join(f"{name} = '{value}'\n" for name, value in values.items()))
        self._give(file)

    def execute(self, statement: str, database: str = "postgres") -> list[Any]:
        with psycopg.connect(self.dsn(database), autocommit=True) as conn:
            cursor = conn.execute(statement)  # type: ignore[call-overload]
            return cursor.fetchall() if cursor.description else []

    def promote(self) -> None:
        self._run("pg_ctl", "promote", "-D", self.folder, "-w", "-t", COMMAND_SECONDS)

    def kill(self) -> None:
        """kill -9 of every process, as if the host were lost."""
        for process in self._processes():
            with suppress(psutil.Error):
                process.kill()
        kill_left_behind(self.folder)
        (self.folder / "postmaster.pid").unlink(missing_ok=True)  # while nobody has reaped the process

    def freeze(self) -> None:
        """Stop all processes, with their connections open, until `thaw`."""
        for process in self._processes():
            with suppress(psutil.Error):
                process.suspend()

    def thaw(self) -> None:
        for process in self._processes():
            with suppress(psutil.Error):
                process.resume()

    def stop(self) -> None:
        """Stop at once, if it runs."""
        self.thaw()
        self.kill()

    def _processes(self) -> list[psutil.Process]:
        with suppress(psutil.Error, OSError, ValueError):
            postmaster = psutil.Process(int((self.folder / "postmaster.pid").read_text().split("\n", 1)[0]))
            return [postmaster, *postmaster.children()] if postmaster.name() == "postgres" else []
        return []

    def _make_folder(self) -> None:
        self.folder.mkdir(mode=0o700)
        self._give(self.folder)

    def _give(self, path: Path) -> None:
        if self._account:
            self._account.own(path)

    def _run(self, program: str, *arguments: object) -> None:
        options = self._account.options() if self._account else {}
        command = [str(self._programs / program), *map(str, arguments)]
        with tempfile.TemporaryFile("w+") as output:  # the server would keep a pipe open
            done = subprocess.run(
                command,
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd="/",
                timeout=2 * COMMAND_SECONDS,
                **options,
            )
            output.seek(0)
            assert done.returncode == 0, f"{program} failed: {output.read()[-2_000:]}{self._end_of_log()}"

    def _end_of_log(self) -> str:
        file = self.folder / "log"
        return file.read_text(errors="replace")[-2_000:] if file.exists() else ""


class Pair:
    """A primary and its replica. Both are in memory, if there is space."""

    def __init__(self, folder: Path) -> None:
        self.primary = Server(folder / "a")
        self.replica = Server(folder / "b")

    def dsn(self, database: str, target: str) -> str:
        """The address of both servers; `target` chooses one, such as read-write or prefer-standby."""
        servers = (self.primary, self.replica)
        return make_conninfo(
            "",
            host="127.0.0.1,127.0.0.1",
            port=",".join(str(server.port) for server in servers),
            user="postgres",
            dbname=database,
            target_session_attrs=target,
        )

    def copy(self) -> None:
        """Create and start the replica, and wait until it streams."""
        self.replica.copy(self.primary)
        self.replica.start()
        eventually(
            lambda: self.primary.execute("SELECT 1 FROM pg_stat_replication WHERE state = 'streaming'")
        )

    def replicate_synchronously(self) -> None:
        """From now on a commit is answered when the replica shows it."""
        self.primary.set(SYNCHRONOUS)
        self.primary.execute("SELECT pg_reload_conf()")
        eventually(
            lambda: self.primary.execute("SELECT 1 FROM pg_stat_replication WHERE sync_state = 'sync'")
        )

    def wait_until_equal(self) -> None:
        """Wait until the replica shows everything that the primary has written now."""
        ((end,),) = self.primary.execute("SELECT pg_current_wal_insert_lsn()")
        eventually(lambda: self.replica.execute(f"SELECT pg_last_wal_replay_lsn() >= '{end}'") == [(True,)])


@contextmanager
def running_pair() -> Iterator[Pair]:
    """A running primary without a replica yet; both servers are stopped afterwards."""
    with tempfile.TemporaryDirectory(prefix="pair-", dir=memory()) as name:
        folder = Path(name)
        folder.chmod(0o755)
        pair = Pair(folder)
        pair.primary.create()
        pair.primary.start()
        try:
            yield pair
        finally:
            pair.replica.stop()
            pair.primary.stop()
