"""Terminals in a copy of the repository, in which the commands of documents run."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from tests.support.server import lasting_ports
from tests.support.waiting import eventually

ROOT = Path(__file__).parents[2]
VENV = Path(sys.prefix)
STAMPS = (".made", ".installed", ".installed-test", ".installed-lint", ".installed-bench")
COMMAND_SECONDS = 120
START_SECONDS = 120  # for a busy machine
STOP_SECONDS = 60
DOCUMENTED_PORTS = ("8000", "9000", "9100", "9101", "9102", "9103", "9104")  # METRICS_PORT is 9100
_INHERITED = ("HOME", "LANG", "TMPDIR", "USER")
_SCRIPT = """set -aeo pipefail
[ ! -f "$STATE" ] || . "$STATE"
trap '{ export -p; declare -f; printf "cd %q\\n" "$PWD"; } > "$STATE"' EXIT
"""


class Result(NamedTuple):
    code: int
    output: str


def copy_repository(folder: Path) -> Path:
    """A copy of the repository without build output, as a clone has it, with this Python's .venv."""
    ignored = [line.strip("/") for line in (ROOT / ".gitignore").read_text().split()]
    clone = folder / "ticketing"
    shutil.copytree(ROOT, clone, ignore=shutil.ignore_patterns(".git", *ignored), symlinks=True)
    (clone / ".venv").mkdir()
    for name in set(os.listdir(VENV)) - set(STAMPS):
        (clone / ".venv" / name).symlink_to(VENV / name)
    for name in STAMPS:
        (clone / ".venv" / name).touch()  # so that `make` does not install again
    return clone


class Terminal:
    """A shell whose variables, functions and folder stay from command to command.

    The ports that documents name are replaced by free ones, and back in what is printed. `programs` are the
    long-running programs of all terminals.
    """

    def __init__(self, folder: Path, ports: Mapping[str, str], state: Path, **variables: str) -> None:
        self._folder = folder
        self._ports = ports
        inherited = {name: os.environ[name] for name in _INHERITED if name in os.environ}
        self._environ = {
            **inherited,
            "PATH": os.environ["PATH"],
            "COLUMNS": "200",
            "STATE": str(state),
            **variables,
        }

    def run(self, command: str) -> Result:
        """Run a command until it ends."""
        done = subprocess.run(
            ["bash", "-c", _SCRIPT + self._with_real_ports(command)],
            cwd=self._folder,
            env=self._environ,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=COMMAND_SECONDS,
        )
        return Result(done.returncode, self.with_documented_ports(done.stdout))

    def start(self, command: str, output: Path) -> Program:
        """Start a long-running command in another terminal, without the variables of this one."""
        environ = {name: value for name, value in self._environ.items() if name != "STATE"}
        with output.open("wb") as stream:
            process = subprocess.Popen(
                ["bash", "-c", "exec env " + self._with_real_ports(command)],
                cwd=self._folder,
                env=environ,
                stdin=subprocess.DEVNULL,
                stdout=stream,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        return Program(process, output, self)

    def _with_real_ports(self, command: str) -> str:
        return _replace(command, self._ports)

    def with_documented_ports(self, printed: str) -> str:
        return _replace(printed, {real: documented for documented, real in self._ports.items()})


class Program:
    """A long-running program, and what it has printed."""

    def __init__(self, process: subprocess.Popen[bytes], output: Path, terminal: Terminal) -> None:
        self._process = process
        self._output = output
        self._terminal = terminal

    @property
    def printed(self) -> str:
        return self._terminal.with_documented_ports(self._output.read_text(errors="replace"))

    def wait_for(self, text: str) -> None:
        """Wait until it has printed a line that begins so."""
        eventually(
            lambda: f"\n{text}" in f"\n{self.printed}" or self._process.poll() is not None,
            START_SECONDS,
            message=lambda: f"{text!r} was not printed: {self.printed}",
        )
        assert self._process.poll() is None, self.printed

    def stop(self) -> None:
        """End the program as Ctrl-C does."""
        if self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGTERM)
        self._process.wait(STOP_SECONDS)


def free_ports() -> dict[str, str]:
    """A free port for each port that documents name."""
    return dict(zip(DOCUMENTED_PORTS, map(str, lasting_ports(len(DOCUMENTED_PORTS))), strict=True))


def _replace(text: str, words: Mapping[str, str]) -> str:
    pattern = "|".join(map(re.escape, words))
    return re.sub(rf"(?<!\d)(?:{pattern})(?!\d)", lambda match: words[match[0]], text)
