"""`ticketing` subcommands on one database, to be killed and started."""

from __future__ import annotations

import json
import signal
import subprocess
from pathlib import Path
from typing import Any

from tests.support.commands import TICKETING, environment

STOP_SECONDS = 30


class Processes:
    """They write to one log; all of them are gone after `close`. `variables` are settings by their names."""

    def __init__(self, dsn: str, home: Path, **variables: str) -> None:
        given = {
            "DATABASE_URL": dsn,
            "TICKETING_HOME": str(home),
            "WEBHOOK_ALLOW_PRIVATE_ADDRESSES": "1",
            "WEBHOOK_TIMEOUT_SECONDS": "1",
            "WEBHOOK_RETRY_SECONDS": ",".join(["0.2"] * 40),
            "LOG_LEVEL": "WARNING",
        }
        self._environ = environment(**given | variables)
        self._path = home / "processes.log"
        self._log = self._path.open("ab")
        self._running: list[subprocess.Popen[bytes]] = []

    def start(self, *command: str) -> subprocess.Popen[bytes]:
        process = subprocess.Popen(
            [TICKETING, *command], env=self._environ, stdout=self._log, stderr=self._log
        )
        self._running.append(process)
        return process

    def logged(self, event: str) -> list[dict[str, Any]]:
        """What they have logged so far under that name."""
        lines = self._path.read_text(errors="replace").splitlines()
        return [json.loads(line) for line in lines if f'"event":"{event}"' in line]

    def close(self) -> None:
        for process in self._running:
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
        for process in self._running:
            process.wait(STOP_SECONDS)
        self._log.close()


def kill(process: subprocess.Popen[bytes]) -> None:
    """kill -9."""
    process.kill()
    process.wait()


def end(process: subprocess.Popen[bytes]) -> None:
    """Ask it to stop, as a supervisor does."""
    process.terminate()
    process.wait(STOP_SECONDS)
