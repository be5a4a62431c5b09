"""The wheel that the image installs is built from the files that .dockerignore permits."""

import shutil
import subprocess
import sys
import zipfile
from importlib.metadata import version
from pathlib import Path

import pytest

from notary.export import data, digest, find_range, manifest
from notary.follower import sign_log
from tests.support.commands import environment, ticketing
from tests.support.history import History, append
from tests.support.vault import VAULT

ROOT = Path(__file__).parents[2]
BUILD_SECONDS = 120


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """The path of the wheel."""
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"
    source.mkdir()
    for line in (ROOT / ".dockerignore").read_text().splitlines():
        if line.startswith("!"):
            path = ROOT / line[1:]
            copy = shutil.copytree if path.is_dir() else shutil.copy
            copy(path, source / path.name)
    build = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--disable-pip-version-check"]
    done = subprocess.run(
        [*build, "--wheel-dir", folder, source], capture_output=True, text=True, timeout=BUILD_SECONDS
    )
    assert done.returncode == 0, done.stderr
    (built,) = folder.glob("*.whl")
    return built


def run_alone(wheel, *arguments):
    """Run the verifier of the wheel outside the repository, with the standard library alone."""
    command = [sys.executable, "-I", "-S", "-c", RUN_FROM_WHEEL, wheel, *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, cwd=wheel.parent)


RUN_FROM_WHEEL = """
import runpy, sys
sys.path.insert(0, sys.argv.pop(1))
runpy.run_module("tools.verify_export", run_name="__main__", alter_sys=True)
"""


@pytest.fixture
def exported(store, pool, conn, tmp_path):
    """The files of an export and its manifest."""
    append(store, History(seed=1).grow(30))
    sign_log(conn, VAULT)
    chosen = find_range(conn, VAULT, 1, None)
    pieces = list(data(pool, chosen, "ndjson"))
    files = tmp_path / "export.ndjson", tmp_path / "manifest.json"
    files[0].write_bytes(b"".join(pieces))
    files[1].write_bytes(manifest(conn, VAULT, chosen, digest(pieces, "ndjson")))
    return files


def test_the_verifier_of_the_wheel_checks_an_export_without_other_packages(wheel, exported):
    data_file, manifest_file = exported
    accepted = run_alone(wheel, data_file, manifest_file)
    data_file.write_bytes(data_file.read_bytes().replace(b'"version":1', b'"version":2', 1))
    refused = run_alone(wheel, data_file, manifest_file)
    misused = run_alone(wheel)

    assert (accepted.returncode, accepted.stderr) == (0, "")
    assert "as signed on" in accepted.stdout
    assert refused.returncode == 1
    assert refused.stderr.startswith("NOT AS SIGNED: ")
    assert misused.returncode == 2


def test_the_wheel_has_every_package_and_the_files_that_packages_read(wheel):
    names = set(zipfile.ZipFile(wheel).namelist())
    packages = {name.partition("/")[0] for name in names if name.endswith("/__init__.py")}
    needed = {
        str(path.relative_to(ROOT))
        for package in packages
        for path in (ROOT / package).rglob("*")
        if path.is_file() and path.suffix != ".pyc"
    }

    assert {"api", "cli", "migrations", "tools"} <= packages
    assert needed - names == set()


def test_the_version_is_that_of_the_installed_package(tmp_path, wheel):
    done = ticketing("--version", environ=environment(TICKETING_HOME=str(tmp_path)))

    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == f"modern-management-ticketing {version('modern-management-ticketing')}\n"
    assert f"modern_management_ticketing-{version('modern-management-ticketing')}-" in wheel.name
