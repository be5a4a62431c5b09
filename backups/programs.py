"""Finds and runs pg_dump and pg_restore of a version that fits the server."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from psycopg.conninfo import conninfo_to_dict, make_conninfo

from infrastructure.storage.addresses import address
from infrastructure.storage.embedded import EmbeddedFailed, postgres_programs

FIRST_WITH_TRANSACTION_TIMEOUT = 17  # since then pg_restore sets a parameter that older servers refuse
_SYSTEM = Path("/usr/lib/postgresql")  # Debian, one folder for each major version
_VERSION_SECONDS = 10
_MESSAGE_CHARACTERS = 2_000


class ProgramsMissing(Exception):
    """No installed pg_dump or pg_restore fits the server. The message names the version to install."""


class ProgramFailed(Exception):
    """pg_dump or pg_restore failed; the message ends with the end of its output."""


class Programs(NamedTuple):
    """A folder with pg_dump and pg_restore, and their major version."""

    folder: Path
    major: int


def find_programs(server_major: int, *, at_least: int = 0) -> Programs:
    """Return the programs of the server's major version, or else the oldest ones that are newer. They are of
    version `at_least` or newer. Raises ProgramsMissing."""
    needed = max(server_major, at_least)
    found = [programs for programs in _installed() if programs.major >= needed]
    if not found:
        raise ProgramsMissing(
            f"PostgreSQL is version {server_major}, and no pg_dump and pg_restore of version {needed} or"
            f" later are installed. Install them (Debian: postgresql-client-{needed}) or add them to PATH."
        )
    return min(found, key=lambda programs: programs.major)


def require_restorable(programs: Programs, server_major: int) -> None:
    """Raise ProgramsMissing if these programs cannot write to a server of that version."""
    if server_major < FIRST_WITH_TRANSACTION_TIMEOUT <= programs.major:
        raise ProgramsMissing(
            f"pg_restore of version {programs.major} cannot restore into PostgreSQL {server_major}. Install"
            f" the programs of version {server_major} (Debian: postgresql-client-{server_major}), or, if the"
            f" backup was written by newer ones, restore into PostgreSQL {programs.major}."
        )


def run_program(programs: Programs, name: str, arguments: list[str], dsn: str, *, application: str) -> None:
    """Run pg_dump or pg_restore on a database until it ends. Raises ProgramFailed.

    The password is passed in the environment, because other users of the machine see command lines.
    """
    parameters = conninfo_to_dict(address(dsn, application=application))
    password = parameters.pop("password", None)
    environ = os.environ | ({"PGPASSWORD": str(password)} if password else {})
    command = [str(programs.folder / name), *arguments, f"--dbname={make_conninfo('', **parameters)}"]
    with tempfile.TemporaryFile("w+", errors="replace") as output:
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, env=environ
        )
        if done.returncode != 0:
            output.seek(0)
            message = output.read()[-_MESSAGE_CHARACTERS:].strip()
            raise ProgramFailed(f"{name} failed with {done.returncode}: {message}")


def _installed() -> Iterator[Programs]:
    folders = sorted(_SYSTEM.glob("*/bin"))
    with suppress(EmbeddedFailed):
        folders.append(postgres_programs())
    if on_path := shutil.which("pg_restore"):
        folders.append(Path(on_path).parent)
    for folder in folders:
        if (folder / "pg_dump").exists() and (major := _major_of(folder / "pg_restore")):
            yield Programs(folder, major)


def _major_of(program: Path) -> int | None:
    try:
        done = subprocess.run(
            [program, "--version"], capture_output=True, text=True, timeout=_VERSION_SECONDS, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return None
    found = re.search(r"\(PostgreSQL\) (\d+)", done.stdout)
    return int(found[1]) if found else None
