"""Processes that the rig keeps running, as systemd does with Restart=always."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Protocol

import psutil

RESTART_SECONDS = 0.25
STOP_SECONDS = 40
_PR_SET_PDEATHSIG = 1  # linux/prctl.h


class Unit(Protocol):
    """A process that can be started again after it has ended."""

    name: str

    @property
    def pid(self) -> int | None:
        """The process id while it runs."""

    def start(self) -> None:
        """Start the process. May raise an error: the start is repeated then."""

    def stop(self) -> None:
        """End the process."""


class Program:
    """A program in the foreground. Its output is appended to `log`."""

    def __init__(
        self, name: str, command: Sequence[str | Path], environ: Mapping[str, str], log: Path, **options: Any
    ) -> None:
        self.name = name
        self._command = [str(part) for part in command]
        self._environ = dict(environ)
        self._log = log
        self._options = options
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int | None:
        process = self._process
        return process.pid if process is not None and process.poll() is None else None

    def start(self) -> None:
        with self._log.open("ab") as output:
            self._process = subprocess.Popen(
                self._command,
                env=self._environ,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                preexec_fn=end_with_rig,
                **self._options,
            )

    def stop(self) -> None:
        """Send SIGTERM; after STOP_SECONDS kill the process and its children."""
        if self._process is None:
            return
        family = family_of(self.pid)
        self._process.terminate()
        try:
            self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        for process in family:
            with suppress(psutil.Error):
                process.kill()


class Keeper:
    """Starts a unit again, RESTART_SECONDS after it has ended, unless it is held down."""

    def __init__(self, unit: Unit) -> None:
        self.unit = unit
        self.starts = 0
        self.errors: list[str] = []
        self.is_held = False
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"keep-{unit.name}", daemon=True)

    def start(self) -> None:
        self.unit.start()
        self.starts = 1
        self._thread.start()

    def close(self) -> None:
        self._closing.set()
        if self.starts:
            self._thread.join()
        self.unit.stop()

    def _run(self) -> None:
        while not self._closing.wait(RESTART_SECONDS):
            if self.unit.pid is None and not self.is_held:
                self.starts += 1
                try:
                    self.unit.start()
                except Exception as error:  # a full disk, for example: the next start succeeds
                    self.errors.append(f"{self.unit.name}: {error}"[:500])


def family_of(pid: int | None) -> list[psutil.Process]:
    """The process and its descendants, as far as they run."""
    if pid is None:
        return []
    with suppress(psutil.NoSuchProcess):
        process = psutil.Process(pid)
        return [process, *process.children(recursive=True)]
    return []


def send(processes: Sequence[psutil.Process], number: signal.Signals) -> None:
    """Send the signal to those that still run."""
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            process.send_signal(number)


def pause(seconds: float, until: Callable[[], bool] = lambda: False) -> None:
    """The length of a fault; shorter if `until` becomes true."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline and not until():
        time.sleep(min(0.05, seconds))


def end_with_rig() -> None:
    """Make the kernel kill this child when the rig's process ends. Works on Linux only."""
    if os.uname().sysname == "Linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
