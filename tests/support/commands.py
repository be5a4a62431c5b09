"""Runs `ticketing` commands, each in a process of its own."""

from __future__ import annotations

import base64
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

from tests.support.forks import Program, TicketingProcess
from tests.support.forks import ticketing as run_ticketing

TICKETING = Path(sys.executable).with_name("ticketing")
NEVER_INHERITED = (
    "DATABASE_URL",
    "DIRECT_DATABASE_URL",
    "MIGRATE_DATABASE_URL",
    "POSTGRES_DATA_DIR",
    "TICKETING_HOME",
    "PORT",
    "HOST",
    "BASE_URL",
    "WORKERS",
    "THREADS",
    "KAFKA_BOOTSTRAP_SERVERS",
    "KAFKA_PREFIX",
)
COMMAND_SECONDS = 120
MASTER_KEY = base64.b64encode(bytes(range(32))).decode()


def environment(**variables: str) -> dict[str, str]:
    """This process's environment without settings of the application, plus a master key and `variables`."""
    inherited = {name: value for name, value in os.environ.items() if name not in NEVER_INHERITED}
    return {**inherited, "COLUMNS": "200", "NO_COLOR": "1", "MASTER_KEY": MASTER_KEY, **variables}


def ticketing(
    *arguments: str | bytes,
    environ: Mapping[str, str],
    given: str = "",
    limit_seconds: float = COMMAND_SECONDS,
    program: Program = run_ticketing,
) -> subprocess.CompletedProcess[str]:
    """Run one command until it ends, with `given` on its standard input. `program` may be another version."""
    with tempfile.TemporaryDirectory(prefix="ticketing-command-") as folder:
        stdin, stdout, stderr = (Path(folder) / name for name in ("stdin", "stdout", "stderr"))
        stdin.write_text(given)
        process = TicketingProcess(
            *arguments, environ=environ, stdin=stdin, stdout=stdout, stderr=stderr, program=program
        )
        try:
            code = process.wait(limit_seconds)
        finally:
            process.kill()
        return subprocess.CompletedProcess(arguments, code, stdout.read_text(), stderr.read_text())
