"""Checking exports as an auditor does, on a machine that knows nothing of ours."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

VERIFIER = Path(__file__).parents[2] / "tools" / "verify_export.py"


def checked(*arguments: Path | str) -> subprocess.CompletedProcess[str]:
    """What the verifier says of a file and its manifest, in an interpreter without any of our packages."""
    return subprocess.run(
        [sys.executable, "-I", "-S", VERIFIER, *arguments], capture_output=True, text=True, timeout=60
    )
