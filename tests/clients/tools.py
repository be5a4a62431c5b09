"""Installs the pinned generators, linters and compilers into a cache outside the project."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import venv
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

HERE = Path(__file__).parent
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "ticketing"
DOWNLOAD_SECONDS = 600


class Tools(NamedTuple):
    """Where the tools are: the programs of the Python environment, `node_modules`, and Java libraries."""

    programs: Path
    node_modules: Path
    java_libraries: Path
    generator_jar: Path

    def environment(self) -> dict[str, str]:
        """The environment in which the pinned programs are found first."""
        path = os.pathsep.join((str(self.programs), str(self.node_modules / ".bin"), os.environ["PATH"]))
        return {**os.environ, "PATH": path, "GOTOOLCHAIN": "local", "GOFLAGS": "-trimpath", "NO_COLOR": "1"}


class Failed(Exception):
    """A command failed; the text is the end of its output."""


def run(
    command: Sequence[str | Path], folder: Path, environment: Mapping[str, str], seconds: float = 300
) -> str:
    """Run a command until it ends and return what it printed. Raises Failed."""
    try:
        done = subprocess.run(
            command,
            cwd=folder,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=seconds,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise Failed(str(error)) from error
    if done.returncode != 0:
        raise Failed(f"{command[0]} ended with {done.returncode}:\n{done.stdout[-4_000:]}")
    return done.stdout


def install_tools() -> Tools:
    """The tools; the first call on a machine downloads them. Raises Failed."""
    for program in ("javac", "mvn"):
        if shutil.which(program) is None:
            raise Failed(f"{program} is not on the PATH: install a JDK 17 and Maven.")
    python = cached("clients-python", HERE / "requirements.txt", _install_python)
    programs = python / "bin"
    environment = {**os.environ, "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}"}
    node = cached(
        "clients-node",
        HERE / "openapi_fetch" / "package-lock.json",
        lambda folder: _install_node(folder, environment),
    )
    java = cached("clients-java", HERE / "openapi_generator_java" / "pom.xml", _install_java)
    (jar,) = python.glob("lib/*/site-packages/openapi_generator_cli/openapi-generator.jar")
    return Tools(programs, node / "node_modules", java, jar)


def cached(name: str, definition: Path, install: Callable[[Path], None]) -> Path:
    """The folder that `install` filled for this definition."""
    folder = CACHE / f"{name}-{hashlib.sha256(definition.read_bytes()).hexdigest()[:12]}"
    complete = folder / "complete"
    if not complete.exists():
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        install(folder)
        complete.touch()
    return folder


def _install_python(folder: Path) -> None:
    venv.create(folder, with_pip=True)
    pip = [folder / "bin" / "python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    run([*pip, "-r", HERE / "requirements.txt"], HERE, os.environ, DOWNLOAD_SECONDS)


def _install_node(folder: Path, environment: Mapping[str, str]) -> None:
    for name in ("package.json", "package-lock.json"):
        shutil.copy(HERE / "openapi_fetch" / name, folder)
    command = ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"]
    run(command, folder, environment, DOWNLOAD_SECONDS)


def _install_java(folder: Path) -> None:
    pom = HERE / "openapi_generator_java" / "pom.xml"
    command = ["mvn", "--batch-mode", "--quiet", "-f", pom, "dependency:copy-dependencies"]
    run([*command, f"-Djars={folder}"], HERE, os.environ, DOWNLOAD_SECONDS)
