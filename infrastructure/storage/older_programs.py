"""Finds the processes of older programs by the names of their sessions in PostgreSQL."""

from __future__ import annotations

import re
from datetime import datetime
from typing import NamedTuple

from infrastructure.storage.migration_files import FIRST_PROGRAM
from infrastructure.storage.migrations import sql
from infrastructure.storage.postgres import Connection

LISTED = 5
_COMMANDS = ("ticketing-migrate", "ticketing-cli", "ticketing-rebuild")
_NAME = re.compile(r"(?P<name>[^/]+)(?:/(?P<program>\d+)(?:/(?P<schema>\w+))?)?")


class OlderProgramsRun(Exception):
    """Processes of older programs use the database; the message names them and says what to do."""


class Session(NamedTuple):
    """A session in PostgreSQL. Those of other roles may be shown without `client` and `since`."""

    pid: int
    application: str
    client: str | None
    since: datetime | None

    @property
    def program(self) -> int:
        """The number of the program; that of v0.1.0 for a session without a number."""
        found = _NAME.fullmatch(self.application)
        return int(found["program"] or FIRST_PROGRAM) if found else FIRST_PROGRAM

    @property
    def serves(self) -> bool:
        """Whether it may read the read tables: not if it is of a command that migrates or refills them."""
        return self.application.partition("/")[0] not in _COMMANDS

    @property
    def read_schema(self) -> str:
        """The schema of the read tables that the process uses."""
        found = _NAME.fullmatch(self.application)
        return (found["schema"] if found else None) or "read"

    def __str__(self) -> str:
        place = f" of {self.client}" if self.client else ""
        since = f", since {self.since:%Y-%m-%d %H:%M:%S}" if self.since else ""
        return f"{self.application} (session {self.pid}{place}{since})"


def our_sessions(conn: Connection) -> list[Session]:
    """The sessions of our processes and commands in this database but this one."""
    return [Session(*row) for row in conn.execute(sql["find_sessions"])]


def require_no_older(conn: Connection, least_program: int) -> None:
    """Raise OlderProgramsRun if a process of a program before that number is connected."""
    older = [one for one in our_sessions(conn) if one.program < least_program]
    if older:
        raise OlderProgramsRun(describe(older, f"from before the migration {least_program:04d}"))


def describe(sessions: list[Session], what: str) -> str:
    """The message about sessions that prevent a removal."""
    named = ", ".join(map(str, sessions[:LISTED]))
    more = f" and {len(sessions) - LISTED} more" if len(sessions) > LISTED else ""
    return (
        f"Nothing was removed, because programs {what} still use the database: {named}{more}. Replace these"
        " processes by the new version, and run the command again. If a process has ended already and the"
        " session is one of a connection pooler, close it (in PgBouncer: RECONNECT)."
    )
