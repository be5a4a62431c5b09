"""Starts `ticketing` processes fast, as forks of a server process that has imported the program.

They run `cli.main.main()`, as the installed script does, but save half a second of imports. The tests of
starting (tests/acceptance/test_up.py) run the installed script.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from multiprocessing.connection import wait
from pathlib import Path
from typing import Literal

Program = Callable[[], object]
_NOWHERE = Path(os.devnull)
_lock = threading.Lock()  # multiprocessing can read an exit code only once, in one thread
_forks = multiprocessing.get_context("forkserver")
_forks.set_forkserver_preload(
    [
        *("cli.main", "server.gunicorn_server", "uvloop", "kafka", "tests.support.forks"),
        *("jinja2", "oauthlib.oauth2"),  # server.app itself reads the environment when it is imported
        # Typer imports these while it runs a command: pydantic, if installed, and the printing of help.
        *("pydantic.type_adapter", "pydantic.main", "typer._adapters", "typer.rich_utils"),
    ]
)


def ticketing() -> None:
    """Run what the installed script runs."""
    from cli.main import main

    main()


class TicketingProcess:
    """A process with those methods of subprocess.Popen that tests use."""

    def __init__(
        self,
        *arguments: str | bytes,
        environ: Mapping[str, str],
        stdin: Path = _NOWHERE,
        stdout: Path = _NOWHERE,
        stderr: Path | None = None,
        program: Program = ticketing,
    ) -> None:
        """Start the process; append its output to the files. `stderr` defaults to the file `stdout`."""
        files = (stdin, stdout, stderr or stdout)
        for file in files[1:]:
            file.open("ab").close()  # so that tests can read the file at once
        self._process = _forks.Process(
            target=_run,
            args=(program, [os.fsdecode(one) for one in arguments], dict(environ), os.getcwd(), files),
            daemon=True,  # it ends with the test process
        )
        with _lock:
            self._process.start()

    @property
    def pid(self) -> int:
        assert self._process.pid is not None
        return self._process.pid

    @property
    def returncode(self) -> int | None:
        """As for Popen: negative after a signal, None while the process runs."""
        with _lock:
            return self._process.exitcode

    def poll(self) -> int | None:
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """The exit code. Raises subprocess.TimeoutExpired."""
        wait([self._process.sentinel], timeout)
        code = self.returncode
        if code is None:
            raise subprocess.TimeoutExpired("ticketing", timeout or 0)
        return code

    def send_signal(self, number: int) -> None:
        with suppress(ProcessLookupError):  # it has just ended
            if self.poll() is None:
                os.kill(self.pid, number)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


def _run(
    program: Program, arguments: Sequence[str], environ: Mapping[str, str], folder: str, files: Sequence[Path]
) -> None:
    """In the new process: set environment, folder, arguments and standard streams, then run the program."""
    multiprocessing.current_process().daemon = False  # daemonic processes may not start children
    signal.signal(signal.SIGHUP, signal.SIG_DFL)  # it is ignored when the tests run under nohup
    os.environ.clear()
    os.environ.update(environ)
    os.chdir(folder)
    sys.argv = ["ticketing", *arguments]
    sys.stdin = _standard(0, files[0], "r")
    sys.stdout = _standard(1, files[1], "w")
    sys.stderr = _standard(2, files[2], "w")
    program()


def _standard(number: int, file: Path, mode: Literal["r", "w"]) -> object:
    """Redirect the file descriptor to a file and return it as a standard stream."""
    flags = os.O_RDONLY if mode == "r" else os.O_WRONLY | os.O_APPEND | os.O_CREAT
    opened = os.open(file, flags, 0o600)
    os.dup2(opened, number)
    os.close(opened)
    return open(number, mode, encoding="utf-8", buffering=1, errors="strict", closefd=False)
