"""`make deploy-check`: compose-go, the loader of `docker compose`, reads docker-compose.yml."""

import json
import os
import subprocess
from pathlib import Path

import pytest
import yaml

from tests.deploy.tools import install_tools

FILE = Path(__file__).parents[2] / "docker-compose.yml"
SECRETS = {"POSTGRES_PASSWORD": "secret", "MASTER_KEY": "key"}


@pytest.fixture(scope="session")
def program():
    return install_tools().compose


def load(program, file, **variables):
    """The exit code, the resolved project, and the message."""
    environ = {"PATH": os.environ["PATH"], **variables}
    done = subprocess.run(
        [program, file], env=environ, capture_output=True, text=True, timeout=300, check=False
    )
    return done.returncode, json.loads(done.stdout or "null"), done.stderr


def test_the_file_is_valid_and_has_every_service(program):
    code, project, message = load(program, FILE, **SECRETS)

    assert code == 0, message
    assert project["services"].keys() == yaml.safe_load(FILE.read_text())["services"].keys()
    assert project["services"]["api"]["environment"]["MASTER_KEY"] == "key"


@pytest.mark.parametrize("missing", SECRETS)
def test_a_missing_secret_is_named(program, missing):
    code, _, message = load(
        program, FILE, **{name: value for name, value in SECRETS.items() if name != missing}
    )

    assert code != 0
    assert f"required variable {missing} is missing a value" in message


@pytest.mark.parametrize(
    ("present", "planted", "message"),
    [
        ("restart: unless-stopped", "restarts: unless-stopped", "restarts"),
        ("read_only: true", "read_only: perhaps", "read_only"),
        ('volumes: ["notary:', 'volumes: ["notaries:', "notaries"),
        (
            "migrate: {condition: service_completed_successfully}",
            "migrates: {condition: service_started}",
            "migrates",
        ),
    ],
)
def test_a_planted_fault_is_named(program, tmp_path, present, planted, message):
    text = FILE.read_text()
    assert present in text
    broken = tmp_path / "docker-compose.yml"
    broken.write_text(text.replace(present, planted, 1))

    code, _, found = load(program, broken, **SECRETS)

    assert code != 0
    assert message in found
