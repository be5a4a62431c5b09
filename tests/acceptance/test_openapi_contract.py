"""Schemathesis compares the document at /v1/openapi.json with the server's answers."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.acceptance.test_roles import ROLES as ALL_ROLES

ROOT = Path(__file__).parents[2]
SCHEMATHESIS = Path(sys.executable).with_name("schemathesis")
CONFIGURATION = Path(__file__).with_name("schemathesis.toml")
MAX_EXAMPLES = 3
IS_FULL = os.environ.get("FAULTS_FULL") == "1"
ROLES = ALL_ROLES if IS_FULL else ("admin",)  # test_roles.py tests the other roles
TIMEOUT_SECONDS = 900

pytestmark = pytest.mark.faults


@pytest.fixture(scope="module")
def runs(site, tmp_path_factory):
    """Starts one run for each role, all at once. Each has its own key, whose role no other run can change."""
    started = {role: _start(site, role, tmp_path_factory.mktemp(role)) for role in ROLES}
    yield started
    for run in started.values():
        run.kill()
        run.wait()


@pytest.mark.parametrize("role", ROLES)
def test_every_check_of_schemathesis_holds(site, runs, role):
    output, _ = runs[role].communicate(timeout=TIMEOUT_SECONDS)

    assert runs[role].returncode == 0, output[-12_000:]
    paths = site.client().get("/v1/openapi.json").json()["paths"].values()
    operations = sum(len(path.keys() & {"get", "post", "put", "patch", "delete"}) for path in paths)
    assert re.search(rf"Tested: {operations}\b", output), output[-2_000:]


def _start(site, role, folder):
    key = site.key(role=role, property_ids=("abc123",))
    command = [
        *(SCHEMATHESIS, "--config-file", CONFIGURATION, "--no-color"),
        *("run", f"{site.base_url}/v1/openapi.json"),
        *("--checks", "all", "--max-examples", str(MAX_EXAMPLES)),
        *(() if role == "admin" else ("--phases", "examples,fuzzing,stateful")),  # one run covers every value
        *("--header", f"Authorization: Bearer {key}"),
    ]
    return subprocess.Popen(
        command,
        cwd=folder,  # it writes its cache there
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
