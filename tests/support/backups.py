"""An installation with something of everything, and what tests compare after it was restored elsewhere."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path
from typing import Any

import psycopg
from psycopg.conninfo import make_conninfo

from commands.tickets import attach_file
from domain.attachment import Attachment
from infrastructure.ids import new_id
from infrastructure.settings import Settings
from infrastructure.storage.attachment_store import AttachmentStore, DiskAttachments
from infrastructure.storage.embedded import postgres_programs
from infrastructure.storage.event_store import EventStore
from infrastructure.storage.postgres import Pool, connect, make_pool
from infrastructure.storage.server_account import creating_account, server_account
from notary.blocks import sql
from notary.follower import sign_log
from notary.places import StatementFile
from projections.runner import catch_up, connect_projector
from tests.support.arrange import register_property, register_user
from tests.support.browser import give_password
from tests.support.commands import environment
from tests.support.keys import operator
from tests.support.postgres import drop_database
from tests.support.server import free_port
from tests.support.vault import VAULT
from tests.support.webhooks import open_ticket

PEOPLE = ("u1", "u2", "u3")
FILES = (b"first photo", b"", b"third" * 40_000)
_LOG = (
    "SELECT notification_id, originator_id, originator_version, topic, state FROM es.stored_events ORDER BY 1"
)


class Installation:
    """A database and its TICKETING_HOME, which `populate` fills."""

    def __init__(self, dsn: str, home: Path, pool: Pool) -> None:
        self.dsn = dsn
        self.home = home
        self.store = EventStore(pool, VAULT)
        self.attachments: AttachmentStore = DiskAttachments(home / "attachments")
        self.environ = environment(DATABASE_URL=dsn, TICKETING_HOME=str(home))

    @classmethod
    @contextmanager
    def on(cls, dsn: str, home: Path) -> Iterator[Installation]:
        with make_pool(dsn, application="tests", max_size=8) as pool:
            yield cls(dsn, home, pool)

    def populate(self) -> None:
        register_property(self.store, "p1", operator())
        for user_id in PEOPLE:
            register_user(self.store, user_id, operator(), name=f"Name {user_id}", role="admin")
        give_password(self.store, "u1")
        ticket = open_ticket(self.store)
        for content in FILES:
            self.attach(ticket.id, content)
        self.project()
        self.sign()

    def attach(self, ticket_id: str, content: bytes) -> str:
        attachment_id = new_id()
        stored = self.attachments.put(attachment_id, BytesIO(content))
        facts = Attachment(
            attachment_id, "photo.jpg", "image/jpeg", stored.size_bytes, stored.sha256, datetime.now(UTC)
        )
        attach_file(self.store, ticket_id, facts, operator())
        return attachment_id

    def project(self) -> None:
        with connect_projector(self.dsn) as conn:
            while catch_up(conn, VAULT):
                pass

    def sign(self) -> StatementFile:
        """Sign the log, and publish the new statements to the notary's file, which is returned."""
        file = StatementFile.of(Settings(home=self.home))
        with connect(self.dsn, application="tests") as conn:
            sign_log(conn, VAULT)
            rows = conn.execute(sql["statements_after"], {"number": 0, "limit": None}).fetchall()
        present = len(list(file.lines()))
        file.append([line for _, line in rows][present:])
        return file


def log_of(dsn: str) -> list[tuple[Any, ...]]:
    with connect(dsn, application="tests") as conn:
        return conn.execute(_LOG).fetchall()


def files_of(home: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (home / "attachments").iterdir()}


@contextmanager
def empty_database(server: str, name: str) -> Iterator[str]:
    """The DSN of a new database without any table. Drops it afterwards."""
    with psycopg.connect(server, autocommit=True) as conn:
        conn.execute(f'CREATE DATABASE "{name}" TEMPLATE template0')
    try:
        yield make_conninfo(server, dbname=name)
    finally:
        drop_database(server, name)


@contextmanager
def external_server(programs: Path, folder: Path, settings: Mapping[str, str] | None = None) -> Iterator[str]:
    """The DSN of a server of other programs than the wheel's, over TCP and with a password. The folder has
    an empty folder `archive` beside its data."""
    run = ServerPrograms(programs, folder)
    (folder / "archive").mkdir(parents=True)
    (folder / "password").write_text("pass'word\n")
    run.own(folder)
    run("initdb", "-D", folder / "data", "-U", "owner", "--auth=scram-sha-256", "-E", "UTF8",
        "--locale=C", "-N", f"--pwfile={folder / 'password'}")  # fmt: skip
    with (folder / "data" / "postgresql.auto.conf").open("a") as file:
        file.writelines(f"{name} = '{value}'\n" for name, value in (settings or {}).items())
    with start_server(run, folder / "data") as dsn:
        yield dsn


@contextmanager
def start_server(run: ServerPrograms, data: Path) -> Iterator[str]:
    """The DSN of a running server with this data directory."""
    port = free_port()
    options = f"-p {port} -h 127.0.0.1 -k '' -F -c max_connections=40"
    run("pg_ctl", "start", "-D", data, "-l", data.parent / "log", "-w", "-o", options)
    try:
        yield make_conninfo(
            "", host="127.0.0.1", port=port, user="owner", password="pass'word", dbname="postgres"
        )
    finally:
        run("pg_ctl", "stop", "-D", data, "-m", "immediate", "-w")


class ServerPrograms:
    """Runs programs of PostgreSQL, under another account if this process runs as root."""

    def __init__(self, programs: Path, folder: Path) -> None:
        account = server_account(folder / "data")
        self._programs = programs
        self._account = creating_account(account) if account else None
        self._options: dict[str, Any] = self._account.options() if self._account else {}

    def own(self, folder: Path) -> None:
        """Give the folder and its files to the account, and let it enter the folders above."""
        for path in (folder, *folder.parents):
            path.chmod(path.stat().st_mode | 0o011)
        if self._account:
            self._account.own(folder)

    def __call__(self, program: str, *arguments: object) -> None:
        command = [str(self._programs / program), *map(str, arguments)]
        subprocess.run(command, check=True, timeout=120, cwd="/", stdout=subprocess.DEVNULL, **self._options)


def system_programs() -> Path:
    """The programs of Debian's PostgreSQL, or those of the wheel."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    return found[0].parent if found else postgres_programs()
