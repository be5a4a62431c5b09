"""Prometheus's checker of rules and expressions."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest


def run_promtool(*arguments: str | Path) -> str:
    """Run promtool; return what it prints. Fails with its messages, and skips the test without promtool."""
    program = shutil.which("promtool")
    if program is None:
        pytest.skip("promtool is not installed. On Debian or Ubuntu: apt-get install prometheus")
    done = subprocess.run([program, *arguments], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def check_expressions(expressions: Sequence[str], folder: Path) -> str:
    """Check the expressions as recording rules; return what promtool prints."""
    rules = [{"record": f"checked:{number}", "expr": expr} for number, expr in enumerate(expressions)]
    file = folder / "rules.yml"
    file.write_text(json.dumps({"groups": [{"name": "checked", "rules": rules}]}))  # JSON is valid YAML
    return run_promtool("check", "rules", file)
