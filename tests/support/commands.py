"""Running the installed `ticketing` command as a person does."""

from __future__ import annotations

import base64
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

TICKETING = Path(sys.executable).with_name("ticketing")
NEVER_INHERITED = (
    "DATABASE_URL",
    "TICKETING_HOME",
    "PORT",
    "HOST",
    "BASE_URL",
    "WORKERS",
    "THREADS",
    "KAFKA_BOOTSTRAP_SERVERS",
    "KAFKA_PREFIX",
)
MASTER_KEY = base64.b64encode(bytes(range(32))).decode()


def environment(**variables: str) -> dict[str, str]:
    """This process's environment, with no setting of ours but those given and a master key."""
    inherited = {name: value for name, value in os.environ.items() if name not in NEVER_INHERITED}
    return {**inherited, "COLUMNS": "200", "NO_COLOR": "1", "MASTER_KEY": MASTER_KEY, **variables}


def ticketing(
    *arguments: str | bytes, environ: Mapping[str, str], given: str = ""
) -> subprocess.CompletedProcess[str]:
    """Run one command to its end, with `given` on its standard input."""
    return subprocess.run(
        [TICKETING, *arguments],
        env=environ,
        input=given,
        capture_output=True,
        text=True,
        timeout=120,
    )
