"""Debian's PgBouncer in front of the server of the tests."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal, NamedTuple

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg.rows import dict_row

from tests.support.server import free_port

Mode = Literal["session", "transaction"]
START_SECONDS = 20
STOP_SECONDS = 20

# The defaults of Debian's package, but for the addresses: no startup parameter is ignored.
_CONFIGURATION = """
[databases]
* = {server}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = trust
auth_file = {folder}/users.txt
admin_users = pooler_admin
pool_mode = {mode}
default_pool_size = 20
max_client_conn = 200
logfile = {folder}/pgbouncer.log
pidfile = {folder}/pgbouncer.pid
{more}
"""


class Pooler(NamedTuple):
    """A configured PgBouncer: how it is started, and the address of the database through it."""

    command: list[str]
    account: dict[str, Any]
    address: str


def configure(folder: Path, dsn: str, mode: Mode, *, more: str = "") -> Pooler:
    """Write the configuration of a PgBouncer on a free port, for the database and user of `dsn`, into the
    folder. `more` is added to it."""
    program, given, port = _find_program(), conninfo_to_dict(dsn), free_port()
    server = " ".join(f"{name}={given[name]}" for name in ("host", "port") if given.get(name))
    password = given.get("password") or ""
    users = [str(given.get("user") or os.environ.get("USER", "")), "pooler_admin"]
    (folder / "users.txt").write_text("".join(f'"{user}" "{password}"\n' for user in users))
    configuration = _CONFIGURATION.format(server=server, port=port, folder=folder, mode=mode, more=more)
    (folder / "pgbouncer.ini").write_text(configuration)
    account = _account(given)
    if account:
        for path in (folder, *folder.iterdir()):
            os.chown(path, account["user"], account["group"])
    address = make_conninfo(dsn, host="127.0.0.1", port=port, sslmode="disable", gssencmode="disable")
    return Pooler([program, "-q", str(folder / "pgbouncer.ini")], account, address)


@contextmanager
def pgbouncer(dsn: str, mode: Mode, *, more: str = "") -> Iterator[str]:
    """The address of the database of `dsn` through a PgBouncer, for the user of `dsn`."""
    folder = Path(tempfile.mkdtemp(prefix="pgbouncer-"))
    pooler = configure(folder, dsn, mode, more=more)
    process = subprocess.Popen(pooler.command, stdout=subprocess.DEVNULL, **pooler.account)
    try:
        _wait_until_it_answers(pooler.address, process)
        yield pooler.address
    finally:
        process.terminate()
        try:
            process.wait(STOP_SECONDS)
        finally:
            process.kill()
            shutil.rmtree(folder)


def administer(address: str, command: str) -> list[dict[str, Any]]:
    """Run a command of PgBouncer's console, such as RECONNECT, and return its rows."""
    console = make_conninfo(address, dbname="pgbouncer", user="pooler_admin")
    with psycopg.connect(console, autocommit=True, row_factory=dict_row) as conn:
        cursor = conn.execute(command)
        return cursor.fetchall() if cursor.description else []


def _wait_until_it_answers(address: str, process: subprocess.Popen[bytes]) -> None:
    """Wait for the console, which needs no session of PostgreSQL."""
    deadline = time.monotonic() + START_SECONDS
    while True:
        try:
            administer(address, "SHOW VERSION")
            return
        except psycopg.OperationalError:
            if process.poll() is not None or time.monotonic() > deadline:
                raise
            time.sleep(0.02)


def _find_program() -> str:
    """The path of PgBouncer. Skips the test without it."""
    found = shutil.which("pgbouncer", path=f"{os.environ['PATH']}:/usr/sbin")
    if found is None:
        pytest.skip("PgBouncer is not installed. On Debian or Ubuntu: apt-get install pgbouncer")
    return found


def _account(given: dict[str, Any]) -> dict[str, Any]:
    """As root: the account for PgBouncer, which refuses to run as root. The account of the server can reach
    its socket."""
    if os.geteuid() != 0:
        return {}
    host = str(given.get("host") or "")
    if host.startswith("/"):
        owner = os.stat(f"{host}/.s.PGSQL.{given.get('port') or 5432}")
        return {"user": owner.st_uid, "group": owner.st_gid, "extra_groups": []}
    nobody = pwd.getpwnam("nobody")
    return {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}
