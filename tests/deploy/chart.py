"""Renders the Helm chart, and validates what was rendered."""

from __future__ import annotations

import json
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from tests.deploy.tools import VERSIONS, Tools

CHART = Path(__file__).parents[2] / "deploy" / "helm" / "ticketing"
VALUES = Path(__file__).parent / "values"
SECONDS = 300


class Done(NamedTuple):
    """How a program ended, and what it printed."""

    code: int
    output: str
    messages: str


def use(*command: str | Path, text: str = "") -> Done:
    """Run a program with this text as its input."""
    found = subprocess.run(command, input=text, capture_output=True, text=True, timeout=SECONDS, check=False)
    return Done(found.returncode, found.stdout, found.stderr)


def render(tools: Tools, *values: Path, version: str = VERSIONS[-1]) -> Done:
    """What `helm template` prints with these files of values."""
    return use(tools.helm, "template", "desk", CHART, "--kube-version", version, *_files(values))


def render_with(tools: Tools, values: dict[str, Any], base: str = "least") -> Done:
    """The same with a file of VALUES and these values above it."""
    with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
        json.dump(values, file)
        file.flush()
        return render(tools, VALUES / f"{base}.yaml", Path(file.name))


def lint(tools: Tools, values: Path) -> Done:
    return use(tools.helm, "lint", "--strict", CHART, *_files([values]))


def validate(tools: Tools, rendered: str, version: str) -> Done:
    """What kubeconform says in its strict mode: unknown fields and resources are errors."""
    options = ["-strict", "-summary", "-kubernetes-version", version, "-schema-location", str(tools.schemas)]
    return use(tools.kubeconform, *options, text=rendered)


def read(rendered: str) -> list[dict[str, Any]]:
    """The manifests."""
    return [manifest for manifest in yaml.safe_load_all(rendered) if manifest]


def _files(values: Sequence[Path]) -> list[str]:
    return [option for file in values for option in ("--values", str(file))]
