"""Keeps child processes running: restarts them with back-off when they end, and ends them when the supervisor
ends."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

from cli.output import note

FIRST_DELAY_SECONDS = 0.25
LONGEST_DELAY_SECONDS = 30.0
MOST_DOUBLINGS = 10  # more would not lengthen the delay
HEALTHY_AFTER_SECONDS = 30.0
STOP_SECONDS = 12.0  # the API accepts requests for 5 s, and answers each within 5 s
LARGEST_LOG_BYTES = 50_000_000
_PR_SET_PDEATHSIG = 1  # linux/prctl.h


class Child:
    """A process that should run. Its output is appended to `log`."""

    def __init__(self, name: str, command: Sequence[str], environ: Mapping[str, str], log: Path) -> None:
        self.name = name
        self.log = log
        self.failures = 0
        self._command = list(command)
        self._environ = dict(environ)
        self._process: subprocess.Popen[bytes] | None = None
        self._started_at = 0.0
        self._restart_at = 0.0

    def start(self) -> None:
        with _open_log(self.log) as output:
            self._process = subprocess.Popen(
                self._command,
                env=self._environ,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # so that Ctrl-C at the terminal reaches only the supervisor
                preexec_fn=_make_end_with_parent(os.getpid()),
            )
        self._started_at = time.monotonic()

    def keep_running(self) -> None:
        """Start the process again, after a delay, if it has ended."""
        now = time.monotonic()
        if self._process is not None and self._process.poll() is not None:
            code, self._process = self._process.returncode, None
            self.failures = 1 if now - self._started_at > HEALTHY_AFTER_SECONDS else self.failures + 1
            delay = delay_after(self.failures)
            self._restart_at = now + delay
            reason = _format_exit(code)
            note(f"{self.name} ended ({reason}); starting it again in {delay:g} s. Its log: {self.log}")
        if self._process is None and now >= self._restart_at:
            try:
                self.start()
            except OSError as error:
                self.failures += 1
                self._restart_at = now + delay_after(self.failures)
                note(f"{self.name} cannot be started: {error}; trying again.")

    def forget_failures(self) -> None:
        """Start the process at the next check without a delay, because the cause of its failures is gone."""
        self.failures = 0
        self._restart_at = 0.0

    @property
    def is_running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def ask_to_stop(self) -> None:
        if self._process is not None:
            with suppress(ProcessLookupError):
                self._process.terminate()

    def wait_or_kill(self, deadline: float) -> None:
        """Wait for the process to end; at the deadline, kill it and everything it started."""
        if self._process is None:
            return
        try:
            self._process.wait(max(0.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
        self._process = None

    def last_lines(self, count: int = 15) -> str:
        """Return the end of the log, which should show why the process does not start."""
        if not self.log.exists():
            return ""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-count:])


class Supervisor:
    """Child processes that start and stop together."""

    def __init__(self, children: Sequence[Child]) -> None:
        self.children = list(children)

    def start(self) -> None:
        for child in self.children:
            child.start()

    def keep_running(self) -> None:
        for child in self.children:
            child.keep_running()

    def forget_failures(self) -> None:
        for child in self.children:
            child.forget_failures()

    def stop(self) -> None:
        """Stop all children at the same time, within STOP_SECONDS."""
        deadline = time.monotonic() + STOP_SECONDS
        for child in self.children:
            child.ask_to_stop()
        for child in self.children:
            child.wait_or_kill(deadline)


def delay_after(failures: int) -> float:
    """Return the seconds to wait before the next start after so many failures in a row."""
    doublings = min(failures, MOST_DOUBLINGS) - 1
    return min(FIRST_DELAY_SECONDS * float(1 << doublings), LONGEST_DELAY_SECONDS)


def ticketing_command(*arguments: str) -> list[str]:
    """Return the command line that runs a `ticketing` subcommand with this interpreter and installation."""
    return [sys.executable, "-P", "-m", "cli.main", *arguments]


def _make_end_with_parent(parent: int) -> Callable[[], None]:
    """Return a function for a new process to call before exec: the kernel then sends it SIGTERM when the
    supervisor ends for any reason. On other systems than Linux, children survive a kill -9 of the
    supervisor."""
    prctl = ctypes.CDLL(None).prctl if sys.platform == "linux" else None

    def before_exec() -> None:
        if prctl is not None:
            prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
            if os.getppid() != parent:  # the supervisor ended before the call of prctl
                os._exit(1)

    return before_exec


def _open_log(log: Path) -> BinaryIO:
    """Open the log for appending; open the null device if that fails."""
    try:
        log.parent.mkdir(parents=True, exist_ok=True)
        _rotate(log)
        return log.open("ab")
    except OSError as error:
        note(f"{log} cannot be written: {error.strerror}.")
        return open(os.devnull, "ab")


def _rotate(log: Path) -> None:
    """Rename a large log; the log that was renamed before is overwritten."""
    if log.exists() and log.stat().st_size > LARGEST_LOG_BYTES:
        log.replace(log.with_name(log.name + ".1"))


def _format_exit(code: int) -> str:
    return signal.Signals(-code).name if code < 0 else f"exit code {code}"
