"""Starts, kills and restarts `ticketing` subcommands on one database."""

from __future__ import annotations

import json
import threading
from pathlib import Path
from typing import Any

from tests.support.commands import environment
from tests.support.forks import Program, TicketingProcess, ticketing

STOP_SECONDS = 60
RESTART_SECONDS = 0.25


class Processes:
    """Processes that write to one log file. `variables` are settings by name. `close` ends the processes."""

    def __init__(self, dsn: str, home: Path, **variables: str) -> None:
        defaults = {
            "DATABASE_URL": dsn,
            "TICKETING_HOME": str(home),
            "WEBHOOK_ALLOW_PRIVATE_ADDRESSES": "1",
            "WEBHOOK_TIMEOUT_SECONDS": "1",
            "WEBHOOK_RETRY_SECONDS": ",".join(["0.2"] * 40),
            "LOG_LEVEL": "INFO",
        }
        self._environ = environment(**defaults | variables)
        self._log = home / "processes.log"
        self._running: list[TicketingProcess] = []
        self._closing = threading.Event()
        self._restarters: list[threading.Thread] = []

    def start(self, *command: str, program: Program = ticketing, **variables: str) -> TicketingProcess:
        """Start a command, perhaps of another version, with further settings."""
        process = TicketingProcess(
            *command, environ=self._environ | variables, stdout=self._log, program=program
        )
        self._running.append(process)
        return process

    def keep_running(self, *command: str) -> None:
        """Start the command and restart it whenever it ends, as a supervisor does."""
        restarter = threading.Thread(target=self._restart, args=(self.start(*command), command))
        restarter.start()
        self._restarters.append(restarter)

    def _restart(self, process: TicketingProcess, command: tuple[str, ...]) -> None:
        while not self._closing.wait(RESTART_SECONDS):
            if process.poll() is not None:
                process = self.start(*command)

    def logged(self, event: str) -> list[dict[str, Any]]:
        """The log entries with that event name so far."""
        lines = self._log.read_text(errors="replace").splitlines()
        return [json.loads(line) for line in lines if f'"event":"{event}"' in line]

    def end_of_log(self) -> str:
        return self._log.read_text(errors="replace")[-20_000:]

    def close(self) -> None:
        self._closing.set()
        for restarter in self._restarters:
            restarter.join()
        for process in self._running:
            process.terminate()
        for process in self._running:
            process.wait(STOP_SECONDS)


def kill(process: TicketingProcess) -> None:
    """kill -9."""
    process.kill()
    process.wait()


def end(process: TicketingProcess) -> None:
    """Send SIGTERM and wait for the end, as a supervisor does."""
    process.terminate()
    process.wait(STOP_SECONDS)
