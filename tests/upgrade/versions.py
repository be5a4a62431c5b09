"""The code of two versions: that of the newest tag, and this one with changes of the database added."""

from __future__ import annotations

import io
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import NamedTuple

from tests.support.planted_migrations import PLANTED

ROOT = Path(__file__).parent.parent.parent
TABLES = Path("projections/sql/tables.sql")
RELEASES = {"bf7d7c1": "v0.1.0"}  # for a checkout that has the history without the tags


class Version(NamedTuple):
    """A folder with the packages of a version. Both use the libraries of this virtual environment."""

    name: str
    folder: Path

    def command(self, *arguments: str) -> list[str]:
        """The command line of a `ticketing` command. `environment` of this version must go with it."""
        return [sys.executable, "-P", "-m", "cli.main", *arguments]

    @property
    def variables(self) -> dict[str, str]:
        """The settings with which Python finds the packages of this version first."""
        return {"PYTHONPATH": str(self.folder)}


def newest_tag() -> str | None:
    """The newest tag of a version whose commit can be read, or the commit itself; None in a checkout without
    the history."""
    tags = _git("tag", "--list", "v*", "--sort=-version:refname").split()
    candidates = [*tags, *RELEASES]
    return next(
        (one for one in candidates if _git("cat-file", "-t", f"{one}^{{tree}}").strip() == "tree"), None
    )


def tagged_version(tag: str, folder: Path) -> Version:
    """The code of a tag, extracted into the folder."""
    archive = subprocess.run(["git", "archive", tag], cwd=ROOT, capture_output=True, check=True).stdout
    with tarfile.open(fileobj=io.BytesIO(archive)) as files:
        files.extractall(folder, filter="data")
    return Version(RELEASES.get(tag, tag), folder)


def later_version(folder: Path) -> Version:
    """This code with an expansion, an index that is built concurrently, a contraction, and other read tables,
    so that every step of an upgrade has something to do."""
    shutil.copytree(ROOT, folder, ignore=_without_what_git_ignores)
    for name, text in PLANTED.items():
        (folder / "migrations" / name).write_text(text)
    with (folder / TABLES).open("a") as tables:
        tables.write("\n-- Planted: a change of the read tables.\n")
    return Version("this version with changes", folder)


def _without_what_git_ignores(folder: str, names: list[str]) -> set[str]:
    """What is not copied: only packages with code are, and only at the top of the tree."""
    if Path(folder) != ROOT:
        return {name for name in names if name == "__pycache__"}
    return {name for name in names if not (ROOT / name / "__init__.py").exists() or name == "tests"}


def _git(*arguments: str) -> str:
    try:
        done = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return ""
    return done.stdout if done.returncode == 0 else ""
